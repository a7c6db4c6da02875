//! A pool: workers that take the same kinds, and the heads of the lines that it serves.

use super::classes::Classes;
use super::kind_set::KindSet;
use crate::tables::FifoKey;
use alloc::collections::BTreeSet;
use core::cmp::Reverse;

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

    /// The first head that somebody here could take now.
    pub(crate) fn best(&self) -> Option<Head> {
        self.first_head(|_| true)
    }

    /// The same of all lines but one.
    pub(crate) fn best_but(&self, line: FifoKey) -> Option<Head> {
        self.first_head(|head| head.line != line)
    }

    /// A line has one head at most, so no more than one is passed over.
    fn first_head(&self, counts: impl Fn(&Head) -> bool) -> Option<Head> {
        let mut head = *self.heads.iter().find(|head| counts(head))?;
        loop {
            // Nobody has room for what lies between this head and the next priority that somebody has room for.
            let open = self.workers.open_up_to(head.priority.0)?;
            if open == head.priority.0 {
                return Some(head);
            }
            let from = Head { priority: Reverse(open), sequence: 0, line: FifoKey(0) };
            head = *self.heads.range(from..).find(|head| counts(head))?;
        }
    }
}
