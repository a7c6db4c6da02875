//! A world for one scheduler: peers without a network, time that passes when it is told to.

use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{
    ErrorCode, HandBackReason, InstanceId, JobId, JobOptions, Offer, Payload, PeerId, Time, WorkResult,
};
use proletariat_scheduler::{Abilities, Action, Assign, Config, Event, Joined, Outcome, Scheduler, selector};
use std::collections::HashMap;

pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Time,
    actions: Vec<Action>,
    /// The audit costs as much as there is: off where thousands of steps are about the sizes of tables.
    pub(crate) audits: bool,
    next_peer: u64,
    next_job: HashMap<PeerId, u64>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::with_selector(config, selector::RandomWeighted)
    }

    pub(crate) fn with_selector(config: Config, selector: impl selector::Selector + 'static) -> Self {
        Self {
            scheduler: Scheduler::new(config, Box::new(selector), 1),
            now: Time::ZERO,
            actions: Vec::new(),
            audits: true,
            next_peer: 1,
            next_job: HashMap::new(),
        }
    }

    /// Handles one event as a burst of its own, and audits.
    pub(crate) fn tell(&mut self, event: Event) {
        self.scheduler.handle(self.now, event);
        self.poll();
    }

    fn poll(&mut self) {
        self.scheduler.poll(self.now, &mut self.actions);
        if self.audits {
            self.scheduler.audit();
        }
    }

    pub(crate) fn pass_millis(&mut self, millis: u64) {
        let end = self.now.plus_millis(millis);
        while let Some(due) = self.scheduler.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.poll();
        }
        self.now = end;
        self.poll();
    }

    fn join(&mut self, instance: u64) -> PeerId {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&instance.to_le_bytes());
        self.tell(Event::Joined(Joined {
            peer,
            instance: InstanceId(bytes),
            realm: 0,
            name: format!("peer {peer}"),
            roles: Roles { client: true, worker: true, admin: false },
            abilities: Abilities::NATIVE,
        }));
        peer
    }

    pub(crate) fn client(&mut self) -> PeerId {
        self.join(1_000 + self.next_peer)
    }

    pub(crate) fn worker(&mut self, offer: Offer) -> PeerId {
        self.worker_of_instance(1_000 + self.next_peer, offer)
    }

    pub(crate) fn worker_of_instance(&mut self, instance: u64, offer: Offer) -> PeerId {
        let worker = self.join(instance);
        self.tell(Event::Offered { worker, offer });
        worker
    }

    pub(crate) fn leave(&mut self, peer: PeerId) {
        self.tell(Event::Left { peer });
    }

    pub(crate) fn submit(&mut self, client: PeerId, options: JobOptions, payloads: &[&'static str]) {
        let next = self.next_job.entry(client).or_insert(0);
        let first = JobId(*next);
        *next += payloads.len() as u64;
        let payloads = payloads.iter().map(|text| Payload::from_static(text.as_bytes())).collect();
        self.tell(Event::Submitted { client, first, options: &options, payloads });
    }

    pub(crate) fn abort(&mut self, client: PeerId, first: u64, count: u64) {
        self.tell(Event::Aborted { client, first: JobId(first), count });
    }

    pub(crate) fn finish(&mut self, assigned: &Assign, result: &'static str) {
        let (worker, assignment) = (assigned.worker, assigned.assignment);
        let payload = Payload::from_static(result.as_bytes()).into();
        self.tell(Event::Finished { worker, assignment, result: WorkResult::Done, payload });
    }

    pub(crate) fn hand_back(&mut self, assigned: &Assign, reason: HandBackReason) {
        self.tell(Event::HandedBack { worker: assigned.worker, assignment: assigned.assignment, reason });
    }

    /// Takes the actions that fit out of those that were not looked at.
    pub(crate) fn take(&mut self, wanted: impl Fn(&Action) -> bool) -> Vec<Action> {
        let (taken, left) = std::mem::take(&mut self.actions).into_iter().partition(wanted);
        self.actions = left;
        taken
    }

    pub(crate) fn did(&mut self, wanted: impl Fn(&Action) -> bool) -> bool {
        !self.take(wanted).is_empty()
    }

    pub(crate) fn assigned_to(&mut self, worker: PeerId) -> Vec<Assign> {
        self.take(|action| matches!(action, Action::Assign(assign) if assign.worker == worker))
            .into_iter()
            .map(|action| if let Action::Assign(assign) = action { assign } else { unreachable!() })
            .collect()
    }

    pub(crate) fn results(&mut self, client: PeerId) -> Vec<(u64, String)> {
        let wanted = |a: &Action| matches!(a, Action::Deliver { client: to, outcome: Outcome::Result(_), .. } if *to == client);
        let text = |bytes: &Payload| String::from_utf8_lossy(bytes).into_owned();
        let fits = |action: &Action| match action {
            Action::Deliver { job, outcome: Outcome::Result(result), .. } => Some((job.0, text(result))),
            _ => None,
        };
        self.take(wanted).iter().filter_map(fits).collect()
    }

    pub(crate) fn errors(&mut self, client: PeerId) -> Vec<(u64, ErrorCode)> {
        let wanted = |a: &Action| matches!(a, Action::Deliver { client: to, outcome: Outcome::Error(..), .. } if *to == client);
        let fits = |action: &Action| match action {
            Action::Deliver { job, outcome: Outcome::Error(code, _), .. } => Some((job.0, *code)),
            _ => None,
        };
        self.take(wanted).iter().filter_map(fits).collect()
    }
}

pub(crate) fn jobs_of(assigned: &[Assign]) -> Vec<String> {
    assigned.iter().map(|assign| String::from_utf8_lossy(&assign.payload).into_owned()).collect()
}

pub(crate) fn code(errors: &[(u64, ErrorCode)]) -> Option<ErrorCode> {
    errors.first().map(|(_, code)| *code)
}
