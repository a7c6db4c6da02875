//! How a native connection opens.
//!
//! The peer sends the [`Preamble`] (8 bytes) and then one frame with a [`Hello`]; the manager answers with a preamble of
//! its own (the version it chose, twice) and one frame with an [`Answer`]. Frames of both are at most
//! [`HANDSHAKE_FRAME_BYTES_MAX`](crate::limits::HANDSHAKE_FRAME_BYTES_MAX).

use crate::ErrorCode;
use crate::id::{InstanceId, PeerId};
use serde::{Deserialize, Serialize};

/// The first four bytes of a native stream. The first is over 0x7f, so no other dialect of the port begins like it.
pub const MAGIC: [u8; 4] = [0xd7, b'P', b'R', b'O'];
/// The oldest version of the wire spoken here.
pub const VERSION_MIN: u16 = 0;
/// The newest version of the wire spoken here. Version 0 is free to change until the speed bars are met.
pub const VERSION_MAX: u16 = 0;

/// Magic and the range of versions that the sender speaks (big-endian).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Preamble {
    /// Oldest version.
    pub version_min: u16,
    /// Newest version.
    pub version_max: u16,
}

/// What a peer wants to be on this connection. One peer may have several roles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Roles {
    /// Submits jobs.
    pub client: bool,
    /// Offers slots.
    pub worker: bool,
    /// Asks for and changes the state of the manager.
    pub admin: bool,
}

/// The peer introduces itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// One per process start; a new session of an instance ends its old one.
    pub instance: InstanceId,
    /// What it wants to be.
    pub roles: Roles,
    /// A name for people, at most 128 bytes.
    pub name: String,
    /// Secret, where the manager asks for one.
    pub token: Option<Vec<u8>>,
    /// The largest payload that the peer takes, in bytes.
    pub payload_bytes_max: u64,
    /// Bits of what it can do beyond this version; unknown ones are ignored.
    pub capabilities: u64,
}

/// What the manager says to a [`Hello`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Come in.
    Welcome(Welcome),
    /// Stay out.
    Refused(Refusal),
}

/// The session is open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// Who the peer is in this session.
    pub peer: PeerId,
    /// Version of the manager's software, for people.
    pub software: String,
    /// The largest payload, in bytes: the manager's limit.
    pub payload_bytes_max: u64,
    /// The manager pings after so many silent milliseconds.
    pub heartbeat_ms: u32,
    /// The manager gives a peer up after so many silent milliseconds.
    pub heartbeat_timeout_ms: u32,
    /// Bits of what the manager can do beyond this version.
    pub capabilities: u64,
}

/// The session is refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// Why, as a code.
    pub code: ErrorCode,
    /// Why, for people; names both version ranges if they are the reason.
    pub message: String,
    /// Whether trying again makes sense.
    pub retry: bool,
    /// Not before so many milliseconds.
    pub retry_after_ms: u32,
}
