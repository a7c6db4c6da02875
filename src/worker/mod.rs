//! Workers: they offer slots to a manager and run handlers for the jobs that they are given.

mod ending;
pub mod machine;

pub use ending::Ending;
