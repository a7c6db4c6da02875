//! The writing half of a turn.

use super::leave::Leave;
use crate::net::Outbox;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use tokio::io::AsyncWrite;

/// Slices of one write: what a system takes at most, or near it.
const SLICES_PER_WRITE: usize = 64;

/// Written in one turn, in bytes: about a fragment, so that a large message does not keep the loop from reading, or from what the member
/// has to say in the meantime.
pub(super) const WRITE_BYTES: usize = 256 * 1024;

/// Writes until the stream takes no more, nothing waits, or it was enough for a turn; then one flush, and the end of our half when we
/// leave. `unflushed`: whether the stream may hold back something that was written. Tells how many bytes it took.
pub(super) fn write_ready<S: AsyncWrite + Unpin>(
    cx: &mut Context<'_>,
    stream: &mut S,
    outbox: &mut Outbox,
    unflushed: &mut bool,
    leaving: &mut Option<Leave>,
) -> io::Result<usize> {
    let mut taken = 0;
    while !outbox.is_empty() && taken < WRITE_BYTES {
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let count = outbox.slices(&mut slices);
        let stream = Pin::new(&mut *stream);
        let written = match &slices[..count] {
            [one] => stream.poll_write(cx, one),
            many => stream.poll_write_vectored(cx, many),
        };
        match written {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(bytes)) => {
                outbox.advance(bytes);
                taken += bytes;
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
        *unflushed = true;
    }
    if *unflushed && let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(cx) {
        flushed?;
        *unflushed = false;
    }
    if let Some(leave) = leaving
        && outbox.is_empty()
        && !leave.shut
        && let Poll::Ready(shut) = Pin::new(stream).poll_shutdown(cx)
    {
        leave.shut = true;
        shut?;
    }
    Ok(taken)
}
