//! Connections that speak JSON: when one is such, and how its dialect is put between the scheduler and the socket.
//!
//! ```text
//!   silent ── 2 s ──▶ a JSON peer that has said nothing ── first bytes ──▶ by the first five: JSON, or something else after all
//!     └────────── first five bytes say JSON ──────────▶ a JSON peer; its first frame must be an object
//! ```
//!
//! A native peer speaks first, so whoever is silent for so long is taken for a JSON peer that listens. The first five bytes still
//! decide: as long as nothing was said to it, nothing has been lost.

use super::accept::RETRY_AFTER_MS;
#[cfg(test)]
use super::boundary::faults;
use super::boundary::{contain, vital};
use super::driver::Driver;
use super::handle::Command;
use super::json::{
    Dialect, Failures, Frame, Frames, JobName, LastShown, Piece, Question, Refused, RidBytes, Rules, Survey,
    Times, World, error_text,
};
use super::liveness::{Clocks, Phase};
use super::outgoing::Outgoing;
use super::session::Session;
use super::translate::{self, Speaker};
use super::writing::given;
use crate::net::Incomplete;
use proletariat_protocol::detect::{DETECT_BYTES, Detection, detect};
use proletariat_protocol::handshake::{Refusal, Roles};
use proletariat_protocol::hint::likely;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{ErrorCode, InstanceId, JobId, Payload, PeerId, Time, WorkResult};
use proletariat_scheduler::{Abilities, Assign, Event, Joined, Outcome, Parcel, Scheduler};
use std::collections::BTreeMap;
use std::mem;
use std::ops::ControlFlow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who has been silent for so long is a JSON peer.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
/// A JSON peer that was silent for so long is pinged, and given up after the second time.
const HEARTBEAT: Duration = Duration::from_secs(30);
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(45);
/// What the dialect can say.
pub(super) const ABILITIES: Abilities = Abilities {
    confirms_stop: false,
    fences_attempts: false,
    takes_run_limits: false,
    reports_start: false,
    streams: false,
};
/// One connection may be both.
pub(super) const ROLES: Roles = Roles { client: true, worker: true, admin: false };

/// What a session has that speaks JSON.
#[derive(Debug)]
pub(super) struct JsonSession {
    dialect: Dialect,
    frames: Frames,
    /// Its first frame has come.
    begun: bool,
    /// Something was said to it.
    spoken_to: bool,
    connected: u64,
}

/// What the driver keeps for all JSON peers together.
#[derive(Debug)]
pub(super) struct JsonDesk {
    /// When the manager started, in milliseconds since 1970.
    boot: u64,
    /// Who wants to know what, and how often.
    questions: BTreeMap<(PeerId, Question), (u64, u32)>,
    /// Answers are being made; those who ask meanwhile get the next ones.
    busy: bool,
    failures: Failures,
    last_shown: LastShown,
    rid_bytes: RidBytes,
}

/// Texts for peers, each in parts and so many times.
pub(super) type Answers = Vec<(PeerId, u32, Vec<Payload>)>;

impl JsonDesk {
    pub(super) fn new() -> Self {
        Self {
            boot: unix_millis(),
            questions: BTreeMap::new(),
            busy: false,
            failures: Failures::default(),
            last_shown: LastShown::default(),
            rid_bytes: RidBytes::default(),
        }
    }
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What a dialect has around it while it hears.
struct Surroundings<'a> {
    scheduler: &'a mut Scheduler,
    desk: &'a mut JsonDesk,
    peer: PeerId,
    connected: u64,
    now: Time,
}

impl World for Surroundings<'_> {
    fn tell(&mut self, event: Event<'_>) {
        vital(|| self.scheduler.handle(self.now, event));
    }

    fn refusal(&self, client: PeerId, jobs: u64, bytes: u64) -> Option<Refused> {
        let (code, message, retry_after) = vital(|| self.scheduler.refusal(self.now, client, jobs, bytes))?;
        Some(Refused { code, message, retry_after })
    }

    fn is_draining(&self) -> bool {
        vital(|| self.scheduler.is_draining())
    }

    fn failed(&mut self, message: &Payload, result: Payload) {
        self.desk.failures.note(message, result);
    }

    fn ask(&mut self, question: Question) {
        let asked = self.desk.questions.entry((self.peer, question)).or_insert((self.connected, 0));
        asked.1 += 1;
    }

    fn unix_millis(&self) -> u64 {
        unix_millis()
    }
}

impl JsonSession {
    /// What has begun to come and is not complete.
    pub(super) fn incomplete(&self) -> Option<Incomplete> {
        self.frames.incomplete()
    }

    /// Memory for that.
    pub(super) fn held_bytes(&self) -> u64 {
        self.frames.held_bytes()
    }

    pub(super) fn forget_incomplete(&mut self) {
        self.frames = Frames::default();
    }

    pub(super) fn say(&mut self, message: &ManagerMessage, payload: Option<&Payload>) {
        self.dialect.say(message, payload);
    }

    /// Puts what there is to say where it is written from.
    pub(super) fn pour(&mut self, outgoing: &mut Outgoing) {
        self.spoken_to |= self.dialect.has_words();
        self.dialect.pour(|piece| match piece {
            Piece::Text(text) => outgoing.append(text),
            Piece::Payload(payload) => outgoing.append_payload(payload),
        });
    }

    /// The clocks of such a session. Its first frame is its handshake, and may take longer than that only if it is large.
    pub(super) fn clocks(&self, of_manager: &Clocks) -> Clocks {
        let frame_timeout = if self.begun {
            of_manager.frame_timeout
        } else {
            of_manager.frame_timeout.min(of_manager.handshake_timeout)
        };
        Clocks { heartbeat: HEARTBEAT, heartbeat_timeout: HEARTBEAT_TIMEOUT, frame_timeout, ..*of_manager }
    }

    /// Hears what was read; breaks with what is wrong with the first frame.
    fn hear(&mut self, bytes: &[u8], world: &mut impl World) -> ControlFlow<(ErrorCode, &'static str)> {
        let Self { dialect, frames, begun, .. } = self;
        frames.receive(bytes, &mut |frame| {
            #[cfg(test)]
            if let Frame::Body(body) = frame {
                faults::hear_json(body);
            }
            let first = !mem::replace(begun, true);
            match frame {
                Frame::TooLarge(_) if first => {
                    ControlFlow::Break((ErrorCode::TooLarge, "the first frame is over 20 MiB"))
                }
                Frame::Body(body) if !dialect.hear(body, world) && first => {
                    ControlFlow::Break((ErrorCode::Protocol, "the first frame is no JSON object"))
                }
                Frame::TooLarge(length) => {
                    dialect.hear_too_large(length);
                    ControlFlow::Continue(())
                }
                Frame::Body(_) => ControlFlow::Continue(()),
            }
        })
    }
}

impl Driver {
    /// Who comes from now on may not speak JSON, and who says nothing has the time of a handshake.
    pub(super) fn no_more_json(&mut self) {
        self.clocks.silence_allowed = false;
    }

    /// A connection that says nothing becomes a JSON peer when its time has come.
    pub(super) fn look_at_silence(&mut self, place: u32, now: Time) {
        if self.stage.refusal().is_some() {
            return;
        }
        let floor = self.floor();
        let Some(session) = self.connections.at(place) else { return };
        if session.may_speak_json
            && session.json.is_none()
            && session.liveness.is_silent_since(floor, now, SILENCE)
        {
            self.join_json(place, now);
        }
    }

    /// More of a greeting. True if it has been seen to: it is JSON, which it may speak.
    pub(super) fn greet_json(&mut self, place: u32, bytes: usize, now: Time) -> bool {
        let closed = self.stage.refusal();
        let Some(session) = self.connections.at(place) else { return true };
        let mut first = [0; DETECT_BYTES];
        let known = session.greeting.iter().chain(&self.buffer[..bytes]).take(DETECT_BYTES);
        let length = known.zip(&mut first).map(|(byte, slot)| *slot = *byte).count();
        match detect(&first[..length]) {
            Detection::NeedMore => return false,
            Detection::Json if session.may_speak_json => {}
            _ => return self.is_something_else(place, now),
        }
        if let Some(closed) = closed.as_ref().or(session.closed.as_deref()) {
            let refusal = closed.clone();
            self.keep_json_out(place, &refusal, now);
            return true;
        }
        let greeting = mem::take(&mut session.greeting);
        if session.json.is_none() {
            self.join_json(place, now);
        }
        self.connections.enter(place, Phase::Open, now, now + self.clocks.between_looks());
        self.hear_json(place, Some(&greeting), bytes, now);
        true
    }

    /// A peer that was taken for a silent JSON peer speaks something else. True if it is too late for that.
    fn is_something_else(&mut self, place: u32, now: Time) -> bool {
        let Some(session) = self.connections.at(place) else { return true };
        let Some(json) = session.json.take() else { return false };
        if json.spoken_to {
            self.lose(place, now, Some("it spoke no JSON after it had been taken for a JSON peer"));
            return true;
        }
        self.part(place, now);
        false
    }

    fn keep_json_out(&mut self, place: u32, refusal: &Refusal, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        let text = error_text(refusal.code, &refusal.message, refusal.retry_after_ms.max(RETRY_AFTER_MS));
        let length = u32::try_from(text.len()).expect("our own sentences are short");
        session.outgoing.put_first([&length.to_be_bytes()[..], text.as_bytes()].concat());
        let why = format!("{}: {}", refusal.code, refusal.message);
        self.refuse(place, now, &why);
    }

    fn join_json(&mut self, place: u32, now: Time) {
        let peer = self.connections.places.admit(place);
        let rules = Rules {
            payload_bytes_max: self.config.scheduler.payload_bytes_max,
            hold_similar_work: self.config.scheduler.hold_similar_work,
        };
        let Some(session) = self.connections.at(place) else { return };
        session.speaker = Some(Speaker { peer, roles: ROLES });
        session.json = Some(Box::new(JsonSession {
            dialect: Dialect::new(peer, rules, self.json.last_shown.clone(), self.json.rid_bytes.clone()),
            frames: Frames::default(),
            begun: false,
            spoken_to: false,
            connected: unix_millis(),
        }));
        tracing::debug!(%peer, address = ?session.address, "joined, and speaks JSON");
        let joined = Joined {
            peer,
            instance: InstanceId(rand::random()),
            realm: session.grant.realm,
            name: "json".into(),
            roles: ROLES,
            abilities: ABILITIES,
        };
        self.tell(now, Event::Joined(joined));
    }

    /// What an open JSON session said: `before`, then so many bytes of the buffer.
    pub(super) fn hear_json(&mut self, place: u32, before: Option<&[u8]>, bytes: usize, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        let (Some(json), Some(speaker)) = (&mut session.json, session.speaker) else { return };
        let mut world = Surroundings {
            scheduler: &mut self.scheduler,
            desk: &mut self.json,
            peer: speaker.peer,
            connected: json.connected,
            now,
        };
        let flow = contain(|| {
            json.hear(before.unwrap_or_default(), &mut world)?;
            json.hear(&self.buffer[..bytes], &mut world)
        });
        match flow {
            Ok(ControlFlow::Continue(())) => self.touch(place),
            Ok(ControlFlow::Break((code, why))) => {
                self.touch(place);
                self.violated(place, code, why, now);
            }
            Err(panic) => self.broke(place, &panic, now),
        }
    }

    /// An execution for a JSON worker.
    pub(super) fn assign_json(&mut self, place: u32, assign: &Assign<Parcel>, now: Time) {
        let (worker, assignment) = (assign.worker, assign.assignment);
        // Who waited may have left since; then it is about to be cancelled, and needs a name until then.
        let caller = vital(|| self.scheduler.caller_of(assignment));
        let caller = caller.unwrap_or((worker, JobId(u64::MAX)));
        let name = JobName { client: caller.0, job: caller.1 };
        let Some(Session { json: Some(json), .. }) = self.connections.at(place) else { return };
        let payload = given(&self.scheduler, assign.payload);
        if json.dialect.say_execution(&translate::execution(assign, &payload), name, &payload) {
            return self.touch(place);
        }
        let message = "the payload fits into no frame of a JSON worker";
        let payload = Payload::from_static(message.as_bytes()).into();
        self.tell(now, Event::Finished { worker, assignment, result: WorkResult::TooLarge, payload });
    }

    /// The end of a job of a JSON client.
    pub(super) fn deliver_json(&mut self, place: u32, job: JobId, outcome: &Outcome<Parcel>) {
        let payload = given(&self.scheduler, *outcome.payload());
        let outcome = translate::outcome(job, outcome, &payload);
        let whole = self.json.failures.find(&payload);
        let Some(Session { json: Some(json), .. }) = self.connections.at(place) else { return };
        json.dialect.say_outcome(&outcome, &payload, whole);
        self.touch(place);
    }

    /// The scheduler has decided: what was kept for its decision goes, and answers are begun for those who asked.
    pub(super) fn decided_json(&mut self, now: Time) {
        self.json.failures.clear();
        self.json.last_shown.forget();
        if likely(self.json.busy | self.json.questions.is_empty()) {
            return;
        }
        self.json.busy = true;
        let questions = mem::take(&mut self.json.questions);
        let (status, sacred) = (self.scheduler.status(now), self.config.scheduler.sacred_guarantees);
        let (boot, doorbell) = (self.json.boot, self.doorbell.clone());
        self.clerk.hand(move || {
            let survey = Survey::new(&status, Times { boot, now: unix_millis() }, sacred);
            let text = |((peer, question), (connected, count))| {
                (peer, count, survey.answer(question, peer, connected))
            };
            // A manager that has ended owes nobody its state.
            let _ = doorbell.send(Command::JsonAnswers(questions.into_iter().map(text).collect()));
        });
    }

    /// Answers are there.
    pub(super) fn answer_json(&mut self, answers: Answers, now: Time) {
        self.json.busy = false;
        let most = self.config.outbox_pause_bytes;
        for (peer, count, text) in answers {
            let Some((place, session)) = self.connections.of(peer) else { continue };
            let Some(json) = &mut session.json else { continue };
            let mut answered = 0;
            while answered < count && (session.outgoing.bytes() + json.dialect.bytes()) as u64 <= most {
                json.dialect.say_text(&text);
                answered += 1;
            }
            self.touch(place);
            if answered < count {
                self.violated(place, ErrorCode::Protocol, "it asks for more than it reads", now);
            }
        }
    }
}
