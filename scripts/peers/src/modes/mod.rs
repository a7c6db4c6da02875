//! The workloads.

mod backlog;
mod lat;
mod load;
mod lost;
mod steps;
mod urgent;

pub use backlog::backlog;
pub use lat::lat;
pub use load::load;
pub use lost::lost;
pub use steps::steps;
pub use urgent::urgent;
