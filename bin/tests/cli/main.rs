//! The executables as a user starts them: real processes, real TCP, any free port.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod clients;
mod executables;
mod fleet;
mod managers;
mod workers;
