//! A manager without sockets: the scheduler, and JSON peers around it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]
#![cfg_attr(not(test), allow(dead_code, reason = "the recorded conversations use all of it"))]

use super::super::{
    Dialect, FRAME_BYTES_MAX, Failures, JobName, LastShown, Piece, Question, Refused, RidBytes, Rules,
    Survey, Times, World,
};
use crate::manager::translate;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{InstanceId, JobId, Payload, PeerId, Time, WorkResult};
use proletariat_scheduler::selector::RandomWeighted;
use proletariat_scheduler::{Abilities, Action, Config, Event, Joined, Scheduler};
use std::time::Duration;

/// 2026-01-02T03:04:05.678Z
pub(in crate::manager::json) const MILLIS: u64 = 1_767_323_045_678;

/// The house.
pub(in crate::manager::json) struct House {
    pub(in crate::manager::json) scheduler: Scheduler,
    now: Time,
    peers: Vec<Party>,
    rules: Rules,
    sacred: bool,
    failures: Failures,
    last_shown: LastShown,
    rid_bytes: RidBytes,
    questions: Vec<(PeerId, Question)>,
    /// The scheduler was told something that no JSON peer said.
    told: bool,
    /// What native clients were told: job, text.
    pub(in crate::manager::json) native: Vec<(JobId, String)>,
}

struct Party {
    name: String,
    peer: PeerId,
    /// None: a native peer, which takes what it gets.
    dialect: Option<Dialect>,
}

struct Around<'a> {
    scheduler: &'a mut Scheduler,
    failures: &'a mut Failures,
    questions: &'a mut Vec<(PeerId, Question)>,
    peer: PeerId,
    now: Time,
}

impl World for Around<'_> {
    fn tell(&mut self, event: Event<'_>) {
        self.scheduler.handle(self.now, event);
    }

    fn refusal(&self, client: PeerId, jobs: u64, bytes: u64) -> Option<Refused> {
        let (code, message, retry_after) = self.scheduler.refusal(self.now, client, jobs, bytes)?;
        Some(Refused { code, message, retry_after })
    }

    fn is_draining(&self) -> bool {
        self.scheduler.is_draining()
    }

    fn failed(&mut self, message: &Payload, result: Payload) {
        self.failures.note(message, result);
    }

    fn ask(&mut self, question: Question) {
        self.questions.push((self.peer, question));
    }

    fn unix_millis(&self) -> u64 {
        MILLIS
    }
}

impl House {
    pub(in crate::manager::json) fn new(config: Config) -> Self {
        let rules = Rules {
            payload_bytes_max: config.payload_bytes_max,
            hold_similar_work: config.hold_similar_work,
        };
        Self {
            sacred: config.sacred_guarantees,
            scheduler: Scheduler::new(config, Box::new(RandomWeighted), 7),
            now: Time::from_millis(1_000),
            peers: Vec::new(),
            rules,
            failures: Failures::default(),
            last_shown: LastShown::default(),
            rid_bytes: RidBytes::default(),
            questions: Vec::new(),
            told: false,
            native: Vec::new(),
        }
    }

    /// The number of a peer by this name, who joins if nobody has it.
    pub(in crate::manager::json) fn peer(&mut self, name: &str) -> PeerId {
        self.join(name, true)
    }

    pub(in crate::manager::json) fn native_peer(&mut self, name: &str) -> PeerId {
        self.join(name, false)
    }

    fn join(&mut self, name: &str, json: bool) -> PeerId {
        if let Some(party) = self.peers.iter().find(|party| party.name == name) {
            return party.peer;
        }
        let peer = PeerId(self.peers.len() as u64 + 1);
        let abilities = if json { crate::manager::dialect::ABILITIES } else { Abilities::NATIVE };
        let joined = Joined {
            peer,
            instance: InstanceId([u8::try_from(peer.0).unwrap(); 16]),
            realm: 0,
            name: name.into(),
            roles: crate::manager::dialect::ROLES,
            abilities,
        };
        self.scheduler.handle(self.now, Event::Joined(joined));
        let (last_shown, rid_bytes) = (self.last_shown.clone(), self.rid_bytes.clone());
        let dialect = json.then(|| Dialect::new(peer, self.rules, last_shown, rid_bytes));
        self.peers.push(Party { name: name.into(), peer, dialect });
        peer
    }

    pub(in crate::manager::json) fn leave(&mut self, name: &str) {
        let place = self.peers.iter().position(|party| party.name == name).unwrap();
        // Numbers are never used again, so the row stays.
        let party = &mut self.peers[place];
        party.name = String::new();
        party.dialect = None;
        self.scheduler.handle(self.now, Event::Left { peer: party.peer });
    }

    /// Tells the scheduler what a native peer said.
    pub(in crate::manager::json) fn tell(&mut self, event: Event<'_>) {
        self.told = true;
        self.scheduler.handle(self.now, event);
    }

    pub(in crate::manager::json) fn wait(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub(in crate::manager::json) fn hear(&mut self, name: &str, body: &[u8]) -> bool {
        let peer = self.peer(name);
        let party = self.peers.iter_mut().find(|party| party.peer == peer).unwrap();
        let mut around = Around {
            scheduler: &mut self.scheduler,
            failures: &mut self.failures,
            questions: &mut self.questions,
            peer,
            now: self.now,
        };
        party.dialect.as_mut().unwrap().hear(body, &mut around)
    }

    pub(in crate::manager::json) fn say(&mut self, name: &str, message: &ManagerMessage) {
        let party = self.peers.iter_mut().find(|party| party.name == name).unwrap();
        party.dialect.as_mut().unwrap().say(message, None);
    }

    pub(in crate::manager::json) fn too_large(&mut self, name: &str, bytes: u32) {
        let party = self.peers.iter_mut().find(|party| party.name == name).unwrap();
        party.dialect.as_mut().unwrap().hear_too_large(bytes);
    }

    fn dialect(&mut self, peer: PeerId) -> Option<&mut Dialect> {
        self.peers.iter_mut().find(|party| party.peer == peer)?.dialect.as_mut()
    }

    /// Lets the scheduler decide until it wants nothing more; what each peer is told, by name.
    pub(in crate::manager::json) fn turn(&mut self) -> Vec<(String, String)> {
        let mut said = Vec::new();
        for _ in 0..8 {
            let mut actions = Vec::new();
            self.scheduler.poll(self.now, &mut actions);
            actions.iter().for_each(|action| self.act(action));
            self.failures.clear();
            self.last_shown.forget();
            self.scheduler.audit();
            self.answer_questions();
            for party in &mut self.peers {
                let Some(dialect) = &mut party.dialect else { continue };
                let texts = texts(dialect);
                said.extend(texts.into_iter().map(|text| (party.name.clone(), text)));
            }
            let told = std::mem::take(&mut self.told);
            if !told && self.scheduler.next_deadline().is_none_or(|due| due > self.now) {
                break;
            }
        }
        said
    }

    fn answer_questions(&mut self) {
        let questions = std::mem::take(&mut self.questions);
        if questions.is_empty() {
            return;
        }
        let status = self.scheduler.status(self.now);
        let times = Times { boot: MILLIS - 60_000, now: MILLIS };
        let survey = Survey::new(&status, times, self.sacred);
        for (peer, question) in questions {
            let text = survey.answer(question, peer, MILLIS - 1_000);
            if let Some(dialect) = self.dialect(peer) {
                dialect.say_text(&text);
            }
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Assign(assign) => {
                let (worker, assignment) = (assign.worker, assign.assignment);
                let (client, job) = self.scheduler.caller_of(assignment).unwrap();
                let Some(dialect) = self.dialect(worker) else { return };
                let name = JobName { client, job };
                if !dialect.say_execution(
                    &translate::execution(assign, &assign.payload),
                    name,
                    &assign.payload,
                ) {
                    let result = WorkResult::TooLarge;
                    self.tell(Event::Finished { worker, assignment, result, payload: Payload::new().into() });
                }
            }
            &Action::Deliver { client, job, ref outcome } => {
                let payload = outcome.payload();
                let outcome = translate::outcome(job, outcome, payload);
                let whole = self.failures.find(payload).cloned();
                match self.dialect(client) {
                    Some(dialect) => dialect.say_outcome(&outcome, payload, whole.as_ref()),
                    None => self.native.push((job, String::from_utf8_lossy(payload).into_owned())),
                }
            }
            other => {
                let Some(word) = translate::say(other) else { return };
                if let Some(dialect) = self.dialect(word.to) {
                    dialect.say(&word.message, word.payload.as_ref());
                }
            }
        }
    }
}

/// What a dialect has to say: whole frames, each of them an object within the limit.
fn texts(dialect: &mut Dialect) -> Vec<String> {
    let mut bytes = Vec::new();
    dialect.pour(|piece| match piece {
        Piece::Text(text) => bytes.extend_from_slice(text),
        Piece::Payload(payload) => bytes.extend_from_slice(payload),
    });
    let (mut texts, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_be_bytes(*head) as usize);
        assert!(body.len() <= FRAME_BYTES_MAX);
        let object = super::super::text::Json::read(body).expect("only JSON is said");
        assert!(object.is_object());
        texts.push(object.text().to_owned());
        rest = after;
    }
    assert!(rest.is_empty());
    texts
}
