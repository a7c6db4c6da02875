//! What comes back from a call, as streams.

use super::call::Call;
use super::driver::Command;
use super::machine::Outcome;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_core::Stream;
use proletariat_protocol::Payload;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

/// Something about a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Update {
    /// A partial result; in order, before the outcome.
    Data(Payload),
    /// How far the run is.
    Progress {
        /// Done so far.
        done: u64,
        /// Of so much; 0 if not known.
        total: u64,
    },
    /// The run has started anew: the data so far is void.
    Restarted,
    /// How the job ended. Nothing follows for it.
    Outcome(Outcome),
}

/// Everything about the jobs of a call, as `(index, update)`; ends when all have their outcome. Dropped early, it aborts
/// the jobs that have none.
#[derive(Debug)]
#[must_use = "dropping it aborts the jobs"]
pub struct Updates {
    call: Call,
    source: UnboundedReceiver<(usize, Update)>,
    window: Option<Arc<Semaphore>>,
}

/// The outcomes of the jobs of a call, as `(index, outcome)`, in the order in which they end; ends after the last one.
/// Dropped early, it aborts the jobs that have none.
#[derive(Debug)]
#[must_use = "dropping it aborts the jobs"]
pub struct Outcomes {
    updates: Updates,
}

impl Updates {
    pub(super) fn new(
        call: Call,
        source: UnboundedReceiver<(usize, Update)>,
        window: Option<Arc<Semaphore>>,
    ) -> Self {
        Self { call, source, window }
    }

    /// What follows from an update that is being taken.
    fn taken(&self, index: usize, update: &Update) {
        match update {
            Update::Data(payload) if !payload.is_empty() => {
                let (index, bytes) = (index as u64, payload.len() as u64);
                // Without the client's task there is nobody to send more.
                let _ = self.call.send(|tag| Command::Taken { tag, index, bytes });
            }
            Update::Outcome(_) => {
                if let Some(window) = &self.window {
                    window.add_permits(1);
                }
            }
            _ => {}
        }
    }
}

impl Stream for Updates {
    type Item = (usize, Update);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.source.poll_recv(cx));
        match &next {
            Some((index, update)) => self.taken(*index, update),
            None => self.call.is_over(),
        }
        Poll::Ready(next)
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        if let Some(window) = &self.window {
            window.close();
        }
    }
}

impl Outcomes {
    pub(super) fn new(updates: Updates) -> Self {
        Self { updates }
    }
}

impl Outcomes {
    /// Waits for outcomes and takes as many of those that are there, up to `most`; how many: 0 after the last one. For many
    /// short jobs: they cost less together. Cancel safe.
    pub async fn next_some(&mut self, outcomes: &mut Vec<(usize, Outcome)>, most: usize) -> usize {
        let before = outcomes.len();
        let mut updates = Vec::new();
        while outcomes.len() == before {
            if self.updates.source.recv_many(&mut updates, most).await == 0 {
                self.updates.call.is_over();
                return 0;
            }
            for (index, update) in updates.drain(..) {
                if let Update::Outcome(outcome) = update {
                    outcomes.push((index, outcome));
                }
            }
        }
        let taken = outcomes.len() - before;
        if let Some(window) = &self.updates.window {
            window.add_permits(taken);
        }
        taken
    }
}

impl Stream for Outcomes {
    type Item = (usize, Outcome);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.updates).poll_next(cx)) {
                Some((index, Update::Outcome(outcome))) => return Poll::Ready(Some((index, outcome))),
                Some(_) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}
