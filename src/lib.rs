//! A networked job broker: a manager, workers that offer slots, clients that get answers.

pub mod client;
/// What comes from outside, for tests and fuzzers; see `tests/hostile`.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../tests/hostile/mod.rs"]
pub mod hostile;
pub mod manager;
pub mod net;
pub mod security;
pub mod supervisor;
pub mod worker;

pub use client::Client;
pub use manager::Manager;
pub use proletariat_protocol as protocol;
pub use worker::Worker;
