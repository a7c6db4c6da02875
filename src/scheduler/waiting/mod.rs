//! What waits, and for whom: the lines of queued executions and the pools of workers that serve them.

mod class;
mod classes;
mod index;
mod kind_set;
mod lines;
mod pool;
mod pools;

pub(crate) use class::{Holder, Member, Spot};
pub(crate) use kind_set::KindSet;
#[cfg(test)]
pub(crate) use lines::Entry;
pub(crate) use lines::{LineKey, Lines};
pub(crate) use pool::{Head, Pool};
pub(crate) use pools::{Pools, Posts};
