//! How a native connection opens.
//!
//! The peer sends the [`Preamble`] (8 bytes) and then one frame with a [`Hello`]; the manager answers with a preamble of
//! its own (the version it chose, twice) and one frame with an [`Answer`]. Frames of both are at most
//! [`HANDSHAKE_FRAME_BYTES_MAX`].
//!
//! Where no version is common, the manager sends the range that it speaks instead of one version, and a refusal that
//! names both ranges, without looking at the hello. For that, preamble and refusal are the same in all versions.

use crate::ErrorCode;
use crate::codec::{decode, encode};
use crate::frame::{FrameType, LENGTH_BYTES, TYPE_BYTES, WireError, frame_length};
use crate::id::{InstanceId, PeerId};
use crate::limits::{HANDSHAKE_FRAME_BYTES_MAX, NAME_BYTES_MAX, TOKEN_BYTES_MAX};
use bytes::BytesMut;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The first four bytes of a native stream. The first is over 0x7f, so no other dialect of the port begins like it.
pub const MAGIC: [u8; 4] = [0xd7, b'P', b'R', b'O'];
/// The oldest version of the wire spoken here.
pub const VERSION_MIN: u16 = 1;
/// The newest version of the wire spoken here. Version 1 is frozen: its bytes stay as they are (`PROTOCOL.md`, "Versions").
pub const VERSION_MAX: u16 = 1;
/// Length of a [`Preamble`], in bytes.
pub const PREAMBLE_BYTES: usize = 8;
/// A refusal's sentence is cut here, in bytes, so that it fits its frame whatever it quotes.
const REFUSAL_BYTES_MAX: usize = 2 * 1024;

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
    /// Sees all of the status, where tokens are in use; others see the numbers of the whole.
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
    /// The largest payload, in bytes: the manager's limit, for both directions.
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

/// Why a connection does not get through the handshake.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum HandshakeError {
    /// The stream does not begin with [`MAGIC`].
    #[error("the stream begins with {0:02x?}, which is not the wire of proletariat")]
    NotNative([u8; 4]),
    /// A range of versions without any.
    #[error("the preamble names the versions {min} to {max}, which are none")]
    NoVersions {
        /// The oldest.
        min: u16,
        /// The newest.
        max: u16,
    },
    /// The manager welcomes in a version that was not offered to it.
    #[error(
        "the manager chose the versions {min} to {max} of the wire, and {VERSION_MIN} to {VERSION_MAX} were offered"
    )]
    NotOffered {
        /// The oldest.
        min: u16,
        /// The newest.
        max: u16,
    },
    /// The frame of the hello or the answer is none.
    #[error("in the handshake: {0}")]
    Frame(#[from] WireError),
    /// A name over the limit.
    #[error("a name of {0} bytes: at most {NAME_BYTES_MAX}")]
    NameTooLong(usize),
    /// A token over the limit.
    #[error("a token of {0} bytes: at most {TOKEN_BYTES_MAX}")]
    TokenTooLong(usize),
}

impl HandshakeError {
    /// What the manager answers.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal { code: ErrorCode::Protocol, message: self.to_string(), retry: false, retry_after_ms: 0 }
    }
}

impl Preamble {
    /// What this software speaks.
    pub const OURS: Self = Self { version_min: VERSION_MIN, version_max: VERSION_MAX };

    /// What a manager sends that has chosen a version.
    #[must_use]
    pub const fn chosen(version: u16) -> Self {
        Self { version_min: version, version_max: version }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let [m, a, g, i] = MAGIC;
        let ([b, c], [d, e]) = (self.version_min.to_be_bytes(), self.version_max.to_be_bytes());
        [m, a, g, i, b, c, d, e]
    }

    /// Reads it from its bytes.
    ///
    /// # Errors
    /// [`HandshakeError::NotNative`] and [`HandshakeError::NoVersions`].
    pub fn decode(bytes: [u8; PREAMBLE_BYTES]) -> Result<Self, HandshakeError> {
        let [m, a, g, i, b, c, d, e] = bytes;
        if [m, a, g, i] != MAGIC {
            return Err(HandshakeError::NotNative([m, a, g, i]));
        }
        let (min, max) = (u16::from_be_bytes([b, c]), u16::from_be_bytes([d, e]));
        if min > max {
            return Err(HandshakeError::NoVersions { min, max });
        }
        Ok(Self { version_min: min, version_max: max })
    }

    /// The manager's choice, `self` being what the peer speaks: the newest version that both speak.
    ///
    /// # Errors
    /// The refusal (`EVERSION`) when there is none; it names both ranges and which side to update. The manager sends
    /// [`Preamble::OURS`] before it.
    pub fn choose(self) -> Result<u16, Refusal> {
        if let Some(version) = self.newest_common(Self::OURS) {
            return Ok(version);
        }
        let older = if self.version_min > VERSION_MAX { "manager" } else { "peer" };
        let Self { version_min, version_max } = self;
        let message = format!(
            "the manager speaks the versions {VERSION_MIN} to {VERSION_MAX} of the wire, the peer {version_min} to \
             {version_max}: update the {older}"
        );
        Err(Refusal { code: ErrorCode::Version, message, retry: false, retry_after_ms: 0 })
    }

    fn newest_common(self, other: Self) -> Option<u16> {
        let newest = self.version_max.min(other.version_max);
        (newest >= self.version_min.max(other.version_min)).then_some(newest)
    }

    /// The peer's side: the version that the manager has chosen, `self` being what it sent. To be asked when it has
    /// welcomed the peer; a refusal may come with any range.
    ///
    /// # Errors
    /// [`HandshakeError::NotOffered`].
    pub fn version(self) -> Result<u16, HandshakeError> {
        let Self { version_min: min, version_max: max } = self;
        if min == max && (VERSION_MIN..=VERSION_MAX).contains(&min) {
            return Ok(min);
        }
        Err(HandshakeError::NotOffered { min, max })
    }
}

impl Hello {
    /// Appends its frame.
    ///
    /// # Errors
    /// [`HandshakeError::NameTooLong`] and [`HandshakeError::TokenTooLong`]; nothing has been appended then.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), HandshakeError> {
        self.check()?;
        encode_frame(self, out);
        Ok(())
    }

    /// Reads it from the beginning of `bytes`; also tells the length of its frame. `None`: more bytes are needed, at
    /// most [`HANDSHAKE_FRAME_BYTES_MAX`] and the length before them altogether.
    ///
    /// # Errors
    /// When the bytes cannot become a hello.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        let Some((hello, length)) = decode_frame::<Self>(bytes)? else {
            return Ok(None);
        };
        hello.check()?;
        Ok(Some((hello, length)))
    }

    fn check(&self) -> Result<(), HandshakeError> {
        if self.name.len() > NAME_BYTES_MAX {
            return Err(HandshakeError::NameTooLong(self.name.len()));
        }
        match &self.token {
            Some(token) if token.len() > TOKEN_BYTES_MAX => Err(HandshakeError::TokenTooLong(token.len())),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// Appends its frame. A sentence that is too long is cut.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Refused(refusal) if refusal.message.len() > REFUSAL_BYTES_MAX => {
                let mut cut = refusal.clone();
                cut.message.truncate(cut.message.floor_char_boundary(REFUSAL_BYTES_MAX));
                encode_frame(&Self::Refused(cut), out);
            }
            _ => encode_frame(self, out),
        }
    }

    /// Reads it from the beginning of `bytes`; also tells the length of its frame. `None`: more bytes are needed.
    ///
    /// # Errors
    /// When the bytes cannot become an answer.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, HandshakeError> {
        decode_frame(bytes)
    }
}

fn encode_frame<T: Serialize>(value: &T, out: &mut BytesMut) {
    let begin = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, FrameType::Message as u8]);
    encode(value, out);
    let length = out.len() - begin - LENGTH_BYTES;
    assert!(length <= HANDSHAKE_FRAME_BYTES_MAX, "{length} bytes in the handshake: nobody takes them");
    let length = u32::try_from(length).expect("the limit is far below 4 GiB");
    out[begin..begin + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

fn decode_frame<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<(T, usize)>, HandshakeError> {
    let Some((&prefix, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = frame_length(prefix, HANDSHAKE_FRAME_BYTES_MAX)?;
    let Some(frame) = rest.get(..length) else {
        return Ok(None);
    };
    if frame[0] != FrameType::Message as u8 {
        return Err(WireError::UnknownFrameType(frame[0]).into());
    }
    let body = &frame[TYPE_BYTES..];
    let (value, head_bytes) = decode(body).map_err(WireError::Head)?;
    if head_bytes != body.len() {
        return Err(WireError::TailMismatch { stated: 0, found: body.len() - head_bytes }.into());
    }
    Ok(Some((value, LENGTH_BYTES + length)))
}

#[cfg(test)]
mod tests;
