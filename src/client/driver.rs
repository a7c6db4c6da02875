//! The client's side of the shared loop: commands become events, messages become events, actions become messages and
//! words to the callers. It decides nothing.

use super::calls::{Calls, Sink, Tag};
use super::handle::{LinkState, SystemMessage};
use super::machine::{Action, Event, GroupId, Job, JobError, Machine, Outcome, Submit, SystemReport};
use super::outcomes::Update;
use crate::net::connect::LinkError;
use crate::net::drive::{Member, OUTBOX_MARK_BYTES};
use crate::net::window::Room;
use crate::net::{Order, Outbox, Tail};
use proletariat_protocol::handshake::Welcome;
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{LeavingReason, ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{ErrorCode, JobOptions, MessageId, Payload, Time};
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot, watch};

/// Room for actions that is kept between turns.
const ACTIONS_KEPT: usize = 16 * 1_024;

/// What handles send.
#[derive(Debug)]
pub(super) enum Command {
    Open { tag: Tag, called: Time, options: Box<JobOptions>, jobs: Vec<Job>, open: bool, sink: Sink },
    Add { tag: Tag, job: Job },
    AddMany { tag: Tag, jobs: Vec<Job> },
    Close(Tag),
    Abort { tag: Tag, index: u64 },
    Drop(Tag),
    Taken { tag: Tag, index: u64, bytes: u64 },
    SystemMessage { content: Payload, to: Recipient, timeout_ms: u32, room: Room, reply: Reply<SystemReport> },
    Listen(Listener),
    Confirm(Delivery),
    Status(Reply<Payload>),
    Shutdown(oneshot::Sender<()>),
}

type Reply<T> = oneshot::Sender<Result<T, JobError>>;

/// Where system messages from others go.
type Listener = mpsc::Sender<(Delivery, SystemMessage)>;

/// A system message that came in, by the session it came in: a late confirmation is never taken for one of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Delivery {
    /// Counted here.
    session: u64,
    /// The manager's number.
    id: MessageId,
}

/// See the head of the file.
pub(super) struct ClientMember {
    machine: Machine,
    calls: Calls,
    /// Jobs of one group that were added one after the other, to be handed over together.
    adding: Option<(GroupId, Vec<Job>)>,
    actions: Vec<Action>,
    reports: HashMap<MessageId, (Room, Reply<SystemReport>)>,
    statuses: HashMap<MessageId, Reply<Payload>>,
    notes: u64,
    listener: Option<Listener>,
    state: watch::Sender<LinkState>,
    /// Sessions so far.
    sessions: u64,
    up: bool,
    /// No call is taken any more.
    closing: bool,
    /// Dropped with this, which is how those that wait for the end are told.
    waiting_for_end: Vec<oneshot::Sender<()>>,
}

impl ClientMember {
    pub(super) fn new(state: watch::Sender<LinkState>) -> Self {
        Self {
            machine: Machine::new(),
            calls: Calls::default(),
            adding: None,
            actions: Vec::new(),
            reports: HashMap::new(),
            statuses: HashMap::new(),
            notes: 0,
            listener: None,
            state,
            sessions: 0,
            up: false,
            closing: false,
            waiting_for_end: Vec::new(),
        }
    }

    fn add(&mut self, now: Time, tag: Tag, job: Job) {
        let Some(group) = self.calls.group(tag) else { return };
        match &mut self.adding {
            Some((adding, jobs)) if *adding == group => jobs.push(job),
            _ => {
                self.hand_over(now);
                self.adding = Some((group, vec![job]));
            }
        }
    }

    fn hand_over(&mut self, now: Time) {
        if let Some((group, jobs)) = self.adding.take() {
            self.machine.handle(now, Event::Added { group, jobs });
        }
    }

    /// For a call that is still there.
    fn about(&mut self, now: Time, tag: Tag, event: impl FnOnce(GroupId) -> Event) {
        if let Some(group) = self.calls.group(tag) {
            self.machine.handle(now, event(group));
        }
    }

    fn next_note(&mut self) -> MessageId {
        self.notes += 1;
        MessageId(self.notes)
    }

    fn shut_down(&mut self, now: Time) {
        self.closing = true;
        for group in self.calls.groups() {
            self.machine.handle(now, Event::Aborted { group, first: 0, count: u64::MAX });
            self.machine.handle(now, Event::Closed { group });
        }
    }

    fn incoming(&mut self, now: Time, id: MessageId, message: SystemMessage) {
        let Some(listener) = &self.listener else {
            self.machine.handle(now, Event::Confirmed { id });
            return;
        };
        let delivery = Delivery { session: self.sessions, id };
        match listener.try_send((delivery, message)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                tracing::warn!("a system message is dropped: the callback is too far behind");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.listener = None;
                self.machine.handle(now, Event::Confirmed { id });
            }
        }
    }

    /// The callback has returned. The number means nothing in another session than its own, or another message.
    fn confirm(&mut self, now: Time, delivery: Delivery) {
        if delivery.session == self.sessions {
            self.machine.handle(now, Event::Confirmed { id: delivery.id });
        }
    }

    fn carry_out(&mut self, now: Time, action: Action, outbox: &mut Outbox) {
        match action {
            Action::Submit(submit) => push_submit(*submit, outbox),
            Action::Abort { first, count } => {
                // The job of its own number is all that an abort of one must not pass.
                let order = if count == 1 { Order::Keyed(first.0) } else { Order::Barrier };
                outbox.push(&PeerMessage::Abort { first, count }, &[], order);
            }
            Action::Credit { job, bytes } => {
                outbox.push(&PeerMessage::Credit { job, bytes }, &[], Order::Free);
            }
            Action::SendSystemMessage { id, to, content, timeout_ms } => {
                let bytes = length(&content);
                let message = PeerMessage::SystemMessage { id, to, timeout_ms, bytes };
                outbox.push(&message, &[content], Order::Free);
            }
            Action::Confirm { id } => outbox.push(&PeerMessage::Confirm { id }, &[], Order::Free),
            Action::AskStatus { id } => outbox.push(&PeerMessage::StatusRequest { id }, &[], Order::Free),
            Action::Deliver { group, index, outcome } => self.calls.deliver(group, index, outcome),
            Action::Data { group, index, payload } => self.calls.update(group, index, Update::Data(payload)),
            Action::Progress { group, index, done, total } => {
                self.calls.update(group, index, Update::Progress { done, total });
            }
            Action::Restarted { group, index } => self.calls.update(group, index, Update::Restarted),
            Action::Finished { group } => self.calls.finish(group),
            Action::Incoming { id, from, content } => {
                self.incoming(now, id, SystemMessage { from, content });
            }
            // Whoever asked may have gone away meanwhile.
            Action::Report { id, result } => {
                let _ = self.reports.remove(&id).map(|(_room, reply)| reply.send(result));
            }
            Action::Status { id, result } => {
                let _ = self.statuses.remove(&id).map(|reply| reply.send(result));
            }
        }
    }
}

impl Member for ClientMember {
    type Command = Command;

    fn command(&mut self, now: Time, command: Command) {
        if !matches!(command, Command::Add { .. }) {
            self.hand_over(now);
        }
        match command {
            // Whoever waits for what is dropped here learns that the client is closed.
            Command::Open { .. } | Command::SystemMessage { .. } | Command::Status(_) if self.closing => {}
            Command::Open { tag, called, options, jobs, open, sink } => {
                let group = self.calls.open(tag, sink, jobs.len());
                self.machine.handle(called, Event::Opened { group, options: *options, jobs, open });
            }
            Command::Add { tag, job } => self.add(now, tag, job),
            Command::AddMany { tag, jobs } => self.about(now, tag, |group| Event::Added { group, jobs }),
            Command::Close(tag) => self.about(now, tag, |group| Event::Closed { group }),
            Command::Abort { tag, index } => {
                self.about(now, tag, |group| Event::Aborted { group, first: index, count: 1 });
            }
            Command::Drop(tag) => self.about(now, tag, |group| Event::Dropped { group }),
            Command::Taken { tag, index, bytes } => {
                self.about(now, tag, |group| Event::Taken { group, index, bytes });
            }
            Command::SystemMessage { content, to, timeout_ms, room, reply } => {
                let id = self.next_note();
                self.reports.insert(id, (room, reply));
                self.machine.handle(now, Event::SystemMessage { id, to, content, timeout_ms });
            }
            Command::Listen(listener) => self.listener = Some(listener),
            Command::Confirm(delivery) => self.confirm(now, delivery),
            Command::Status(reply) => {
                let id = self.next_note();
                self.statuses.insert(id, reply);
                self.machine.handle(now, Event::StatusAsked { id });
            }
            Command::Shutdown(done) => {
                self.waiting_for_end.push(done);
                self.shut_down(now);
            }
        }
    }

    fn commands_closed(&mut self, now: Time) {
        self.hand_over(now);
        self.shut_down(now);
    }

    fn link_up(&mut self, now: Time, welcome: &Welcome) {
        self.up = true;
        self.sessions += 1;
        self.machine.handle(now, Event::LinkUp { payload_bytes_max: welcome.payload_bytes_max });
        self.state.send_replace(LinkState::Up {
            peer: welcome.peer,
            software: welcome.software.clone(),
            payload_bytes_max: welcome.payload_bytes_max,
        });
    }

    fn link_down(&mut self, now: Time, error: &LinkError, next: Option<Time>) {
        self.up = false;
        let code = error.code().unwrap_or(ErrorCode::Shutdown);
        let why = JobError::new(code, error.to_string());
        self.machine.handle(now, Event::LinkDown { why, last: next.is_none() });
        self.state.send_replace(match next {
            Some(_) => LinkState::Connecting { last: Some(error.clone()) },
            None => LinkState::Over { error: error.clone() },
        });
    }

    fn receive(&mut self, now: Time, message: ManagerMessage, mut tail: Tail<'_>) {
        let machine = &mut self.machine;
        let event = match message {
            ManagerMessage::Outcomes { jobs } => {
                for job in jobs {
                    let outcome = outcome(job.outcome, tail.take(job.bytes));
                    machine.handle(now, Event::Ended { job: job.job, outcome });
                }
                return;
            }
            ManagerMessage::Refused { first, count, code, message, retry_after_ms } => {
                Event::Refused { first, count, error: JobError::new(code, message), retry_after_ms }
            }
            ManagerMessage::Data { job, bytes } => Event::Data { job, payload: tail.take(bytes) },
            ManagerMessage::Progress { job, done, total } => Event::Progress { job, done, total },
            ManagerMessage::Restarted { job } => Event::Restarted { job },
            ManagerMessage::SystemMessage { id, from, bytes } => {
                Event::Incoming { id, from, content: tail.take(bytes) }
            }
            ManagerMessage::SystemReport { id, sent_to, received_by } => {
                Event::Reported { id, report: SystemReport { sent_to, received_by } }
            }
            ManagerMessage::Status { id, bytes } => Event::Status { id, text: tail.take(bytes) },
            // Nothing to do, or for workers, or for the link.
            _ => return,
        };
        machine.handle(now, event);
    }

    fn expire(&mut self, now: Time) {
        self.hand_over(now);
        self.machine.expire(now);
    }

    fn poll(&mut self, now: Time, outbox: &mut Outbox) {
        self.hand_over(now);
        let mut actions = core::mem::take(&mut self.actions);
        loop {
            let room = if self.up { outbox.room(OUTBOX_MARK_BYTES) } else { 0 };
            self.machine.poll(now, room, &mut actions);
            if actions.is_empty() {
                break;
            }
            // One action may lead to the next: a message that nobody listens for is confirmed at once.
            for action in actions.drain(..) {
                self.carry_out(now, action, outbox);
            }
        }
        self.actions = actions;
        // A burst of a million answers must not keep its room for ever.
        self.actions.shrink_to(ACTIONS_KEPT);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline()
    }

    fn wants_to_leave(&self) -> Option<LeavingReason> {
        // Nobody is left who could be told about a system message.
        (self.closing && !self.machine.has_calls()).then_some(LeavingReason::Done)
    }
}

fn push_submit(submit: Submit, outbox: &mut Outbox) {
    let Submit { first, options, payloads } = submit;
    let payload_bytes = payloads.iter().map(length).collect();
    // Small jobs may pass a large one that is under way in fragments; an abort passes no job of its own.
    let order = Order::Keyed(first.0);
    outbox.push(&PeerMessage::Submit { first, options, payload_bytes }, &payloads, order);
}

fn length(payload: &Payload) -> u32 {
    u32::try_from(payload.len()).expect("what is over 4 GiB is over every limit and was refused before")
}

fn outcome(kind: OutcomeKind, payload: Payload) -> Outcome {
    match kind {
        OutcomeKind::Result => Ok(payload),
        OutcomeKind::Error(code) => Err(JobError::new(code, String::from_utf8_lossy(&payload))),
    }
}
