//! A TCP connection that the manager's own poll watches.

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

    /// There is news.
    pub(super) fn heard(&mut self, event: &Event) {
        self.ended |= event.is_read_closed() || event.is_error();
        self.readable |= event.is_readable() || self.ended;
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    /// Looks at what comes first, without taking it.
    pub(super) fn poll_peek(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_input(|stream| stream.peek(buffer), None)
    }

    /// One call that reads into `room` bytes; it empties the socket if it fills less.
    fn poll_input(
        &mut self,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<usize>,
        room: Option<usize>,
    ) -> Poll<io::Result<usize>> {
        while self.readable {
            match call(&mut self.stream) {
                Ok(bytes) => {
                    let emptied = room.is_some_and(|room| bytes < room);
                    self.readable = self.ended || !emptied;
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.readable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
        Poll::Pending
    }

    fn poll_output(
        &mut self,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<usize>,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        while self.writable {
            match call(&mut self.stream) {
                Ok(written) => {
                    self.writable = written == bytes;
                    return Poll::Ready(Ok(written));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.writable = false,
                    io::ErrorKind::Interrupted => {}
                    _ => return Poll::Ready(Err(error)),
                },
            }
        }
        Poll::Pending
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let bytes = room.len();
        let read = self.poll_input(|stream| stream.read(room), Some(bytes));
        read.map_ok(|bytes| buffer.advance(bytes))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_output(|stream| stream.write(bytes), bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        self.poll_output(|stream| stream.write_vectored(slices), bytes)
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
