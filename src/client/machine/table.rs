//! Things by consecutive number: constant time for each, and memory for those that are still there, even when one of
//! them stays for hours while millions come and go behind it.

use core::ops::Range;
use std::collections::VecDeque;

/// Numbers that share one allocation. A hole-ridden run of them costs what its chunks cost.
const CHUNK: u64 = 1_024;

/// A table that gives the numbers 0, 1, 2, … to what is put into it.
#[derive(Debug)]
pub(super) struct Table<T> {
    chunks: VecDeque<Chunk<T>>,
    /// Chunks before the first of `chunks`, all of them empty for good.
    dropped: u64,
    next: u64,
    live: u64,
}

#[derive(Debug)]
struct Chunk<T> {
    /// As many as have been put in; none when nothing of them is left.
    slots: Vec<Option<T>>,
    live: u64,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), dropped: 0, next: 0, live: 0 }
    }
}

impl<T> Table<T> {
    /// The number that the next one gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// How many are there.
    pub(super) fn live(&self) -> u64 {
        self.live
    }

    pub(super) fn push(&mut self, value: T) -> u64 {
        let number = self.next;
        if number.is_multiple_of(CHUNK) {
            self.chunks.push_back(Chunk { slots: Vec::new(), live: 0 });
        }
        let chunk = self.chunks.back_mut().expect("the chunk that is being filled is never dropped");
        chunk.slots.push(Some(value));
        chunk.live += 1;
        self.next += 1;
        self.live += 1;
        number
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        let (chunk, slot) = self.place(number)?;
        self.chunks[chunk].slots.get(slot)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let (chunk, slot) = self.place(number)?;
        self.chunks[chunk].slots.get_mut(slot)?.as_mut()
    }

    pub(super) fn take(&mut self, number: u64) -> Option<T> {
        let (index, slot) = self.place(number)?;
        let chunk = &mut self.chunks[index];
        let value = chunk.slots.get_mut(slot)?.take()?;
        chunk.live -= 1;
        self.live -= 1;
        if chunk.live == 0 && chunk.slots.len() as u64 == CHUNK {
            chunk.slots = Vec::new();
            self.drop_front();
        }
        Some(value)
    }

    /// The first that is there among these. Nothing behind them is looked at: one that stays keeps what may be a long row of empty
    /// chunks.
    pub(super) fn next_live(&self, among: Range<u64>) -> Option<u64> {
        let mut number = among.start.max(self.dropped * CHUNK);
        let end = among.end.min(self.next);
        while number < end {
            let (chunk, slot) = self.place(number)?;
            let rest = self.chunks[chunk].slots.get(slot..).unwrap_or_default();
            let mut numbered = rest.iter().zip(number..end);
            match numbered.find(|(value, _)| value.is_some()) {
                Some((_, live)) => return Some(live),
                None => number = (number / CHUNK + 1) * CHUNK,
            }
        }
        None
    }

    /// All that are there, in order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut T)> {
        let dropped = self.dropped;
        self.chunks.iter_mut().zip(dropped..).flat_map(|(chunk, place)| {
            let numbered = chunk.slots.iter_mut().zip(place * CHUNK..);
            numbered.filter_map(|(slot, number)| slot.as_mut().map(|value| (number, value)))
        })
    }

    fn place(&self, number: u64) -> Option<(usize, usize)> {
        if number >= self.next {
            return None;
        }
        let chunk = usize::try_from((number / CHUNK).checked_sub(self.dropped)?).ok()?;
        let slot = usize::try_from(number % CHUNK).ok()?;
        Some((chunk, slot))
    }

    fn drop_front(&mut self) {
        // The last chunk may be full and empty; it stays, so that there is always one to look at.
        while self.chunks.len() > 1 && self.chunks[0].slots.is_empty() {
            self.chunks.pop_front();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_consecutive_and_taken_once() {
        let mut table = Table::default();
        for expected in 0..5_000_u64 {
            assert_eq!(table.push(expected * 2), expected);
        }
        for number in (0..5_000).rev() {
            assert_eq!(table.get(number), Some(&(number * 2)));
            assert_eq!(table.take(number), Some(number * 2));
            assert_eq!(table.take(number), None);
        }
        assert_eq!((table.live(), table.next()), (0, 5_000));
        assert_eq!(table.push(7), 5_000);
        assert_eq!(table.get_mut(5_000), Some(&mut 7));
        assert_eq!(table.get(5_001), None);
    }

    #[test]
    fn one_that_stays_keeps_one_chunk() {
        let mut table = Table::default();
        table.push(0_u64);
        for number in 1..100 * CHUNK {
            table.push(number);
            table.take(number);
        }
        let held: usize = table.chunks.iter().map(|chunk| chunk.slots.capacity()).sum();
        assert!(held as u64 <= 2 * CHUNK, "{held} slots for one value");
        assert_eq!(table.next_live(0..u64::MAX), Some(0));
        assert_eq!(table.next_live(1..u64::MAX), None);
        assert_eq!(table.take(0), Some(0));
        assert_eq!(table.chunks.len(), 1);
    }

    #[test]
    fn those_that_are_there_are_found_in_order() {
        let mut table = Table::default();
        (0..10 * CHUNK).for_each(|number| assert_eq!(table.push(number), number));
        (0..10 * CHUNK).filter(|number| number % 1_500 != 7).for_each(|number| {
            table.take(number);
        });
        let expected: Vec<u64> = (0..10 * CHUNK).filter(|number| number % 1_500 == 7).collect();
        let iterated: Vec<u64> = table.iter_mut().map(|(number, _)| number).collect();
        assert_eq!(iterated, expected);
        let mut searched = Vec::new();
        let mut from = 0;
        while let Some(number) = table.next_live(from..u64::MAX) {
            searched.push(number);
            from = number + 1;
        }
        assert_eq!(searched, expected);
        assert_eq!(table.next_live(8..1_507), None, "no further than it was asked to look");
        assert_eq!(table.next_live(8..1_508), Some(1_507));
        assert_eq!(table.next_live(1_507..1_507), None);
    }
}
