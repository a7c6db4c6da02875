//! Between the machine and the world: handlers become futures and tasks, messages go to the outbox.

use super::cleanup::CleanUp;
use super::handle::{SystemMessage, SystemReport};
use super::handler::{AnyHandler, Labour, Work, panicked};
use super::inline::Inline;
use super::machine::{Action, Delivery, Event, Finish, Machine, RunId, Start};
use super::queue::Queued;
use super::run::{Run, Shared};
use super::{Ending, Error};
use crate::net::connect::LinkError;
use crate::net::drive::{Clock, Member};
use crate::net::window::Room;
use crate::net::{Outbox, Tail};
use core::fmt;
use core::panic::AssertUnwindSafe;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use futures_util::FutureExt;
use proletariat_protocol::handshake::Welcome;
use proletariat_protocol::message::{LeavingReason, ManagerMessage, Recipient};
use proletariat_protocol::{MessageId, Offer, Payload, Time};
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::Arc;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Takes system messages to the owner's callback.
pub(super) type Listener = mpsc::Sender<(Delivery, SystemMessage)>;
type Reply<T> = oneshot::Sender<Result<T, Error>>;
type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

/// What handles and handlers send.
pub(super) enum Command {
    /// A handler did something, or a callback returned.
    Event(Event),
    /// The owner of a queue is done with these.
    Ended(Vec<(RunId, Ending)>),
    Offer {
        offer: Offer,
        reply: Reply<()>,
    },
    Drain {
        timeout: Duration,
    },
    Stop,
    Listen(Listener),
    SystemMessage {
        to: Recipient,
        timeout_ms: u32,
        content: Payload,
        room: Room,
        reply: Reply<SystemReport>,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event(event) => return event.fmt(f),
            Self::Ended(_) => "Ended",
            Self::Offer { .. } => "Offer",
            Self::Drain { .. } => "Drain",
            Self::Stop => "Stop",
            Self::Listen(_) => "Listen",
            Self::SystemMessage { .. } => "SystemMessage",
        })
    }
}

/// A run whose handler had to wait.
struct Running {
    shared: Arc<Shared>,
    task: AbortHandle,
}

pub(super) struct Driver {
    machine: Machine,
    labour: Labour,
    /// For the owner of a queue, gathered in a turn.
    queued: Vec<Queued>,
    clock: Clock,
    commands: UnboundedSender<Command>,
    running: Map<RunId, Running>,
    inline: Inline,
    actions: Vec<Action>,
    /// Who waits to hear that an offer holds, in the order in which they were made.
    offered: VecDeque<Reply<()>>,
    reports: Map<MessageId, (Room, Reply<SystemReport>)>,
    messages: u64,
    listener: Option<Listener>,
    clean_up: CleanUp,
    finish: Option<Finish>,
    /// What a drain has said is worth waiting for until then, even while the manager takes nothing. `None`: nobody drains, or
    /// a stop has come.
    drain_until: Option<Time>,
    gave_up: Option<LinkError>,
}

impl Driver {
    pub(super) fn new(
        machine: Machine,
        labour: Labour,
        clock: Clock,
        commands: UnboundedSender<Command>,
        offered: Reply<()>,
        clean_up: CleanUp,
    ) -> Self {
        Self {
            machine,
            labour,
            queued: Vec::new(),
            clock,
            commands,
            running: Map::default(),
            inline: Inline::default(),
            actions: Vec::new(),
            offered: VecDeque::from([offered]),
            reports: Map::default(),
            messages: 0,
            listener: None,
            clean_up,
            finish: None,
            drain_until: None,
            gave_up: None,
        }
    }

    /// How it ended.
    pub(super) fn into_result(mut self) -> Result<(), Error> {
        if let Some(error) = self.gave_up.take() {
            return Err(Error::Link(error));
        }
        match self.finish.take() {
            Some(Finish::OfferRefused { code, message }) => Err(Error::OfferRefused { code, message }),
            Some(Finish::Drained | Finish::Stopped) | None => Ok(()),
        }
    }

    fn perform(&mut self, now: Time, action: Action, outbox: &mut Outbox) {
        match action {
            Action::Start(start) => match &self.labour {
                Labour::Each(handler) => self.start(Arc::clone(handler), start),
                Labour::Queue(_) => self.queued.push(Queued::Started(start.into())),
            },
            Action::Send(outgoing) => outbox.push(&outgoing.message, &outgoing.payloads, outgoing.order),
            Action::Cancel { run } => match &self.labour {
                Labour::Each(_) => self.with_run(run, Shared::cancel),
                Labour::Queue(_) => self.queued.push(Queued::Cancelled(run)),
            },
            Action::SetDeadline { run, deadline } => {
                self.with_run(run, |shared| shared.set_deadline(deadline));
            }
            Action::Taken { run, bytes } => self.with_run(run, |shared| shared.taken(bytes)),
            Action::Deliver { delivery, from, content } => {
                self.deliver(now, delivery, SystemMessage { from, content });
            }
            Action::Reported { id, report } => {
                let report = report.map(|(sent_to, received_by)| SystemReport { sent_to, received_by });
                if let Some((_room, reply)) = self.reports.remove(&id) {
                    let _ = reply.send(report.ok_or(Error::NoManager));
                }
            }
            Action::OfferAccepted { wishes } => self.answer_offers(wishes, &Ok(())),
            Action::OfferRefused { wishes, message } => {
                let code = proletariat_protocol::ErrorCode::InvalidSlots;
                self.answer_offers(wishes, &Err(Error::OfferRefused { code, message }));
            }
            Action::Finished(finish) => {
                self.running.drain().for_each(|(_, running)| running.task.abort());
                self.finish = Some(finish);
            }
        }
    }

    /// Those who have waited longest hear what became of their offers.
    fn answer_offers(&mut self, wishes: usize, answer: &Result<(), Error>) {
        for reply in self.offered.drain(..wishes) {
            let _ = reply.send(answer.clone());
        }
    }

    /// What was only needed for a crowd.
    fn release_memory(&mut self) {
        self.machine.release_memory();
        self.running.shrink_to_fit();
        self.reports.shrink_to_fit();
        self.actions.shrink_to_fit();
    }

    fn with_run(&self, id: RunId, tell: impl FnOnce(&Shared)) {
        if let Some(running) = self.running.get(&id) {
            tell(&running.shared);
        }
    }

    /// What was gathered for the owner of a queue.
    fn hand_over(&mut self) {
        if let Labour::Queue(queue) = &self.labour
            && !self.queued.is_empty()
        {
            queue.send(core::mem::take(&mut self.queued));
        }
    }

    fn start(&mut self, handler: Arc<dyn AnyHandler>, start: Start) {
        let id = start.run;
        let run = Run::new(start, self.clock, self.commands.clone());
        let shared = Arc::clone(run.shared());
        let mut work = handler.start(run);
        if self.inline.is_next() {
            let begin = self.inline.begins(|| self.clock.now());
            let polled = poll_once(&mut work);
            let now = self.clock.now();
            self.inline.took(begin, now);
            if let Poll::Ready(ending) = polled {
                drop(work);
                self.clean_up.ended();
                return self.machine.handle(now, Event::Ended { run: id, ending });
            }
        }
        let commands = self.commands.clone();
        let task = tokio::spawn(async move {
            let ending = AssertUnwindSafe(work).catch_unwind().await;
            let ending = ending.unwrap_or_else(|panic| Ending::Failed(panicked(&*panic)));
            let _ = commands.send(Command::Event(Event::Ended { run: id, ending }));
        });
        self.running.insert(id, Running { shared, task: task.abort_handle() });
    }

    /// As in the machine, a second one can only shorten the first; one that comes after the end changes nothing.
    fn drain(&mut self, now: Time, timeout: Duration) {
        if self.finish.is_none() {
            let until = now + timeout;
            self.drain_until = Some(self.drain_until.map_or(until, |first| first.min(until)));
        }
        self.machine.handle(now, Event::Drain { timeout });
    }

    fn deliver(&mut self, now: Time, delivery: Delivery, message: SystemMessage) {
        match &self.listener {
            None => self.machine.handle(now, Event::Confirmed(delivery)),
            // One too many stays unconfirmed: a callback that hangs must not fill the memory.
            Some(listener) => drop(listener.try_send((delivery, message))),
        }
    }
}

/// The first poll. Whoever waits afterwards is polled anew with a waker that wakes.
fn poll_once(work: &mut Work) -> Poll<Ending> {
    let mut context = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context)));
    polled.unwrap_or_else(|panic| Poll::Ready(Ending::Failed(panicked(&*panic))))
}

impl Member for Driver {
    type Command = Command;

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Event(event) => {
                if let Event::Ended { run, .. } = &event {
                    self.running.remove(run);
                    self.clean_up.ended();
                }
                self.machine.handle(now, event);
            }
            Command::Ended(endings) => {
                for (run, ending) in endings {
                    self.clean_up.ended();
                    self.machine.handle(now, Event::Ended { run, ending });
                }
            }
            Command::Offer { offer, reply } => {
                self.offered.push_back(reply);
                self.machine.handle(now, Event::Offer(offer));
            }
            Command::Drain { timeout } => self.drain(now, timeout),
            Command::Stop => {
                self.drain_until = None;
                self.machine.handle(now, Event::Stop);
            }
            Command::Listen(listener) => self.listener = Some(listener),
            Command::SystemMessage { to, timeout_ms, content, room, reply } => {
                self.messages += 1;
                let id = MessageId(self.messages);
                self.reports.insert(id, (room, reply));
                self.machine.handle(now, Event::SystemMessage { id, to, timeout_ms, content });
            }
        }
    }

    fn commands_closed(&mut self, now: Time) {
        self.machine.handle(now, Event::Stop);
    }

    fn link_up(&mut self, now: Time, welcome: &Welcome) {
        tracing::info!(peer = %welcome.peer, "the manager is there");
        let payload_bytes_max = welcome.payload_bytes_max;
        self.machine.handle(now, Event::Connected { payload_bytes_max });
    }

    fn link_down(&mut self, now: Time, error: &LinkError, next: Option<Time>) {
        self.machine.handle(now, Event::Disconnected);
        match next {
            Some(next) if self.finish.is_none() => {
                tracing::warn!(%error, again_in = ?next.since(now), "no manager");
            }
            Some(_) => {}
            None => {
                if self.finish.is_none() {
                    self.gave_up = Some(error.clone());
                }
                self.machine.handle(now, Event::Stop);
            }
        }
    }

    fn receive(&mut self, now: Time, message: ManagerMessage, mut tail: Tail<'_>) {
        let payloads = match &message {
            ManagerMessage::Assign { executions } => {
                executions.iter().map(|execution| tail.take(execution.bytes)).collect()
            }
            ManagerMessage::SystemMessage { bytes, .. } => vec![tail.take(*bytes)],
            _ => Vec::new(),
        };
        self.machine.handle(now, Event::Received { message, payloads });
    }

    fn expire(&mut self, now: Time) {
        self.machine.expire(now);
    }

    fn poll(&mut self, now: Time, outbox: &mut Outbox) {
        self.inline.begin_turn();
        let mut actions = core::mem::take(&mut self.actions);
        loop {
            self.machine.poll(now, &mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                self.perform(now, action, outbox);
            }
        }
        self.actions = actions;
        self.hand_over();
        if self.clean_up.due(self.machine.running() == 0).is_some_and(|due| due <= now) {
            self.release_memory();
            self.clean_up.done(now);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let clean_up = self.clean_up.due(self.machine.running() == 0);
        [self.machine.next_deadline(), clean_up].into_iter().flatten().min()
    }

    fn wants_to_leave(&self) -> Option<LeavingReason> {
        self.finish.as_ref().map(|finish| match finish {
            Finish::Drained | Finish::Stopped => LeavingReason::Draining,
            Finish::OfferRefused { .. } => LeavingReason::Refused,
        })
    }

    fn unsent_until(&self) -> Option<Time> {
        self.drain_until.filter(|_| matches!(self.finish, Some(Finish::Drained)))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for running in self.running.values() {
            running.shared.cancel();
            running.task.abort();
        }
    }
}
