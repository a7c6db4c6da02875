//! The manager's brain: a machine that is told what happened and answers with what must be done.
//!
//! No I/O, no clock, no global randomness: time and the seed are arguments, so that a whole system runs in one
//! thread, in virtual time, from one seed, and every bug replays. The compiler keeps it so: the crate is `no_std`.
//!
//! In reading order: [`Event`] and [`Action`] are the two faces of the machine, `received` and `passing` have the bytes that go through, `machine` is its way in
//! and the order of a step. By subject: `submission` and `endings` (jobs come and end), `waits` (their clocks), `runs` and `run_limits` (assignments), `membership` (peers and offers), `similar`
//! (shared executions), `outbox` (what has left), `streams`, `broadcast`, `aborts` and `churn` (what is taken back). What decides: `ledger` (slots and guarantees), `waiting` (lines and
//! pools), `queueing` (into them and out of them), `portions` (what many lines would make long), `dispatch`, `batch` (many at once), [`selector`], `draws`, `assigning` (slots are taken and given back), `gate`, `aside` (pauses). What it stands on: `tables`,
//! `records`, `work`, `peers`, `deadlines` and `alarms` (what is set, and what rings), `cleanup`, `ahead` (what comes next is brought near). What counts: `audit`, `status`; what an adapter may ask: `asked`.

#![no_std]

extern crate alloc;

mod action;
mod config;
mod event;

mod machine;
mod passing;
mod received;

mod aborts;
mod broadcast;
mod churn;
mod endings;
mod membership;
mod outbox;
mod portions;
mod run_limits;
mod runs;
mod similar;
mod streams;
mod submission;
mod waits;

mod ahead;
mod aside;
mod assigning;
mod dispatch;
mod draws;
mod gate;
mod ledger;
mod queueing;
pub mod selector;
mod waiting;

mod alarms;
mod asked;
mod audit;
mod batch;
mod cleanup;
mod deadlines;
mod peers;
mod records;
mod status;
mod tables;
mod work;

pub use action::{Action, Assign, Notice, Outcome};
pub use config::Config;
pub use event::{Abilities, Event, Joined, OutboxLevel};
pub use ledger::{Admission, Borrowing, Ledger, Sacred, single_range_maximum};
pub use machine::{MANAGER, Scheduler};
pub use passing::Parcel;
pub use received::{Payloads, Received};
pub use status::{PeerStatus, QueueStatus, RangeStatus, Status, WorkerStatus};
