//! What waits to be written to one peer.
//!
//! The executions of a turn for one worker, and the ends of a turn for one client, go in one message: they are gathered
//! here, and sealed when something else has to be said or when the turn is over. What they are gathered in belongs to the
//! turn and not to the connection, so that an idle connection holds nothing.

use super::stream::Stream;
use crate::net::{Order, Outbox};
use proletariat_protocol::Payload;
use proletariat_protocol::batch::{Batch, BatchOf};
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::limits::ENTRIES_PER_MESSAGE_MAX;
use proletariat_protocol::message::{AssignedExecution, JobOutcome, ManagerMessage};
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// A gathered message is sealed at so many bytes, so that it stays a message of one frame.
const GATHERED_BYTES_MAX: usize = 128 * 1024;
/// A payload of so many bytes goes in a message of its own, which refers to it instead of copying it.
const ALONE_BYTES: usize = 8 * 1024;
/// A gathering that holds more memory than this is not kept for the next turn, in bytes.
const KEEP_BYTES: usize = 64 * 1024;
/// Slices of one vectored write.
const SLICES: usize = 16;
/// Writes to one peer in one turn, of a fragment at most where it is a large message; who takes more waits for the next, so that one peer
/// never holds up the others.
const WRITES_PER_TURN: usize = 4;
/// Gatherings kept for the next turn.
const POOL: usize = 64;

/// Bytes for one peer, in order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// What goes before any message: the answer in the handshake, or a refusal.
    first: Vec<u8>,
    first_written: usize,
    /// 1 while the stream holds back what was written, or the end: how much that is it does not tell.
    held_back: usize,
    outbox: Outbox,
    /// The stream holds little of what cannot be sent yet, since a large message is under way.
    bounded: bool,
    gathered: Option<Box<Batch>>,
}

/// Empty gatherings, for whoever needs one in this turn.
#[derive(Debug, Default)]
pub(super) struct GatheredPool(
    #[expect(clippy::vec_box, reason = "they move into connections")] Vec<Box<Batch>>,
);

/// What became of a flush.
#[derive(Debug)]
pub(super) enum Flushed {
    /// Nothing waits.
    All,
    /// The peer takes no more now.
    Blocked,
    /// The peer takes more, in the next turn.
    More,
    /// The connection is lost.
    Lost(io::Error),
}

impl Outgoing {
    /// Bytes that wait, what is being gathered apart; what the stream holds back counts as one.
    pub(super) fn bytes(&self) -> usize {
        self.unwritten() + self.held_back
    }

    /// How many of those are left of the large message whose turn it is: others pass them.
    pub(super) fn passable_bytes(&self) -> usize {
        self.outbox.passable_bytes()
    }

    fn unwritten(&self) -> usize {
        self.first.len() - self.first_written + self.outbox.bytes()
    }

    /// The stream holds something back: it has to be asked again when it has news.
    pub(super) fn hold_back(&mut self) {
        self.held_back = 1;
    }

    /// Bytes before any message.
    pub(super) fn put_first(&mut self, bytes: Vec<u8>) {
        self.first = bytes;
        self.first_written = 0;
    }

    /// A message that is not gathered.
    pub(super) fn push(
        &mut self,
        message: &ManagerMessage,
        payloads: &[Payload],
        order: Order,
        pool: &mut GatheredPool,
    ) {
        self.seal(pool);
        self.outbox.push(message, payloads, order);
    }

    /// Bytes of a dialect that frames by itself.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.outbox.append(bytes);
    }

    /// A payload within those.
    pub(super) fn append_payload(&mut self, payload: &Payload) {
        self.outbox.append_payload(payload);
    }

    /// One more execution for this worker. Its payload is asked for with a buffer only if it is sent out of that.
    pub(super) fn push_execution(
        &mut self,
        execution: &AssignedExecution<&str>,
        bytes: &[u8],
        payload: impl FnOnce() -> Payload,
        pool: &mut GatheredPool,
    ) {
        if likely(bytes.len() < ALONE_BYTES) {
            return self.gathered(BatchOf::Executions, pool).push_execution(execution, bytes);
        }
        let order = Order::Keyed(execution.assignment.0);
        let message = ManagerMessage::Assign { executions: vec![owned(execution)] };
        self.push(&message, &[payload()], order, pool);
    }

    /// One more ended job for this client, likewise. With large messages under way it may have to follow the stream of its own
    /// job, and no other.
    pub(super) fn push_outcome(
        &mut self,
        outcome: JobOutcome,
        bytes: &[u8],
        payload: impl FnOnce() -> Payload,
        pool: &mut GatheredPool,
    ) {
        if likely(bytes.len() < ALONE_BYTES && !self.outbox.has_large()) {
            return self.gathered(BatchOf::Outcomes, pool).push_outcome(&outcome, bytes);
        }
        let order = Order::Keyed(outcome.job.0);
        let message = ManagerMessage::Outcomes { jobs: vec![outcome] };
        self.push(&message, &[payload()], order, pool);
    }

    /// What is being gathered, with room for one entry more.
    #[inline]
    fn gathered(&mut self, of: BatchOf, pool: &mut GatheredPool) -> &mut Batch {
        let fits = |batch: &Batch| {
            batch.of() == Some(of)
                && batch.bytes() < GATHERED_BYTES_MAX
                && batch.entries() < ENTRIES_PER_MESSAGE_MAX as u64
        };
        if unlikely(self.gathered.as_deref().is_some_and(|batch| !fits(batch))) {
            self.seal(pool);
        }
        self.gathered.get_or_insert_with(|| pool.0.pop().unwrap_or_default())
    }

    /// What has been gathered becomes a message.
    #[inline]
    pub(super) fn seal(&mut self, pool: &mut GatheredPool) {
        let Some(mut batch) = self.gathered.take() else { return };
        self.outbox.push_batch(&mut batch);
        if likely(pool.0.len() < POOL && batch.capacity() <= KEEP_BYTES) {
            batch.clear();
            pool.0.push(batch);
        }
    }

    /// Writes what the peer takes, and has the stream send on what it holds back. Tells also whether the peer took anything.
    pub(super) fn flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> (Flushed, bool) {
        let mut took = false;
        let large = self.outbox.has_large();
        if unlikely(large != self.bounded) {
            self.bounded = large;
            stream.bound_unsent(large);
        }
        for _ in 0..WRITES_PER_TURN {
            if self.unwritten() == 0 {
                break;
            }
            match self.write(stream, cx) {
                Poll::Ready(Ok(1..)) => took = true,
                Poll::Ready(Ok(0)) => return (Flushed::Lost(io::ErrorKind::WriteZero.into()), took),
                Poll::Ready(Err(error)) => return (Flushed::Lost(error), took),
                Poll::Pending => return (Flushed::Blocked, stream.took(took)),
            }
        }
        if unlikely(self.unwritten() > 0) {
            return (Flushed::More, stream.took(took));
        }
        match stream.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.held_back = 0;
                (Flushed::All, took)
            }
            Poll::Ready(Err(error)) => (Flushed::Lost(error), took),
            Poll::Pending => {
                self.hold_back();
                (Flushed::Blocked, stream.took(took))
            }
        }
    }

    /// One write of what waits.
    fn write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.first.is_empty() {
            return self.write_first(stream, cx);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = self.outbox.slices(&mut slices);
        let written = stream.poll_write(cx, &slices[..filled]);
        if let Poll::Ready(Ok(bytes)) = written {
            self.outbox.advance(bytes);
        }
        written
    }

    /// The same, of what goes before any message.
    #[cold]
    fn write_first(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let written = stream.poll_write(cx, &[IoSlice::new(&self.first[self.first_written..])]);
        if let Poll::Ready(Ok(bytes)) = written {
            self.first_written += bytes;
            if self.first_written == self.first.len() {
                self.first = Vec::new();
                self.first_written = 0;
            }
        }
        written
    }
}

impl GatheredPool {
    pub(super) fn shrink(&mut self) {
        self.0 = Vec::new();
    }
}

fn owned(execution: &AssignedExecution<&str>) -> AssignedExecution {
    let AssignedExecution { assignment, bytes, attempt, priority, run_limit_ms, rest_ms, kind, stream } =
        *execution;
    let kind = kind.map(str::to_owned);
    AssignedExecution { assignment, bytes, attempt, priority, run_limit_ms, rest_ms, kind, stream }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::Waker;
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    /// Takes so many bytes with each write.
    struct Sips(usize);

    impl AsyncRead for Sips {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Sips {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len().min(self.0)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn who_takes_everything_with_the_last_write_of_a_turn_has_taken_everything() {
        let flush = |bytes: usize| {
            let mut outgoing = Outgoing::default();
            outgoing.append(&vec![7; bytes]);
            let mut stream = Stream::Other(Box::new(Sips(100)));
            outgoing.flush(&mut stream, &mut Context::from_waker(Waker::noop()))
        };
        assert!(matches!(flush(0), (Flushed::All, false)));
        assert!(matches!(flush(100 * WRITES_PER_TURN), (Flushed::All, true)));
        assert!(matches!(flush(100 * WRITES_PER_TURN + 1), (Flushed::More, true)));
    }
}
