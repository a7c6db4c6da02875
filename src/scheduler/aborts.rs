//! Jobs that their clients took back in this burst.
//!
//! Results that come in the same burst go first, so an abort waits until the burst is over. It is for jobs that were submitted before
//! it: a number out of a gap that comes later in the burst is none of them, and is left out again. The ranges of a client
//! never overlap, so there are no more of them than messages, whatever they name, and no job is looked for twice.

use crate::tables::PeerKey;
use alloc::collections::BTreeMap;

/// Numbers that are to be aborted: client and first number → the one after the last.
pub(crate) type Ranges = BTreeMap<(PeerKey, u64), u64>;

/// What was taken back since the last step.
#[derive(Debug, Default)]
pub(crate) struct Aborts {
    ranges: Ranges,
}

impl Aborts {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// A client takes back its jobs with numbers from `first` on and below `end`.
    pub(crate) fn add(&mut self, client: PeerKey, first: u64, end: u64) {
        let (mut first, mut end) = (first, end);
        while let Some((from, to)) = self.last_overlap(client, first, end) {
            self.ranges.remove(&(client, from));
            (first, end) = (first.min(from), end.max(to));
        }
        if first < end {
            self.ranges.insert((client, first), end);
        }
    }

    /// Numbers of a client have come just now: what it took back before was not these.
    pub(crate) fn leave_out(&mut self, client: PeerKey, first: u64, end: u64) {
        while let Some((from, to)) = self.last_overlap(client, first, end) {
            self.ranges.remove(&(client, from));
            if end < to {
                self.ranges.insert((client, end), to);
            }
            if from < first {
                self.ranges.insert((client, from), first);
            }
        }
    }

    /// The last range of a client that has a number from `first` on and below `end`.
    fn last_overlap(&self, client: PeerKey, first: u64, end: u64) -> Option<(u64, u64)> {
        if first >= end {
            return None;
        }
        let (&(_, from), &to) = self.ranges.range((client, 0)..(client, end)).next_back()?;
        (first < to).then_some((from, to))
    }

    /// What is to be aborted now.
    pub(crate) fn take(&mut self) -> Ranges {
        core::mem::take(&mut self.ranges)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn ranges_that_overlap_are_one() {
        let mut aborts = Aborts::default();
        for first in 0..1_000 {
            aborts.add(PeerKey(7), first, u64::MAX);
            aborts.add(PeerKey(7), first, first);
        }
        aborts.leave_out(PeerKey(6), 0, u64::MAX);
        aborts.leave_out(PeerKey(8), 0, u64::MAX);
        assert_eq!(aborts.take().into_iter().collect::<Vec<_>>(), [((PeerKey(7), 0), u64::MAX)]);
        assert!(aborts.is_empty());
    }

    proptest! {
        #[test]
        fn the_last_word_about_a_number_counts(
            words in proptest::collection::vec((any::<bool>(), 0_u32..2, 0_u64..40, 0_u64..12), 1..60),
        ) {
            let mut aborts = Aborts::default();
            let mut expected: BTreeSet<(PeerKey, u64)> = BTreeSet::new();
            for (is_abort, client, first, count) in words {
                let (client, end) = (PeerKey(client), first + count);
                if is_abort {
                    aborts.add(client, first, end);
                    expected.extend((first..end).map(|number| (client, number)));
                } else {
                    aborts.leave_out(client, first, end);
                    expected.retain(|(other, number)| *other != client || !(first..end).contains(number));
                }
            }
            let mut found = Vec::new();
            for ((client, first), end) in aborts.take() {
                prop_assert!(first < end);
                found.extend((first..end).map(|number| (client, number)));
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
