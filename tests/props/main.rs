//! The scheduler held against what is obviously right: every occupancy of the guarantees, the statistics of the
//! selectors, and a naive model that is told the same and must expect every word.

#![allow(unreachable_pub, reason = "the modules of a test are a house of their own")]

mod against;
mod drive;
mod formula;
mod model;
mod occupancy;
mod op;
mod random;
mod selectors;
