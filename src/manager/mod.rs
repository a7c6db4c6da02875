//! The manager: the scheduler, and around it the sockets, the clock and the owner's handle.
//!
//! In reading order: `builder` and [`handle`] are the way in; `driver` is the one thread, and its turn (`poller` is what it waits for); `accept`, `greeting` and `admission` let
//! connections in; `session` is the table of them; `reading` and `writing` are the two halves of a turn, with `translate`
//! between the words of the wire and those of the scheduler, and `outgoing` between messages and writes; `liveness` and `agenda` decide
//! who is still there, and `room` who holds too much; `stopping` is the way out, `boundary` is where a panic ends. `ready` is what other threads tell it, `clerk` writes long texts beside it.
//! `dialect` and `json` are for peers that speak JSON. `status` and `events` are for people.

mod accept;
mod admission;
mod agenda;
mod boundary;
mod builder;
mod busy_poll;
mod clerk;
mod config;
mod descriptors;
mod dialect;
mod driver;
mod encrypted;
mod error;
mod events;
mod greeting;
pub mod handle;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/hostile/manager/mod.rs"]
pub(crate) mod hostile;
pub(crate) mod json;
mod liveness;
mod outgoing;
mod places;
mod poller;
mod reading;
mod ready;
mod room;
mod session;
mod socket;
mod status;
mod stopping;
mod stream;
mod translate;
mod writing;

pub use builder::Builder;
pub use busy_poll::BusyPolling;
pub use config::Config;
pub use error::Error;
pub use events::{Events, Notice, Watched};
pub use handle::{Manager, SystemReport};
pub use proletariat_scheduler::selector;
pub use stream::Duplex;

/// What this software calls itself to its peers.
const SOFTWARE: &str = concat!("proletariat ", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
