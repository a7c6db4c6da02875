//! What the manager says, and the system messages of both directions.

use super::offering::Refused;
use super::runs::{Run, State, Why};
use super::stream::Stream;
use super::{Action, Delivery, Finish, Machine, Phase, Start};
use crate::net::Order;
use core::time::Duration;
use proletariat_protocol::message::{AssignedExecution, ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{AssignmentId, ErrorCode, HandBackReason, MessageId, Payload, Time};

impl Machine {
    pub(super) fn received(&mut self, now: Time, message: ManagerMessage, payloads: Vec<Payload>) {
        match message {
            ManagerMessage::Assign { executions } => {
                for (execution, payload) in executions.into_iter().zip(payloads) {
                    self.assigned(now, execution, payload);
                }
            }
            ManagerMessage::Cancel { assignment } => self.cancelled(assignment),
            ManagerMessage::SetRunLimit { assignment, run_limit_ms } => {
                self.set_run_limit(assignment, run_limit_ms);
            }
            ManagerMessage::Grant { assignment, bytes } => self.granted(now, assignment, bytes),
            ManagerMessage::OfferAccepted => {
                self.offering.accepted();
                self.tell_settled();
            }
            ManagerMessage::OfferRefused { code, message } => self.offer_refused(now, code, message),
            ManagerMessage::Withdrawn => self.withdrawn(),
            ManagerMessage::SystemMessage { id, from, .. } => {
                let session = self.sessions;
                let content = payloads.into_iter().next().unwrap_or_default();
                self.urgent.push(Action::Deliver { delivery: Delivery { session, id }, from, content });
            }
            ManagerMessage::SystemReport { id, sent_to, received_by } if self.unreported.remove(&id) => {
                self.urgent.push(Action::Reported { id, report: Some((sent_to, received_by)) });
            }
            // Signs of life and the manager's leaving are the connection's; the rest is for clients.
            _ => {}
        }
    }

    fn assigned(&mut self, now: Time, execution: AssignedExecution, payload: Payload) {
        let assignment = execution.assignment;
        if self.runs.find(assignment).is_some() {
            // Cannot happen with a right manager. Starting it again would run the work twice.
            return;
        }
        if !matches!(self.phase, Phase::Serving) {
            // It crossed our withdrawal. Somebody else can take it at once, and nobody waits for us.
            return self.hand_back(assignment, HandBackReason::Leaving);
        }
        if self.runs.active() >= self.offering.slots() {
            return self.hand_back(assignment, HandBackReason::Busy);
        }
        let run = Run {
            assignment,
            state: State::Running,
            started: now,
            limit: after(now, execution.run_limit_ms),
            rest: after(now, execution.rest_ms),
            settled: false,
            start_reported: false,
            has_streamed: false,
            stream: execution.stream.then(|| Box::new(Stream::new())),
        };
        let deadline = run.deadline();
        let id = self.runs.insert(run);
        self.fresh.push(id);
        self.urgent.push(Action::Start(Start {
            run: id,
            assignment,
            payload,
            kind: execution.kind,
            attempt: execution.attempt,
            priority: execution.priority,
            deadline,
            stream: execution.stream,
            result_bytes_max: self.session.as_ref().map_or(0, |session| session.payload_bytes_max),
        }));
    }

    pub(super) fn hand_back(&mut self, assignment: AssignmentId, reason: HandBackReason) {
        let message = PeerMessage::HandBack { assignment, reason };
        self.reports.push(message, Vec::new(), Order::Keyed(assignment.0));
    }

    fn cancelled(&mut self, assignment: AssignmentId) {
        let Some(id) = self.runs.find(assignment) else {
            // Its end is on the way.
            return;
        };
        if matches!(self.runs.run(id), Some(Run { state: State::Flushing(..), .. })) {
            self.runs.remove(id);
            self.reports.push(PeerMessage::Stopped { assignment }, Vec::new(), Order::Keyed(assignment.0));
        } else {
            self.stop_run(id, Why::Cancelled);
        }
    }

    fn set_run_limit(&mut self, assignment: AssignmentId, run_limit_ms: u32) {
        let Some(id) = self.runs.find(assignment) else {
            return;
        };
        let Some(run) = self.runs.run_mut(id).filter(|run| run.state == State::Running) else {
            return;
        };
        let before = core::mem::replace(&mut run.limit, after(run.started, run_limit_ms));
        if run.settled {
            before.map(|due| self.limits.remove(&(due, id)));
            run.limit.map(|due| self.limits.insert((due, id)));
        }
        let deadline = run.deadline();
        self.urgent.push(Action::SetDeadline { run: id, deadline });
    }

    fn granted(&mut self, now: Time, assignment: AssignmentId, bytes: u64) {
        let Some(id) = self.runs.find(assignment) else {
            return;
        };
        if let Some(stream) = self.runs.run_mut(id).and_then(|run| run.stream.as_deref_mut()) {
            stream.grant(bytes);
            self.advance_stream(now, id);
        }
    }

    /// The owner hears of those of his offers that hold.
    pub(super) fn tell_settled(&mut self) {
        let wishes = self.offering.take_settled();
        if wishes > 0 {
            self.urgent.push(Action::OfferAccepted { wishes });
        }
    }

    fn offer_refused(&mut self, now: Time, code: ErrorCode, message: String) {
        match self.offering.refused(now) {
            Refused::AtFirst => self.finish(now, Finish::OfferRefused { code, message }),
            Refused::Change(wishes) => self.urgent.push(Action::OfferRefused { wishes, message }),
            Refused::Later => {}
        }
    }

    pub(super) fn system_message(&mut self, id: MessageId, to: Recipient, timeout_ms: u32, content: Payload) {
        if self.session.is_none() {
            self.urgent.push(Action::Reported { id, report: None });
            return;
        }
        let bytes = u32::try_from(content.len()).expect("the owner has checked the length");
        self.unreported.insert(id);
        let message = PeerMessage::SystemMessage { id, to, timeout_ms, bytes };
        self.reports.push(message, vec![content], Order::Free);
    }

    pub(super) fn confirmed(&mut self, delivery: Delivery) {
        if self.session.as_ref().is_some_and(|session| session.number == delivery.session) {
            self.reports.push(PeerMessage::Confirm { id: delivery.id }, Vec::new(), Order::Free);
        }
    }
}

/// So many milliseconds after `start`; 0 means never.
fn after(start: Time, millis: u32) -> Option<Time> {
    (millis > 0).then(|| start + Duration::from_millis(u64::from(millis)))
}
