//! Bytes become messages.
//!
//! The owner of the socket reads into one buffer that many connections share, and hands the slice over. What is complete
//! in it is decoded where it lies. Only a frame that is not complete yet is copied, into a buffer of this connection
//! that goes away again with the last of it, so that an idle connection holds nothing. The data of fragments never goes
//! through that buffer: it is appended to its message as it comes.

mod tail;

pub use tail::Tail;

use core::hint::cold_path;
use core::mem;
use core::ops::ControlFlow;
use proletariat_protocol::Payload;
use proletariat_protocol::codec::WireMessage;
use proletariat_protocol::fragment::{Reassembly, STREAM_BYTES};
use proletariat_protocol::frame::{FrameType, LENGTH_BYTES, TYPE_BYTES, WireError, frame_length, split_body};
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::limits::FRAME_BYTES_MAX;

/// What stands before the data of a fragment, in bytes.
const DATA_START_BYTES: usize = LENGTH_BYTES + TYPE_BYTES + STREAM_BYTES;
/// A gathered frame from this size on gives its buffer to the payloads in it, if they are large enough; a smaller one is
/// copied from, and the buffer is used again.
const OWNED_BYTES: usize = 8 * 1024;

/// The receiving half of a connection.
#[derive(Debug)]
pub struct Inbox {
    /// The beginning of a frame, its length included; never a whole one.
    partial: Vec<u8>,
    /// The fragment whose data is coming.
    fragment: Option<OpenFragment>,
    reassembly: Reassembly,
    frames: u64,
    /// Messages in fragments that were completed.
    put_together: u64,
    /// Bytes received.
    received: u64,
}

#[derive(Clone, Copy, Debug)]
struct OpenFragment {
    stream: u32,
    taken: usize,
    left: usize,
}

/// Something has begun and is not complete: what a clock for slow peers needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incomplete {
    /// How many frames were complete before. A changed number is progress, whatever the bytes are.
    pub frames: u64,
    /// Bytes in hand of the frame that is not complete; 0 between the frames of a message in fragments.
    pub bytes: usize,
    /// While a message in fragments is under way: how many such were complete before, and all bytes received so far.
    /// Its frames are no progress, since a frame may be of one byte.
    pub fragmented: Option<(u64, u64)>,
}

impl Inbox {
    /// For payloads of at most so many bytes.
    #[must_use]
    pub fn new(payload_bytes_max: u64) -> Self {
        Self {
            partial: Vec::new(),
            fragment: None,
            reassembly: Reassembly::new(payload_bytes_max),
            frames: 0,
            put_together: 0,
            received: 0,
        }
    }

    /// Takes what was read; calls `sink` with each message that is now complete, in order. When the sink breaks, the
    /// rest of the bytes is dropped and nothing more may be received.
    ///
    /// # Errors
    /// When the peer does not keep to the protocol. Messages before the fault have reached the sink; the connection
    /// cannot go on.
    pub fn receive<M: WireMessage>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        self.received += bytes.len() as u64;
        while !bytes.is_empty() {
            let flow = if likely(self.fragment.is_none() & self.partial.is_empty()) {
                self.receive_in_place(&mut bytes, sink)?
            } else if let Some(fragment) = self.fragment {
                self.continue_fragment(fragment, &mut bytes, sink)?
            } else {
                self.complete_partial(&mut bytes, sink)?
            };
            if unlikely(flow.is_break()) {
                return Ok(flow);
            }
        }
        if unlikely(self.partial.is_empty() & (self.partial.capacity() > 0)) {
            self.partial = Vec::new();
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What has begun and is not complete, if anything: a frame, or a message in fragments.
    #[must_use]
    pub fn incomplete(&self) -> Option<Incomplete> {
        let bytes = match self.fragment {
            Some(fragment) => DATA_START_BYTES + fragment.taken,
            None => self.partial.len(),
        };
        let fragmented = (!self.reassembly.is_empty()).then_some((self.put_together, self.received));
        let idle = bytes == 0 && fragmented.is_none();
        (!idle).then_some(Incomplete { frames: self.frames, bytes, fragmented })
    }

    /// Bytes of memory held for what is not complete.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.partial.capacity() as u64 + self.reassembly.held_bytes()
    }

    /// At the beginning of a frame.
    fn receive_in_place<M: WireMessage>(
        &mut self,
        bytes: &mut &[u8],
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        let Some((&prefix, content)) = bytes.split_first_chunk() else {
            self.gather(bytes, LENGTH_BYTES);
            return Ok(ControlFlow::Continue(()));
        };
        let length = frame_length(prefix, FRAME_BYTES_MAX)?;
        if let Some((frame, rest)) = content.split_at_checked(length) {
            *bytes = rest;
            return self.frame(frame, None, sink);
        }
        cold_path();
        if let Some((start, rest)) = bytes.split_first_chunk()
            && self.open_fragment(start, length)?
        {
            *bytes = rest;
            return Ok(ControlFlow::Continue(()));
        }
        self.gather(bytes, LENGTH_BYTES + length);
        Ok(ControlFlow::Continue(()))
    }

    /// In the middle of a frame that is being gathered.
    fn complete_partial<M: WireMessage>(
        &mut self,
        bytes: &mut &[u8],
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        let Some(&prefix) = self.partial.first_chunk() else {
            self.gather(bytes, LENGTH_BYTES);
            if let Some(&prefix) = self.partial.first_chunk() {
                frame_length(prefix, FRAME_BYTES_MAX)?;
            }
            return Ok(ControlFlow::Continue(()));
        };
        let length = frame_length(prefix, FRAME_BYTES_MAX)?;
        let whole = LENGTH_BYTES + length;
        if self.partial.len() < DATA_START_BYTES {
            // No further than to where a fragment can be told from a message.
            self.gather(bytes, whole.min(DATA_START_BYTES));
            if let Some(&start) = self.partial.first_chunk()
                && self.open_fragment(&start, length)?
            {
                self.partial.clear();
                return Ok(ControlFlow::Continue(()));
            }
        } else {
            self.gather(bytes, whole);
        }
        if self.partial.len() < whole {
            return Ok(ControlFlow::Continue(()));
        }
        self.gathered_frame(sink)
    }

    /// Takes bytes until there are `until` in the own buffer, or no more. The buffer grows with them.
    fn gather(&mut self, bytes: &mut &[u8], until: usize) {
        let (taken, rest) = bytes.split_at(bytes.len().min(until - self.partial.len()));
        let needed = self.partial.len() + taken.len();
        if needed > self.partial.capacity() {
            let room = needed.max(2 * self.partial.capacity()).min(until);
            self.partial.reserve_exact(room - self.partial.len());
        }
        self.partial.extend_from_slice(taken);
        *bytes = rest;
    }

    fn gathered_frame<M: WireMessage>(
        &mut self,
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        let mut whole = mem::take(&mut self.partial);
        if whole.len() >= OWNED_BYTES {
            let whole = Payload::from(whole);
            return self.frame(&whole[LENGTH_BYTES..], Some(&whole), sink);
        }
        let flow = self.frame(&whole[LENGTH_BYTES..], None, sink)?;
        whole.clear();
        self.partial = whole;
        Ok(flow)
    }

    /// A whole frame, without its length; `owner` is the buffer it lies in, if that may be kept.
    #[inline]
    fn frame<M: WireMessage>(
        &mut self,
        frame: &[u8],
        owner: Option<&Payload>,
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        self.frames += 1;
        let (&frame_type, content) = frame.split_first().ok_or(WireError::EmptyFrame)?;
        match FrameType::try_from(frame_type)? {
            FrameType::Message => {
                let (message, rest) = split_body(content)?;
                Ok(sink(message, Tail::new(rest, owner)))
            }
            FrameType::FragmentBegin => {
                cold_path();
                self.reassembly.begin(content)?;
                Ok(ControlFlow::Continue(()))
            }
            FrameType::FragmentData => {
                cold_path();
                let Some((&stream, data)) = content.split_first_chunk() else {
                    return Err(WireError::FragmentFrame { length: frame.len() });
                };
                self.fragment_data(u32::from_le_bytes(stream), data, sink)
            }
        }
    }

    /// Whether the frame that begins like this is a fragment's; if so, its data is awaited from now on.
    fn open_fragment(&mut self, start: &[u8; DATA_START_BYTES], length: usize) -> Result<bool, WireError> {
        let [_, _, _, _, frame_type, stream @ ..] = *start;
        if FrameType::try_from(frame_type)? != FrameType::FragmentData {
            return Ok(false);
        }
        // A fragment without data does not end in here: it is complete and taken as a whole frame.
        let Some(left) = length.checked_sub(TYPE_BYTES + STREAM_BYTES).filter(|&left| left > 0) else {
            return Ok(false);
        };
        let stream = u32::from_le_bytes(stream);
        self.reassembly.expect(stream, left)?;
        self.fragment = Some(OpenFragment { stream, taken: 0, left });
        Ok(true)
    }

    fn continue_fragment<M: WireMessage>(
        &mut self,
        fragment: OpenFragment,
        bytes: &mut &[u8],
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        let OpenFragment { stream, taken, left } = fragment;
        let (data, rest) = bytes.split_at(bytes.len().min(left));
        *bytes = rest;
        self.fragment = None;
        if data.len() == left {
            self.frames += 1;
        } else {
            self.fragment = Some(OpenFragment { stream, taken: taken + data.len(), left: left - data.len() });
        }
        self.fragment_data(stream, data, sink)
    }

    fn fragment_data<M: WireMessage>(
        &mut self,
        stream: u32,
        data: &[u8],
        sink: &mut impl FnMut(M, Tail<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, WireError> {
        let Some(body) = self.reassembly.data(stream, data)? else {
            return Ok(ControlFlow::Continue(()));
        };
        self.put_together += 1;
        let body = Payload::from(body);
        let (message, rest) = split_body(&body)?;
        Ok(sink(message, Tail::new(rest, Some(&body))))
    }
}

#[cfg(test)]
mod tests;
