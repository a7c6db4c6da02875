//! Brains with a bug each: the product's scheduler, and around it a mistake that a broker could make. They are doubles of
//! the tests; nothing in the product can be made to do this. Their audits say nothing, so that only what the simulator sees
//! from outside can find them.

use crate::brain::Brain;
use crate::jobs;
use crate::options::Options;
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, Payload, PeerId, Time};
use proletariat_scheduler::{
    Action, Admission, Assign, Event, Ledger, Outcome, Payloads, Scheduler, Status, selector,
};
use std::collections::{BTreeMap, BTreeSet};

/// The mistakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A range is held against its own cap and the total alone.
    OwnCapOnly,
    /// A word about an old attempt is taken for one about the present.
    NoFence,
    /// The stop of aborted work gives no slot back.
    LeakedSlot,
    /// Of all that wait for a shared run only the first is told its result.
    StrandedWaiter,
    /// The clock of a job that has ended rings for the next one in its row.
    StaleTimer,
    /// What a lost worker was doing is forgotten.
    LostRequeue,
    /// The result of a second attempt is told twice.
    DoubleDelivery,
    /// No mistake.
    None,
}

pub const BUGS: [Bug; 7] = [
    Bug::OwnCapOnly,
    Bug::NoFence,
    Bug::LeakedSlot,
    Bug::StrandedWaiter,
    Bug::StaleTimer,
    Bug::LostRequeue,
    Bug::DoubleDelivery,
];

#[derive(Debug)]
struct OwnCapOnly {
    sacred: bool,
}

impl Admission for OwnCapOnly {
    fn free(&self, ledger: &Ledger, range: usize) -> u32 {
        let cap = match (self.sacred, range) {
            (false, _) => (0..=range).map(|k| ledger.guaranteed(k)).sum(),
            (true, 0) => ledger.guaranteed(0),
            (true, _) => ledger.guaranteed(0) + ledger.guaranteed(range),
        };
        let left = ledger.slots().saturating_sub(ledger.held_in_all());
        u32::saturating_sub(cap, ledger.held(range)).min(left)
    }
}

/// See the head of the file.
pub struct Double {
    bug: Bug,
    inner: Scheduler,
    /// By the job that an execution began with: who has it now.
    present: BTreeMap<usize, (PeerId, AssignmentId)>,
    /// Every assignment there was.
    of: BTreeMap<AssignmentId, (PeerId, usize, u32)>,
    cancelled: BTreeSet<AssignmentId>,
    /// Jobs in rows that are used again, and the clocks that point to rows.
    rows: Vec<Option<(PeerId, JobId)>>,
    clocks: BTreeSet<(Time, usize)>,
    /// By the job: whose it is.
    clients: BTreeMap<usize, (PeerId, JobId)>,
    /// Ended by the mistake: with another code, or without a word.
    ended: BTreeMap<(PeerId, JobId), Option<ErrorCode>>,
}

impl Double {
    pub fn new(bug: Bug, options: &Options, seed: u64) -> Self {
        let selector = selector::by_name(options.selector).expect("one of its own names");
        let config = options.scheduler.clone();
        let inner = if bug == Bug::OwnCapOnly {
            let admission = OwnCapOnly { sacred: config.sacred_guarantees };
            Scheduler::with_admission(config, selector, seed, Box::new(admission))
        } else {
            Scheduler::new(config, selector, seed)
        };
        Self {
            bug,
            inner,
            present: BTreeMap::new(),
            of: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            rows: Vec::new(),
            clocks: BTreeSet::new(),
            clients: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// One to hold the others against.
    pub fn without_mistake(options: &Options, seed: u64) -> Self {
        Self::new(Bug::None, options, seed)
    }

    /// Takes a word about an old attempt for one about the present.
    fn confuse(&self, worker: &mut PeerId, assignment: &mut AssignmentId) {
        if let Some((_, job, _)) = self.of.get(assignment)
            && let Some((present, id)) = self.present.get(job)
        {
            (*worker, *assignment) = (*present, *id);
        }
    }

    fn release(&mut self, assignment: AssignmentId) {
        if let Some((_, job, _)) = self.of.get(&assignment)
            && self.present.get(job).is_some_and(|(_, id)| *id == assignment)
        {
            self.present.remove(job);
        }
    }

    fn forget_work_of(&mut self, now: Time, lost: PeerId) {
        let own = self.present.iter().filter(|(_, (worker, _))| *worker == lost).map(|(job, _)| *job);
        for job in own.collect::<Vec<_>>() {
            if let Some((client, number)) = self.clients.get(&job).copied() {
                self.ended.insert((client, number), None);
                self.inner.handle(now, Event::Aborted { client, first: number, count: 1 });
            }
        }
    }

    fn submitted(
        &mut self,
        now: Time,
        client: PeerId,
        first: JobId,
        timeout_ms: u32,
        payloads: &Payloads<'_>,
    ) {
        for (n, payload) in payloads.iter().enumerate() {
            let number = first.plus(n as u64);
            self.clients.insert(jobs::read(payload).0, (client, number));
            let free = self.rows.iter().position(Option::is_none);
            let row = free.unwrap_or_else(|| {
                self.rows.push(None);
                self.rows.len() - 1
            });
            self.rows[row] = Some((client, number));
            if timeout_ms > 0 {
                self.clocks.insert((now.plus_millis(timeout_ms.into()), row));
            }
        }
    }

    fn ring(&mut self, now: Time) {
        while let Some(&(due, row)) = self.clocks.first()
            && due <= now
        {
            self.clocks.pop_first();
            if let Some((client, number)) = self.rows[row] {
                self.ended.insert((client, number), Some(ErrorCode::CallTimeout));
                self.inner.handle(now, Event::Aborted { client, first: number, count: 1 });
            }
        }
    }

    fn assigned(&mut self, assign: &Assign) {
        let job = jobs::read(&assign.payload).0;
        self.present.insert(job, (assign.worker, assign.assignment));
        self.of.insert(assign.assignment, (assign.worker, job, assign.attempt));
    }

    /// What is said of an end, with the mistake in it.
    fn deliver(&mut self, client: PeerId, job: JobId, outcome: Outcome, said: &mut Vec<Action>) {
        for row in self.rows.iter_mut().filter(|row| **row == Some((client, job))) {
            *row = None;
        }
        let outcome = match self.ended.remove(&(client, job)) {
            Some(None) => return,
            Some(Some(code)) => Outcome::Error(code, Payload::new()),
            None => outcome,
        };
        let same =
            |action: &Action| matches!(action, Action::Deliver { outcome: other, .. } if *other == outcome);
        let result = matches!(outcome, Outcome::Result(_));
        if self.bug == Bug::StrandedWaiter && result && said.iter().any(same) {
            return;
        }
        let twice = self.bug == Bug::DoubleDelivery && result && self.is_later_attempt(client, job);
        if twice {
            said.push(Action::Deliver { client, job, outcome: outcome.clone() });
        }
        said.push(Action::Deliver { client, job, outcome });
    }

    fn is_later_attempt(&self, client: PeerId, job: JobId) -> bool {
        let number =
            self.clients.iter().find(|(_, place)| **place == (client, job)).map(|(number, _)| *number);
        self.of.values().any(|(_, of, attempt)| Some(*of) == number && *attempt > 1)
    }
}

impl Brain for Double {
    fn handle(&mut self, now: Time, mut event: Event<'_>) {
        match &mut event {
            Event::Finished { worker, assignment, .. }
            | Event::HandedBack { worker, assignment, .. }
            | Event::Crashed { worker, assignment, .. }
            | Event::Stopped { worker, assignment } => {
                if self.bug == Bug::NoFence {
                    self.confuse(worker, assignment);
                }
                let assignment = *assignment;
                self.release(assignment);
                let stop = matches!(event, Event::Stopped { .. });
                if self.bug == Bug::LeakedSlot && stop && self.cancelled.contains(&assignment) {
                    return;
                }
            }
            Event::Submitted { client, first, options, payloads } => {
                let (client, first, timeout_ms) = (*client, *first, options.timeout_ms);
                self.submitted(now, client, first, timeout_ms, payloads);
            }
            Event::Left { peer } => {
                let peer = *peer;
                if self.bug == Bug::LostRequeue {
                    self.forget_work_of(now, peer);
                }
                self.rows
                    .iter_mut()
                    .filter(|row| row.is_some_and(|(client, _)| client == peer))
                    .for_each(|row| *row = None);
            }
            _ => {}
        }
        self.inner.handle(now, event);
    }

    fn poll(&mut self, now: Time, actions: &mut Vec<Action>) {
        if self.bug == Bug::StaleTimer {
            self.ring(now);
        }
        let mut all = Vec::new();
        self.inner.poll(now, &mut all);
        for action in all {
            match action {
                Action::Deliver { client, job, outcome } => self.deliver(client, job, outcome, actions),
                Action::Assign(assign) => {
                    self.assigned(&assign);
                    actions.push(Action::Assign(assign));
                }
                Action::Cancel { worker, assignment } => {
                    self.cancelled.insert(assignment);
                    actions.push(Action::Cancel { worker, assignment });
                }
                other => actions.push(other),
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let own = self.clocks.first().map(|(due, _)| *due).filter(|_| self.bug == Bug::StaleTimer);
        [self.inner.next_deadline(), own].into_iter().flatten().min()
    }

    fn audit(&self) {}

    fn status(&self, now: Time) -> Status {
        self.inner.status(now)
    }
}
