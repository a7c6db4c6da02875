//! What is told to the manager about runs, gathered so that one message says much.
//!
//! Results wait for company up to the answer threshold, but never long. Starts wait longer: a short job's start is told by
//! its result alone, so at full load nothing is said about starts at all.

use super::event::Outgoing;
use super::runs::{RunId, Runs};
use crate::net::Order;
use core::time::Duration;
use proletariat_protocol::limits::ENTRIES_PER_MESSAGE_MAX;
use proletariat_protocol::message::{FinishedRun, PeerMessage};
use proletariat_protocol::{AssignmentId, Payload, Time, WorkResult};
use std::collections::VecDeque;

/// Results are held back at most so long for the answer threshold.
pub const GATHER_MAX: Duration = Duration::from_millis(5);
/// A start is reported after this at the latest.
pub const START_REPORT_MAX: Duration = Duration::from_millis(100);
/// A start younger than this does not ride with other messages: its result may come first and say it all.
pub const START_REPORT_MIN: Duration = Duration::from_millis(5);
/// Payload bytes of one message of results; a larger result goes alone, so that it never holds up the others.
const RESULTS_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Told as they come, in order.
    outbox: Vec<Outgoing>,
    results: Vec<FinishedRun>,
    payloads: Vec<Payload>,
    gathered_since: Option<Time>,
    /// Runs in the order of their starts, without those that were told or ended when it was looked at last.
    starts: VecDeque<(Time, RunId)>,
}

impl Reports {
    /// Gives back the room that is not in use.
    pub(super) fn shrink(&mut self) {
        self.outbox.shrink_to_fit();
        self.results.shrink_to_fit();
        self.payloads.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    /// Of no use any more: the session they belong to is lost.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn push(&mut self, message: PeerMessage, payloads: Vec<Payload>, order: Order) {
        self.outbox.push(Outgoing { message, payloads, order });
    }

    pub(super) fn started(&mut self, now: Time, run: RunId) {
        self.starts.push_back((now, run));
    }

    /// A start that cannot wait, because data follows, or the end of one that was stopped.
    pub(super) fn started_at_once(&mut self, assignment: AssignmentId) {
        self.push(
            PeerMessage::Started { assignments: vec![assignment] },
            Vec::new(),
            Order::Keyed(assignment.0),
        );
    }

    /// A result. One that must stay behind its data goes alone and keyed.
    pub(super) fn finished(
        &mut self,
        now: Time,
        assignment: AssignmentId,
        result: WorkResult,
        payload: Payload,
        keyed: bool,
    ) {
        let bytes = u32::try_from(payload.len()).expect("a result was held against the payload limit");
        let run = FinishedRun { assignment, result, bytes };
        if keyed {
            self.push(PeerMessage::Finished { runs: vec![run] }, vec![payload], Order::Keyed(assignment.0));
        } else {
            self.gathered_since.get_or_insert(now);
            self.results.push(run);
            self.payloads.push(payload);
        }
    }

    pub(super) fn has_results(&self) -> bool {
        !self.results.is_empty()
    }

    /// Everything that is due goes to `send`. `all`: there is nothing left to wait for.
    pub(super) fn flush(
        &mut self,
        now: Time,
        threshold: u32,
        all: bool,
        runs: &mut Runs,
        send: &mut impl FnMut(Outgoing),
    ) {
        let gathered = self.gathered_since.is_some_and(|since| now >= since + GATHER_MAX);
        let results_due = self.has_results() && (all || gathered || self.results.len() >= threshold as usize);
        self.forget_ended_starts(runs);
        let start_due = self.starts.front().is_some_and(|(since, _)| now >= *since + START_REPORT_MAX);
        if !results_due && !start_due && self.outbox.is_empty() {
            return;
        }
        loop {
            let assignments = self.take_starts(now, runs);
            if assignments.is_empty() {
                break;
            }
            send(free(PeerMessage::Started { assignments }, Vec::new()));
        }
        self.outbox.drain(..).for_each(&mut *send);
        if results_due {
            self.flush_results(send);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let results = self.gathered_since.map(|since| since + GATHER_MAX);
        let starts = self.starts.front().map(|(since, _)| *since + START_REPORT_MAX);
        results.into_iter().chain(starts).min()
    }

    fn forget_ended_starts(&mut self, runs: &Runs) {
        let is_old = |id: RunId| runs.run(id).is_none_or(|run| run.start_reported);
        while self.starts.front().is_some_and(|(_, id)| is_old(*id)) {
            self.starts.pop_front();
        }
    }

    /// Starts for one message.
    fn take_starts(&mut self, now: Time, runs: &mut Runs) -> Vec<AssignmentId> {
        let mut assignments = Vec::new();
        while let Some((since, id)) = self.starts.front().copied() {
            if now < since + START_REPORT_MIN || assignments.len() == ENTRIES_PER_MESSAGE_MAX {
                break;
            }
            self.starts.pop_front();
            if let Some(run) = runs.run_mut(id).filter(|run| !run.start_reported) {
                run.start_reported = true;
                assignments.push(run.assignment);
            }
        }
        assignments
    }

    fn flush_results(&mut self, send: &mut impl FnMut(Outgoing)) {
        self.gathered_since = None;
        let runs = core::mem::take(&mut self.results);
        let payloads = core::mem::take(&mut self.payloads);
        let bytes: usize = payloads.iter().map(Payload::len).sum();
        if runs.len() <= ENTRIES_PER_MESSAGE_MAX && (bytes <= RESULTS_BYTES_MAX || runs.len() == 1) {
            send(free(PeerMessage::Finished { runs }, payloads));
            return;
        }
        let mut batch = (Vec::new(), Vec::new());
        let mut batch_bytes = 0;
        for (run, payload) in runs.into_iter().zip(payloads) {
            let is_full =
                batch.0.len() == ENTRIES_PER_MESSAGE_MAX || batch_bytes + payload.len() > RESULTS_BYTES_MAX;
            if is_full && !batch.0.is_empty() {
                let (runs, payloads) = core::mem::take(&mut batch);
                batch_bytes = 0;
                send(free(PeerMessage::Finished { runs }, payloads));
            }
            batch_bytes += payload.len();
            batch.0.push(run);
            batch.1.push(payload);
        }
        let (runs, payloads) = batch;
        send(free(PeerMessage::Finished { runs }, payloads));
    }
}

fn free(message: PeerMessage, payloads: Vec<Payload>) -> Outgoing {
    Outgoing { message, payloads, order: Order::Free }
}
