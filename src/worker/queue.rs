//! Runs for whoever hands them on: no handler and no task for each of them, but all of a turn at once, and their endings as they
//! come, many at once.
//!
//! A handler that waits is a task, and a task for each line of a million costs more than the lines.

use super::driver::Command;
use super::machine::{RunId, Start};
use super::{Ending, Payload};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One run, as it is queued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueuedRun {
    /// By which it is ended.
    pub id: RunId,
    /// What to work on.
    pub payload: Payload,
    /// The type of the job, if it has one.
    pub kind: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The largest result that the manager takes, in bytes.
    pub result_bytes_max: u64,
}

/// Something about a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Queued {
    /// It is to be done. It holds its slot until it is ended.
    Started(QueuedRun),
    /// Its work is not wanted any more. It is to be ended all the same, when the work has stopped; how does not matter then.
    Cancelled(RunId),
}

/// The runs of a worker that was made with [`Builder::queue`](super::Builder::queue).
#[derive(Debug)]
pub struct Queue {
    items: UnboundedReceiver<Vec<Queued>>,
    commands: Arc<OnceLock<UnboundedSender<Command>>>,
}

/// The worker's end of it.
#[derive(Clone, Debug)]
pub(super) struct QueueSender {
    items: UnboundedSender<Vec<Queued>>,
    commands: Arc<OnceLock<UnboundedSender<Command>>>,
}

impl Queue {
    pub(super) fn new() -> (QueueSender, Self) {
        let (sender, items) = unbounded_channel();
        let commands = Arc::new(OnceLock::new());
        (QueueSender { items: sender, commands: Arc::clone(&commands) }, Self { items, commands })
    }

    /// What there is to do and to stop, in order; `None` when the worker is over. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<Queued>> {
        self.items.recv().await
    }

    /// The work of these runs is over: each is ended once. One whose work was cancelled meanwhile counts as stopped.
    pub fn end(&self, endings: Vec<(RunId, Ending)>) {
        if let Some(commands) = self.commands.get() {
            // Without a driver the worker is over and nobody listens.
            let _ = commands.send(Command::Ended(endings));
        }
    }
}

impl QueueSender {
    /// The worker begins.
    pub(super) fn connect(&self, commands: &UnboundedSender<Command>) {
        // A builder starts one worker.
        let _ = self.commands.set(commands.clone());
    }

    pub(super) fn send(&self, items: Vec<Queued>) {
        // Whoever dropped the queue leaves its runs to their clocks.
        let _ = self.items.send(items);
    }
}

impl From<Start> for QueuedRun {
    fn from(start: Start) -> Self {
        let Start { run, payload, kind, attempt, result_bytes_max, .. } = start;
        Self { id: run, payload, kind, attempt, result_bytes_max }
    }
}
