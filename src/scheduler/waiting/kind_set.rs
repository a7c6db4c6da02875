//! Which kinds somebody takes.

use crate::tables::KindKey;
use alloc::collections::BTreeSet;

/// What a worker takes. [`NO_KIND`](crate::tables::NO_KIND) is a member like any other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum KindSet {
    Only(BTreeSet<KindKey>),
    AnyBut(BTreeSet<KindKey>),
}

impl KindSet {
    pub(crate) fn takes(&self, kind: KindKey) -> bool {
        match self {
            Self::Only(kinds) => kinds.contains(&kind),
            Self::AnyBut(kinds) => !kinds.contains(&kind),
        }
    }

    /// The set without a kind.
    pub(crate) fn exclude(&mut self, kind: KindKey) {
        match self {
            Self::Only(kinds) => kinds.remove(&kind),
            Self::AnyBut(kinds) => kinds.insert(kind),
        };
    }
}
