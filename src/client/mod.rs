//! The client library: hands jobs to a manager and gets their outcomes.
//!
//! ```no_run
//! # async fn example() -> Result<(), proletariat::client::Error> {
//! use proletariat::client::{Client, WorkOptions};
//! use std::time::Duration;
//!
//! let client = Client::connect("127.0.0.1:1917").await?;
//! let options = WorkOptions::default().kind("mult").timeout(Duration::from_secs(60));
//! for outcome in client.work(["6 7", "2 21"], options).await? {
//!     match outcome {
//!         Ok(result) => println!("{}", String::from_utf8_lossy(&result)),
//!         Err(error) => eprintln!("error {error}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Every job gets exactly one outcome. A client that loses its manager connects again and sends what has no outcome
//! again; the caller notices nothing but time. So a job may run more than once, unless `max_attempts` is 1.
//!
//! A client made with [`Client::builder`] and [`lazy`](Builder::lazy) does not wait for the manager; its calls do.
//!
//! One task owns the connection and everything about the jobs ([`machine`]); the handles talk to it through a channel.

mod builder;
mod call;
mod calls;
mod driver;
mod error;
mod group;
mod handle;
pub mod machine;
mod options;
mod outcomes;
#[cfg(test)]
mod tests;

pub use crate::net::connect::LinkError;
pub use builder::Builder;
pub use error::Error;
pub use group::Group;
pub use handle::{Client, LinkState, SystemMessage};
pub use machine::{Job, JobError, Outcome, SystemReport};
pub use options::{IntoPayload, WorkOptions};
pub use outcomes::{Outcomes, Update, Updates};
pub use proletariat_protocol::message::Recipient;
pub use proletariat_protocol::{ErrorCode, Payload, PeerId};
