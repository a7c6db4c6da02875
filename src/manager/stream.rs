//! A stream of bytes, whatever carries it: the driver knows no other word for a connection.

use super::encrypted::Encrypted;
use super::socket::Socket;
use mio::event::Event;
use mio::{Registry, Token};
use std::fmt;
use std::hint::cold_path;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both halves of a connection that is not TCP.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection. TCP is called directly, since each turn calls it often.
pub(super) enum Stream {
    Tcp(Socket),
    Encrypted(Box<Encrypted>),
    Other(Box<dyn Duplex>),
}

impl Stream {
    /// The socket that carries it, if one does.
    fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Tcp(socket) => Some(socket),
            Self::Encrypted(stream) => stream.socket(),
            Self::Other(_) => None,
        }
    }

    /// From here on the poll has news of it, under this token. What is no socket wakes the waker of its context instead.
    pub(super) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.socket().map_or(Ok(()), |socket| socket.watch(registry, token))
    }

    /// There is news of its socket.
    pub(super) fn heard(&mut self, event: &Event) {
        if let Some(socket) = self.socket() {
            socket.heard(event);
        }
    }

    /// Whether it is no socket.
    pub(super) fn is_other(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// Reads into `buffer`; 0 bytes are the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Self::Encrypted(stream) => Pin::new(&mut **stream).poll_read(cx, &mut buffer),
            Self::Other(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Writes some of `slices`, of which there is at least one.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Tcp(stream), many) => Pin::new(stream).poll_write_vectored(cx, many),
            (Self::Encrypted(stream), many) => Pin::new(&mut **stream).poll_write_vectored(cx, many),
            (Self::Other(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Other(stream), many) => Pin::new(stream).poll_write_vectored(cx, many),
        }
    }

    /// Whether what the system has taken and cannot send yet has to be little.
    #[cold]
    pub(super) fn bound_unsent(&mut self, bound: bool) {
        if let Some(socket) = self.socket() {
            socket.bound_unsent(bound);
        }
    }

    /// Sends on what a layer between here and the system holds back; TCP itself holds nothing.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Encrypted(stream) => Pin::new(&mut **stream).poll_flush(cx),
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    /// Ends the sending half, after what was written.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    /// Whether another read may bring something: of TCP it is known when it will not.
    pub(super) fn may_have_more(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_readable(),
            Self::Encrypted(_) | Self::Other(_) => true,
        }
    }

    /// Whether the last read has left something behind that nobody will tell of: it has to be read in the next turn.
    pub(super) fn is_cut_short(&mut self) -> bool {
        match self {
            Self::Tcp(_) | Self::Other(_) => false,
            Self::Encrypted(stream) => {
                cold_path();
                stream.is_cut_short()
            }
        }
    }

    /// Whether the peer has taken something, given whether something was `written`: TLS keeps some of that when the peer takes
    /// nothing.
    pub(super) fn took(&mut self, written: bool) -> bool {
        match self {
            Self::Tcp(_) | Self::Other(_) => written,
            Self::Encrypted(stream) => {
                cold_path();
                stream.took()
            }
        }
    }

    /// Whether TLS was asked for.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// Whether TLS was asked for, and the peer does not speak it.
    pub(super) fn lacks_tls(&self) -> bool {
        matches!(self, Self::Encrypted(stream) if stream.is_plain())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(stream) => stream.fmt(f),
            Self::Encrypted(_) => f.write_str("Stream::Encrypted"),
            Self::Other(_) => f.write_str("Stream::Other"),
        }
    }
}
