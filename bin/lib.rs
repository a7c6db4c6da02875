//! The executables `manager`, `worker` and `client`: arguments, configuration, run, exit code.
//!
//! Everything that a test wants to see stands here; the executables themselves are one line each.

pub mod commands;
pub mod descriptors;
pub mod exit;
pub mod log;
pub mod options;
pub mod output;
pub mod port_file;
pub mod signals;
pub mod simulator;
pub mod talk;
pub mod terminal;
