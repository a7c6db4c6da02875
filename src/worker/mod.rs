//! Workers: they offer slots to a manager and run handlers for the jobs that they are given.
//!
//! ```no_run
//! use proletariat::worker::{Ending, Run, Worker};
//!
//! # async fn example() -> Result<(), proletariat::worker::Error> {
//! let worker = Worker::builder()
//!     .slots(100)
//!     .priority_slots([(1, 30), (2, 20)])
//!     .kinds(["mult"])
//!     .handler(|run: Run| async move { Ending::Done(run.payload().clone()) })
//!     .start()
//!     .await?;
//! worker.ended().await
//! # }
//! ```
//!
//! [`machine`] decides, the driver beside it owns the connection and the tasks, [`Worker`] is the handle.

mod builder;
mod cleanup;
mod driver;
mod ending;
mod error;
mod handle;
mod handler;
pub mod handlers;
mod inline;
pub mod machine;
mod queue;
mod run;

pub use builder::Builder;
pub use ending::Ending;
pub use error::Error;
pub use handle::{SystemMessage, SystemReport, Worker};
pub use handler::Handler;
pub use machine::RunId;
pub use proletariat_protocol::message::Recipient;
pub use proletariat_protocol::{HandBackReason, Kinds, Offer, Payload};
pub use queue::{Queue, Queued, QueuedRun};
pub use run::{Cancelled, Run};

#[cfg(test)]
mod tests;
