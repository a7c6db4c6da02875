//! Heads as bytes. This is the one file that names bincode.
//!
//! The format is bincode's fixed-width one: integers little-endian at their full width, variants as `u32`, lengths as
//! `u64`, an `Option` as one byte and its value, a `bool` as one byte, a string as its length and UTF-8. Nothing is
//! padded and nothing is tagged.
//!
//! A decoder without a limit believes the lengths that it reads, and ends the process on a frame of 12 bytes. Here two
//! things keep that away. The decoder never sees more than [`HEAD_BYTES_MAX`] bytes and may claim no more than that
//! many, and no sequence reserves for more elements than the bytes at hand suggest (see `bounded`). So decoding
//! allocates at most a small multiple of the bytes that were received, whatever they say.

use crate::bounded::Bounded;
use crate::limits::HEAD_BYTES_MAX;
use crate::message::{ManagerMessage, PeerMessage};
use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error as bincode_error;
use bytes::{BufMut, BytesMut};
use core::hint::cold_path;
use core::marker::PhantomData;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

const CONFIG: Configuration<LittleEndian, Fixint, Limit<HEAD_BYTES_MAX>> =
    bincode::config::legacy().with_limit::<HEAD_BYTES_MAX>();

/// One element is expected for so many bytes at hand. It is the size of a typical entry; a sequence of smaller ones
/// starts with less room than it needs and grows, one of larger ones reserves at most four times the bytes received.
const BYTES_PER_ELEMENT: usize = 16;

/// Why bytes are not the head of a message.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DecodeError {
    /// The bytes end before the head does.
    #[error("the head ends {missing} bytes short: a field or a length in it reaches past the frame")]
    Truncated {
        /// How many bytes the field that was being read lacks.
        missing: usize,
    },
    /// The head is longer than any may be.
    #[error("the head or a length in it is over the limit of {HEAD_BYTES_MAX} bytes")]
    TooLong,
    /// A bool or the mark of an option is neither 0 nor 1.
    #[error("the head has the byte {0} where only 0 or 1 can stand")]
    NotBool(u8),
    /// A string is not UTF-8.
    #[error("the head has a text that is not UTF-8")]
    NotUtf8,
    /// Anything else, above all a variant that this version does not know.
    #[error("the head is not valid: {0}")]
    Invalid(String),
}

/// A message after the handshake: a head that states the length of every payload of its tail.
pub trait WireMessage: Sized {
    /// Appends the head.
    fn encode_head(&self, out: &mut BytesMut);

    /// Reads a head from the beginning of `bytes`; also tells its length in bytes.
    ///
    /// # Errors
    /// When the bytes are no head, see [`DecodeError`]. Nothing is left over from them.
    fn decode_head(bytes: &[u8]) -> Result<(Self, usize), DecodeError>;

    /// The sum of the payload lengths that the head states, in bytes.
    fn tail_bytes(&self) -> u64;
}

impl WireMessage for PeerMessage {
    fn encode_head(&self, out: &mut BytesMut) {
        encode(self, out);
    }

    fn decode_head(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        decode(bytes)
    }

    fn tail_bytes(&self) -> u64 {
        match self {
            Self::Submit { payload_bytes, .. } => payload_bytes.iter().map(|&bytes| u64::from(bytes)).sum(),
            Self::Finished { runs } => runs.iter().map(|run| u64::from(run.bytes)).sum(),
            Self::Data { bytes, .. } | Self::SystemMessage { bytes, .. } => u64::from(*bytes),
            Self::Abort { .. }
            | Self::Credit { .. }
            | Self::Offer(_)
            | Self::Withdraw
            | Self::Started { .. }
            | Self::HandBack { .. }
            | Self::Crashed { .. }
            | Self::Stopped { .. }
            | Self::Progress { .. }
            | Self::Confirm { .. }
            | Self::StatusRequest { .. }
            | Self::Ping
            | Self::Pong
            | Self::Leaving { .. } => 0,
        }
    }
}

impl WireMessage for ManagerMessage {
    fn encode_head(&self, out: &mut BytesMut) {
        encode(self, out);
    }

    fn decode_head(bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        decode(bytes)
    }

    fn tail_bytes(&self) -> u64 {
        match self {
            Self::Outcomes { jobs } => jobs.iter().map(|job| u64::from(job.bytes)).sum(),
            Self::Assign { executions } => {
                executions.iter().map(|execution| u64::from(execution.bytes)).sum()
            }
            Self::Data { bytes, .. } | Self::SystemMessage { bytes, .. } | Self::Status { bytes, .. } => {
                u64::from(*bytes)
            }
            Self::Accepted { .. }
            | Self::Refused { .. }
            | Self::Progress { .. }
            | Self::Restarted { .. }
            | Self::Cancel { .. }
            | Self::SetRunLimit { .. }
            | Self::Grant { .. }
            | Self::OfferAccepted
            | Self::OfferRefused { .. }
            | Self::Withdrawn
            | Self::SystemReport { .. }
            | Self::Ping
            | Self::Pong
            | Self::Leaving { .. } => 0,
        }
    }
}

/// Appends the bytes of a value.
pub(crate) fn encode<T: Serialize>(value: &T, out: &mut BytesMut) {
    bincode::serde::encode_into_writer(value, Appender(out), CONFIG)
        .expect("derived types have known lengths, and appending to memory does not fail");
}

/// Appends the bytes of an entry of a list: a small value, for which room is made once and not field by field. It is written where
/// it stays: to copy bytes that have just been written one by one makes a processor wait for each of them.
pub(crate) fn encode_entry<T: Serialize>(value: &T, out: &mut BytesMut) {
    let start = out.len();
    out.put_bytes(0, ENTRY_BYTES_MAX);
    match bincode::serde::encode_into_slice(value, &mut out[start..], CONFIG) {
        Ok(length) => out.truncate(start + length),
        // A longer one than those that are usual.
        Err(_) => {
            cold_path();
            out.truncate(start);
            encode(value, out);
        }
    }
}

/// More than nearly every entry has, in bytes.
const ENTRY_BYTES_MAX: usize = 128;

/// Reads a value from the beginning of `bytes`; also tells its length in bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    let bytes = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let seed = Bounded::new(PhantomData::<T>, bytes.len() / BYTES_PER_ELEMENT);
    Ok(bincode::serde::seed_decode_from_slice(seed, bytes, CONFIG)?)
}

struct Appender<'a>(&'a mut BytesMut);

impl Writer for Appender<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode_error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

impl From<bincode_error::DecodeError> for DecodeError {
    #[cold]
    fn from(error: bincode_error::DecodeError) -> Self {
        use bincode_error::DecodeError as Bincode;
        match error {
            Bincode::UnexpectedEnd { additional } => Self::Truncated { missing: additional },
            Bincode::LimitExceeded | Bincode::OutsideUsizeRange(_) => Self::TooLong,
            Bincode::InvalidBooleanValue(byte) => Self::NotBool(byte),
            // The only enum that bincode itself reads is the mark of an option.
            Bincode::UnexpectedVariant { found, .. } => Self::NotBool(found.to_le_bytes()[0]),
            Bincode::Utf8 { .. } => Self::NotUtf8,
            Bincode::OtherString(text) => Self::Invalid(text),
            Bincode::Other(text) => Self::Invalid(text.to_owned()),
            other => Self::Invalid(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobId, JobOptions};

    fn submit() -> PeerMessage {
        let options =
            JobOptions { kind: Some("mult".into()), key: Some(vec![1, 2]), ..JobOptions::default() };
        PeerMessage::Submit { first: JobId(7), options, payload_bytes: vec![3, 0, 5] }
    }

    #[test]
    fn a_head_comes_back_with_its_length() {
        let mut bytes = BytesMut::new();
        submit().encode_head(&mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"tail that is not looked at");
        assert_eq!(PeerMessage::decode_head(&bytes), Ok((submit(), length)));
        assert_eq!(submit().tail_bytes(), 8);
    }

    #[test]
    fn every_cut_of_a_head_is_an_error() {
        let mut bytes = BytesMut::new();
        submit().encode_head(&mut bytes);
        for length in 0..bytes.len() {
            let error = PeerMessage::decode_head(&bytes[..length]).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn a_claimed_length_is_an_error_and_not_an_allocation() {
        // Started, and then a vector of so many elements as the length says.
        for claimed in [2_u64, 1 << 16, 1 << 32, 1 << 60, u64::MAX] {
            let mut bytes = vec![5, 0, 0, 0];
            bytes.extend_from_slice(&claimed.to_le_bytes());
            assert!(PeerMessage::decode_head(&bytes).is_err(), "{claimed}");
        }
        // OfferRefused, a code, and a text of so many bytes.
        for claimed in [1_u64, 1 << 16, 1 << 32, 1 << 60, u64::MAX] {
            let mut bytes = vec![11, 0, 0, 0, 0, 0, 0, 0];
            bytes.extend_from_slice(&claimed.to_le_bytes());
            let error = ManagerMessage::decode_head(&bytes).unwrap_err();
            assert!(matches!(error, DecodeError::Truncated { .. } | DecodeError::TooLong), "{error}");
        }
    }

    #[test]
    fn what_a_vector_reserves_follows_the_bytes_received() {
        let sequence = |claimed: u64, bytes: usize| [&claimed.to_le_bytes()[..], &vec![0; bytes]].concat();
        let few = decode(&sequence(u64::MAX, 4));
        assert_eq!(few, Ok((Announced(Some(0)), 8)), "12 bytes are not worth one element");
        assert_eq!(decode(&sequence(100_000, 312)), Ok((Announced(Some(20)), 8)));
        assert_eq!(decode(&sequence(3, 312)), Ok((Announced(Some(3)), 8)));
    }

    /// A sequence that tells what it was told to reserve, and reads nothing.
    #[derive(PartialEq, Debug)]
    struct Announced(Option<usize>);

    impl<'de> serde::Deserialize<'de> for Announced {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Ask;
            impl<'de> serde::de::Visitor<'de> for Ask {
                type Value = Announced;

                fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                    f.write_str("a sequence")
                }

                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, sequence: A) -> Result<Announced, A::Error> {
                    Ok(Announced(sequence.size_hint()))
                }
            }
            deserializer.deserialize_seq(Ask)
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let unknown = PeerMessage::decode_head(&[99, 0, 0, 0]).unwrap_err();
        assert!(matches!(&unknown, DecodeError::Invalid(text) if text.contains("99")), "{unknown}");
        let mut bytes = vec![11, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff];
        assert_eq!(ManagerMessage::decode_head(&bytes), Err(DecodeError::NotUtf8));
        bytes.truncate(8);
        let mut head = BytesMut::new();
        submit().encode_head(&mut head);
        head[16] = 7; // the mark of the option `kind`
        assert_eq!(PeerMessage::decode_head(&head), Err(DecodeError::NotBool(7)));
    }
}
