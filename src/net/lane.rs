//! Bytes in the order in which they are going to be written: small ones copied together, large payloads referenced.

use bytes::{Buf, BytesMut};
use proletariat_protocol::Payload;
use proletariat_protocol::hint::{likely, unlikely};
use std::collections::VecDeque;
use std::io::IoSlice;

/// A payload below this many bytes is copied: for those, one more slice in a vectored write costs more than the copy.
const COPY_BYTES: usize = 8 * 1024;
/// A buffer that is empty and larger than this is given back.
const KEEP_BYTES: usize = 64 * 1024;
/// The same for the list of parts.
const KEEP_PARTS: usize = 256;

/// A queue of bytes. Without large payloads all of it is one slice of one buffer that is used again and again.
#[derive(Debug, Default)]
pub(super) struct Lane {
    copied: BytesMut,
    parts: VecDeque<Part>,
    bytes: usize,
}

#[derive(Debug)]
enum Part {
    /// So many of the next bytes of `copied`.
    Copied(usize),
    /// A payload where it lies.
    Shared(Payload),
}

impl Lane {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets `write` append to the buffer, and queues what it appended.
    pub(super) fn append<T>(&mut self, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        let before = self.copied.len();
        let result = write(&mut self.copied);
        self.queue_copied(self.copied.len() - before);
        result
    }

    /// Queues a payload, by copy or by reference, whichever is cheaper.
    pub(super) fn append_payload(&mut self, payload: &Payload) {
        if payload.len() < COPY_BYTES {
            self.append(|copied| copied.extend_from_slice(payload));
        } else {
            self.queue_shared(payload.clone());
        }
    }

    /// Hands the first `bytes` on to the end of another lane.
    pub(super) fn move_to(&mut self, target: &mut Self, mut bytes: usize) {
        assert!(bytes <= self.bytes, "{bytes} bytes of {}", self.bytes);
        self.bytes -= bytes;
        while bytes > 0 {
            let part = self.parts.front_mut().expect("as many parts as bytes");
            let moved = match part {
                Part::Copied(length) => {
                    let moved = bytes.min(*length);
                    target.append(|copied| copied.extend_from_slice(&self.copied[..moved]));
                    self.copied.advance(moved);
                    *length -= moved;
                    moved
                }
                Part::Shared(payload) => {
                    let moved = payload.split_to(bytes.min(payload.len()));
                    let length = moved.len();
                    target.queue_shared(moved);
                    length
                }
            };
            bytes -= moved;
            self.drop_empty_front();
        }
        self.give_back();
    }

    /// Fills `slices` with what is next to be written; tells how many there are.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut copied = &self.copied[..];
        let mut filled = 0;
        for (slot, part) in slices.iter_mut().zip(&self.parts) {
            *slot = IoSlice::new(match part {
                Part::Copied(length) => {
                    let (slice, rest) = copied.split_at(*length);
                    copied = rest;
                    slice
                }
                Part::Shared(payload) => payload,
            });
            filled += 1;
        }
        filled
    }

    /// The first `bytes` have been written.
    pub(super) fn advance(&mut self, mut bytes: usize) {
        assert!(bytes <= self.bytes, "{bytes} bytes written of {}", self.bytes);
        self.bytes -= bytes;
        while bytes > 0 {
            let part = self.parts.front_mut().expect("as many parts as bytes");
            bytes -= match part {
                Part::Copied(length) => {
                    let written = bytes.min(*length);
                    if likely(written == self.copied.len()) {
                        // The next bytes begin where these did.
                        self.copied.clear();
                    } else {
                        self.copied.advance(written);
                    }
                    *length -= written;
                    written
                }
                Part::Shared(payload) => {
                    let written = bytes.min(payload.len());
                    payload.advance(written);
                    written
                }
            };
            self.drop_empty_front();
        }
        self.give_back();
    }

    /// Bytes of buffer that this holds; referenced payloads are not counted.
    #[cfg(test)]
    pub(super) fn room(&mut self) -> usize {
        let mut room = self.copied.capacity();
        while self.copied.try_reclaim(room + 1 - self.copied.len()) {
            room = self.copied.capacity();
        }
        room
    }

    fn queue_copied(&mut self, bytes: usize) {
        self.bytes += bytes;
        match self.parts.back_mut() {
            Some(Part::Copied(length)) => *length += bytes,
            _ if bytes == 0 => {}
            _ => self.parts.push_back(Part::Copied(bytes)),
        }
    }

    fn queue_shared(&mut self, payload: Payload) {
        self.bytes += payload.len();
        self.parts.push_back(Part::Shared(payload));
    }

    fn drop_empty_front(&mut self) {
        let empty = match self.parts.front() {
            Some(Part::Copied(length)) => *length == 0,
            Some(Part::Shared(payload)) => payload.is_empty(),
            None => false,
        };
        if empty {
            self.parts.pop_front();
        }
    }

    /// When there is nothing left: no more memory than a quiet connection needs.
    fn give_back(&mut self) {
        if unlikely(self.bytes > 0) {
            return;
        }
        // Without allocating, tells whether there would be room for so many.
        if unlikely(self.copied.try_reclaim(KEEP_BYTES + 1)) {
            self.copied = BytesMut::new();
        }
        if unlikely(self.parts.capacity() > KEEP_PARTS) {
            self.parts = VecDeque::new();
        }
    }
}
