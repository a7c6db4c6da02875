//! An independent observer of the manager: books of what was told to its brain and of what the brain said. Nothing in here
//! is read from the brain's own tables.

use crate::formula::{Mode, may_enter, range_of, ranges};
use crate::jobs;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{
    AssignmentId, InstanceId, JobId, JobOptions, MessageId, Offer, Payload, PeerId, Time,
};
use proletariat_scheduler::{Config, Event};
use std::collections::{BTreeMap, BTreeSet};

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: &'static str,
    pub text: String,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    pub instance: InstanceId,
    pub offer: Option<Offer>,
    pub withdrawn: bool,
    /// Over, in this step or before.
    pub gone: bool,
}

/// A slot that is taken.
#[derive(Debug)]
pub struct Held {
    pub worker: PeerId,
    pub range: usize,
    /// Number and tag of the job that the payload was made for.
    pub job: usize,
    pub tag: u64,
    /// The worker was not told to stop.
    pub wanted: bool,
}

/// A job of a session without an outcome.
#[derive(Debug)]
pub struct Open {
    pub job: usize,
    pub tag: u64,
    pub options: JobOptions,
    pub since: Time,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Books {
    pub config: Config,
    pub sessions: BTreeMap<PeerId, Session>,
    pub held: BTreeMap<AssignmentId, Held>,
    pub open: BTreeMap<(PeerId, JobId), Open>,
    pub messages: BTreeMap<(PeerId, MessageId), Recipient>,
    /// Attempts by the number of the job that an execution began with.
    pub attempts: BTreeMap<usize, u32>,
    pub newest: Option<u64>,
    /// Results of this step that a holder of the slot gave, and for which jobs.
    pub results: Vec<Payload>,
    /// Those who must be answered in this step, since what they wait for has its result.
    pub answerable: BTreeSet<(PeerId, JobId)>,
    /// Sessions that ended in this step.
    pub left: Vec<PeerId>,
    pub step: u64,
    pub violation: Option<Violation>,
}

impl Books {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sessions: BTreeMap::new(),
            held: BTreeMap::new(),
            open: BTreeMap::new(),
            messages: BTreeMap::new(),
            attempts: BTreeMap::new(),
            newest: None,
            results: Vec::new(),
            answerable: BTreeSet::new(),
            left: Vec::new(),
            step: 0,
            violation: None,
        }
    }

    /// A new manager knows nothing of the old one's.
    pub fn manager_restarted(&mut self) {
        let (step, violation) = (self.step, self.violation.take());
        *self = Self { step, violation, ..Self::new(self.config.clone()) };
    }

    pub fn violate(&mut self, rule: &'static str, text: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, text: text() });
        }
    }

    pub fn require(&mut self, holds: bool, rule: &'static str, text: impl FnOnce() -> String) {
        if !holds {
            self.violate(rule, text);
        }
    }

    pub fn is_here(&self, peer: PeerId) -> bool {
        self.sessions.get(&peer).is_some_and(|session| !session.gone)
    }

    /// What the brain is told.
    pub fn told(&mut self, now: Time, event: &Event<'_>) {
        match event {
            Event::Joined(joined) => {
                let session =
                    Session { instance: joined.instance, offer: None, withdrawn: false, gone: false };
                let ghosts = self.sessions.iter().filter(|(_, s)| !s.gone && s.instance == joined.instance);
                let ghosts: Vec<PeerId> = ghosts.map(|(peer, _)| *peer).collect();
                ghosts.into_iter().for_each(|peer| self.leaves(peer));
                self.sessions.insert(joined.peer, session);
            }
            Event::Left { peer } => self.leaves(*peer),
            Event::Submitted { client, first, options, payloads } if self.is_here(*client) => {
                for (n, payload) in payloads.iter().enumerate() {
                    let (job, tag) = jobs::read(payload);
                    // Sent again in another session: its attempts are counted anew.
                    self.attempts.remove(&job);
                    let open = Open { job, tag, options: (*options).clone(), since: now };
                    self.open.insert((*client, first.plus(n as u64)), open);
                }
            }
            Event::Offered { worker, offer } if self.is_here(*worker) && offer.check().is_ok() => {
                let session = self.sessions.get_mut(worker).expect("it is here");
                session.offer = Some(offer.clone());
                session.withdrawn = false;
            }
            Event::Withdrew { worker } if self.is_here(*worker) => {
                self.sessions.get_mut(worker).expect("it is here").withdrawn = true;
            }
            Event::Finished { worker, assignment, result, payload } => {
                if let Some(held) = self.release(*worker, *assignment)
                    && held.wanted
                    && *result == proletariat_protocol::WorkResult::Done
                {
                    self.results.push(payload.clone().into_payload());
                    let waits =
                        |open: &Open| self.shares(open.tag) && open.tag == held.tag || open.job == held.job;
                    let all = self.open.iter().filter(|(_, open)| waits(open)).map(|(key, _)| *key);
                    let all: Vec<_> = all.collect();
                    self.answerable.extend(all);
                }
            }
            Event::HandedBack { worker, assignment, .. }
            | Event::Crashed { worker, assignment, .. }
            | Event::Stopped { worker, assignment } => {
                self.release(*worker, *assignment);
            }
            Event::SystemMessage { from, id, to, .. } if self.is_here(*from) => {
                self.messages.insert((*from, *id), *to);
            }
            _ => {}
        }
    }

    /// Whether jobs with this tag share their runs.
    pub fn shares(&self, tag: u64) -> bool {
        self.config.hold_similar_work && tag >> 63 == 1
    }

    fn release(&mut self, worker: PeerId, id: AssignmentId) -> Option<Held> {
        let own = self.is_here(worker) && self.held.get(&id).is_some_and(|held| held.worker == worker);
        if own { self.held.remove(&id) } else { None }
    }

    /// A session ends. What it held is free, and what it waited for nobody wants, when the step is over.
    pub fn leaves(&mut self, peer: PeerId) {
        if let Some(session) = self.sessions.get_mut(&peer).filter(|session| !session.gone) {
            session.gone = true;
            self.left.push(peer);
        }
    }

    /// What the ranges of a worker are guaranteed, and what they hold.
    pub fn ledger(&self, worker: PeerId) -> Option<(Vec<u32>, Vec<u32>, Vec<u32>)> {
        let (bounds, mut guaranteed) = ranges(self.sessions.get(&worker)?.offer.as_ref()?);
        let own: Vec<usize> =
            self.held.values().filter(|held| held.worker == worker).map(|held| held.range).collect();
        let rows = own.iter().map(|range| range + 1).max().unwrap_or(0).max(bounds.len());
        guaranteed.resize(rows, 0);
        let held = (0..rows).map(|k| own.iter().filter(|range| **range == k).count() as u32).collect();
        Some((bounds, guaranteed, held))
    }

    /// The range of a priority on a worker, and whether one more may enter it.
    pub fn room(&self, worker: PeerId, priority: u32) -> Option<(usize, bool)> {
        let (bounds, guaranteed, held) = self.ledger(worker)?;
        let range = range_of(&bounds, priority);
        let mode = Mode::of(self.config.sacred_guarantees);
        Some((range, may_enter(mode, &guaranteed, &held, range)))
    }
}
