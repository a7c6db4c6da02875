//! The scheduler and the model side by side: the same happenings, and after each burst the same words.

use crate::model::Model;
use crate::op::{Mix, Op};
use crate::random::Random;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{
    AssignmentId, InstanceId, JobId, JobOptions, MessageId, Payload, PeerId, Time, WorkResult,
};
use proletariat_scheduler::{Abilities, Action, Config, Event, Joined, Scheduler, selector};
use std::cell::RefCell;
use std::time::Duration;

/// Both machines, and what the world remembers.
struct Pair<'a> {
    scheduler: Scheduler,
    model: Model,
    now: Time,
    peers: u64,
    payloads: u64,
    messages: u64,
    /// Every assignment there was, with its worker.
    assigned: Vec<(PeerId, AssignmentId)>,
    /// System messages as their recipients know them.
    received: Vec<(PeerId, MessageId)>,
    trace: Option<&'a RefCell<Vec<String>>>,
}

/// The settings of a seed.
pub fn config(random: &mut Random) -> Config {
    Config {
        sacred_guarantees: random.percent(50),
        hold_similar_work: random.percent(60),
        max_attempts: *random.pick(&[0, 1, 3, 5]),
        avail_threshold: *random.pick(&[1, 1, 1, 3]),
        distrib_randmax: *random.pick(&[
            Duration::ZERO,
            Duration::ZERO,
            Duration::ZERO,
            Duration::from_millis(20),
        ]),
        payload_bytes_max: *random.pick(&[1 << 20, 1 << 20, 38]),
        queued_jobs_max: *random.pick(&[10_000, 10_000, 6]),
        queued_jobs_per_client_max: *random.pick(&[0, 0, 4]),
        queued_bytes_max: *random.pick(&[1 << 30, 1 << 30, 150]),
        ..Config::default()
    }
}

/// Runs what happens under a seed's settings; tells what went wrong.
pub fn run(seed: u64, ops: &[Op], trace: Option<&RefCell<Vec<String>>>) -> Result<(), String> {
    let mut random = Random::new(seed);
    let config = config(&mut random);
    let name = *random.pick(&selector::NAMES);
    let selector = selector::by_name(name).expect("one of its own names");
    let mut pair = Pair {
        scheduler: Scheduler::new(config.clone(), selector, seed),
        model: Model::new(config),
        now: Time::from_millis(1_000),
        peers: 0,
        payloads: 0,
        messages: 0,
        assigned: Vec::new(),
        received: Vec::new(),
        trace,
    };
    if random.percent(50) {
        pair.leave_lines_empty()?;
    }
    let result = ops.iter().try_for_each(|op| pair.happen(op));
    result.and_then(|()| pair.pass(0))
}

/// The happenings of a seed.
pub fn ops(seed: u64) -> Vec<Op> {
    let mut random = Random::new(seed ^ 0x5eed);
    let mix = Mix::draw(&mut random);
    let count = random.between(20, 220);
    (0..count).map(|_| mix.op(&mut random)).collect()
}

impl Pair<'_> {
    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace.borrow_mut().push(format!("{:>10} {}", self.now.0, line()));
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        self.note(|| format!("{event:?}"));
        self.model.handle(self.now, &event);
        self.scheduler.handle(self.now, event);
    }

    fn peer(&self, which: u64, fits: impl Fn(&crate::model::Peer) -> bool) -> Option<PeerId> {
        let all: Vec<PeerId> =
            self.model.peers.values().filter(|p| !p.gone && fits(p)).map(|p| p.id).collect();
        (!all.is_empty()).then(|| all[which as usize % all.len()])
    }

    /// One that holds a slot: stopping ones, or those that are wanted.
    fn assignment(
        &self,
        which: u64,
        fits: impl Fn(&crate::model::Assignment) -> bool,
    ) -> Option<(PeerId, AssignmentId)> {
        let alive = |worker: &PeerId| self.model.peers.get(worker).is_some_and(|peer| !peer.gone);
        let all: Vec<_> = self.model.assignments.iter().filter(|a| fits(a) && alive(&a.worker)).collect();
        (!all.is_empty()).then(|| all[which as usize % all.len()]).map(|a| (a.worker, a.id))
    }

    fn payload(&mut self, bytes: usize) -> Payload {
        self.payloads += 1;
        let mut payload = self.payloads.to_be_bytes().to_vec();
        payload.resize(bytes.max(8), b'x');
        payload.into()
    }

    /// A client that uses more priorities than empty waiting lines are kept: whatever line gets empty from now on, closes.
    fn leave_lines_empty(&mut self) -> Result<(), String> {
        let joined = self.join(250, true, false);
        self.tell(joined);
        let client = PeerId(self.peers);
        for number in 0..=64 {
            let payloads = [self.payload(8)].into_iter().collect();
            let options = &JobOptions { priority: 1_000 + number, ..JobOptions::default() };
            let first = JobId(number.into());
            self.tell(Event::Submitted { client, first, options, payloads });
            self.pass(0)?;
            self.tell(Event::Aborted { client, first, count: 1 });
            self.pass(0)?;
        }
        Ok(())
    }

    fn happen(&mut self, op: &Op) -> Result<(), String> {
        if let Op::Pass(micros) = op {
            return self.pass(*micros);
        }
        if let Some(event) = self.event(op) {
            self.tell(event);
        }
        Ok(())
    }

    fn event<'a>(&mut self, op: &'a Op) -> Option<Event<'a>> {
        if let Op::Submit { by, count, bytes, options } = op {
            let client = self.peer(*by, |peer| peer.roles.client)?;
            let first = JobId(self.model.peers[&client].client.next);
            let payloads = (0..*count).map(|_| self.payload(*bytes)).collect();
            return Some(Event::Submitted { client, first, options, payloads });
        }
        Some(match op.clone() {
            Op::Pass(_) => return None,
            Op::Join { instance, client, worker } => self.join(instance, client, worker),
            Op::Leave(which) => Event::Left { peer: self.peer(which, |_| true)? },
            Op::Abort { by, first, count } => {
                let client = self.peer(by, |peer| peer.roles.client)?;
                let first = JobId(self.model.peers[&client].client.next.saturating_sub(first));
                Event::Aborted { client, first, count }
            }
            Op::Offer { by, offer } => Event::Offered { worker: self.peer(by, |p| p.roles.worker)?, offer },
            Op::Withdraw(by) => Event::Withdrew { worker: self.peer(by, |p| p.roles.worker)? },
            Op::Message { by, to, timeout_ms } => self.message(by, to, timeout_ms)?,
            Op::Confirm(which) => {
                let (by, id) = *self.received.get(which as usize % self.received.len().max(1))?;
                Event::Confirmed { by, id }
            }
            Op::Outbox { peer, level } => Event::Outbox { peer: self.peer(peer, |_| true)?, level },
            Op::Drain => Event::Draining,
            Op::Late { which, by, word } => {
                let (own, assignment) = *self.assigned.get(which as usize % self.assigned.len().max(1))?;
                let worker = if by % 2 == 0 { own } else { self.peer(by, |_| true)? };
                let held = self.model.assignments.iter().any(|a| a.id == assignment && a.worker == worker);
                if held {
                    return None;
                }
                self.word(worker, assignment, word)
            }
            word => return self.word_of_holder(&word),
        })
    }

    fn word_of_holder(&mut self, op: &Op) -> Option<Event<'static>> {
        let wanted = |a: &crate::model::Assignment| !a.stopping;
        Some(match *op {
            Op::Start(which) => {
                let (worker, assignment) = self.assignment(which, |a| a.started.is_none())?;
                Event::Started { worker, assignment }
            }
            Op::Finish(which, result) => {
                let (worker, assignment) = self.assignment(which, |_| true)?;
                Event::Finished { worker, assignment, result, payload: self.payload(24).into() }
            }
            Op::HandBack(which, reason) => {
                let (worker, assignment) = self.assignment(which, wanted)?;
                Event::HandedBack { worker, assignment, reason }
            }
            Op::Crash(which) => {
                let (worker, assignment) = self.assignment(which, |_| true)?;
                Event::Crashed { worker, assignment, message: "gone".into() }
            }
            Op::Stop(which) => {
                let (worker, assignment) = self.assignment(which, |a| a.stopping)?;
                Event::Stopped { worker, assignment }
            }
            Op::Data(which) => {
                let (worker, assignment) = self.assignment(which, |_| true)?;
                Event::Data { worker, assignment, payload: self.payload(16) }
            }
            Op::Progress(which) => {
                let (worker, assignment) = self.assignment(which, |_| true)?;
                Event::Progress { worker, assignment, done: which % 7, total: 7 }
            }
            _ => return None,
        })
    }

    /// What nobody should listen to.
    fn word(&mut self, worker: PeerId, assignment: AssignmentId, word: u64) -> Event<'static> {
        match word {
            0 => Event::Started { worker, assignment },
            1 => Event::Finished {
                worker,
                assignment,
                result: WorkResult::Done,
                payload: self.payload(9).into(),
            },
            2 => Event::HandedBack {
                worker,
                assignment,
                reason: proletariat_protocol::HandBackReason::Leaving,
            },
            3 => Event::Crashed { worker, assignment, message: String::new() },
            4 => Event::Stopped { worker, assignment },
            _ => Event::Progress { worker, assignment, done: 1, total: 2 },
        }
    }

    fn join(&mut self, instance: u8, client: bool, worker: bool) -> Event<'static> {
        self.peers += 1;
        Event::Joined(Joined {
            peer: PeerId(self.peers),
            instance: InstanceId([instance; 16]),
            realm: 0,
            name: String::new(),
            roles: Roles { client: client || !worker, worker, admin: false },
            abilities: Abilities::NATIVE,
        })
    }

    fn message(&mut self, by: u64, to: u64, timeout_ms: u64) -> Option<Event<'static>> {
        let from = self.peer(by, |_| true)?;
        self.messages += 1;
        let to = match to {
            0 => Recipient::All,
            1 => Recipient::Manager,
            2 => Recipient::Peer(PeerId(99_999)),
            other => Recipient::Peer(self.peer(other, |peer| peer.id != from)?),
        };
        let timeout = (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms));
        Some(Event::SystemMessage {
            from,
            id: MessageId(self.messages),
            to,
            content: self.payload(12),
            timeout,
        })
    }

    /// The burst is over; then so much time passes, with every deadline kept on the way.
    fn pass(&mut self, micros: u64) -> Result<(), String> {
        self.poll()?;
        let end = Time(self.now.0 + micros);
        loop {
            let due = self.scheduler.next_deadline();
            let wanted = self.model.next_due();
            if let Some(wanted) = wanted.filter(|wanted| *wanted <= end)
                && due.is_none_or(|due| due > wanted)
            {
                self.model.now = wanted;
                let left = self.model.check_work_conserving();
                left.map_err(|why| format!("asleep until {due:?}, but at {wanted:?}: {why}"))?;
                if self.model.clock_due(wanted) {
                    return Err(format!("asleep until {due:?}, but a clock ends at {wanted:?}"));
                }
                continue;
            }
            let Some(due) = due.filter(|due| *due <= end) else { break };
            self.now = self.now.max(due);
            self.poll()?;
            let next = self.scheduler.next_deadline();
            if next.is_some_and(|next| next <= self.now) {
                return Err(format!("polled at {:?}, and wants to be polled at {next:?} again", self.now));
            }
        }
        self.now = end;
        Ok(())
    }

    fn poll(&mut self) -> Result<(), String> {
        let mut actions = Vec::new();
        self.scheduler.poll(self.now, &mut actions);
        self.scheduler.audit();
        self.note(|| "poll".into());
        for action in &actions {
            self.note(|| format!("    {action:?}"));
            match action {
                Action::Assign(assign) => self.assigned.push((assign.worker, assign.assignment)),
                Action::SystemMessage { to, id, .. } => self.received.push((*to, *id)),
                _ => {}
            }
        }
        self.model.poll(self.now, &actions)
    }
}
