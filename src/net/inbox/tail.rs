//! The payloads of a message.

use bytes::Buf;
use proletariat_protocol::Payload;

/// Payloads up to this size share a block, in bytes: for them, an allocation each would cost more than the copy.
const SMALL_BYTES: usize = 256;
/// Size of a block, in bytes. One payload that is kept for long keeps no more than this; mostly all payloads of a
/// message, which are jobs of one priority and kind, or results that go out at once, live equally long.
const BLOCK_BYTES: usize = 4 * 1024;

/// The payloads of a message, one after the other, as long as its head states.
#[derive(Debug)]
pub struct Tail<'a> {
    rest: &'a [u8],
    owner: Option<&'a Payload>,
    /// A copy of the next bytes of `rest`, for small payloads.
    block: Payload,
}

impl<'a> Tail<'a> {
    /// These bytes; `owner` is the buffer they lie in, if that may be kept.
    pub(super) fn new(rest: &'a [u8], owner: Option<&'a Payload>) -> Self {
        Self { rest, owner, block: Payload::new() }
    }

    /// Bytes that have not been taken.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rest.len()
    }

    /// The next payload, of so many bytes as the head states for it.
    ///
    /// It shares the buffer that was received where it is at least half of that, so that a payload that is kept for
    /// long never keeps more than twice its size; else it is copied, small ones a block at a time. An empty one costs
    /// nothing.
    ///
    /// # Panics
    /// When more is taken than the head states.
    pub fn take(&mut self, bytes: u32) -> Payload {
        let bytes = usize::try_from(bytes).expect("an address space has at least 32 bits");
        let (payload, rest) = self.rest.split_at(bytes);
        if payload.is_empty() {
            return Payload::new();
        }
        let taken = match self.owner {
            Some(owner) if bytes >= owner.len() / 2 => {
                self.block = Payload::new();
                owner.slice_ref(payload)
            }
            // The last one of a message has nobody to share with.
            _ if bytes <= SMALL_BYTES && !(rest.is_empty() && self.block.is_empty()) => {
                self.take_of_block(bytes)
            }
            _ => {
                self.block = Payload::new();
                Payload::copy_from_slice(payload)
            }
        };
        self.rest = rest;
        taken
    }

    /// The next payload where it lies, for whoever copies it at once.
    ///
    /// # Panics
    /// When more is taken than the head states.
    pub fn lend(&mut self, bytes: u32) -> &'a [u8] {
        let bytes = usize::try_from(bytes).expect("an address space has at least 32 bits");
        let (payload, rest) = self.rest.split_at(bytes);
        self.block.advance(bytes.min(self.block.len()));
        self.rest = rest;
        payload
    }

    /// All payloads that are left, in one buffer.
    pub fn take_all(&mut self) -> Payload {
        let rest = core::mem::take(&mut self.rest);
        match self.owner {
            Some(owner) if 2 * rest.len() >= owner.len() => owner.slice_ref(rest),
            _ => Payload::copy_from_slice(rest),
        }
    }

    /// The same where they lie, for whoever copies them at once.
    pub fn lend_all(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    fn take_of_block(&mut self, bytes: usize) -> Payload {
        if self.block.len() < bytes {
            self.block = Payload::copy_from_slice(&self.rest[..self.rest.len().min(BLOCK_BYTES)]);
        }
        self.block.split_to(bytes)
    }
}
