//! A set of numbers that come mostly in long runs: the jobs of a group that are still to be sent.

use core::ops::Range;
use std::collections::VecDeque;

/// Ascending ranges that neither touch nor overlap.
#[derive(Debug, Default)]
pub(super) struct Ranges(VecDeque<Range<u64>>);

impl Ranges {
    /// One range alone.
    pub(super) fn replace(&mut self, range: Range<u64>) {
        self.0.clear();
        if !range.is_empty() {
            self.0.push_back(range);
        }
    }

    /// Adds a range above all that are there.
    pub(super) fn append(&mut self, range: Range<u64>) {
        match self.0.back_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.0.push_back(range),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.front().map(|range| range.start)
    }

    /// Removes all below.
    pub(super) fn remove_below(&mut self, bound: u64) {
        while let Some(range) = self.0.front_mut() {
            if range.end > bound {
                range.start = range.start.max(bound);
                return;
            }
            self.0.pop_front();
        }
    }

    /// Adds one, wherever it belongs.
    pub(super) fn insert(&mut self, number: u64) {
        let after = self.0.partition_point(|range| range.start <= number);
        let joins_next = self.0.get(after).is_some_and(|next| next.start == number + 1);
        if let Some(before) = after.checked_sub(1) {
            if number < self.0[before].end {
                return;
            }
            if self.0[before].end == number {
                self.0[before].end += 1;
                if joins_next {
                    self.0[before].end = self.0[after].end;
                    self.0.remove(after);
                }
                return;
            }
        }
        if joins_next {
            self.0[after].start = number;
        } else {
            self.0.insert(after, number..number + 1);
        }
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.0.iter().any(|range| range.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_join_to_ranges() {
        let mut ranges = Ranges::default();
        for number in [5, 9, 7, 6, 8, 6, 0, 4] {
            ranges.insert(number);
        }
        assert_eq!(ranges.0, [0..1, 4..10]);
        ranges.remove_below(6);
        assert_eq!((ranges.first(), ranges.contains(5), ranges.contains(9)), (Some(6), false, true));
        ranges.remove_below(10);
        assert!(ranges.is_empty());
        ranges.replace(3..3);
        assert!(ranges.is_empty());
        ranges.replace(3..5);
        ranges.insert(5);
        ranges.append(6..8);
        ranges.append(10..11);
        assert_eq!(ranges.0, [3..8, 10..11]);
    }
}
