//! A TCP connection that the manager's own poll watches.

use crate::net::buffers::bound_unsent;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection. What is pending here wakes nobody: the poll has news of it, and whoever waits asks again then.
///
/// The system tells of each change once, so what it has told is remembered until a call meets the contrary. A read or a write that
/// was not filled has met it: there is no need for one more to hear the same.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The peer says nothing more; only a read tells whether all was read.
    ended: bool,
}

impl Socket {
    /// Of a connection that does not block.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, readable: false, writable: false, ended: false }
    }

    /// From here on the poll has news of it, under this token.
    pub(super) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Whether what is written and cannot be sent yet has to be little.
    pub(super) fn bound_unsent(&self, bound: bool) {
        bound_unsent(&self.stream, bound);
    }

    /// There is news.
    pub(super) fn heard(&mut self, event: &Event) {
        self.ended |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ended;
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Whether a read may bring something, as far as is known.
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Looks at what comes first, without taking it.
    pub(super) fn poll_peek(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        called(&mut self.readable, || self.stream.peek(buffer))
    }
}

/// What a call of the system did, unless it would wait: then nothing more is ready.
fn called(ready: &mut bool, mut call: impl FnMut() -> io::Result<usize>) -> Poll<io::Result<usize>> {
    while *ready {
        match call() {
            Ok(bytes) => return Poll::Ready(Ok(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => *ready = false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Pending
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, readable, ended, .. } = &mut *self;
        let room = buffer.initialize_unfilled();
        let most = room.len();
        called(readable, || stream.read(room)).map_ok(|bytes| {
            *readable = *ended || bytes == most;
            buffer.advance(bytes);
        })
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, writable, .. } = &mut *self;
        called(writable, || stream.write(bytes)).map_ok(|written| {
            *writable = written == bytes.len();
            written
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, writable, .. } = &mut *self;
        called(writable, || stream.write_vectored(slices)).map_ok(|written| {
            *writable = written == slices.iter().map(|slice| slice.len()).sum::<usize>();
            written
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}
