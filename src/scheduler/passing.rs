//! Bytes on their way through the scheduler.
//!
//! What is passed on is not moved along with the events and actions: an event lends it, or gives it with its buffer, and an
//! action only names it. So a small result is copied twice, from what was received to here and from here to what is sent, and
//! costs neither an allocation nor a count of references; a large one is not copied at all.

use crate::machine::Scheduler;
use crate::tables::Stored;
use alloc::vec::Vec;
use core::mem;
use core::ops::Deref;
use proletariat_protocol::{ErrorCode, Payload};

/// Bytes that an event brings.
#[derive(Clone, Debug)]
pub enum Received<'a> {
    /// They lie in a buffer that is used again, so they are copied.
    Lent(&'a [u8]),
    /// They are kept with their buffer.
    Owned(Payload),
}

impl Received<'_> {
    /// The bytes with a buffer of their own.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        match self {
            Self::Lent(bytes) => Payload::copy_from_slice(bytes),
            Self::Owned(payload) => payload,
        }
    }
}

impl Deref for Received<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Owned(payload) => payload,
        }
    }
}

impl From<Payload> for Received<'_> {
    fn from(payload: Payload) -> Self {
        Self::Owned(payload)
    }
}

/// Names the bytes that an action speaks of: [`Scheduler::bytes`] shows them, [`Scheduler::payload`] gives them, until the next
/// step.
#[derive(Clone, Copy, Debug)]
pub struct Parcel(Place);

#[derive(Clone, Copy, Debug)]
enum Place {
    /// The payload of an execution.
    Stored { bytes: u32, place: u32 },
    /// Copied together with others.
    Copied { from: u32, bytes: u32 },
    /// One of those with a buffer.
    Owned(u32),
    /// What to do about an error.
    Advice(ErrorCode),
}

impl Parcel {
    pub(crate) fn of(stored: &Stored) -> Self {
        let (bytes, place) = stored.whereabouts();
        Self(Place::Stored { bytes, place })
    }

    /// The sentence that belongs to a code.
    pub(crate) fn advice(code: ErrorCode) -> Self {
        Self(Place::Advice(code))
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
    fn clear(&mut self) {
        self.copied.clear();
        self.owned.clear();
        self.copied.shrink_to(KEEP_BYTES);
        self.owned.shrink_to(KEEP_ENTRIES);
    }
}

impl Passing {
    /// Takes bytes in.
    #[inline]
    pub(crate) fn put(&mut self, received: Received<'_>) -> Parcel {
        let list = if self.deciding { &mut self.said } else { &mut self.coming };
        let number = |length: usize| {
            u32::try_from(length).expect("a step passes on less than 4 GiB in small payloads")
        };
        match received {
            Received::Lent(bytes) => {
                let from = number(list.copied.len());
                list.copied.extend_from_slice(bytes);
                Parcel(Place::Copied { from, bytes: number(bytes.len()) })
            }
            Received::Owned(payload) => {
                list.owned.push(payload);
                Parcel(Place::Owned(number(list.owned.len() - 1)))
            }
        }
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
    pub fn bytes(&self, parcel: Parcel) -> &[u8] {
        let said = &self.passing.said;
        match parcel.0 {
            Place::Stored { bytes, place } => self.payloads.bytes_at(bytes, place),
            Place::Copied { from, bytes } => &said.copied[from as usize..][..bytes as usize],
            Place::Owned(place) => &said.owned[place as usize],
            Place::Advice(code) => code.advice().as_bytes(),
        }
    }

    /// The same with a buffer of their own: a large one is not copied.
    ///
    /// # Panics
    /// As [`bytes`](Self::bytes).
    #[must_use]
    pub fn payload(&self, parcel: Parcel) -> Payload {
        match parcel.0 {
            Place::Stored { bytes, place } => self.payloads.payload_at(bytes, place),
            Place::Owned(place) => self.passing.said.owned[place as usize].clone(),
            Place::Advice(code) => Payload::from_static(code.advice().as_bytes()),
            Place::Copied { .. } => Payload::copy_from_slice(self.bytes(parcel)),
        }
    }

    /// All actions of the last step have been carried out: the bytes that they speak of go.
    pub fn settle(&mut self) {
        self.passing.settle();
    }
}

#[cfg(test)]
mod tests;
