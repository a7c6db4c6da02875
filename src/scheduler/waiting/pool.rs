//! A pool: workers that take the same kinds, and the heads of the lines that it serves.

use super::classes::Classes;
use super::kind_set::KindSet;
use super::lines::Shown;
use crate::tables::{FifoKey, KindKey};
use alloc::collections::BTreeSet;
use core::fmt;
use core::ops::Bound;

/// The first execution of a line, in the order of dispatch: the most urgent first, then the earliest.
///
/// One number, since heads are compared far more often than taken apart: from above, how far the priority is from the highest, the
/// sequence, the line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head(u128);

impl Head {
    pub(crate) fn new(priority: u32, sequence: u64, line: FifoKey) -> Self {
        Self(u128::from(!priority) << 96 | u128::from(sequence) << 32 | u128::from(line.0))
    }

    pub(crate) fn priority(self) -> u32 {
        !((self.0 >> 96) as u32)
    }

    pub(crate) fn sequence(self) -> u64 {
        (self.0 >> 32) as u64
    }

    pub(crate) fn line(self) -> FifoKey {
        FifoKey(self.0 as u32)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (priority, sequence, line) = (self.priority(), self.sequence(), self.line());
        write!(f, "Head({priority}, {sequence}, {line:?})")
    }
}

#[derive(Debug)]
pub(crate) struct Pool {
    pub(super) kinds: KindSet,
    pub(crate) workers: Classes,
    pub(crate) heads: BTreeSet<Head>,
    pub(super) dirty: bool,
    /// Which lines it has been shown, until it knows them all.
    pub(super) learning: Option<Shown>,
}

impl Pool {
    pub(super) fn new(kinds: KindSet) -> Self {
        Self {
            kinds,
            workers: Classes::default(),
            heads: BTreeSet::new(),
            dirty: false,
            learning: Some((KindKey(0), FifoKey(0))),
        }
    }

    /// Not all lines that it serves have been shown to it: its workers have no weight yet.
    pub(crate) fn is_learning(&self) -> bool {
        self.learning.is_some()
    }

    pub(crate) fn kinds(&self) -> &KindSet {
        &self.kinds
    }

    /// The head that comes next after this one and is as urgent.
    pub(crate) fn next_as_urgent(&self, head: Head) -> Option<Head> {
        let mut heads = self.heads.iter();
        // Nearly always it is the first.
        let next = if heads.next() == Some(&head) {
            heads.next()
        } else {
            self.heads.range((Bound::Excluded(head), Bound::Unbounded)).next()
        };
        next.copied().filter(|next| next.priority() == head.priority())
    }

    /// The first head that somebody here could take now.
    pub(crate) fn best(&self) -> Option<Head> {
        let mut head = *self.heads.first()?;
        loop {
            // Nobody has room for what lies between this head and the next priority that somebody has room for.
            let open = self.workers.open_up_to(head.priority())?;
            if open == head.priority() {
                return Some(head);
            }
            head = *self.heads.range(Head::new(open, 0, FifoKey(0))..).next()?;
        }
    }
}
