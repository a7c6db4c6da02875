//! A pool: workers that take the same kinds, and the heads of the lines that it serves.

use super::classes::Classes;
use super::kind_set::KindSet;
use crate::tables::FifoKey;
use alloc::collections::BTreeSet;
use core::cmp::Reverse;
use core::ops::Bound;

/// The first execution of a line, in the order of dispatch: the most urgent first, then the earliest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Head {
    pub(crate) priority: Reverse<u32>,
    pub(crate) sequence: u64,
    pub(crate) line: FifoKey,
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(super) kinds: KindSet,
    pub(crate) workers: Classes,
    pub(crate) heads: BTreeSet<Head>,
    pub(super) dirty: bool,
}

impl Pool {
    pub(super) fn new(kinds: KindSet) -> Self {
        Self { kinds, workers: Classes::default(), heads: BTreeSet::new(), dirty: false }
    }

    pub(crate) fn kinds(&self) -> &KindSet {
        &self.kinds
    }

    /// The head that comes next after this one and is as urgent.
    pub(crate) fn next_as_urgent(&self, head: Head) -> Option<Head> {
        let next = *self.heads.range((Bound::Excluded(head), Bound::Unbounded)).next()?;
        (next.priority == head.priority).then_some(next)
    }

    /// The first head that somebody here could take now.
    pub(crate) fn best(&self) -> Option<Head> {
        let mut head = *self.heads.first()?;
        loop {
            // Nobody has room for what lies between this head and the next priority that somebody has room for.
            let open = self.workers.open_up_to(head.priority.0)?;
            if open == head.priority.0 {
                return Some(head);
            }
            let from = Head { priority: Reverse(open), sequence: 0, line: FifoKey(0) };
            head = *self.heads.range(from..).next()?;
        }
    }
}
