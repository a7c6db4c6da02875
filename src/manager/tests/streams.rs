//! Streams that are no sockets, and take their time: what they hold back is asked for again, and counts as waiting.

use super::peer::{CLIENT, LIMIT, greeting, hello};
use super::{Builder, builder};
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a stream takes.
#[derive(Clone, Copy)]
enum Time {
    None,
    /// It is done when it is asked again, and has news at once.
    Some,
    /// It is never done.
    Endless,
}

/// What it has come to the end of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Done {
    Flush,
    Shutdown,
}

/// Says something, and takes all that is written. Who listens is told what is done, and hears the end when it is dropped.
struct Slow {
    says: Vec<u8>,
    flush: Time,
    shutdown: Time,
    done: Sender<Done>,
}

impl Time {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {
            Self::None => Poll::Ready(Ok(())),
            Self::Some => {
                *self = Self::None;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Endless => Poll::Pending,
        }
    }
}

impl Slow {
    fn tell(&self, done: Done, polled: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if polled.is_ready() {
            // The test may have heard enough.
            let _ = self.done.send(done);
        }
        polled
    }
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let says = std::mem::take(&mut self.says);
        if says.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(&says);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.flush.poll(cx);
        self.tell(Done::Flush, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.shutdown.poll(cx);
        self.tell(Done::Shutdown, polled)
    }
}

/// Never pings, so that nothing else is written.
fn quiet() -> Builder {
    builder().heartbeat(6 * LIMIT).heartbeat_timeout(12 * LIMIT)
}

fn slow(says: Vec<u8>, flush: Time, shutdown: Time) -> (Slow, Receiver<Done>) {
    let (done, heard) = channel();
    (Slow { says, flush, shutdown, done }, heard)
}

#[test]
fn a_flush_that_was_not_done_is_asked_for_again() {
    let manager = quiet().start().unwrap();
    let (stream, heard) = slow(greeting(&hello(CLIENT)), Time::Some, Time::None);
    manager.adopt(stream).unwrap();
    assert_eq!(heard.recv_timeout(LIMIT), Ok(Done::Flush));
}

#[test]
fn who_takes_nothing_of_what_a_stream_holds_back_is_dropped() {
    let manager = quiet().outbox_stall(Duration::from_millis(100)).start().unwrap();
    let (stream, heard) = slow(greeting(&hello(CLIENT)), Time::Endless, Time::None);
    manager.adopt(stream).unwrap();
    assert_eq!(heard.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn an_end_that_was_not_done_is_asked_for_again() {
    let manager = quiet().start().unwrap();
    let (stream, heard) = slow(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), Time::None, Time::Some);
    manager.adopt(stream).unwrap();
    // The connection is closed soon in any case, and the list of what was done ends then.
    assert!(heard.iter().any(|done| done == Done::Shutdown), "the other side was left waiting");
}
