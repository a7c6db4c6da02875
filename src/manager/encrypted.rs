//! A connection to a manager that asks for TLS.
//!
//! ```text
//!   First ── the byte 0x16 ──▶ Greeting ── done ──▶ Open
//!     └──── any other byte ──▶ Plain: is told in its own tongue that TLS is asked for
//! ```
//!
//! The handshake moves on whenever the driver reads, so it costs no task of its own, and the clock of the manager's own
//! handshake covers it.
//!
//! TLS reads on until something has come for us, and a peer may send records that hold nothing for as long as it likes: empty
//! ones and new keys in turns. So each read takes a ration of the socket, and who has used it up goes on in the next turn.

use super::socket::Socket;
use super::stream::Duplex;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// What every TLS connection begins with.
const HANDSHAKE_BYTE: u8 = 0x16;
/// One read takes so many bytes of the socket, or up to a record more. In the smallest records that is work for milliseconds.
pub(super) const RATION_BYTES: usize = 64 * 1024;

/// The connection.
pub(super) struct Encrypted {
    state: State,
}

enum State {
    /// The first byte tells.
    First(Carrier, TlsAcceptor),
    Greeting(Box<Accept<Carrier>>),
    Open(Box<TlsStream<Carrier>>),
    /// Whoever speaks here does not speak TLS.
    Plain(Carrier),
    /// The handshake failed.
    Broken,
}

/// What TLS takes for its socket.
struct Carrier {
    socket: Socket,
    /// What this read may still take.
    ration: usize,
    /// The peer has taken something.
    took: bool,
}

impl Encrypted {
    pub(super) fn new(socket: Socket, acceptor: TlsAcceptor) -> Self {
        let carrier = Carrier { socket, ration: RATION_BYTES, took: false };
        Self { state: State::First(carrier, acceptor) }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain(_))
    }

    /// Whether the last read has used its ration up. Nobody tells of what it has left in the socket.
    pub(super) fn is_cut_short(&mut self) -> bool {
        self.carrier().is_some_and(|carrier| carrier.ration == 0)
    }

    /// Whether the peer has taken something since this was asked last.
    pub(super) fn took(&mut self) -> bool {
        self.carrier().is_some_and(|carrier| mem::take(&mut carrier.took))
    }

    /// The socket below.
    pub(super) fn socket(&mut self) -> Option<&mut Socket> {
        self.carrier().map(|carrier| &mut carrier.socket)
    }

    /// Moves the handshake on; ready when bytes can be read.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.state = match mem::replace(&mut self.state, State::Broken) {
                State::First(mut carrier, acceptor) => {
                    let mut byte = [0];
                    match carrier.socket.poll_peek(&mut byte) {
                        Poll::Pending => {
                            self.state = State::First(carrier, acceptor);
                            return Poll::Pending;
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(1)) if byte[0] == HANDSHAKE_BYTE => {
                            State::Greeting(Box::new(acceptor.accept(carrier)))
                        }
                        Poll::Ready(Ok(_)) => State::Plain(carrier),
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

    fn carrier(&mut self) -> Option<&mut Carrier> {
        match &mut self.state {
            State::First(carrier, _) | State::Plain(carrier) => Some(carrier),
            State::Greeting(accept) => accept.get_mut(),
            State::Open(stream) => Some(stream.get_mut().0),
            State::Broken => None,
        }
    }

    fn inner(&mut self) -> Option<Pin<&mut dyn Duplex>> {
        match &mut self.state {
            State::Open(stream) => Some(Pin::new(&mut **stream)),
            State::Plain(carrier) => Some(Pin::new(carrier)),
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
        if let Some(carrier) = self.carrier() {
            carrier.ration = RATION_BYTES;
        }
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
        self.inner().map_or(Poll::Pending, |inner| inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().map_or(Poll::Ready(Ok(())), |inner| inner.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().map_or(Poll::Ready(Ok(())), |inner| inner.poll_shutdown(cx))
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ration == 0 {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.ration = self.ration.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.took = true;
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices))?;
        self.took = true;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
