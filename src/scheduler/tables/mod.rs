//! The containers beneath the scheduler: each knows nothing of jobs beyond what it stores.

mod job_numbers;
mod kinds;
mod numbering;
mod payloads;
mod slab;
mod tree;

pub(crate) use job_numbers::JobNumbers;
pub(crate) use kinds::{KindTable, NO_KIND};
pub(crate) use numbering::{Numbering, Taken};
pub(crate) use payloads::{PayloadStore, Stored};
pub(crate) use slab::Slab;
pub(crate) use tree::WeightTree;

macro_rules! key {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(crate) struct $name(pub(crate) u32);

        impl $name {
            /// Points to nothing.
            #[allow(dead_code, reason = "not every table needs the empty key")]
            pub(crate) const NONE: Self = Self(u32::MAX);

            #[allow(dead_code, reason = "not every table needs the empty key")]
            pub(crate) fn is_none(self) -> bool {
                self == Self::NONE
            }
        }

        impl slab::Key for $name {
            fn from_index(index: u32) -> Self {
                Self(index)
            }

            fn index(self) -> u32 {
                self.0
            }
        }
    )*};
}

key! {
    /// A row of the peer table.
    PeerKey;
    /// A row of the table of open work.
    RowKey;
    /// A job, by its row in the table of open work.
    JobKey;
    /// An execution, by its row in the table of open work.
    ExecutionKey;
    /// A row of the assignment table.
    AssignmentKey;
    /// A row of the table of large payloads.
    LargeKey;
    /// A kind, by its row in the kind table.
    KindKey;
    /// A row of the table of waiting lines.
    FifoKey;
    /// A row of the table of worker pools.
    PoolKey;
}
