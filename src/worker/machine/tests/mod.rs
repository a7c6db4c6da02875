//! The machine in virtual time, with the manager's and the handlers' ends played by hand.

use super::*;
use crate::worker::Ending;
use core::time::Duration;
use proletariat_protocol::message::{AssignedExecution, FinishedRun, ManagerMessage};
use proletariat_protocol::{AssignmentId, HandBackReason, Offer, Payload, WorkResult};

mod leaving;
mod reports;
mod session;
mod stops;
mod streams;

const PAYLOAD_BYTES_MAX: u64 = 1_000_000;

struct World {
    machine: Machine,
    now: Time,
    /// What was said to the manager since it was looked at last.
    said: Vec<Outgoing>,
    /// The rest of what was to be done.
    done: Vec<Action>,
    /// Handlers that started, in order.
    started: Vec<Start>,
    /// Handlers that end in the turn of their start with their own payload.
    instant: bool,
}

fn execution(assignment: u64) -> AssignedExecution {
    AssignedExecution {
        assignment: AssignmentId(assignment),
        bytes: 1,
        attempt: 1,
        priority: 0,
        run_limit_ms: 0,
        rest_ms: 0,
        kind: None,
        stream: false,
    }
}

fn done(bytes: &'static str) -> Ending {
    Ending::Done(Payload::from_static(bytes.as_bytes()))
}

impl World {
    fn new(offer: Offer, answer_threshold: u32) -> Self {
        let kill_grace = Duration::from_secs(2);
        let machine = Machine::new(Config { offer, answer_threshold, kill_grace });
        let now = Time::from_millis(1_000);
        Self { machine, now, said: Vec::new(), done: Vec::new(), started: Vec::new(), instant: false }
    }

    /// With an open session in which this offer holds.
    fn serving(offer: Offer) -> Self {
        let mut world = Self::new(offer, 1);
        world.connect();
        assert!(matches!(world.take_said()[..], [PeerMessage::Offer(_)]));
        world.receive(ManagerMessage::OfferAccepted);
        assert!(matches!(world.done[..], [Action::OfferAccepted { wishes: 1 }]));
        world.done.clear();
        world
    }

    fn connect(&mut self) {
        self.tell(Event::Connected { payload_bytes_max: PAYLOAD_BYTES_MAX });
    }

    fn tell(&mut self, event: Event) {
        self.machine.handle(self.now, event);
        self.turn();
    }

    fn receive(&mut self, message: ManagerMessage) {
        self.tell(Event::Received { message, payloads: Vec::new() });
    }

    fn assign(&mut self, execution: AssignedExecution) -> RunId {
        self.assign_all(vec![execution]);
        self.started.last().expect("it started").run
    }

    fn assign_all(&mut self, executions: Vec<AssignedExecution>) {
        let payloads = vec![Payload::from_static(b"x"); executions.len()];
        self.tell(Event::Received { message: ManagerMessage::Assign { executions }, payloads });
    }

    fn end(&mut self, run: RunId, ending: Ending) {
        self.tell(Event::Ended { run, ending });
    }

    fn turn(&mut self) {
        self.machine.expire(self.now);
        loop {
            let mut actions = Vec::new();
            self.machine.poll(self.now, &mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.perform(action);
            }
        }
        self.machine.audit();
        assert!(self.machine.next_deadline().is_none_or(|due| due > self.now), "it would spin");
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start(start) => {
                if self.instant {
                    let ending = Ending::Done(start.payload.clone());
                    self.machine.handle(self.now, Event::Ended { run: start.run, ending });
                }
                self.started.push(start);
            }
            Action::Send(outgoing) => self.said.push(outgoing),
            other => self.done.push(other),
        }
    }

    /// Time passes, with a turn at each deadline on the way.
    fn pass(&mut self, millis: u64) {
        let until = self.now.plus_millis(millis);
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= until) {
            self.now = due;
            self.turn();
        }
        self.now = until;
        self.turn();
    }

    fn take_said(&mut self) -> Vec<PeerMessage> {
        self.said.drain(..).map(|outgoing| outgoing.message).collect()
    }

    fn take_done(&mut self) -> Vec<String> {
        self.done.drain(..).map(|action| format!("{action:?}")).collect()
    }

    /// The handlers that were told to stop since it was looked at last.
    fn take_cancelled(&mut self) -> Vec<RunId> {
        let cancelled = |action: Action| match action {
            Action::Cancel { run } => Some(run),
            _ => None,
        };
        self.done.drain(..).filter_map(cancelled).collect()
    }
}

fn finished(assignment: u64, result: WorkResult, bytes: u32) -> PeerMessage {
    PeerMessage::Finished { runs: vec![FinishedRun { assignment: AssignmentId(assignment), result, bytes }] }
}

fn started(assignments: &[u64]) -> PeerMessage {
    PeerMessage::Started { assignments: assignments.iter().copied().map(AssignmentId).collect() }
}

fn stopped(assignment: u64) -> PeerMessage {
    PeerMessage::Stopped { assignment: AssignmentId(assignment) }
}

fn hand_back(assignment: u64, reason: HandBackReason) -> PeerMessage {
    PeerMessage::HandBack { assignment: AssignmentId(assignment), reason }
}

fn cancel(assignment: u64) -> ManagerMessage {
    ManagerMessage::Cancel { assignment: AssignmentId(assignment) }
}
