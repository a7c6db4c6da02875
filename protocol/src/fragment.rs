//! Large messages in fragments, so that they never block the small ones of their connection.
//!
//! ```text
//! FragmentBegin   stream u32, total u64           total: bytes of the body that is going to come
//! FragmentData    stream u32, the next bytes      at least one byte
//! ```
//!
//! Numbers are little-endian. When the total has come, the bytes are the body of an ordinary message, and its place in
//! the order of messages is here; the number of the stream is free again. Other frames, of other streams too, may come
//! in between.
//!
//! A total is a promise and not a reason to reserve: memory grows with the bytes that have come, and is there in full once an eighth of
//! them is.

use crate::frame::{FrameType, WireError, put_frame_start};
use crate::limits::{FRAGMENT_STREAMS_MAX, HEAD_BYTES_MAX, SYSTEM_MESSAGE_BYTES_MAX};
use bytes::BytesMut;
use std::collections::BTreeMap;

/// Length of the content of a [`FrameType::FragmentBegin`] frame, in bytes.
pub const BEGIN_BYTES: usize = 12;
/// Length of what stands before the data in a [`FrameType::FragmentData`] frame, in bytes.
pub const STREAM_BYTES: usize = 4;
/// All incomplete messages of a connection may together have so many times the bytes that one may have: a sender that
/// sends its large messages one after the other, or a few at a time, never gets near.
pub const INCOMPLETE_MESSAGES: u64 = 4;
/// What an announced message takes beside what has come of it, in bytes: its part of a table whose nodes may be half empty, and the
/// least that is given for a body. It is five times what its announcement takes on the wire, so it has to count.
pub const ANNOUNCED_BYTES: u64 = 96;

/// Appends the frame that announces a message of `total` bytes on a stream.
pub fn put_begin(out: &mut BytesMut, stream: u32, total: u64) {
    put_frame_start(out, FrameType::FragmentBegin, BEGIN_BYTES);
    out.extend_from_slice(&stream.to_le_bytes());
    out.extend_from_slice(&total.to_le_bytes());
}

/// Appends what stands before `data_bytes` of data of a stream; the data is to follow.
pub fn put_data_start(out: &mut BytesMut, stream: u32, data_bytes: usize) {
    put_frame_start(out, FrameType::FragmentData, STREAM_BYTES + data_bytes);
    out.extend_from_slice(&stream.to_le_bytes());
}

/// The incomplete messages of one direction of a connection.
#[derive(Debug)]
pub struct Reassembly {
    streams: BTreeMap<u32, Gathering>,
    total_max: u64,
    incomplete_bytes: u64,
}

#[derive(Debug)]
struct Gathering {
    total: usize,
    body: Vec<u8>,
}

impl Reassembly {
    /// For payloads of at most so many bytes; a system message may always be as large as those may be.
    #[must_use]
    pub fn new(payload_bytes_max: u64) -> Self {
        let tail_max = payload_bytes_max.max(SYSTEM_MESSAGE_BYTES_MAX as u64);
        let total_max = tail_max.saturating_add(HEAD_BYTES_MAX as u64);
        Self { streams: BTreeMap::new(), total_max, incomplete_bytes: 0 }
    }

    /// Whether no message is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Bytes that have come of messages that are not complete.
    #[must_use]
    pub fn incomplete_bytes(&self) -> u64 {
        self.incomplete_bytes
    }

    /// Bytes of memory held for messages that are not complete: what has come of them, and what each takes by being announced.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.incomplete_bytes + self.streams.len() as u64 * ANNOUNCED_BYTES
    }

    /// A message is announced: the content of a [`FrameType::FragmentBegin`] frame.
    ///
    /// # Errors
    /// When it has the wrong length, is over the limit, or cannot begin now.
    pub fn begin(&mut self, content: &[u8]) -> Result<(), WireError> {
        let Ok(content) = <[u8; BEGIN_BYTES]>::try_from(content) else {
            return Err(WireError::FragmentFrame { length: content.len() + 1 });
        };
        let [a, b, c, d, total @ ..] = content;
        let (stream, total) = (u32::from_le_bytes([a, b, c, d]), u64::from_le_bytes(total));
        let too_large = WireError::MessageTooLarge { total, max: self.total_max };
        if total > self.total_max {
            return Err(too_large);
        }
        let total = usize::try_from(total).map_err(|_| too_large)?;
        if total == 0 {
            return Err(WireError::MessageEmpty(stream));
        }
        if self.streams.contains_key(&stream) {
            return Err(WireError::StreamInUse(stream));
        }
        if self.streams.len() == FRAGMENT_STREAMS_MAX {
            return Err(WireError::TooManyStreams);
        }
        self.streams.insert(stream, Gathering { total, body: Vec::new() });
        Ok(())
    }

    /// Whether `data_bytes` more may come for a stream. To be asked once per frame, before its data is taken.
    ///
    /// # Errors
    /// When the stream has not begun, or would get more than it announced, or too much is incomplete.
    pub fn expect(&self, stream: u32, data_bytes: usize) -> Result<(), WireError> {
        let gathering = self.streams.get(&stream).ok_or(WireError::StreamUnknown(stream))?;
        if data_bytes == 0 {
            return Err(WireError::FragmentFrame { length: 1 + STREAM_BYTES });
        }
        if data_bytes > gathering.total - gathering.body.len() {
            return Err(WireError::FragmentPastEnd(stream));
        }
        let incomplete = self.incomplete_bytes.saturating_add(data_bytes as u64);
        if incomplete > self.total_max.saturating_mul(INCOMPLETE_MESSAGES) {
            return Err(WireError::TooMuchIncomplete(incomplete));
        }
        Ok(())
    }

    /// Takes the next data of a stream, all of a frame or any part of it; hands the body out when it is complete.
    ///
    /// # Errors
    /// As [`expect`](Self::expect).
    pub fn data(&mut self, stream: u32, data: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
        self.expect(stream, data.len())?;
        let gathering = self.streams.get_mut(&stream).ok_or(WireError::StreamUnknown(stream))?;
        gathering.append(data);
        self.incomplete_bytes += data.len() as u64;
        if gathering.body.len() < gathering.total {
            return Ok(None);
        }
        let body = self.streams.remove(&stream).map(|gathering| gathering.body);
        self.incomplete_bytes -= body.as_ref().map_or(0, |body| body.len() as u64);
        Ok(body)
    }
}

impl Gathering {
    /// Doubles the room when it is used up, but never beyond the total: a complete body has no room to spare. With an eighth of it
    /// there the promise is believed: to move the half of a large body would hold up everybody else.
    fn append(&mut self, data: &[u8]) {
        let needed = self.body.len() + data.len();
        if needed > self.body.capacity() {
            let believed = needed >= self.total / 8;
            let room = if believed { self.total } else { needed.max(2 * self.body.capacity()) };
            self.body.reserve_exact(room - self.body.len());
        }
        self.body.extend_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(stream: u32, total: u64) -> Vec<u8> {
        [&stream.to_le_bytes()[..], &total.to_le_bytes()].concat()
    }

    #[test]
    fn streams_are_put_together_apart_from_each_other() {
        let mut reassembly = Reassembly::new(100);
        assert!(reassembly.is_empty());
        reassembly.begin(&begin(1, 6)).unwrap();
        assert!(!reassembly.is_empty());
        reassembly.begin(&begin(2, 3)).unwrap();
        assert_eq!(reassembly.data(1, b"abc"), Ok(None));
        assert_eq!(reassembly.data(2, b"xyz"), Ok(Some(b"xyz".to_vec())));
        assert_eq!(reassembly.incomplete_bytes(), 3);
        assert_eq!(reassembly.expect(1, 4), Err(WireError::FragmentPastEnd(1)), "three are there");
        assert_eq!(reassembly.data(1, b"def"), Ok(Some(b"abcdef".to_vec())));
        assert_eq!(reassembly.incomplete_bytes(), 0);
        assert!(reassembly.is_empty());
        assert_eq!(reassembly.data(1, b"g"), Err(WireError::StreamUnknown(1)));
        assert_eq!(reassembly.begin(&begin(1, 1)), Ok(()), "a complete stream's number is free");
    }

    #[test]
    fn every_bound_has_its_error() {
        let mut reassembly = Reassembly::new(100);
        let max = (SYSTEM_MESSAGE_BYTES_MAX + HEAD_BYTES_MAX) as u64;
        let too_large = reassembly.begin(&begin(0, max + 1)).unwrap_err();
        assert_eq!(too_large, WireError::MessageTooLarge { total: max + 1, max });
        assert_eq!(too_large.code(), crate::ErrorCode::TooLarge);
        assert_eq!(reassembly.begin(&begin(0, 0)), Err(WireError::MessageEmpty(0)));
        assert_eq!(reassembly.begin(&[0; 11]), Err(WireError::FragmentFrame { length: 12 }));
        reassembly.begin(&begin(0, max)).unwrap();
        assert_eq!(reassembly.begin(&begin(0, max)), Err(WireError::StreamInUse(0)));
        assert_eq!(reassembly.expect(0, 0), Err(WireError::FragmentFrame { length: 5 }));
        let past = usize::try_from(max).unwrap() + 1;
        assert_eq!(reassembly.expect(0, past), Err(WireError::FragmentPastEnd(0)));
        for stream in 1..u32::try_from(FRAGMENT_STREAMS_MAX).unwrap() {
            reassembly.begin(&begin(stream, 1)).unwrap();
        }
        assert_eq!(reassembly.begin(&begin(9_999, 1)), Err(WireError::TooManyStreams));
    }

    #[test]
    fn memory_follows_the_bytes_received_and_not_the_total() {
        let total = 20 * 1024 * 1024_usize;
        let mut reassembly = Reassembly::new(total as u64);
        reassembly.begin(&begin(5, total as u64)).unwrap();
        let mut received = 0;
        while received < total {
            let room = reassembly.streams[&5].body.capacity();
            let most = if 8 * received < total { 2 * received } else { total };
            assert!(room <= most, "{room} bytes for {received}");
            let data = vec![7; (1 + received / 3).min(total - received)];
            received += data.len();
            if let Some(body) = reassembly.data(5, &data).unwrap() {
                assert_eq!((body.len(), body.capacity()), (total, total));
            }
        }
        assert_eq!(reassembly.incomplete_bytes(), 0);
    }

    #[test]
    fn room_grows_by_doubling() {
        let total = 1024 * 1024_usize;
        let mut reassembly = Reassembly::new(total as u64);
        reassembly.begin(&begin(5, total as u64)).unwrap();
        let (mut room, mut moves) = (0, 0);
        for _ in 1..total / 64 {
            reassembly.data(5, &[7; 64]).unwrap();
            let now = reassembly.streams[&5].body.capacity();
            moves += u32::from(std::mem::replace(&mut room, now) != now);
        }
        assert!(moves <= 13, "{moves} times was all copied to another place");
    }

    #[test]
    fn all_incomplete_messages_together_have_a_bound() {
        let mut reassembly = Reassembly::new(0);
        let most = SYSTEM_MESSAGE_BYTES_MAX + HEAD_BYTES_MAX;
        let whole = vec![0; most - 1];
        for stream in 0..4 {
            reassembly.begin(&begin(stream, most as u64)).unwrap();
            assert_eq!(reassembly.data(stream, &whole), Ok(None));
        }
        reassembly.begin(&begin(4, most as u64)).unwrap();
        assert!(matches!(reassembly.data(4, &whole), Err(WireError::TooMuchIncomplete(_))));
        assert_eq!(reassembly.expect(4, 4), Ok(()), "just as much as may be");
        assert_eq!(reassembly.expect(4, 5), Err(WireError::TooMuchIncomplete(4 * most as u64 + 1)));
        assert!(matches!(reassembly.data(3, &[0]), Ok(Some(_))), "those under way can still be completed");
    }
}
