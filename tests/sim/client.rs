//! A client process: the product's machine, and an owner who hands in jobs, changes his mind, and sends messages.

use crate::environment::{Environment, Happening};
use proletariat::client::machine::{Action, Event, GroupId, Job, JobError, Machine, OwnOptions};
use proletariat::net::{Order, Outbox, Tail};
use proletariat_protocol::handshake::Welcome;
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{ErrorCode, JobOptions, MessageId, Payload, PeerId, Time};
use std::collections::{BTreeMap, BTreeSet};

const KINDS: [Option<&str>; 3] = [None, Some("add"), Some("mult")];
/// Bytes of a payload that no manager here takes.
const LARGE_BYTES: usize = 250_000;

/// See the head of the file.
pub struct ClientPart {
    host: usize,
    process: u64,
    machine: Machine,
    groups: BTreeMap<u32, Calls>,
    opened: u32,
    doings: u64,
    messages: u64,
    unreported: BTreeSet<MessageId>,
    /// Messages that the owner looks at when he does something next.
    unread: Vec<MessageId>,
    /// What the machine said before the next turn.
    early: Vec<Action>,
}

/// The jobs of a group, by index.
struct Calls {
    options: JobOptions,
    jobs: Vec<u64>,
    open: bool,
    dropped: bool,
}

impl ClientPart {
    pub fn new(host: usize, process: u64, doings: u64) -> Self {
        Self {
            host,
            process,
            machine: Machine::new(),
            groups: BTreeMap::new(),
            opened: 0,
            doings,
            messages: 0,
            unreported: BTreeSet::new(),
            unread: Vec::new(),
            early: Vec::new(),
        }
    }

    /// The owner does something, and later the next thing.
    pub fn act(&mut self, env: &mut Environment) {
        for id in std::mem::take(&mut self.unread) {
            self.machine.handle(env.now, Event::Confirmed { id });
        }
        if env.healed || self.doings == 0 {
            return self.close_all(env);
        }
        self.doings -= 1;
        match env.random.below(10) {
            0..5 => self.open(env),
            5 => self.add(env),
            6 => self.close(env),
            7 if env.options.features.aborts => self.abort(env),
            8 if env.options.features.aborts => self.drop_group(env),
            9 if env.options.features.messages => self.message(env),
            _ => self.open(env),
        }
        let mean = env.options.act_one_ms * 1_000 / env.options.doings;
        let wait = if env.random.percent(30) { 0 } else { env.random.below(2 * mean) };
        let (host, process) = (self.host, self.process);
        env.after(wait, Happening::Doing { host, process });
        env.wake(host, env.now);
    }

    fn options(env: &mut Environment) -> JobOptions {
        let features = env.options.features.clone();
        let random = &mut env.random;
        let mut clock =
            |on: bool| if on && random.percent(30) { *random.pick(&[50, 2_000, 10_000, 30_000]) } else { 0 };
        let (timeout_ms, assign_timeout_ms, run_timeout_ms) =
            (clock(features.clocks), clock(features.clocks), clock(features.clocks));
        JobOptions {
            priority: if features.priorities { *random.pick(&[0, 1, 2, 9]) } else { 0 },
            kind: if features.kinds { random.pick(&KINDS).map(str::to_owned) } else { None },
            key: (features.keys && random.percent(60)).then(|| vec![random.below(4) as u8]),
            timeout_ms,
            assign_timeout_ms,
            run_timeout_ms,
            max_attempts: if features.attempts {
                *random.pick(&[None, Some(1), Some(3), Some(0)])
            } else {
                Some(0)
            },
            no_wait: features.no_wait && random.percent(10),
            stream: features.streams && random.percent(50),
        }
    }

    fn jobs(&mut self, env: &mut Environment, options: &JobOptions) -> (Vec<u64>, Vec<Job>) {
        let count = env.random.between(1, 6);
        let make = |_| {
            let mut options = options.clone();
            let own = env.random.percent(20).then(|| {
                let key = options.key.as_ref().map(|_| vec![env.random.below(4) as u8]);
                let priority = env.options.features.priorities.then(|| env.random.below(4) as u32);
                Box::new(OwnOptions { kind: None, key, priority })
            });
            if let Some(own) = &own {
                options.priority = own.priority.unwrap_or(options.priority);
                options.key = own.key.clone().or(options.key);
            }
            let large = env.options.features.large && env.random.percent(5);
            let bytes = if large { LARGE_BYTES } else { env.random.between(16, 3_000) as usize };
            let now = env.now;
            let (number, payload) = env.jobs.add(self.process, &options, now, bytes);
            (number, Job { payload, own })
        };
        (0..count).map(make).unzip()
    }

    fn open(&mut self, env: &mut Environment) {
        let options = Self::options(env);
        let (numbers, jobs) = self.jobs(env, &options);
        let open = env.random.percent(30);
        let id = self.opened;
        self.opened += 1;
        env.note(|| format!("host {} opens group {id}: jobs {numbers:?}, {options:?}", self.host));
        self.groups.insert(id, Calls { options: options.clone(), jobs: numbers, open, dropped: false });
        self.machine.handle(env.now, Event::Opened { group: GroupId(id), options, jobs, open });
    }

    fn any(&self, env: &mut Environment, fits: impl Fn(&Calls) -> bool) -> Option<u32> {
        let ids: Vec<u32> = self.groups.iter().filter(|(_, calls)| fits(calls)).map(|(id, _)| *id).collect();
        (!ids.is_empty()).then(|| *env.random.pick(&ids))
    }

    fn add(&mut self, env: &mut Environment) {
        let Some(id) = self.any(env, |calls| calls.open && !calls.dropped) else { return };
        let options = self.groups[&id].options.clone();
        if options.timeout_ms > 0 {
            // The clock of the call began with the group: jobs that come later would have to be judged by it.
            return;
        }
        let (numbers, jobs) = self.jobs(env, &options);
        self.groups.get_mut(&id).expect("chosen above").jobs.extend(numbers);
        self.machine.handle(env.now, Event::Added { group: GroupId(id), jobs });
    }

    fn close(&mut self, env: &mut Environment) {
        if let Some(id) = self.any(env, |calls| calls.open && !calls.dropped) {
            self.groups.get_mut(&id).expect("chosen above").open = false;
            self.machine.handle(env.now, Event::Closed { group: GroupId(id) });
        }
    }

    fn close_all(&mut self, env: &mut Environment) {
        for (id, calls) in self.groups.iter_mut().filter(|(_, calls)| calls.open && !calls.dropped) {
            calls.open = false;
            self.machine.handle(env.now, Event::Closed { group: GroupId(*id) });
        }
        env.wake(self.host, env.now);
    }

    fn abort(&mut self, env: &mut Environment) {
        let Some(id) = self.any(env, |calls| !calls.dropped) else { return };
        let calls = &self.groups[&id];
        let first = env.random.below(calls.jobs.len() as u64);
        let count = env.random.between(1, 3);
        for number in calls.jobs.iter().skip(first as usize).take(count as usize) {
            env.jobs.list[*number as usize].aborted = true;
        }
        env.note(|| format!("host {} aborts {count} from {first} of group {id}", self.host));
        self.machine.handle(env.now, Event::Aborted { group: GroupId(id), first, count });
    }

    fn drop_group(&mut self, env: &mut Environment) {
        let Some(id) = self.any(env, |calls| !calls.dropped) else { return };
        // What has been said already is on its way to the owner.
        let said = self.early.len();
        self.machine.poll(env.now, 0, &mut self.early);
        let told = self.early[said..].iter().filter_map(|action| match action {
            Action::Deliver { group, index, .. } if group.0 == id => Some(*index as usize),
            _ => None,
        });
        let told: BTreeSet<usize> = told.collect();
        let calls = self.groups.get_mut(&id).expect("chosen above");
        calls.dropped = true;
        for (index, number) in calls.jobs.iter().enumerate() {
            let job = &mut env.jobs.list[*number as usize];
            job.deserted |= job.outcome.is_none() && !told.contains(&index);
        }
        env.note(|| format!("host {} drops group {id}", self.host));
        self.machine.handle(env.now, Event::Dropped { group: GroupId(id) });
    }

    fn message(&mut self, env: &mut Environment) {
        self.messages += 1;
        let id = MessageId(self.messages);
        let to = match env.random.below(3) {
            0 => Recipient::All,
            1 => Recipient::Manager,
            _ => Recipient::Peer(PeerId(env.random.between(1, 12))),
        };
        let timeout_ms = *env.random.pick(&[0, 500]);
        self.unreported.insert(id);
        let mut content = format!("message {id} of process {}", self.process).into_bytes();
        content.resize(content.len() + env.random.below(2_000) as usize, b' ');
        let content = Payload::from(content);
        self.machine.handle(env.now, Event::SystemMessage { id, to, content, timeout_ms });
    }

    /// The owner took data.
    pub fn taken(&mut self, env: &mut Environment, job: u64, bytes: u64) {
        let place = self.groups.iter().find_map(|(id, calls)| {
            let index = calls.jobs.iter().position(|number| *number == job)?;
            (!calls.dropped).then_some((*id, index as u64))
        });
        if let Some((id, index)) = place {
            self.machine.handle(env.now, Event::Taken { group: GroupId(id), index, bytes });
            env.wake(self.host, env.now);
        }
    }

    pub fn link_up(&mut self, env: &mut Environment, welcome: &Welcome) {
        self.machine.handle(env.now, Event::LinkUp { payload_bytes_max: welcome.payload_bytes_max });
    }

    pub fn link_down(&mut self, env: &mut Environment, last: bool) {
        self.unread.clear();
        let why = JobError::new(ErrorCode::Shutdown, "no connection");
        self.machine.handle(env.now, Event::LinkDown { why, last });
    }

    pub fn receive(&mut self, env: &mut Environment, message: ManagerMessage, mut tail: Tail<'_>) {
        let event = match message {
            ManagerMessage::Outcomes { jobs } => {
                for job in jobs {
                    let payload = tail.take(job.bytes);
                    let outcome = match job.outcome {
                        OutcomeKind::Result => Ok(payload),
                        OutcomeKind::Error(code) => {
                            Err(JobError::new(code, String::from_utf8_lossy(&payload)))
                        }
                    };
                    self.machine.handle(env.now, Event::Ended { job: job.job, outcome });
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
                let report = proletariat::client::machine::SystemReport { sent_to, received_by };
                Event::Reported { id, report }
            }
            _ => return,
        };
        self.machine.handle(env.now, event);
    }

    pub fn expire(&mut self, env: &mut Environment) {
        self.machine.expire(env.now);
    }

    pub fn poll(&mut self, env: &mut Environment, room: usize, outbox: &mut Outbox) {
        loop {
            let mut actions = std::mem::take(&mut self.early);
            self.machine.poll(env.now, room.saturating_sub(outbox.bytes()), &mut actions);
            if actions.is_empty() {
                break;
            }
            actions.into_iter().for_each(|action| self.carry_out(env, action, outbox));
        }
        self.machine.audit();
    }

    fn carry_out(&mut self, env: &mut Environment, action: Action, outbox: &mut Outbox) {
        match action {
            Action::Submit(submit) => {
                let payload_bytes = submit.payloads.iter().map(|payload| payload.len() as u32).collect();
                let message =
                    PeerMessage::Submit { first: submit.first, options: submit.options, payload_bytes };
                // Small jobs may pass a large one that is under way in fragments; an abort passes neither.
                outbox.push(&message, &submit.payloads, Order::Free);
            }
            Action::Abort { first, count } => {
                outbox.push(&PeerMessage::Abort { first, count }, &[], Order::Barrier);
            }
            Action::Credit { job, bytes } => {
                outbox.push(&PeerMessage::Credit { job, bytes }, &[], Order::Free)
            }
            Action::SendSystemMessage { id, to, content, timeout_ms } => {
                let bytes = content.len() as u32;
                outbox.push(
                    &PeerMessage::SystemMessage { id, to, timeout_ms, bytes },
                    &[content],
                    Order::Free,
                );
            }
            Action::Confirm { id } => outbox.push(&PeerMessage::Confirm { id }, &[], Order::Free),
            Action::Incoming { id, .. } => {
                if env.random.percent(80) || env.healed {
                    self.machine.handle(env.now, Event::Confirmed { id });
                } else {
                    self.unread.push(id);
                }
            }
            Action::Report { id, result } => {
                let asked = self.unreported.remove(&id);
                let right = asked && result.is_none_or_fair();
                env.books.require(right, "13 one report", || {
                    format!("{result:?} for message {id}, asked {asked}")
                });
            }
            Action::AskStatus { .. }
            | Action::Status { .. }
            | Action::Progress { .. }
            | Action::Finished { .. } => {}
            Action::Deliver { group, index, outcome } => {
                let job = self.groups[&group.0].jobs[index as usize];
                env.note(|| format!("host {}: job {job} ends: {outcome:?}", self.host));
                let limit = env.options.scheduler.payload_bytes_max;
                if let Err(why) = env.jobs.delivered(job, env.now, &outcome, limit) {
                    env.books.violate("the caller", || why);
                }
            }
            Action::Data { group, index, payload } => self.data(env, group, index, &payload),
            Action::Restarted { group, index } => {
                let job = self.groups[&group.0].jobs[index as usize];
                env.jobs.restarted(job);
            }
        }
    }

    fn data(&mut self, env: &mut Environment, group: GroupId, index: u64, payload: &Payload) {
        let job = self.groups[&group.0].jobs[index as usize];
        if let Err(why) = env.jobs.heard(job, payload) {
            env.books.violate("streams", || why);
        }
        let wait = env.random.below(50_000);
        let (host, process, bytes) = (self.host, self.process, payload.len() as u64);
        env.after(wait, Happening::Taken { host, process, job, bytes });
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.machine.next_deadline()
    }

    pub fn is_idle(&self) -> bool {
        self.machine.is_idle() && self.unreported.is_empty()
    }
}

/// What a report may say.
trait Fair {
    fn is_none_or_fair(&self) -> bool;
}

impl Fair for Result<proletariat::client::machine::SystemReport, JobError> {
    fn is_none_or_fair(&self) -> bool {
        self.as_ref().map_or(true, |report| report.received_by <= report.sent_to)
    }
}
