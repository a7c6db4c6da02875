//! What we and the guard say to each other: frames of a length, a tag, a number and byte strings.

use std::io;

/// The longest frame: over what a system takes as arguments and environment of one process (2 MiB).
const FRAME_BYTES_MAX: usize = 8 << 20;
const HEAD_BYTES: usize = 13;
/// The most that a program may need: what is longer, no system starts.
pub(super) const FIELD_BYTES_MAX: usize = FRAME_BYTES_MAX - HEAD_BYTES;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    pub(super) tag: Tag,
    /// Of which child.
    pub(super) id: u64,
    pub(super) fields: Vec<Vec<u8>>,
}

/// What a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Tag {
    /// To the guard: start (fields as `Program::fields` makes them; three descriptors come along).
    Spawn = 1,
    /// To the guard: TERM, and KILL after the grace.
    Terminate = 2,
    /// To the guard: KILL.
    Kill = 3,
    /// From the guard: it is there.
    Ready = 4,
    /// From the guard: the child runs; its process id. Of a brief one it comes late, or not at all.
    Spawned = 5,
    /// From the guard: the child did not start; the number of the error.
    Failed = 6,
    /// From the guard: the child and its group are gone; its status, and its process id.
    Exited = 7,
}

impl Tag {
    fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Spawn,
            Self::Terminate,
            Self::Kill,
            Self::Ready,
            Self::Spawned,
            Self::Failed,
            Self::Exited,
        ];
        all.into_iter().find(|tag| *tag as u8 == byte)
    }
}

impl Frame {
    pub(super) fn new(tag: Tag, id: u64) -> Self {
        Self { tag, id, fields: Vec::new() }
    }

    pub(super) fn with_numbers(tag: Tag, id: u64, numbers: &[i32]) -> Self {
        Self { tag, id, fields: numbers.iter().map(|number| number.to_le_bytes().to_vec()).collect() }
    }

    /// One of the numbers of [`with_numbers`](Self::with_numbers).
    pub(super) fn number(&self, at: usize) -> Option<i32> {
        let field = self.fields.get(at)?;
        Some(i32::from_le_bytes(field.as_slice().try_into().ok()?))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.push(self.tag as u8);
        bytes.extend_from_slice(&self.id.to_le_bytes());
        for field in &self.fields {
            bytes.extend_from_slice(&length(field.len()));
            bytes.extend_from_slice(field);
        }
        let all = length(bytes.len());
        bytes[..4].copy_from_slice(&all);
        bytes
    }

    /// Takes one frame from the front, if it is there as a whole.
    ///
    /// # Errors
    /// Bytes that nobody of ours wrote.
    pub(super) fn take(buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "a broken frame between us and the guard");
        if buffer.len() < 4 {
            return Ok(None);
        }
        let (all, _) = read_length(buffer).ok_or_else(broken)?;
        if !(HEAD_BYTES..=FRAME_BYTES_MAX).contains(&all) {
            return Err(broken());
        }
        if buffer.len() < all {
            return Ok(None);
        }
        let rest = buffer.split_off(all);
        let bytes = core::mem::replace(buffer, rest);
        let tag = Tag::from_byte(bytes[4]).ok_or_else(broken)?;
        let id = bytes[5..HEAD_BYTES].try_into().map(u64::from_le_bytes).map_err(|_| broken())?;
        let mut fields = Vec::new();
        let mut left = &bytes[HEAD_BYTES..];
        while !left.is_empty() {
            let (length, after) = read_length(left).ok_or_else(broken)?;
            let (field, after) = after.split_at_checked(length).ok_or_else(broken)?;
            fields.push(field.to_vec());
            left = after;
        }
        Ok(Some(Self { tag, id, fields }))
    }
}

fn length(bytes: usize) -> [u8; 4] {
    // What does not fit is over the largest frame and never sent.
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

fn read_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*length)).ok()?, rest))
}
