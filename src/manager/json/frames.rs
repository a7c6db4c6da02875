//! Bytes become frames: four bytes of length, then that many of text.
//!
//! A frame that lies complete in what was read is handed out where it lies; only an incomplete one is gathered, and then memory
//! grows with the bytes that came and never with the length that was claimed. One over the limit is skipped to the byte.

use super::FRAME_BYTES_MAX;
use crate::net::Incomplete;
use std::ops::ControlFlow;

const LENGTH_BYTES: usize = 4;

/// What came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::manager) enum Frame<'a> {
    /// A whole frame.
    Body(&'a [u8]),
    /// The beginning of one over the limit, of so many bytes; they are skipped.
    TooLarge(u32),
}

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub(in crate::manager) struct Frames {
    /// The beginning of a frame, its length included.
    partial: Vec<u8>,
    /// Bytes to skip still, and those skipped of the same frame.
    skip: u32,
    skipped: u32,
    frames: u64,
}

impl Frames {
    /// Takes what was read; calls `sink` with each frame in order. When the sink breaks, the rest is dropped.
    pub(in crate::manager) fn receive<B>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                self.skip_some(&mut bytes);
                continue;
            }
            if self.partial.is_empty()
                && let Some((head, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>()
                && let length = length(*head)
                && length <= rest.len().min(FRAME_BYTES_MAX)
            {
                let (body, after) = rest.split_at(length);
                self.frames += 1;
                sink(Frame::Body(body))?;
                bytes = after;
                continue;
            }
            self.gather(&mut bytes, sink)?;
        }
        ControlFlow::Continue(())
    }

    /// What has begun and is not complete, for the clock of slow peers.
    pub(in crate::manager) fn incomplete(&self) -> Option<Incomplete> {
        let bytes = if self.skip > 0 { self.skipped as usize + 1 } else { self.partial.len() };
        (bytes > 0).then_some(Incomplete { frames: self.frames, bytes, fragmented: None })
    }

    /// Memory for that.
    pub(in crate::manager) fn held_bytes(&self) -> u64 {
        self.partial.capacity() as u64
    }

    fn skip_some(&mut self, bytes: &mut &[u8]) {
        let some = bytes.len().min(self.skip as usize);
        let count = u32::try_from(some).expect("no more than is to be skipped");
        self.skip -= count;
        self.skipped += count;
        *bytes = &bytes[some..];
        if self.skip == 0 {
            self.frames += 1;
        }
    }

    /// More of a frame that is not complete in one read.
    fn gather<B>(
        &mut self,
        bytes: &mut &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.take(bytes, LENGTH_BYTES);
        let Some(head) = self.partial.first_chunk::<LENGTH_BYTES>() else {
            return ControlFlow::Continue(());
        };
        let length = length(*head);
        if length > FRAME_BYTES_MAX {
            let length = u32::from_be_bytes(*head);
            (self.skip, self.skipped) = (length, 0);
            self.partial = Vec::new();
            return sink(Frame::TooLarge(length));
        }
        self.take(bytes, LENGTH_BYTES + length);
        if self.partial.len() < LENGTH_BYTES + length {
            return ControlFlow::Continue(());
        }
        self.frames += 1;
        let partial = std::mem::take(&mut self.partial);
        sink(Frame::Body(&partial[LENGTH_BYTES..]))
    }

    /// Gathers until so many bytes are there.
    fn take(&mut self, bytes: &mut &[u8], wanted: usize) {
        let some = wanted.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes[..some]);
        *bytes = &bytes[some..];
    }
}

fn length(head: [u8; LENGTH_BYTES]) -> usize {
    u32::from_be_bytes(head) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
    }

    /// What comes of these bytes, however they are cut: bodies, and the lengths of what was too large.
    fn read(frames: &mut Frames, bytes: &[u8]) -> Vec<Result<Vec<u8>, u32>> {
        let mut out = Vec::new();
        let flow: ControlFlow<()> = frames.receive(bytes, &mut |frame| {
            out.push(match frame {
                Frame::Body(body) => Ok(body.to_vec()),
                Frame::TooLarge(length) => Err(length),
            });
            ControlFlow::Continue(())
        });
        assert!(flow.is_continue());
        out
    }

    #[test]
    fn one_over_the_limit_is_skipped_to_the_byte() {
        let over = FRAME_BYTES_MAX + 1;
        let mut frames = Frames::default();
        let mut bytes = u32::try_from(over).unwrap().to_be_bytes().to_vec();
        bytes.extend(framed(b"trap").repeat(over / 8 + 1));
        bytes.truncate(LENGTH_BYTES + over);
        bytes.extend(framed(b"next"));
        assert_eq!(read(&mut frames, &bytes), [Err(u32::try_from(over).unwrap()), Ok(b"next".to_vec())]);
        assert_eq!(frames.incomplete(), None);
        let most = framed(&vec![b'x'; FRAME_BYTES_MAX]);
        assert_eq!(read(&mut frames, &most)[0].as_ref().unwrap().len(), FRAME_BYTES_MAX);
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        let mut frames = Frames::default();
        assert_eq!(read(&mut frames, &[0xff; 1_004]), [Err(u32::MAX)]);
        assert_eq!((frames.skip, frames.partial.capacity()), (u32::MAX - 1_000, 0));
        assert_eq!(frames.incomplete().unwrap().bytes, 1_001);
        let mut frames = Frames::default();
        read(&mut frames, &[1, 0x40, 0, 0, b'{']);
        assert!(frames.partial.capacity() < 64);
    }

    #[test]
    fn progress_can_be_seen() {
        let mut frames = Frames::default();
        assert_eq!(frames.incomplete(), None);
        read(&mut frames, &[0]);
        assert_eq!(frames.incomplete(), Some(Incomplete { frames: 0, bytes: 1, fragmented: None }));
        read(&mut frames, &framed(b"{}")[1..]);
        assert_eq!((frames.incomplete(), frames.frames), (None, 1));
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in proptest::collection::vec(1_usize..9, 1..60),
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
            let (mut frames, mut out, mut rest) = (Frames::default(), Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle().take(bytes.len()) {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                out.extend(read(&mut frames, now));
                rest = later;
            }
            let wanted: Vec<Result<Vec<u8>, u32>> = bodies.into_iter().map(Ok).collect();
            prop_assert_eq!(out, wanted);
            prop_assert_eq!(frames.incomplete(), None);
        }
    }
}
