//! A connection to a manager that asks for TLS.
//!
//! ```text
//!   First ── the byte 0x16 ──▶ Greeting ── done ──▶ Open
//!     └──── any other byte ──▶ Plain: is told in its own tongue that TLS is asked for
//! ```
//!
//! The handshake moves on whenever the driver reads, so it costs no task of its own, and the clock of the manager's own
//! handshake covers it.

use super::socket::Socket;
use super::stream::Duplex;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// What every TLS connection begins with.
const HANDSHAKE_BYTE: u8 = 0x16;

/// The connection.
pub(super) struct Encrypted {
    state: State,
    /// Something written may still be held back here.
    holds_back: bool,
}

enum State {
    /// The first byte tells.
    First(Socket, TlsAcceptor),
    Greeting(Box<Accept<Socket>>),
    Open(Box<TlsStream<Socket>>),
    /// Whoever speaks here does not speak TLS.
    Plain(Socket),
    /// The handshake failed.
    Broken,
}

impl Encrypted {
    pub(super) fn new(stream: Socket, acceptor: TlsAcceptor) -> Self {
        Self { state: State::First(stream, acceptor), holds_back: false }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain(_))
    }

    pub(super) fn holds_back(&self) -> bool {
        self.holds_back
    }

    /// Moves the handshake on; ready when bytes can be read.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Broken) {
                State::First(mut stream, acceptor) => {
                    let mut byte = [0];
                    match stream.poll_peek(&mut byte) {
                        Poll::Pending => {
                            self.state = State::First(stream, acceptor);
                            return Poll::Pending;
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(1)) if byte[0] == HANDSHAKE_BYTE => {
                            State::Greeting(Box::new(acceptor.accept(stream)))
                        }
                        Poll::Ready(Ok(_)) => State::Plain(stream),
                    }
                }
                State::Greeting(mut accept) => match Pin::new(&mut *accept).poll(cx) {
                    Poll::Pending => {
                        self.state = State::Greeting(accept);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(stream)) => State::Open(Box::new(stream)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                },
                State::Broken => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                state @ (State::Open(_) | State::Plain(_)) => {
                    self.state = state;
                    return Poll::Ready(Ok(()));
                }
            };
        }
    }

    /// The socket below.
    pub(super) fn socket(&mut self) -> Option<&mut Socket> {
        match &mut self.state {
            State::First(stream, _) | State::Plain(stream) => Some(stream),
            State::Greeting(accept) => accept.get_mut(),
            State::Open(stream) => Some(stream.get_mut().0),
            State::Broken => None,
        }
    }

    fn inner(&mut self) -> Option<Pin<&mut dyn Duplex>> {
        match &mut self.state {
            State::Open(stream) => Some(Pin::new(&mut **stream)),
            State::Plain(stream) => Some(Pin::new(stream)),
            State::First(..) | State::Greeting(_) | State::Broken => None,
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?;
        self.inner().map_or(Poll::Pending, |inner| inner.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Before the handshake is done nothing can be said; the reads that move it on wake the driver.
        let Some(inner) = self.inner() else { return Poll::Pending };
        let written = ready!(inner.poll_write_vectored(cx, slices))?;
        self.holds_back = true;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(inner) = self.inner() {
            ready!(inner.poll_flush(cx))?;
        }
        self.holds_back = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().map_or(Poll::Ready(Ok(())), |inner| inner.poll_shutdown(cx))
    }
}
