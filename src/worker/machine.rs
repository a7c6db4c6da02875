//! The worker as a pure machine: it keeps the slots, the clocks of the runs, and the order of what is told.
//!
//! It is told what happened ([`Machine::handle`]) and says what is to be done ([`Machine::poll`]). It knows no socket, no
//! handler and no clock; the driver beside it does, and so does a simulator.
//!
//! Two rules for whoever drives it. Poll until nothing more is said: a poll that starts handlers says nothing to the
//! manager yet, so that the results of handlers that end at once ride together. And expire only when everything that has
//! been received was handled, because results and aborts go before clocks.

mod event;
mod leaving;
mod offering;
mod received;
mod reports;
mod running;
mod runs;
mod stream;

pub use event::{Action, Config, Delivery, Event, Finish, Outgoing, Start};
pub use reports::{GATHER_MAX, START_REPORT_MAX, START_REPORT_MIN};
pub use runs::RunId;
pub use stream::PROGRESS_INTERVAL;

use crate::net::Order;
use leaving::Leave;
use offering::Offering;
use proletariat_protocol::message::PeerMessage;
use proletariat_protocol::{MessageId, Time};
use reports::Reports;
use runs::{Runs, State};
use std::collections::BTreeSet;

/// The machine. See the head of the module.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    session: Option<Session>,
    /// Sessions so far.
    sessions: u64,
    phase: Phase,
    runs: Runs,
    offering: Offering,
    reports: Reports,
    /// Run limits of the runs that outlived the turn of their start.
    limits: BTreeSet<(Time, RunId)>,
    /// Progress that waits for its interval.
    progress_due: BTreeSet<(Time, RunId)>,
    /// Started since the last poll that said something to the manager.
    fresh: Vec<RunId>,
    /// When handlers of a lost session should have stopped.
    grace_until: Time,
    /// System messages of the owner without their report.
    unreported: BTreeSet<MessageId>,
    /// Said next, before anything that goes to the manager.
    urgent: Vec<Action>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    payload_bytes_max: u64,
}

/// Where the worker is in its life.
///
/// ```text
///  Serving ── drain ──► Leaving ── done, or too late ──► Finished
///     └───────────────── stop ──────────────────────────────▲
/// ```
#[derive(Debug)]
enum Phase {
    Serving,
    Leaving(Leave),
    Finished,
}

impl Machine {
    /// A worker without a session.
    ///
    /// # Panics
    /// If the offer cannot be kept: see [`Offer::check`](proletariat_protocol::Offer::check).
    #[must_use]
    pub fn new(config: Config) -> Self {
        assert!(config.offer.check().is_ok(), "the owner has checked the offer");
        Self {
            offering: Offering::new(config.offer.clone()),
            config,
            session: None,
            sessions: 0,
            phase: Phase::Serving,
            runs: Runs::default(),
            reports: Reports::default(),
            limits: BTreeSet::new(),
            progress_due: BTreeSet::new(),
            fresh: Vec::new(),
            grace_until: Time::ZERO,
            unreported: BTreeSet::new(),
            urgent: Vec::new(),
        }
    }

    /// Tells what happened.
    pub fn handle(&mut self, now: Time, event: Event) {
        if matches!(self.phase, Phase::Finished) {
            return;
        }
        match event {
            Event::Ended { run, ending } => self.ended(now, run, ending),
            Event::Received { message, payloads } => {
                if self.session.is_some() {
                    self.received(now, message, payloads);
                }
            }
            Event::Connected { payload_bytes_max } => self.connected(payload_bytes_max),
            Event::Disconnected => self.disconnected(now),
            Event::Data { run, payload } => self.data(now, run, payload),
            Event::Progress { run, done, total } => self.progress(now, run, done, total),
            Event::Offer(offer) => {
                assert!(offer.check().is_ok(), "the owner has checked the offer");
                self.offering.change(offer);
            }
            Event::Drain { timeout } => self.drain(now, timeout),
            Event::Stop => self.finish(now, Finish::Stopped),
            Event::SystemMessage { id, to, timeout_ms, content } => {
                self.system_message(id, to, timeout_ms, content);
            }
            Event::Confirmed(delivery) => self.confirmed(delivery),
        }
    }

    /// Fires what is due. Only when everything that has been received is handled.
    pub fn expire(&mut self, now: Time) {
        if matches!(self.phase, Phase::Finished) {
            return;
        }
        self.fire_limits(now);
        self.fire_progress(now);
        self.fire_leave(now);
    }

    /// What is to be done, in this order. Call it until it adds nothing.
    pub fn poll(&mut self, now: Time, actions: &mut Vec<Action>) {
        if !self.urgent.is_empty() || matches!(self.phase, Phase::Finished) {
            actions.append(&mut self.urgent);
            return;
        }
        self.settle();
        if self.session.is_some() {
            self.offer(now);
            self.flush(now, actions);
        }
        self.advance_leave(now);
        actions.append(&mut self.urgent);
    }

    /// When to expire and poll if nothing happens. A time that has passed means: at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.urgent.is_empty() || !self.fresh.is_empty() {
            return Some(Time::ZERO);
        }
        let first = |set: &BTreeSet<(Time, RunId)>| set.first().map(|(due, _)| *due);
        let phase = match &self.phase {
            Phase::Leaving(leave) => Some(leave.next_deadline()),
            Phase::Serving => self.session.as_ref().and_then(|_| self.offering.next_deadline()),
            Phase::Finished => return None,
        };
        let all = [first(&self.limits), first(&self.progress_due), self.reports.next_deadline(), phase];
        all.into_iter().flatten().min()
    }

    /// Gives back what was only needed for a crowd of runs. Best done when none is under way.
    pub fn release_memory(&mut self) {
        self.runs.shrink();
        self.reports.shrink();
        self.fresh.shrink_to_fit();
        self.urgent.shrink_to_fit();
    }

    /// Runs that hold a slot here, those of lost sessions included.
    #[must_use]
    pub fn running(&self) -> usize {
        self.runs.active() + self.runs.orphans()
    }

    /// Panics if two tables disagree.
    pub fn audit(&self) {
        self.runs.audit();
        assert!(self.runs.active() <= self.offering.slots_max(), "more runs than were ever offered");
        if self.session.is_none() {
            assert_eq!(self.runs.active(), 0, "a run without a session");
            assert!(self.unreported.is_empty(), "a report will never come");
        }
        for (due, id) in &self.limits {
            assert_eq!(self.runs.run(*id).and_then(|run| run.limit), Some(*due), "a limit of no run");
        }
    }

    fn connected(&mut self, payload_bytes_max: u64) {
        self.sessions += 1;
        // The wire states lengths in 32 bits.
        let payload_bytes_max = payload_bytes_max.min(u64::from(u32::MAX));
        self.session = Some(Session { number: self.sessions, payload_bytes_max });
        let hold = if self.runs.orphans() > 0 { self.grace_until } else { Time::ZERO };
        self.offering.begin(hold);
        if let Phase::Leaving(leave) = &mut self.phase {
            leave.nothing_offered();
        }
    }

    fn disconnected(&mut self, now: Time) {
        if self.session.take().is_none() {
            return;
        }
        self.cancel_all();
        self.runs.orphan_all();
        self.grace_until = now + self.config.kill_grace;
        self.offering.begin(Time::ZERO);
        self.reports.clear();
        self.limits.clear();
        self.progress_due.clear();
        self.fresh.clear();
        let lost = core::mem::take(&mut self.unreported);
        self.urgent.extend(lost.into_iter().map(|id| Action::Reported { id, report: None }));
        if let Phase::Leaving(leave) = &mut self.phase {
            leave.nothing_offered();
        }
    }

    /// Tells every handler that does not know it yet to stop; one that was not even started never will be.
    fn cancel_all(&mut self) {
        let mut unstarted = Vec::new();
        self.urgent.retain(|action| match action {
            Action::Start(start) => {
                unstarted.push(start.run);
                false
            }
            _ => true,
        });
        for id in unstarted {
            self.runs.remove(id);
        }
        for run in self.runs.ids() {
            if self.runs.run(run).is_some_and(|run| run.state == State::Running) {
                self.urgent.push(Action::Cancel { run });
            }
        }
    }

    fn offer(&mut self, now: Time) {
        if !matches!(self.phase, Phase::Serving) {
            return;
        }
        if self.runs.orphans() == 0 {
            self.offering.hold_ended();
        }
        if let Some(offer) = self.offering.next(now, self.runs.orphans()) {
            self.reports.push(PeerMessage::Offer(offer), Vec::new(), Order::Free);
        }
        self.tell_settled();
    }

    fn flush(&mut self, now: Time, actions: &mut Vec<Action>) {
        let all = self.runs.active() == 0;
        let threshold = self.config.answer_threshold;
        let mut send = |outgoing| actions.push(Action::Send(outgoing));
        self.reports.flush(now, threshold, all, &mut self.runs, &mut send);
    }
}

#[cfg(test)]
mod tests;
