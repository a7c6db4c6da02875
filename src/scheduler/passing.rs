//! Bytes on their way through the scheduler.
//!
//! What is passed on is not moved along with the events and actions: an event lends it, or gives it with its buffer, and an
//! action only names it. So a small result is copied twice, from what was received to here and from here to what is sent, and
//! costs neither an allocation nor a count of references; a large one is not copied at all.

use crate::machine::Scheduler;
use crate::received::Received;
use crate::tables::Stored;
use alloc::vec::Vec;
use core::mem;
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::{ErrorCode, Payload};

/// Names the bytes that an action speaks of: [`Scheduler::bytes`] shows them, [`Scheduler::payload`] gives them, until the next
/// step. So small that it travels in two registers, and in an [`Outcome`](crate::Outcome), too.
#[derive(Clone, Copy, Debug)]
pub struct Parcel {
    kind: Kind,
    which: u32,
    bytes: u32,
}

const _: () = assert!(size_of::<crate::Outcome<Parcel>>() == 16, "it fits into two registers");

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum Kind {
    /// The payload of an execution: its place in the store.
    Stored,
    /// Copied together with others: where it begins.
    Copied,
    /// One of those with a buffer: which.
    Owned,
    /// What to do about an error: the place of its code among all.
    Advice,
}

impl Parcel {
    fn new(kind: Kind, which: u32, bytes: u32) -> Self {
        Self { kind, which, bytes }
    }

    pub(crate) fn of(stored: &Stored) -> Self {
        let (bytes, place) = stored.whereabouts();
        Self::new(Kind::Stored, place, bytes)
    }

    /// The sentence that belongs to a code.
    pub(crate) fn advice(code: ErrorCode) -> Self {
        let which = ErrorCode::ALL.iter().position(|other| *other == code);
        let which = which.and_then(|which| u32::try_from(which).ok()).expect("each code is one of all");
        Self::new(Kind::Advice, which, 0)
    }

    fn code(self) -> ErrorCode {
        ErrorCode::ALL[self.which as usize]
    }
}

/// What passes through in this step, and what did in the last one, whose actions are being carried out.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    coming: Bytes,
    said: Bytes,
    /// Whether the step is being decided: what is said now is for the actions of this step.
    deciding: bool,
}

#[derive(Debug, Default)]
struct Bytes {
    copied: Vec<u8>,
    owned: Vec<Payload>,
}

/// What is kept for the next step, in bytes and in entries.
const KEEP_BYTES: usize = 64 * 1024;
const KEEP_ENTRIES: usize = 1_024;

impl Bytes {
    #[inline]
    fn clear(&mut self) {
        self.copied.clear();
        self.owned.clear();
        if unlikely((self.copied.capacity() > KEEP_BYTES) | (self.owned.capacity() > KEEP_ENTRIES)) {
            self.copied.shrink_to(KEEP_BYTES);
            self.owned.shrink_to(KEEP_ENTRIES);
        }
    }
}

impl Passing {
    /// Takes bytes in.
    #[inline]
    pub(crate) fn put(&mut self, received: Received<'_>) -> Parcel {
        let list = if self.deciding { &mut self.said } else { &mut self.coming };
        // After 4 GiB in one step a copy has a buffer of its own.
        if let Received::Lent(bytes) = received
            && let Ok(from) = u32::try_from(list.copied.len())
            && let Ok(length) = u32::try_from(bytes.len())
        {
            list.copied.extend_from_slice(bytes);
            return Parcel::new(Kind::Copied, from, length);
        }
        let which = u32::try_from(list.owned.len()).expect("fewer results than slots");
        list.owned.push(received.into_payload());
        Parcel::new(Kind::Owned, which, 0)
    }

    /// A step is decided: what came for it is what its actions speak of.
    pub(crate) fn begin(&mut self) {
        self.said.clear();
        mem::swap(&mut self.said, &mut self.coming);
        self.deciding = true;
    }

    pub(crate) fn end(&mut self) {
        self.deciding = false;
    }

    /// The actions have been carried out.
    #[inline]
    pub(crate) fn settle(&mut self) {
        self.said.clear();
    }
}

impl Scheduler {
    /// The bytes that an action of the last step speaks of.
    ///
    /// # Panics
    /// When the parcel is of an earlier step, or of one that was [settled](Self::settle).
    #[must_use]
    #[inline]
    pub fn bytes(&self, parcel: Parcel) -> &[u8] {
        let (said, number) = (&self.passing.said, parcel.which);
        match parcel.kind {
            Kind::Stored => self.payloads.bytes_at(parcel.bytes, number),
            Kind::Copied => &said.copied[number as usize..][..parcel.bytes as usize],
            Kind::Owned => &said.owned[number as usize],
            Kind::Advice => parcel.code().advice().as_bytes(),
        }
    }

    /// The same with a buffer of their own: a large one is not copied.
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes).
    #[must_use]
    pub fn payload(&self, parcel: Parcel) -> Payload {
        let number = parcel.which;
        match parcel.kind {
            Kind::Stored => self.payloads.payload_at(parcel.bytes, number),
            Kind::Copied => Payload::copy_from_slice(self.bytes(parcel)),
            Kind::Owned => self.passing.said.owned[number as usize].clone(),
            Kind::Advice => Payload::from_static(parcel.code().advice().as_bytes()),
        }
    }

    /// All actions of the last step have been carried out: the bytes that they speak of go.
    pub fn settle(&mut self) {
        self.passing.settle();
    }
}

#[cfg(test)]
mod tests;
