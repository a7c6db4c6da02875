//! The whole manager over TCP, with peers that speak the bare wire, or JSON.

mod clocks;
mod ends;
mod faults;
mod jobs;
mod json;
mod json_crowds;
mod large;
mod outboxes;
mod peer;
mod refusals;
mod streams;
mod tls;
mod tokens;

use super::{Builder, Manager};

/// On a port of its own.
fn builder() -> Builder {
    Manager::builder().port(0)
}

/// A runtime for the few questions to a manager that are futures.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
