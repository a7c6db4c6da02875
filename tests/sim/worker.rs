//! A worker process: the product's machine, handlers that behave well or badly, and an owner who changes the offer and
//! drains it at times.

use crate::environment::{Environment, Happening};
use crate::handlers::Handlers;
use proletariat::net::{Outbox, Tail};
use proletariat::worker::machine::{Action, Config, Event, Machine, RunId};
use proletariat_protocol::handshake::Welcome;
use proletariat_protocol::message::{ManagerMessage, Recipient};
use proletariat_protocol::{MessageId, Offer, Payload, Time};
use std::collections::BTreeSet;
use std::time::Duration;

/// See the head of the file.
pub struct WorkerPart {
    host: usize,
    process: u64,
    machine: Machine,
    handlers: Handlers,
    slots_max: u32,
    messages: u64,
    unreported: BTreeSet<MessageId>,
    draining: bool,
}

/// Some offer. The last worker of a healed world takes everything.
pub fn draw_offer(env: &mut Environment) -> Offer {
    let features = env.options.features.clone();
    let mut offer = Offer::new(env.random.between(1, 8) as u32);
    let mut left = offer.slots;
    for bound in [1, 2, 5] {
        if features.guarantees && env.random.percent(50) {
            let slots = env.random.below(u64::from(left) + 1) as u32;
            left -= slots;
            offer = offer.guarantee(bound, slots);
        }
    }
    match env.random.below(3) {
        0 if features.kinds => offer.kinds(["add"]),
        1 if features.kinds => offer.kinds(["add", "mult"]),
        _ => offer,
    }
}

impl WorkerPart {
    pub fn new(host: usize, process: u64, offer: Offer) -> Self {
        let slots_max = offer.slots;
        let config = Config { offer, answer_threshold: 1, kill_grace: Duration::from_secs(2) };
        Self {
            host,
            process,
            machine: Machine::new(config),
            handlers: Handlers::new(host, process),
            slots_max,
            messages: 0,
            unreported: BTreeSet::new(),
            draining: false,
        }
    }

    /// The owner does something.
    pub fn act(&mut self, env: &mut Environment) {
        if env.healed {
            return;
        }
        if env.options.features.reoffers && !self.draining {
            let offer = draw_offer(env);
            self.slots_max = self.slots_max.max(offer.slots);
            self.machine.handle(env.now, Event::Offer(offer));
        }
        if env.options.features.messages && env.random.percent(50) {
            self.messages += 1;
            let id = MessageId(self.messages);
            self.unreported.insert(id);
            let content = Payload::from(format!("message {id} of process {}", self.process));
            let event = Event::SystemMessage { id, to: Recipient::All, timeout_ms: 0, content };
            self.machine.handle(env.now, event);
        }
        let wait = env.random.below(env.options.act_one_ms * 500);
        let (host, process) = (self.host, self.process);
        env.after(wait, Happening::Doing { host, process });
        env.wake(host, env.now);
    }

    pub fn drain(&mut self, env: &mut Environment) {
        self.draining = true;
        let timeout = Duration::from_millis(env.random.below(5_000));
        env.note(|| format!("host {} drains for {timeout:?}", self.host));
        self.machine.handle(env.now, Event::Drain { timeout });
        env.wake(self.host, env.now);
    }

    /// A handler goes on, unless its process is stopped.
    pub fn handler(&mut self, env: &mut Environment, run: RunId, stalled: Time) {
        if stalled > env.now {
            return self.handlers.postpone(env, run, stalled);
        }
        if let Some(event) = self.handlers.step(env, run) {
            self.machine.handle(env.now, event);
            env.wake(self.host, env.now);
        }
    }

    pub fn link_up(&mut self, env: &mut Environment, welcome: &Welcome) {
        self.machine.handle(env.now, Event::Connected { payload_bytes_max: welcome.payload_bytes_max });
    }

    pub fn link_down(&mut self, env: &mut Environment) {
        self.machine.handle(env.now, Event::Disconnected);
    }

    pub fn receive(&mut self, env: &mut Environment, message: ManagerMessage, mut tail: Tail<'_>) {
        let payloads = match &message {
            ManagerMessage::Assign { executions } => {
                executions.iter().map(|execution| tail.take(execution.bytes)).collect()
            }
            ManagerMessage::SystemMessage { bytes, .. } => vec![tail.take(*bytes)],
            _ => Vec::new(),
        };
        self.machine.handle(env.now, Event::Received { message, payloads });
    }

    pub fn expire(&mut self, env: &mut Environment) {
        self.machine.expire(env.now);
    }

    /// Whether the worker is over.
    pub fn poll(&mut self, env: &mut Environment, outbox: &mut Outbox) -> bool {
        let mut over = false;
        loop {
            let mut actions = Vec::new();
            self.machine.poll(env.now, &mut actions);
            if actions.is_empty() {
                return over;
            }
            for action in actions {
                over |= matches!(action, Action::Finished(_));
                self.carry_out(env, action, outbox);
            }
            if over {
                return true;
            }
        }
    }

    fn carry_out(&mut self, env: &mut Environment, action: Action, outbox: &mut Outbox) {
        match action {
            Action::Start(start) => {
                self.handlers.start(env, start);
                let (running, most) = (self.handlers.running(), self.slots_max as usize);
                env.books.require(running <= most, "1 slots", || {
                    format!(
                        "{running} handlers run on host {}, which never offered more than {most}",
                        self.host
                    )
                });
            }
            Action::Cancel { run } => self.handlers.cancel(env, run),
            Action::Taken { run, .. } => self.handlers.taken(env, run),
            Action::Send(outgoing) => outbox.push(&outgoing.message, &outgoing.payloads, outgoing.order),
            Action::Deliver { delivery, .. } => self.machine.handle(env.now, Event::Confirmed(delivery)),
            Action::Reported { id, .. } => {
                let asked = self.unreported.remove(&id);
                env.books.require(asked, "13 one report", || format!("message {id} is reported twice"));
            }
            Action::SetDeadline { .. } | Action::OfferAccepted { .. } | Action::Finished(_) => {}
            Action::OfferRefused { message, .. } => env.books.violate("offer", || message),
        }
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline()
    }

    pub fn is_idle(&self) -> bool {
        self.machine.running() == 0 && self.handlers.running() == 0 && self.unreported.is_empty()
    }

    pub fn audit(&self) {
        self.machine.audit();
    }
}
