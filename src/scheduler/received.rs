//! Bytes that events bring: they are lent, or given with the buffer that they lie in.

use alloc::vec::Vec;
use bytes::BytesMut;
use core::fmt;
use core::ops::Deref;
use proletariat_protocol::Payload;

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

/// The payloads of one submit, one after the other, as they travel.
///
/// ```
/// use proletariat_protocol::Payload;
/// use proletariat_scheduler::Payloads;
///
/// let payloads = Payloads::new(Payload::from_static(b"onetwo").into(), vec![3, 3]);
/// assert_eq!(payloads.iter().collect::<Vec<_>>(), [b"one", b"two"]);
/// ```
#[derive(Clone)]
pub struct Payloads<'a> {
    buffer: Received<'a>,
    lengths: Vec<u32>,
}

impl<'a> Payloads<'a> {
    /// The payloads of these lengths, which fill the buffer.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    pub fn new(buffer: Received<'a>, lengths: Vec<u32>) -> Self {
        let sum: u64 = lengths.iter().map(|bytes| u64::from(*bytes)).sum();
        assert_eq!(sum, buffer.len() as u64, "the payloads fill their buffer");
        Self { buffer, lengths }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// All bytes together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The length of each of them, in bytes.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = u64> {
        self.lengths.iter().map(|bytes| u64::from(*bytes))
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.buffer[..];
        self.lengths.iter().map(move |bytes| {
            let (payload, after) = rest.split_at(*bytes as usize);
            rest = after;
            payload
        })
    }

    /// One of them, or a part of one. What was given is not copied: it keeps the whole buffer alive.
    ///
    /// # Panics
    /// When the slice is not of these payloads.
    #[must_use]
    pub fn slice(&self, payload: &[u8]) -> Payload {
        match &self.buffer {
            Received::Lent(_) => Payload::copy_from_slice(payload),
            Received::Owned(buffer) => buffer.slice_ref(payload),
        }
    }
}

impl FromIterator<Payload> for Payloads<'_> {
    /// One payload stays where it is; several are copied together.
    fn from_iter<I: IntoIterator<Item = Payload>>(payloads: I) -> Self {
        let mut payloads: Vec<Payload> = payloads.into_iter().collect();
        let length = |payload: &Payload| u32::try_from(payload.len()).expect("payloads are below 4 GiB");
        let lengths = payloads.iter().map(length).collect();
        let buffer = match payloads.len() {
            1 => payloads.remove(0),
            _ => {
                let mut buffer = BytesMut::new();
                payloads.iter().for_each(|payload| buffer.extend_from_slice(payload));
                buffer.freeze()
            }
        };
        Self { buffer: buffer.into(), lengths }
    }
}

impl fmt::Debug for Payloads<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|payload| self.slice(payload))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_counted_and_cut() {
        let none: Payloads<'_> = [].into_iter().collect();
        assert_eq!((none.len(), none.bytes(), none.is_empty()), (0, 0, true));
        let parts = ["one", "", "three"].map(|text| Payload::from_static(text.as_bytes()));
        let given: Payloads<'_> = parts.iter().cloned().collect();
        let lent = Payloads::new(Received::Lent(b"onethree"), alloc::vec![3, 0, 5]);
        for payloads in [given, lent] {
            assert_eq!((payloads.len(), payloads.bytes(), payloads.is_empty()), (3, 8, false));
            let slices: Vec<Payload> = payloads.iter().map(|payload| payloads.slice(payload)).collect();
            assert_eq!(slices, parts);
        }
    }

    #[test]
    fn one_payload_is_not_copied() {
        let payload = Payload::from(alloc::vec![7; 100]);
        let payloads: Payloads<'_> = core::iter::once(payload.clone()).collect();
        let same = payloads.iter().next().map(<[u8]>::as_ptr);
        assert_eq!((payloads.len(), same), (1, Some(payload.as_ptr())));
    }
}
