//! Which job numbers of a session have come.
//!
//! A client counts without gaps, but a large job travels in fragments, and small ones that were numbered after it pass it on
//! the way. So numbers may be missing for a while: each of them comes once, and there are never many gaps.

use alloc::collections::BTreeMap;
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::limits::FRAGMENT_STREAMS_MAX;

/// How numbers that have come stand to those before them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// They follow all of them, maybe with a gap between.
    Next,
    /// They were missing among them.
    Missing,
}

/// The numbers of one session.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    /// One more than the highest that has come.
    next: u64,
    /// Gaps below it: first missing number → the one after the last.
    missing: BTreeMap<u64, u64>,
}

impl Numbering {
    /// Takes so many numbers from `first` on; `None` if one of them has been taken, if there are none, or if there would be more
    /// gaps than messages can be under way.
    pub(crate) fn take(&mut self, first: u64, count: u64) -> Option<Taken> {
        let end = first.checked_add(count).filter(|end| *end > first)?;
        if likely(first >= self.next) {
            if unlikely(first > self.next) {
                if self.missing.len() >= FRAGMENT_STREAMS_MAX {
                    return None;
                }
                self.missing.insert(self.next, first);
            }
            self.next = end;
            return Some(Taken::Next);
        }
        let (&from, &to) = self.missing.range(..=first).next_back()?;
        let cuts = from < first && end < to;
        if end > to || cuts && self.missing.len() >= FRAGMENT_STREAMS_MAX {
            return None;
        }
        self.missing.remove(&from);
        if from < first {
            self.missing.insert(from, first);
        }
        if end < to {
            self.missing.insert(end, to);
        }
        Some(Taken::Missing)
    }

    /// One more than the highest number that has come.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The last number up to which all have come.
    pub(crate) fn through(&self) -> Option<u64> {
        self.missing.first_key_value().map_or(self.next, |(from, _)| *from).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn there_are_never_many_gaps() {
        let mut numbering = Numbering::default();
        let taken = (0..5_000).filter(|n| numbering.take(2 * n + 1, 1).is_some()).count();
        assert_eq!(taken, FRAGMENT_STREAMS_MAX);
        assert!(numbering.take(u64::MAX, 1).is_none() && numbering.take(7, 0).is_none());
    }

    #[test]
    fn one_gap_is_not_cut_into_many() {
        let mut numbering = Numbering::default();
        assert_eq!(numbering.take(1 << 40, 1), Some(Taken::Next));
        let taken = (1..5_000).filter(|n| numbering.take(2 * n, 1) == Some(Taken::Missing)).count();
        assert_eq!(numbering.missing.len(), FRAGMENT_STREAMS_MAX);
        assert_eq!(taken, FRAGMENT_STREAMS_MAX - 1);
        // What makes a gap smaller is taken, at either end.
        assert!(numbering.take(0, 2).is_some() && numbering.take((1 << 40) - 1, 1).is_some());
    }

    proptest! {
        #[test]
        fn each_number_is_taken_once(submits in proptest::collection::vec((0_u64..60, 1_u64..6), 1..60)) {
            let (mut numbering, mut taken) = (Numbering::default(), BTreeSet::new());
            for (first, count) in submits {
                let free = (first..first + count).all(|number| !taken.contains(&number));
                let how = if first < numbering.next() { Taken::Missing } else { Taken::Next };
                prop_assert_eq!(numbering.take(first, count), free.then_some(how));
                if free {
                    taken.extend(first..first + count);
                }
                let through = (0..).take_while(|number| taken.contains(number)).last();
                prop_assert_eq!(numbering.through(), through);
                prop_assert_eq!(numbering.next(), taken.last().map_or(0, |last| last + 1));
            }
        }
    }
}
