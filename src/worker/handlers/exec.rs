//! Long-lived children that do the jobs, one line each.

use crate::supervisor::guard::Program;
use crate::supervisor::lines::machine::Event;
use crate::supervisor::lines::{Ends, LineEnd, LineId, Lines, Settings, State, Statistics, Talker};
use crate::worker::{Builder, Ending, Error, HandBackReason, Offer, Queue, Queued, QueuedRun, RunId, Worker};
use core::time::Duration;
use proletariat_protocol::limits::PAYLOAD_BYTES_DEFAULT;
use std::ffi::OsString;
use std::sync::Arc;
use thiserror::Error;

/// Children that are started once and do one line a job: the payload and a line break go to standard input, and what comes out of
/// standard output is the result. By default a child has to echo each line when it has done it; with
/// [`reply`](Self::reply) its next line is the result.
///
/// A child that ends is started again. The line that it was at counts as lost with its worker; the others are done again.
#[derive(Clone, Debug)]
pub struct Exec {
    settings: Settings,
}

/// Why no line will be done here.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The program cannot be started, or ends each time before it does anything.
    #[error("{0}")]
    Program(String),
    /// The worker ended.
    #[error(transparent)]
    Worker(#[from] Error),
}

/// The children of a worker. Dropped, they are ended.
#[derive(Debug)]
pub struct Execution {
    lines: Arc<Lines>,
    /// What is offered for a depth of 1.
    offer: Offer,
}

impl Exec {
    /// From words, the program's name first.
    ///
    /// # Panics
    /// Without words.
    pub fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let mut words = words.into_iter().map(Into::into);
        let name: OsString = words.next().expect("a program has a name");
        let program = Program::new(name).arguments(words);
        let kill_grace = Duration::from_secs(2);
        let line_bytes_max = PAYLOAD_BYTES_DEFAULT;
        let settings =
            Settings { program, children: 1, reply: false, depth: None, line_bytes_max, kill_grace };
        Self { settings }
    }

    /// The child's next line is the result. Default: only the line itself is an answer.
    #[must_use]
    pub fn reply(mut self, on: bool) -> Self {
        self.settings.reply = on;
        self
    }

    /// Lines that a child has at one time. Default: 1 for children that reply; for those that echo from 1, doubling while answers
    /// take less than 1 ms, up to 1,024.
    #[must_use]
    pub fn depth(mut self, lines: u32) -> Self {
        self.settings.depth = Some(lines);
        self
    }

    /// From TERM to KILL. Default: 2 s.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.settings.kill_grace = grace;
        self
    }

    /// Starts a child for each slot that the builder offers, and makes the builder offer as many slots as there may be lines.
    /// [`Execution::mind`] has to be awaited beside the worker.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn install(mut self, builder: Builder) -> (Builder, Execution, Talker) {
        let offer = builder.offered().clone();
        self.settings.children = offer.slots;
        let (lines, ends, talker) = Lines::start(self.settings);
        let serving = lines.state().borrow().clone();
        let first = if let State::Serving { children, depth } = serving {
            times(&offer, children, depth)
        } else {
            offer.clone()
        };
        let (builder, queue) = builder.offer(first).queue();
        let lines = Arc::new(lines);
        tokio::spawn(carry(queue, Arc::clone(&lines), ends));
        (builder, Execution { lines, offer }, talker)
    }
}

impl Execution {
    /// Offers as many slots as there may be lines with children that can be started, whenever that changes; ends only when it cannot go on. Cancel safe.
    ///
    /// # Errors
    /// [`ExecError::Program`]: nothing will ever be done here, the runs are handed back.
    pub async fn mind(&self, worker: &Worker) -> Result<(), ExecError> {
        let mut state = self.lines.state();
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Failed(reason) => return Err(ExecError::Program(reason)),
                State::Ended => return Ok(()),
                State::Serving { children, depth } => {
                    // Not waited for: without a manager that takes long, and the children may fail meanwhile.
                    worker.change_offer(times(&self.offer, children, depth))?;
                }
            }
            if state.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Waits until no child can be started; why. Cancel safe.
    pub async fn failed(&self) -> String {
        let mut state = self.lines.state();
        let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await;
        match failed.as_deref() {
            Ok(State::Failed(reason)) => reason.clone(),
            _ => core::future::pending().await,
        }
    }

    /// What the children have done.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.lines.statistics()
    }

    /// Lets the children see the end of their input, and waits until they have ended.
    pub async fn finish(&self) {
        self.lines.finish().await;
    }

    /// Ends the children and waits until they have ended.
    pub async fn stop(&self) {
        self.lines.stop().await;
    }
}

/// The same offer from so many children, with so many slots for each. Where some are missing, each guarantee is smaller in proportion,
/// rounded down: so a range that had a slot is never left without any.
fn times(offer: &Offer, children: u32, depth: u32) -> Offer {
    let mut offer = offer.clone();
    let all = offer.slots.max(1);
    let children = children.min(all);
    offer.slots *= depth;
    if children < all {
        offer.slots = children * depth;
    }
    for guarantee in &mut offer.guarantees {
        let slots = u64::from(guarantee.slots) * u64::from(children * depth) / u64::from(all);
        guarantee.slots = u32::try_from(slots).unwrap_or(u32::MAX);
    }
    offer
}

/// Runs become lines, and what becomes of lines ends runs.
async fn carry(mut queue: Queue, lines: Arc<Lines>, mut ends: Ends) {
    loop {
        tokio::select! {
            items = queue.next() => {
                let Some(items) = items else { break };
                let mut impossible = Vec::new();
                let events = items.into_iter().filter_map(|item| event(item, &mut impossible)).collect();
                lines.tell(events);
                if !impossible.is_empty() {
                    queue.end(impossible);
                }
            }
            over = ends.recv() => {
                let Some(over) = over else { break };
                queue.end(over.into_iter().map(|(id, end)| (RunId::from_bits(id.0), ending(end))).collect());
            }
        }
    }
    // The worker is over, or the children are. No more lines come; whoever cannot wait for the grace says stop.
    lines.tell(vec![Event::Finish]);
}

fn event(item: Queued, impossible: &mut Vec<(RunId, Ending)>) -> Option<Event> {
    match item {
        Queued::Started(QueuedRun { id, payload, .. }) if memchr::memchr(b'\n', &payload).is_some() => {
            let message = "the payload has a line break in it, and each job is one line";
            impossible.push((id, Ending::Failed(message.to_owned())));
            None
        }
        Queued::Started(run) => Some(Event::Line { id: LineId(run.id.to_bits()), text: run.payload }),
        Queued::Cancelled(run) => Some(Event::Cancelled { id: LineId(run.to_bits()) }),
    }
}

fn ending(end: LineEnd) -> Ending {
    match end {
        LineEnd::Done(answer) => Ending::Done(answer),
        LineEnd::Crashed(how) => Ending::Crashed(how),
        LineEnd::TooLarge => Ending::TooLarge("the child's line is longer than a line may be".to_owned()),
        LineEnd::Stopped => Ending::Failed("cancelled".to_owned()),
        // Whoever sends more to children that have failed shall not do so in a loop.
        LineEnd::Refused => Ending::HandBack(HandBackReason::Busy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::offer::{Guarantee, Kinds};

    #[test]
    fn what_is_offered_goes_with_the_children() {
        let guarantees = |slots: [u32; 2]| {
            let guarantee = |(bound, slots)| Guarantee { bound, slots };
            [1, 2].into_iter().zip(slots).map(guarantee).collect()
        };
        let offer = Offer { slots: 100, guarantees: guarantees([30, 20]), kinds: Kinds::Any };
        for (children, depth, slots, guaranteed) in
            [(100, 1, 100, [30, 20]), (100, 4, 400, [120, 80]), (50, 4, 200, [60, 40]), (1, 1, 1, [0, 0])]
        {
            let offered = times(&offer, children, depth);
            assert_eq!((offered.slots, offered.guarantees), (slots, guarantees(guaranteed)));
        }
        let none = Offer { slots: 0, guarantees: guarantees([0, 1]), kinds: Kinds::Any };
        assert_eq!(times(&none, 1, 1), none, "it is refused as it is");
    }
}
