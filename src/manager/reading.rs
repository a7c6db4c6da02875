//! What comes in: bytes of a ready connection, its greeting, its messages; and how connections end.

use super::admission;
#[cfg(test)]
use super::boundary::faults;
use super::boundary::{contain, vital};
use super::driver::Driver;
use super::greeting::{self, Greeting};
use super::liveness::Phase;
use super::status::Asker;
use super::translate::{self, Heard, Speaker, Violation};
use crate::net::Order;
use crate::security::Grant;
use proletariat_protocol::handshake::{Hello, Refusal, Welcome};
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, MessageId, Time, shown};
use proletariat_scheduler::{Abilities, Event, Joined, OutboxLevel};
use std::hint::cold_path;
use std::io;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

/// Reads of one connection in one turn; who has more waits for the next, so that one peer never holds up the others.
const READS_PER_TURN: usize = 4;
/// Status requests of a peer that have no answer yet: each answer is a text of its own.
const STATUS_REQUESTS_MAX: usize = 1_024;
/// A refused connection is closed after this time, whether the peer has read why or not.
const REFUSAL_TIME: Duration = Duration::from_millis(900);
/// So long a session that leaves in order may take what still waits for it.
const LEAVING_TIME: Duration = Duration::from_secs(5);

/// What a session said that the driver itself has to see to.
#[derive(Default)]
struct Asides {
    pongs: u32,
    status: Vec<MessageId>,
    leaving: bool,
    violation: Option<(ErrorCode, Violation)>,
}

impl Driver {
    /// A connection is ready: reads what came, and has it flushed if something waits.
    pub(super) fn attend(&mut self, place: u32, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        if let Some(bell) = &session.bell {
            cold_path();
            bell.hang_up();
        }
        if unlikely(session.outgoing.bytes() > 0) {
            self.touch(place);
        }
        for _ in 0..READS_PER_TURN {
            let Some(session) = self.connections.at(place) else { return };
            let mut cx = Context::from_waker(&session.waker);
            let read = contain(|| session.stream.poll_read(&mut cx, &mut self.buffer));
            match read {
                Ok(Poll::Ready(Ok(bytes @ 1..))) => {
                    session.liveness.heard(now);
                    self.bytes_read += bytes;
                    self.received(place, bytes, now);
                    self.count_incomplete(place, now);
                    if !self.connections.at(place).is_some_and(|session| session.stream.may_have_more()) {
                        return;
                    }
                }
                Ok(Poll::Pending) if unlikely(session.stream.is_cut_short()) => break,
                Ok(Poll::Pending) => return,
                Ok(Poll::Ready(Ok(0))) => return self.ended(place, now),
                Ok(Poll::Ready(Err(error))) => return self.failed(place, &error, now),
                Err(panic) => return self.broke(place, &panic, now),
            }
        }
        if let Some(session) = self.connections.at(place)
            && !session.unfinished
        {
            session.unfinished = true;
            self.unfinished.push(place);
        }
    }

    /// A read failed.
    #[cold]
    fn failed(&mut self, place: u32, error: &io::Error, now: Time) {
        if let Some(session) = self.connections.at(place)
            && session.speaker.is_none()
            && session.stream.is_encrypted()
        {
            let why = shown::safe(&format!("no TLS session: {error}"));
            self.acceptor.log_refusal(session.address, &why, now);
        }
        self.lose(place, now, None);
    }

    /// The peer says nothing more. Its last word may have been wrong, and what it is told about that is not written yet: so much
    /// it may still read.
    #[cold]
    fn ended(&mut self, place: u32, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        if !matches!(session.liveness.phase, Phase::Closing(_)) || session.outgoing.bytes() == 0 {
            return self.lose(place, now, None);
        }
        session.ended = true;
        self.touch(place);
    }

    fn received(&mut self, place: u32, bytes: usize, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        match session.liveness.phase {
            Phase::Open if likely(session.json.is_none()) => self.hear(place, 0, bytes, now),
            Phase::Open => self.hear_json(place, None, bytes, now),
            Phase::Closing(_) => {}
            Phase::Silent => {
                // Where nobody may be silent, the clock of the handshake has run since the connection was accepted.
                let begun = if session.may_speak_json { now } else { session.liveness.since() };
                let by = begun + self.clocks.handshake_timeout;
                self.connections.enter(place, Phase::Greeting, begun, by);
                self.greet(place, bytes, now);
            }
            Phase::Greeting => self.greet(place, bytes, now),
        }
    }

    /// More of a greeting: `bytes` of the buffer.
    #[cold]
    fn greet(&mut self, place: u32, bytes: usize, now: Time) {
        if self.greet_json(place, bytes, now) {
            return;
        }
        let port = self.acceptor.address().port();
        let closed = self.stage.refusal();
        let Some(session) = self.connections.at(place) else { return };
        let before = session.greeting.len();
        let came = &self.buffer[..bytes];
        let plain = session.stream.lacks_tls().then(admission::asks_for_tls);
        let closed = closed.as_ref().or(plain.as_ref()).or(session.closed.as_deref());
        let greeting = contain(|| {
            if before == 0 {
                return greeting::read(came, port, closed);
            }
            session.greeting.extend_from_slice(came);
            greeting::read(&session.greeting, port, closed)
        });
        let greeting = match greeting {
            Ok(greeting) => greeting,
            Err(panic) => return self.broke(place, &panic, now),
        };
        match greeting {
            Greeting::NeedMore if before == 0 => session.greeting = came.to_vec(),
            Greeting::NeedMore => {}
            Greeting::Refused { answer, why } => {
                session.outgoing.put_first(answer);
                self.refuse(place, now, &why);
            }
            Greeting::Hello { hello, version, bytes: length } => {
                session.greeting = Vec::new();
                let grant = match self.grant(&hello) {
                    Ok(grant) => grant,
                    Err(refusal) => return self.keep_out(place, version, refusal, now),
                };
                self.welcome(place, hello, grant, version, now);
                // What was pipelined behind the hello came in the last read: before that, the hello was not complete.
                self.hear(place, length - before, bytes, now);
            }
        }
    }

    /// A peer that speaks well may not come in.
    fn keep_out(&mut self, place: u32, version: u16, refusal: Refusal, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        let why = format!("{}: {}", refusal.code, refusal.message);
        session.outgoing.put_first(greeting::refusal_of(version, refusal));
        self.refuse(place, now, &why);
    }

    /// A session begins.
    fn welcome(&mut self, place: u32, hello: Hello, grant: Grant, version: u16, now: Time) {
        let peer = self.connections.places.admit(place);
        let heartbeat = self.clocks.heartbeat;
        self.connections.enter(place, Phase::Open, now, now + self.clocks.between_looks());
        let Some(session) = self.connections.at(place) else { return };
        session.speaker = Some(Speaker { peer, roles: hello.roles });
        session.grant = grant;
        let welcome = Welcome {
            peer,
            software: super::SOFTWARE.into(),
            payload_bytes_max: self.config.scheduler.payload_bytes_max,
            heartbeat_ms: translate::millis(heartbeat),
            heartbeat_timeout_ms: translate::millis(self.clocks.heartbeat_timeout),
            capabilities: 0,
        };
        session.outgoing.put_first(greeting::welcome(version, welcome));
        let name = shown::safe(&hello.name);
        tracing::debug!(%peer, name, address = ?session.address, roles = ?hello.roles, "joined");
        let joined = Joined {
            peer,
            instance: hello.instance,
            realm: grant.realm,
            name,
            roles: hello.roles,
            abilities: Abilities::NATIVE,
        };
        vital(|| self.scheduler.handle(now, Event::Joined(joined)));
        self.touch(place);
    }

    /// Messages of an open session: what lies in the buffer from `from` to `to`.
    fn hear(&mut self, place: u32, from: usize, to: usize, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        let Some(speaker) = session.speaker else { return };
        let mut asides = Asides::default();
        let scheduler = &mut self.scheduler;
        let mut sink = |message: PeerMessage, mut tail: crate::net::Tail<'_>| {
            #[cfg(test)]
            faults::hear(&message);
            if let PeerMessage::Finished { runs } = &message {
                vital(|| scheduler.look_ahead(runs.iter().map(|run| run.assignment)));
            }
            let heard = translate::hear(speaker, message, &mut tail, &mut |event| {
                vital(|| {
                    #[cfg(test)]
                    faults::schedule(&event);
                    scheduler.handle(now, event);
                });
            });
            asides.add(heard)
        };
        match contain(|| session.inbox.receive(&self.buffer[from..to], &mut sink)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => asides.violation = Some((error.code(), error.to_string())),
            Err(panic) => return self.broke(place, &panic, now),
        }
        if likely(asides.is_empty()) {
            return;
        }
        self.see_to(place, speaker, asides, now);
    }

    #[cold]
    fn see_to(&mut self, place: u32, speaker: Speaker, asides: Asides, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        // A peer that has to read that much first is not waiting for a sign of life.
        let paused = session.level == OutboxLevel::Paused;
        let sees_all = session.grant.roles.admin;
        if asides.pongs > 0 && !paused {
            session.outgoing.push(&ManagerMessage::Pong, &[], Order::Free, &mut self.pool);
            self.touch(place);
        }
        if asides.status.len() > 1 && paused {
            return self.violated(place, ErrorCode::Protocol, "it asks for more than it reads", now);
        }
        let Some(session) = self.connections.at(place) else { return };
        session.asked += asides.status.len();
        if session.asked > STATUS_REQUESTS_MAX {
            let why = format!("more than {STATUS_REQUESTS_MAX} status requests without an answer");
            return self.violated(place, ErrorCode::Protocol, &why, now);
        }
        for id in asides.status {
            self.status.ask(Asker::Peer(speaker.peer, id), sees_all);
        }
        if let Some((code, violation)) = asides.violation {
            self.violated(place, code, &violation, now);
        } else if asides.leaving {
            tracing::debug!(peer = %speaker.peer, "left");
            self.part(place, now);
            self.connections.enter(place, Phase::Closing(now + LEAVING_TIME), now, now + LEAVING_TIME);
            self.touch(place);
        }
    }

    /// Ends the session of a peer that broke the protocol.
    #[cold]
    pub(super) fn violated(&mut self, place: u32, code: ErrorCode, why: &str, now: Time) {
        if self.acceptor.may_log(now) {
            tracing::info!(target: "proletariat::manager", why, "a peer broke the protocol");
        }
        let message =
            ManagerMessage::Leaving { code, message: why.to_owned(), retry: false, retry_after_ms: 0 };
        self.part(place, now);
        self.send_away(place, &message, now);
    }

    /// The scheduler no longer knows the session.
    pub(super) fn part(&mut self, place: u32, now: Time) {
        if let Some(speaker) = self.connections.at(place).and_then(|session| session.speaker.take()) {
            self.connections.places.dismiss(speaker.peer);
            self.tell(now, Event::Left { peer: speaker.peer });
        }
    }

    /// Says a last word, and closes the connection when it has been taken, soon in any case. The scheduler knows no
    /// session of it any more.
    pub(super) fn send_away(&mut self, place: u32, word: &ManagerMessage, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        if let Some(speaker) = session.speaker.take() {
            self.connections.places.dismiss(speaker.peer);
        }
        let Some(session) = self.connections.at(place) else { return };
        session.say(word, &[], Order::Free, &mut self.pool);
        self.connections.enter(place, Phase::Closing(now + REFUSAL_TIME), now, now + REFUSAL_TIME);
        self.touch(place);
    }

    /// A session may take all that waits for it, the last word too, and is closed then.
    pub(super) fn see_off(&mut self, place: u32, word: &ManagerMessage, time: Duration, now: Time) {
        self.part(place, now);
        let Some(session) = self.connections.at(place) else { return };
        session.say(word, &[], Order::Barrier, &mut self.pool);
        self.connections.enter(place, Phase::Closing(now + time), now, now + time);
        self.touch(place);
    }

    /// The answer to a greeting is no; it is in the outgoing bytes.
    pub(super) fn refuse(&mut self, place: u32, now: Time, why: &str) {
        let Some(session) = self.connections.at(place) else { return };
        session.greeting = Vec::new();
        self.acceptor.log_refusal(session.address, why, now);
        self.connections.enter(place, Phase::Closing(now + REFUSAL_TIME), now, now + REFUSAL_TIME);
        self.touch(place);
    }

    /// No complete handshake came in time: a native peer is told so.
    pub(super) fn refuse_silently(&mut self, place: u32, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        let late = Refusal {
            code: ErrorCode::Protocol,
            message: "the handshake was not complete within handshake_timeout".into(),
            retry: true,
            retry_after_ms: 0,
        };
        let begun = session.greeting.len() >= proletariat_protocol::handshake::PREAMBLE_BYTES;
        if begun && let Greeting::Refused { answer, why } = greeting::read(&session.greeting, 0, Some(&late))
        {
            session.outgoing.put_first(answer);
            return self.refuse(place, now, &why);
        }
        self.lose(place, now, Some("no handshake came within handshake_timeout"));
    }

    /// A fault of ours met what is done for this connection: it ends alone.
    #[cold]
    pub(super) fn broke(&mut self, place: u32, panic: &str, now: Time) {
        let session = self.connections.at(place);
        let address = session.and_then(|session| session.address);
        tracing::error!(?address, panic, "a fault in the manager has ended one connection");
        self.faults += 1;
        self.lose(place, now, Some("a fault in the manager"));
    }

    /// A connection is gone, or ended here without a word; `why` is for the log.
    #[cold]
    pub(super) fn lose(&mut self, place: u32, now: Time, why: Option<&str>) {
        if let Some(session) = self.connections.at(place) {
            match (session.speaker, why) {
                (Some(Speaker { peer, .. }), Some(why)) if self.acceptor.may_log(now) => {
                    tracing::info!(%peer, why, "a session was given up");
                }
                (Some(Speaker { peer, .. }), None) => tracing::debug!(%peer, "a session was lost"),
                _ => {}
            }
            self.given_up += u64::from(why.is_some());
        }
        self.part(place, now);
        self.connections.remove(place);
    }
}

impl Asides {
    fn add(&mut self, heard: Result<Heard, Violation>) -> ControlFlow<()> {
        match heard {
            Ok(Heard::Told | Heard::Pong) => return ControlFlow::Continue(()),
            Ok(Heard::Ping) => self.pongs += 1,
            Ok(Heard::StatusRequest(id)) => self.status.push(id),
            Ok(Heard::Leaving) => {
                self.leaving = true;
                return ControlFlow::Break(());
            }
            Err(violation) => {
                self.violation = Some((ErrorCode::Protocol, violation));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn is_empty(&self) -> bool {
        self.pongs == 0 && self.status.is_empty() && !self.leaving && self.violation.is_none()
    }
}
