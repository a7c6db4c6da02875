//! What a handler is given: the work, its clocks, and a way to talk while it runs.

use super::driver::Command;
use super::machine::{Event, RunId, Start};
use crate::net::drive::Clock;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use proletariat_protocol::{AssignmentId, Payload, Time};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// Data of one run between its handler and the connection, in bytes. Beside the stream window, that is all that a run
/// holds of what it has sent.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The run was cancelled: nobody wants what it sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the run was cancelled")]
pub struct Cancelled;

/// One run of one piece of work.
#[derive(Debug)]
pub struct Run {
    payload: Payload,
    kind: Option<String>,
    attempt: u32,
    priority: u32,
    assignment: AssignmentId,
    result_bytes_max: u64,
    shared: Arc<Shared>,
}

/// What the handler's end and the driver's end of a run have in common.
#[derive(Debug)]
pub(super) struct Shared {
    id: RunId,
    clock: Clock,
    commands: UnboundedSender<Command>,
    /// In microseconds; the end of time for none.
    deadline: AtomicU64,
    is_cancelled: AtomicBool,
    /// Made when it is asked for: most handlers never look.
    token: OnceLock<CancellationToken>,
    /// Room for data, in bytes; only where anybody wants it.
    room: Option<Semaphore>,
}

impl Run {
    pub(super) fn new(start: Start, clock: Clock, commands: UnboundedSender<Command>) -> Self {
        let shared = Shared {
            id: start.run,
            clock,
            commands,
            deadline: AtomicU64::new(micros(start.deadline)),
            is_cancelled: AtomicBool::new(false),
            token: OnceLock::new(),
            room: start.stream.then(|| Semaphore::new(SEND_BUFFER_BYTES)),
        };
        Self {
            payload: start.payload,
            kind: start.kind,
            attempt: start.attempt,
            priority: start.priority,
            assignment: start.assignment,
            result_bytes_max: start.result_bytes_max,
            shared: Arc::new(shared),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What to work on.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The type of the job, if it has one.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// Which attempt this is, from 1. A higher one means that a worker was lost over this job.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Larger is more urgent.
    #[must_use]
    pub fn priority(&self) -> u32 {
        self.priority
    }

    /// The manager's number for this run, for logs.
    #[must_use]
    pub fn assignment(&self) -> AssignmentId {
        self.assignment
    }

    /// The largest result that the manager takes, in bytes. One that is larger ends the job with `ELARGEMSG`.
    #[must_use]
    pub fn result_bytes_max(&self) -> u64 {
        self.result_bytes_max
    }

    /// When a result will be of no use any more: the nearer of run limit and rest of the whole call. It may move while
    /// the run goes on.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let micros = self.shared.deadline.load(Ordering::Relaxed);
        (micros != Time::NEVER.0).then(|| self.shared.clock.instant(Time(micros)).into_std())
    }

    /// Whether the work is not wanted any more. A handler that goes on all the same keeps its slot.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.is_cancelled.load(Ordering::Acquire)
    }

    /// Ready when the work is not wanted any more: it was aborted, its run limit passed, or the worker leaves or has lost
    /// its manager. Cancel safe.
    pub async fn cancelled(&self) {
        self.shared.token().cancelled().await;
    }

    /// The same as a token, to hand on to what does the work.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.shared.token().clone()
    }

    /// Does the work unless it is cancelled first; then the work is dropped.
    ///
    /// # Errors
    /// [`Cancelled`].
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.cancelled() => Err(Cancelled),
            done = work => Ok(done),
        }
    }

    /// Whether anybody wants data and progress. Sending is free otherwise: nothing leaves the process.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.shared.room.is_some()
    }

    /// Sends a partial result. They reach the caller in order and before the outcome. Waits while the caller takes less than
    /// the handler sends.
    ///
    /// Cancel safe: dropped midway, the data is not sent.
    ///
    /// # Errors
    /// [`Cancelled`]: nobody wants it any more.
    pub async fn send(&self, data: impl Into<Payload>) -> Result<(), Cancelled> {
        let data = data.into();
        if self.is_cancelled() {
            return Err(Cancelled);
        }
        if let Some(room) = &self.shared.room {
            let permit = room.acquire_many(permits(data.len())).await.map_err(|_| Cancelled)?;
            permit.forget();
            self.shared.tell(Event::Data { run: self.shared.id, payload: data });
        }
        Ok(())
    }

    /// [`send`](Self::send) for blocking handlers.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// Outside of a blocking handler.
    pub fn send_blocking(&self, data: impl Into<Payload>) -> Result<(), Cancelled> {
        Handle::current().block_on(self.send(data))
    }

    /// Tells how far the work is: `done` of `total` (0 if that is not known). Of many reports in a short time only the latest
    /// goes out.
    pub fn progress(&self, done: u64, total: u64) {
        if self.is_streaming() && !self.is_cancelled() {
            self.shared.tell(Event::Progress { run: self.shared.id, done, total });
        }
    }
}

impl Shared {
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        if let Some(token) = self.token.get() {
            token.cancel();
        }
        if let Some(room) = &self.room {
            room.close();
        }
    }

    pub(super) fn set_deadline(&self, deadline: Option<Time>) {
        self.deadline.store(micros(deadline), Ordering::Relaxed);
    }

    /// A chunk of so many bytes has left.
    pub(super) fn taken(&self, bytes: usize) {
        if let Some(room) = &self.room {
            room.add_permits(permits(bytes) as usize);
        }
    }

    fn token(&self) -> &CancellationToken {
        let token = self.token.get_or_init(CancellationToken::new);
        // Whoever cancels sets the flag first and then looks for a token; so one of both sides sees the other.
        if self.is_cancelled.load(Ordering::Acquire) {
            token.cancel();
        }
        token
    }

    fn tell(&self, event: Event) {
        // Without a driver the worker is over and nobody listens.
        let _ = self.commands.send(Command::Event(event));
    }
}

fn micros(deadline: Option<Time>) -> u64 {
    deadline.unwrap_or(Time::NEVER).0
}

/// A chunk larger than the buffer takes all of it.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.clamp(1, SEND_BUFFER_BYTES)).unwrap_or(u32::MAX)
}
