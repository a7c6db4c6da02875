//! The manager's brain: a machine that is told what happened and answers with what must be done.
//!
//! No I/O, no clock, no global randomness: time and the seed are arguments, so that a whole system runs in one
//! thread, in virtual time, from one seed, and every bug replays. The compiler keeps it so: the crate is `no_std`.

#![no_std]

extern crate alloc;

mod action;
mod config;
mod event;

pub use action::{Action, Assign, Notice, Outcome};
pub use config::Config;
pub use event::{Abilities, Event, Joined, OutboxLevel};
