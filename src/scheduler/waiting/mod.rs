//! What waits, and for whom: the lines of queued executions and the pools of workers that serve them.

mod lines;
mod pools;

#[cfg(test)]
pub(crate) use lines::Entry;
pub(crate) use lines::{LineKey, Lines};
pub(crate) use pools::{Head, KindSet, Pools};
