//! A process that is connected to the manager, or tries to be: the product's link and one of its machines, and what the
//! product's driver does around them, turn by turn.

use crate::client::ClientPart;
use crate::environment::Environment;
use crate::network::Side;
use crate::session::write_some;
use crate::worker::WorkerPart;
use bytes::BytesMut;
use proletariat::net::link::{Link, LinkConfig, Retry, Step};
use proletariat::net::{Inbox, Order, Outbox, Tail};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, Roles, Welcome};
use proletariat_protocol::message::{LeavingReason, ManagerMessage, PeerMessage};
use proletariat_protocol::{InstanceId, Time};
use std::ops::ControlFlow;
use std::time::Duration;

/// What a peer's outbox holds before its machine is asked for no more.
const OUTBOX_MARK_BYTES: usize = 64 * 1024;

/// The machine of a process.
#[allow(clippy::large_enum_variant, reason = "there are a handful of processes")]
pub enum Part {
    Client(ClientPart),
    Worker(WorkerPart),
}

enum Wire {
    Down,
    Opening(u64),
    Greeting { connection: u64, unsent: Vec<u8>, received: Vec<u8> },
    Up { connection: u64, inbox: Box<Inbox>, outbox: Outbox },
}

/// One start of a client or worker.
pub struct Process {
    pub number: u64,
    pub host: usize,
    pub part: Part,
    pub over: bool,
    /// It reads nothing until then, though it does everything else.
    pub reads_from: Time,
    link: Link,
    wire: Wire,
}

impl Process {
    pub fn new(env: &mut Environment, host: usize, part: Part) -> Self {
        let number = env.next_process();
        let options = &env.options;
        let config = LinkConfig {
            heartbeat: options.heartbeat,
            manager_timeout: options.manager_timeout,
            ..LinkConfig::default()
        };
        let link = Link::new(config, env.random.next(), env.now);
        env.wake(host, env.now);
        Self { number, host, part, over: false, reads_from: Time::ZERO, link, wire: Wire::Down }
    }

    fn hello(&self) -> Vec<u8> {
        let client = matches!(self.part, Part::Client(_));
        let mut instance = [0; 16];
        instance[..8].copy_from_slice(&self.number.to_be_bytes());
        let hello = Hello {
            instance: InstanceId(instance),
            roles: Roles { client, worker: !client, admin: false },
            name: format!("{}", self.host),
            token: None,
            capabilities: 0,
        };
        let mut out = BytesMut::from(&Preamble::OURS.encode()[..]);
        hello.encode(&mut out).expect("a short hello");
        out.to_vec()
    }

    pub fn connection(&self) -> Option<u64> {
        match self.wire {
            Wire::Down => None,
            Wire::Opening(connection) | Wire::Greeting { connection, .. } | Wire::Up { connection, .. } => {
                Some(connection)
            }
        }
    }

    /// The manager accepted a connection, or nobody listens.
    pub fn answered(&mut self, env: &mut Environment, connection: u64, open: bool) {
        if !matches!(self.wire, Wire::Opening(own) if own == connection) {
            return env.close(connection, Side::Peer);
        }
        if open {
            self.link.opened(env.now);
            self.wire = Wire::Greeting { connection, unsent: self.hello(), received: Vec::new() };
        } else {
            self.failed(env, Retry::After(Duration::ZERO));
        }
        env.wake(self.host, env.now);
    }

    pub fn turn(&mut self, env: &mut Environment) {
        self.read(env);
        match &mut self.part {
            Part::Client(client) => client.expire(env),
            Part::Worker(worker) => worker.expire(env),
        }
        while let Some(step) = self.link.poll(env.now) {
            match step {
                Step::Connect => self.wire = Wire::Opening(env.connect(self.host)),
                Step::Ping => self.push(&PeerMessage::Ping, Order::Free),
                Step::AttemptTimedOut | Step::ManagerSilent => {
                    env.note(|| format!("host {} gives up: {step:?}", self.host));
                    env.count(if step == Step::ManagerSilent { "manager silent" } else { "no answer" });
                    self.drop_wire(env);
                }
            }
        }
        let mut nothing = Outbox::new();
        let (up, outbox) = match &mut self.wire {
            Wire::Up { outbox, .. } => (true, outbox),
            _ => (false, &mut nothing),
        };
        let room = if up { OUTBOX_MARK_BYTES.saturating_sub(outbox.bytes()) } else { 0 };
        match &mut self.part {
            Part::Client(client) => client.poll(env, room, outbox),
            Part::Worker(worker) => self.over |= worker.poll(env, outbox),
        }
        if self.over {
            self.push(&PeerMessage::Leaving { reason: LeavingReason::Draining }, Order::Barrier);
        }
        self.write(env);
        let part = match &self.part {
            Part::Client(client) => client.next_deadline(),
            Part::Worker(worker) => worker.next_deadline(),
        };
        if let Some(due) = [self.link.next_deadline(), part].into_iter().flatten().min() {
            env.wake(self.host, due);
        }
    }

    fn push(&mut self, message: &PeerMessage, order: Order) {
        if let Wire::Up { outbox, .. } = &mut self.wire {
            outbox.push(message, &[], order);
        }
    }

    fn read(&mut self, env: &mut Environment) {
        let Some(connection) = self.connection() else { return };
        if matches!(self.wire, Wire::Opening(_)) {
            return;
        }
        if self.reads_from > env.now {
            return env.wake(self.host, self.reads_from);
        }
        let read = env.read(connection, Side::Peer);
        if !read.bytes.is_empty() {
            self.received(env, &read.bytes);
        }
        if read.over && self.connection() == Some(connection) {
            self.failed(env, Retry::After(Duration::ZERO));
        }
    }

    fn received(&mut self, env: &mut Environment, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Greeting { received, .. } => {
                received.extend_from_slice(bytes);
                let Some(answer) = received.get(PREAMBLE_BYTES..) else { return };
                match Answer::decode(answer) {
                    Ok(None) => {}
                    Ok(Some((Answer::Welcome(welcome), length))) => {
                        let rest = answer[length..].to_vec();
                        self.welcomed(env, &welcome);
                        self.received(env, &rest);
                    }
                    Ok(Some((Answer::Refused(refusal), _))) if refusal.retry => {
                        let wait = Duration::from_millis(refusal.retry_after_ms.into());
                        self.failed(env, Retry::After(wait));
                    }
                    other => env.books.violate("handshake", || format!("{other:?}")),
                }
            }
            Wire::Up { .. } => self.hear(env, bytes),
            Wire::Down | Wire::Opening(_) => {}
        }
    }

    fn welcomed(&mut self, env: &mut Environment, welcome: &Welcome) {
        let connection = self.connection().expect("it was greeted on it");
        let inbox = Box::new(Inbox::new(env.options.scheduler.payload_bytes_max));
        self.wire = Wire::Up { connection, inbox, outbox: Outbox::new() };
        self.link.welcomed(env.now);
        match &mut self.part {
            Part::Client(client) => client.link_up(env, welcome),
            Part::Worker(worker) => worker.link_up(env, welcome),
        }
    }

    fn hear(&mut self, env: &mut Environment, bytes: &[u8]) {
        let Wire::Up { inbox, outbox, .. } = &mut self.wire else { return };
        if bytes.is_empty() {
            return;
        }
        self.link.heard(env.now);
        let (mut end, part, host) = (None, &mut self.part, self.host);
        let mut sink = |message: ManagerMessage, tail: Tail<'_>| {
            match message {
                ManagerMessage::Ping => outbox.push(&PeerMessage::Pong, &[], Order::Free),
                ManagerMessage::Pong => {}
                ManagerMessage::Leaving { retry, retry_after_ms, code, .. } => {
                    env.note(|| format!("host {host} is sent away: {code}"));
                    let wait = Duration::from_millis(retry_after_ms.into());
                    end = Some(if retry { Retry::After(wait) } else { Retry::Never });
                    return ControlFlow::Break(());
                }
                message => match part {
                    Part::Client(client) => client.receive(env, message, tail),
                    Part::Worker(worker) => worker.receive(env, message, tail),
                },
            }
            ControlFlow::Continue(())
        };
        if let Err(error) = inbox.receive(bytes, &mut sink) {
            env.books.violate("protocol", || format!("the manager says what it may not: {error}"));
        }
        if let Some(retry) = end {
            self.failed(env, retry);
        }
    }

    fn failed(&mut self, env: &mut Environment, retry: Retry) {
        self.link.failed(env.now, retry);
        self.drop_wire(env);
    }

    fn drop_wire(&mut self, env: &mut Environment) {
        if let Some(connection) = self.connection() {
            env.close(connection, Side::Peer);
        }
        self.wire = Wire::Down;
        let last = self.link.next_deadline().is_none();
        env.books.require(!last, "16 liveness", || format!("host {} will never connect again", self.host));
        match &mut self.part {
            Part::Client(client) => client.link_down(env, last),
            Part::Worker(worker) => worker.link_down(env),
        }
    }

    fn write(&mut self, env: &mut Environment) {
        match &mut self.wire {
            Wire::Greeting { connection, unsent, .. } => {
                let taken = env.write(*connection, Side::Peer, unsent);
                unsent.drain(..taken);
            }
            Wire::Up { connection, outbox, .. } => while write_some(env, *connection, Side::Peer, outbox) {},
            Wire::Down | Wire::Opening(_) => {}
        }
    }

    /// The process is gone. With `silently` nobody is told, as when a machine loses its power.
    pub fn crash(&mut self, env: &mut Environment, silently: bool) {
        env.jobs.desert(self.number);
        let Some(connection) = self.connection() else { return };
        if silently {
            if let Some(found) = env.network.get_mut(&connection) {
                found.peer_open = false;
            }
        } else {
            env.close(connection, Side::Peer);
        }
    }

    /// Whether nothing runs or waits here.
    pub fn is_idle(&self) -> bool {
        match &self.part {
            Part::Client(client) => client.is_idle(),
            Part::Worker(worker) => worker.is_idle(),
        }
    }

    pub fn audit(&self) {
        if let Part::Worker(worker) = &self.part {
            worker.audit();
        }
    }
}
