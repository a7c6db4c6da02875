//! What a child writes.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;
use tokio::task::coop;

/// Standard output or error of a [`Child`](super::Child); the child gets `SIGPIPE` or `EPIPE` when it is dropped.
///
/// That of a [`brief`](super::Program::brief) child is watched by the runtime only from the first read on that has to wait: what it
/// wrote is there when its end is told, and mostly it is read to the end without.
#[derive(Debug)]
pub struct Output(State);

#[derive(Debug)]
enum State {
    Unwatched(OwnedFd),
    Watched(pipe::Receiver),
}

impl Output {
    /// Of a pipe that does not block.
    pub(super) fn new(pipe: OwnedFd, brief: bool) -> io::Result<Self> {
        Ok(Self(if brief { State::Unwatched(pipe) } else { State::watched(pipe)? }))
    }
}

impl State {
    fn watched(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self::Watched(pipe::Receiver::from_owned_fd_unchecked(pipe)?))
    }
}

impl AsyncRead for Output {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let pipe = match &mut self.0 {
                State::Watched(pipe) => return Pin::new(pipe).poll_read(cx, buffer),
                State::Unwatched(pipe) => pipe,
            };
            let turn = ready!(coop::poll_proceed(cx));
            match rustix::io::read(&*pipe, buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    turn.made_progress();
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    // The same pipe under another number: this one is let go.
                    self.0 = State::watched(pipe.try_clone()?)?;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}
