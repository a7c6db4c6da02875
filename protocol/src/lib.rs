//! The wire of proletariat, and the words that every room of the house shares.
//!
//! Nothing here does I/O or reads a clock. `PROTOCOL.md` beside this crate tells the same in bytes, for
//! whoever writes a peer in another language.

pub mod batch;
mod bounded;
pub mod codec;
pub mod detect;
pub mod error;
pub mod fragment;
pub mod frame;
pub mod handshake;
pub mod hint;
pub mod id;
pub mod job;
pub mod limits;
pub mod message;
pub mod offer;
pub mod shown;
pub mod time;

pub use error::ErrorCode;
pub use id::{AssignmentId, InstanceId, JobId, MessageId, PeerId};
pub use job::{HandBackReason, JobOptions, WorkResult};
pub use offer::{Guarantee, Kinds, Offer};
pub use time::Time;

/// The bytes of a job or of a result: opaque to everyone but client and handler, cheap to clone.
pub type Payload = bytes::Bytes;
