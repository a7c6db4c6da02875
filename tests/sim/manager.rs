//! A manager without sockets: the brain, and what the product's driver does around it, turn by turn. Greeting, clocks of
//! connections and the translation between wire and brain are the product's own files.

use crate::brain::Brain;
use crate::environment::{Environment, MANAGER};
use crate::greeting::{self, Greeting};
use crate::invariants;
use crate::liveness::{Cause, Clocks, Phase, Verdict};
use crate::model::Model;
use crate::network::Side;
use crate::session::{Session, write_some};
use crate::stopping::Stage;
use crate::translate::{self, Heard, Speaker};
use proletariat::net::{Order, Tail};
use proletariat_protocol::handshake::Welcome;
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, PeerId, Time};
use proletariat_scheduler::{Abilities, Action, Event, Joined, OutboxLevel};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// As in the driver: a clock that is due for so long when it is looked at tells that the manager was stopped.
const STALL_MICROS: u64 = 1_000_000;
/// What was said last is taken by then, or not at all.
pub const LAST_WORD: Duration = Duration::from_secs(1);
/// Steps between two looks at the status.
const STATUS_STEPS: u64 = 8;

/// One start of a manager.
pub struct Manager {
    brain: Box<dyn Brain>,
    model: Option<Model>,
    pub sessions: BTreeMap<u64, Session>,
    pub stage: Stage,
    places: BTreeMap<PeerId, u64>,
    peers: u64,
    clocks: Clocks,
    due: Time,
    floor: Time,
}

impl Manager {
    pub fn new(brain: Box<dyn Brain>, env: &Environment) -> Self {
        let options = &env.options;
        Self {
            model: brain.is_product().then(|| Model::new(options.scheduler.clone())),
            brain,
            sessions: BTreeMap::new(),
            stage: Stage::Open,
            places: BTreeMap::new(),
            peers: 0,
            clocks: Clocks {
                heartbeat: options.heartbeat,
                heartbeat_timeout: options.heartbeat_timeout,
                handshake_timeout: Duration::from_secs(5),
                frame_timeout: Duration::from_secs(30),
                outbox_stall: options.outbox_stall,
                silence_allowed: false,
            },
            due: Time::NEVER,
            floor: Time::ZERO,
        }
    }

    pub fn accept(&mut self, env: &mut Environment, connection: u64) {
        let mut session = Session::new(env.now, env.options.scheduler.payload_bytes_max);
        session.closed = self.no_place(env);
        if session.closed.is_some() {
            session.liveness.enter(Phase::Greeting, env.now);
        }
        self.sessions.insert(connection, session);
        env.wake(MANAGER, env.now);
    }

    pub fn status(&self, now: Time) -> proletariat_scheduler::Status {
        self.brain.status(now)
    }

    pub fn tell(&mut self, env: &mut Environment, event: Event<'_>) {
        tell(&mut *self.brain, self.model.as_mut(), env, event);
    }

    pub fn turn(&mut self, env: &mut Environment) {
        if env.now.0.saturating_sub(self.due.0) > STALL_MICROS {
            self.floor = env.now;
        }
        for connection in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.read(env, connection);
        }
        for connection in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.look(env, connection);
        }
        self.decide(env);
        self.go_on_stopping(env);
        for connection in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.write(env, connection);
        }
        let looks = self.sessions.values().map(|session| session.look).chain([self.stage.until()]);
        self.due = looks.chain(self.brain.next_deadline()).min().unwrap_or(Time::NEVER);
        if self.due < Time::NEVER {
            env.wake(MANAGER, self.due);
        }
    }

    fn read(&mut self, env: &mut Environment, connection: u64) {
        let read = env.read(connection, Side::Manager);
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if !read.bytes.is_empty() {
            session.liveness.heard(env.now);
            match session.liveness.phase {
                Phase::Silent | Phase::Greeting => self.greet(env, connection, &read.bytes),
                Phase::Open => self.hear(env, connection, &read.bytes),
                Phase::Closing(_) => {}
            }
        }
        if read.over {
            self.lose(env, connection);
        }
    }

    fn greet(&mut self, env: &mut Environment, connection: u64, bytes: &[u8]) {
        let closed = self.closed();
        let session = self.sessions.get_mut(&connection).expect("just read");
        session.greeting.extend_from_slice(bytes);
        match greeting::read(&session.greeting, 1917, closed.as_ref().or(session.closed.as_ref())) {
            Greeting::NeedMore => session.liveness.enter(Phase::Greeting, env.now),
            Greeting::Refused { answer, why } => self.refuse(env, connection, answer, &why),
            Greeting::Hello { hello, version, bytes } => {
                self.peers += 1;
                let peer = PeerId(self.peers);
                let rest = session.greeting.split_off(bytes);
                session.speaker = Some(Speaker { peer, roles: hello.roles });
                session.liveness.enter(Phase::Open, env.now);
                session.look = env.now;
                let welcome = Welcome {
                    peer,
                    software: String::new(),
                    payload_bytes_max: env.options.scheduler.payload_bytes_max,
                    heartbeat_ms: 0,
                    heartbeat_timeout_ms: 0,
                    capabilities: 0,
                };
                session.first = greeting::welcome(version, welcome);
                self.places.insert(peer, connection);
                let (instance, roles) = (hello.instance, hello.roles);
                let abilities = Abilities::NATIVE;
                let joined = Joined { peer, instance, realm: 0, name: hello.name, roles, abilities };
                self.tell(env, Event::Joined(joined));
                self.hear(env, connection, &rest);
            }
        }
    }

    fn hear(&mut self, env: &mut Environment, connection: u64, bytes: &[u8]) {
        let session = self.sessions.get_mut(&connection).expect("just read");
        let Some(speaker) = session.speaker else { return };
        let (mut heards, mut wrong) = (Vec::new(), None);
        let (brain, model) = (&mut *self.brain, &mut self.model);
        let mut sink = |message: PeerMessage, mut tail: Tail<'_>| {
            let mut tell = |event: Event<'_>| tell(brain, model.as_mut(), env, event);
            match translate::hear(speaker, message, &mut tail, &mut tell) {
                Ok(heard) => heards.push(heard),
                Err(why) => {
                    wrong = Some(why);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        if let Err(error) = session.inbox.receive(bytes, &mut sink) {
            wrong = Some(error.to_string());
        }
        if let Some(why) = wrong {
            env.books.violate("protocol", || format!("{:?} says what it may not: {why}", speaker.peer));
        }
        for heard in heards {
            match heard {
                Heard::Ping => session.push(&ManagerMessage::Pong, &[], Order::Free),
                Heard::Leaving => session.liveness.enter(Phase::Closing(env.now + LAST_WORD), env.now),
                Heard::Told | Heard::Pong | Heard::StatusRequest(_) => {}
            }
        }
        let leaves = matches!(session.liveness.phase, Phase::Closing(_));
        if leaves {
            self.part(env, connection);
        }
    }

    fn look(&mut self, env: &mut Environment, connection: u64) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if env.now < session.look {
            return;
        }
        // As in the driver: what was put there since the last write does not wait yet.
        let (incomplete, waiting) = (session.inbox.incomplete(), session.level != OutboxLevel::Clear);
        match session.liveness.look(env.now, self.floor, &self.clocks, incomplete, waiting) {
            Verdict::Fine(next) => session.look = next,
            Verdict::Ping(next) => {
                session.look = next;
                session.push(&ManagerMessage::Ping, &[], Order::Free);
            }
            Verdict::Over(cause) => {
                env.note(|| format!("manager gives connection {connection} up: {cause:?}"));
                env.count(match cause {
                    Cause::Stall => "dropped: takes nothing",
                    Cause::Silent => "dropped: silent",
                    Cause::Handshake => "dropped: no handshake",
                    Cause::Closed | Cause::Frame => "dropped: other",
                });
                self.lose(env, connection);
            }
        }
    }

    /// The brain no longer knows the session.
    pub fn part(&mut self, env: &mut Environment, connection: u64) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        if let Some(speaker) = session.speaker.take() {
            self.places.remove(&speaker.peer);
            self.tell(env, Event::Left { peer: speaker.peer });
        }
    }

    pub fn lose(&mut self, env: &mut Environment, connection: u64) {
        self.part(env, connection);
        self.sessions.remove(&connection);
        env.close(connection, Side::Manager);
    }

    fn decide(&mut self, env: &mut Environment) {
        let mut actions = Vec::new();
        self.brain.poll(env.now, &mut actions);
        self.brain.audit();
        if self.brain.next_deadline() == Some(Time::ZERO) {
            env.wake(MANAGER, env.now);
        }
        for action in &actions {
            env.note(|| format!("manager wants {action:?}"));
        }
        invariants::after_step(&mut env.books, env.now, &actions);
        if env.books.step.is_multiple_of(STATUS_STEPS) {
            invariants::invariant_01_no_slot_is_lost(&mut env.books, &self.brain.status(env.now));
        }
        if let Some(model) = &mut self.model
            && let Err(why) = model.poll(env.now, &actions)
        {
            env.books.violate("5, 6 the naive model", || why);
        }
        actions.iter().for_each(|action| self.act(env, action));
    }

    fn session_of(&mut self, peer: PeerId) -> Option<&mut Session> {
        self.sessions.get_mut(self.places.get(&peer)?)
    }

    fn act(&mut self, env: &mut Environment, action: &Action) {
        match action {
            Action::Assign(assign) => {
                if let Some(session) = self.session_of(assign.worker) {
                    session
                        .batch
                        .push_execution(&translate::execution(assign, &assign.payload), &assign.payload);
                }
            }
            &Action::Deliver { client, job, ref outcome } => {
                let payload = outcome.payload();
                let outcome = translate::outcome(job, outcome, payload);
                let Some(session) = self.session_of(client) else { return };
                let order = Order::Keyed(job.0);
                session.push(
                    &ManagerMessage::Outcomes { jobs: vec![outcome] },
                    std::slice::from_ref(payload),
                    order,
                );
            }
            &Action::Disconnect { peer, code, ref message, retry } => {
                self.send_away(env, peer, code, message.clone(), retry);
            }
            other => {
                if let Some(word) = translate::say(other)
                    && let Some(session) = self.session_of(word.to)
                {
                    session.push(&word.message, word.payload.as_slice(), word.order);
                }
            }
        }
    }

    fn send_away(
        &mut self,
        env: &mut Environment,
        peer: PeerId,
        code: ErrorCode,
        message: String,
        retry: bool,
    ) {
        let Some(session) = self.session_of(peer) else { return };
        session.push(&ManagerMessage::Leaving { code, message, retry, retry_after_ms: 0 }, &[], Order::Free);
        session.liveness.enter(Phase::Closing(env.now + LAST_WORD), env.now);
        session.look = env.now;
        session.speaker = None;
        self.places.remove(&peer);
    }

    fn write(&mut self, env: &mut Environment, connection: u64) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        session.seal();
        let waited = session.level != OutboxLevel::Clear;
        let taken = env.write(connection, Side::Manager, &session.first);
        session.first.drain(..taken);
        let mut took = taken > 0;
        while session.first.is_empty() && write_some(env, connection, Side::Manager, &mut session.outbox) {
            took = true;
        }
        if took || !waited {
            session.liveness.taken(env.now);
        }
        let (waiting, pause) = (session.waiting(), env.options.outbox_pause_bytes);
        if waiting > env.options.outbox_bytes_max {
            env.note(|| format!("manager drops connection {connection}: {waiting} bytes wait"));
            env.count("dropped: max_outbox_bytes");
            return self.lose(env, connection);
        }
        let level = match session.level {
            _ if waiting == 0 => OutboxLevel::Clear,
            OutboxLevel::Paused if waiting > pause / 2 => OutboxLevel::Paused,
            _ if waiting > pause => OutboxLevel::Paused,
            _ => OutboxLevel::Waiting,
        };
        if level != session.level {
            session.level = level;
            session.look = session.look.min(env.now + self.clocks.outbox_stall);
            if let Some(speaker) = session.speaker {
                self.tell(env, Event::Outbox { peer: speaker.peer, level });
            }
        }
    }
}

/// Tells the brain, and all who look over its shoulder.
fn tell(brain: &mut dyn Brain, model: Option<&mut Model>, env: &mut Environment, event: Event<'_>) {
    env.note(|| format!("manager is told {event:?}"));
    env.books.told(env.now, &event);
    if let Some(model) = model {
        model.handle(env.now, &event);
    }
    brain.handle(env.now, event);
    env.wake(MANAGER, env.now);
}
