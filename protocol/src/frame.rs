//! Frames: how a stream of bytes is cut into messages.
//!
//! A frame is a length (`u32`, big-endian, of what follows), a byte that tells its type, and its content. The content of
//! an ordinary message is its *body*: the head, and then the tail, raw. The head states how long the tail is, and the
//! frame must end exactly there. The other types carry fragments, see [`fragment`](crate::fragment).

use crate::ErrorCode;
use crate::codec::{DecodeError, WireMessage};
use crate::hint::{likely, unlikely};
use crate::limits::{FRAGMENT_BYTES, FRAGMENT_STREAMS_MAX, FRAME_BYTES_MAX, HEAD_BYTES_MAX};
use bytes::BytesMut;
use core::hint::cold_path;
use thiserror::Error;

/// Length of the number before each frame, in bytes.
pub const LENGTH_BYTES: usize = 4;
/// Length of the frame type, in bytes.
pub const TYPE_BYTES: usize = 1;

/// What a frame carries. The number is the first byte after the length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum FrameType {
    /// A whole message.
    Message = 0,
    /// A fragmented message is announced.
    FragmentBegin = 1,
    /// The next bytes of a fragmented message.
    FragmentData = 2,
}

impl TryFrom<u8> for FrameType {
    type Error = WireError;

    fn try_from(byte: u8) -> Result<Self, WireError> {
        match byte {
            0 => Ok(Self::Message),
            1 => Ok(Self::FragmentBegin),
            2 => Ok(Self::FragmentData),
            other => {
                cold_path();
                Err(WireError::UnknownFrameType(other))
            }
        }
    }
}

/// What a peer did wrong on the wire. The session cannot go on after any of these: where the next frame begins, or
/// what was lost, is not known.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    /// The head of a message is none.
    #[error("{0}")]
    Head(#[from] DecodeError),
    /// A frame without even a type.
    #[error("a frame of 0 bytes: it needs at least its type")]
    EmptyFrame,
    /// A frame over the limit.
    #[error("a frame of {length} bytes: at most {max} are taken here")]
    FrameTooLong {
        /// The length it announces, in bytes.
        length: u32,
        /// The limit, in bytes.
        max: usize,
    },
    /// A type that this version does not know.
    #[error("a frame of type {0}: only 0, 1 and 2 are known")]
    UnknownFrameType(u8),
    /// The tail does not end where the head says.
    #[error("the head states payloads of {stated} bytes, and {found} follow it")]
    TailMismatch {
        /// What the head states, in bytes.
        stated: u64,
        /// What follows it, in bytes.
        found: usize,
    },
    /// The fields of a fragment do not fill its frame as they must.
    #[error("a fragment frame of {length} bytes is too short or too long for its type")]
    FragmentFrame {
        /// The length of the frame, in bytes.
        length: usize,
    },
    /// A fragmented message over the limit.
    #[error("a message of {total} bytes: at most {max} are taken here")]
    MessageTooLarge {
        /// The total it announces, in bytes.
        total: u64,
        /// The payload limit and the largest head together, in bytes.
        max: u64,
    },
    /// A fragmented message of nothing.
    #[error("a fragmented message of 0 bytes on stream {0}")]
    MessageEmpty(u32),
    /// A stream is begun while it is under way.
    #[error("stream {0} begins while its last message is not complete")]
    StreamInUse(u32),
    /// Data for a stream that is not under way.
    #[error("a fragment for stream {0}, which has not begun")]
    StreamUnknown(u32),
    /// Too many messages in fragments at once.
    #[error("more than {FRAGMENT_STREAMS_MAX} fragmented messages under way")]
    TooManyStreams,
    /// More data than was announced.
    #[error("a fragment goes past the announced end of stream {0}")]
    FragmentPastEnd(u32),
    /// Too many bytes of incomplete messages.
    #[error("{0} bytes of incomplete messages: complete some before sending more")]
    TooMuchIncomplete(u64),
}

impl WireError {
    /// The code that the peer is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::MessageTooLarge { .. } => ErrorCode::TooLarge,
            _ => ErrorCode::Protocol,
        }
    }
}

/// Reads the number before a frame: how many bytes follow it, 1 to `max`.
///
/// # Errors
/// [`WireError::EmptyFrame`] and [`WireError::FrameTooLong`].
pub fn frame_length(prefix: [u8; LENGTH_BYTES], max: usize) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(fits) if likely(fits > 0 && fits <= max) => Ok(fits),
        Ok(0) => Err(WireError::EmptyFrame),
        _ => Err(WireError::FrameTooLong { length, max }),
    }
}

/// Appends the length and the type of a frame whose content has `content_bytes`.
pub fn put_frame_start(out: &mut BytesMut, frame_type: FrameType, content_bytes: usize) {
    let mut start = [0; LENGTH_BYTES + TYPE_BYTES];
    start[..LENGTH_BYTES].copy_from_slice(&frame_length_bytes(content_bytes));
    start[LENGTH_BYTES] = frame_type as u8;
    out.extend_from_slice(&start);
}

/// Appends the start and the head of the frame of an ordinary message; the payloads are to follow. Tells the length of
/// its body, the payloads included, in bytes. A body over [`FRAGMENT_BYTES`] is not to be sent like this.
#[inline]
pub fn put_message_start<M: WireMessage>(out: &mut BytesMut, message: &M) -> u64 {
    let begin = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES + TYPE_BYTES]);
    message.encode_head(out);
    let head_bytes = out.len() - begin - LENGTH_BYTES - TYPE_BYTES;
    // Only a sender that does not keep to the batch limits can get here.
    assert!(head_bytes <= HEAD_BYTES_MAX, "a head of {head_bytes} bytes: no receiver takes it");
    let body_bytes = head_bytes as u64 + message.tail_bytes();
    if likely(body_bytes <= FRAGMENT_BYTES as u64) {
        let length = frame_length_bytes(usize::try_from(body_bytes).unwrap_or(FRAGMENT_BYTES));
        out[begin..begin + LENGTH_BYTES].copy_from_slice(&length);
    }
    body_bytes
}

/// Cuts a body into head and tail, and holds the length of the tail against what the head states.
///
/// # Errors
/// [`WireError::Head`] and [`WireError::TailMismatch`].
#[inline]
pub fn split_body<M: WireMessage>(body: &[u8]) -> Result<(M, &[u8]), WireError> {
    let (message, head_bytes) = M::decode_head(body)?;
    let tail = &body[head_bytes..];
    let stated = message.tail_bytes();
    if unlikely(stated != tail.len() as u64) {
        return Err(WireError::TailMismatch { stated, found: tail.len() });
    }
    Ok((message, tail))
}

/// The number before a frame whose content, the type apart, has so many bytes.
pub(crate) fn frame_length_bytes(content_bytes: usize) -> [u8; LENGTH_BYTES] {
    let length = content_bytes + TYPE_BYTES;
    assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes: no receiver takes it");
    u32::try_from(length).expect("the limit of a frame is far below 4 GiB").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PeerMessage;
    use crate::{AssignmentId, JobId, JobOptions};

    fn data(bytes: u32) -> PeerMessage {
        PeerMessage::Data { assignment: AssignmentId(3), bytes }
    }

    #[test]
    fn a_message_fills_its_frame_exactly() {
        let mut out = BytesMut::from(&b"before"[..]);
        let body_bytes = put_message_start(&mut out, &data(5));
        out.extend_from_slice(b"abcde");
        let frame = &out[6..];
        assert_eq!(frame[..5], [0, 0, 0, 22, 0]);
        assert_eq!(body_bytes, 21);
        assert_eq!(split_body(&frame[5..]), Ok((data(5), &b"abcde"[..])));
        let short = split_body::<PeerMessage>(&frame[5..frame.len() - 1]);
        assert_eq!(short, Err(WireError::TailMismatch { stated: 5, found: 4 }));
        out.extend_from_slice(b"!");
        let long = split_body::<PeerMessage>(&out[11..]);
        assert_eq!(long, Err(WireError::TailMismatch { stated: 5, found: 6 }));
    }

    #[test]
    fn lengths_that_lie_about_many_payloads_do_not_overflow() {
        let payload_bytes = vec![u32::MAX; 65_536];
        let submit = PeerMessage::Submit { first: JobId(0), options: JobOptions::default(), payload_bytes };
        let mut out = BytesMut::new();
        let body_bytes = put_message_start(&mut out, &submit);
        assert!(body_bytes > u64::from(u32::MAX) * 65_536);
        let found = split_body::<PeerMessage>(&out[5..]).unwrap_err();
        assert!(matches!(found, WireError::TailMismatch { found: 0, .. }));
    }

    #[test]
    fn lengths_of_frames_have_bounds() {
        assert_eq!(frame_length([0, 0, 0, 0], 10), Err(WireError::EmptyFrame));
        assert_eq!(frame_length([0, 0, 0, 10], 10), Ok(10));
        assert_eq!(frame_length([0, 0, 0, 11], 10), Err(WireError::FrameTooLong { length: 11, max: 10 }));
        assert!(frame_length([255; 4], FRAME_BYTES_MAX).is_err());
        assert_eq!(FrameType::try_from(3), Err(WireError::UnknownFrameType(3)));
    }
}
