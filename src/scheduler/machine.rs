//! The machine: its tables, the way in for events, and the order of a step.

use crate::action::{Action, Notice};
use crate::batch::Batch;
use crate::broadcast::Broadcasts;
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::event::Event;
use crate::ledger::{Admission, Borrowing, Sacred};
use crate::passing::{Parcel, Passing};
use crate::peers::{Peers, Worker};
use crate::records::Assignment;
use crate::selector::{Random, Selector};
use crate::similar::Similar;
use crate::streams::Stream;
use crate::tables::{AssignmentKey, JobKey, KindTable, PayloadStore, PeerKey, PoolKey, Slab};
use crate::waiting::{Head, Lines, Pools};
use crate::work::Work;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::{PeerId, Time};
use rand::SeedableRng;

/// The sender of what the manager itself sends.
pub const MANAGER: PeerId = PeerId(0);

/// Decides which execution runs where, and accounts for every slot.
///
/// Tell it what happened with [`handle`](Self::handle), as much as there is; then [`poll`](Self::poll) once, and do
/// what it says. Come back at [`next_deadline`](Self::next_deadline) if nothing happens before.
///
/// ```
/// use proletariat_protocol::Time;
/// use proletariat_scheduler::{Config, Scheduler, selector};
///
/// let mut scheduler = Scheduler::new(Config::default(), Box::new(selector::RandomWeighted), 7);
/// let mut actions = Vec::new();
/// scheduler.poll(Time::ZERO, &mut actions);
/// assert!(actions.is_empty());
/// assert_eq!(scheduler.next_deadline(), None);
/// ```
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: Config,
    pub(crate) admission: Box<dyn Admission>,
    pub(crate) selector: Box<dyn Selector>,
    pub(crate) random: Random,
    pub(crate) kinds: KindTable,
    pub(crate) peers: Peers,
    pub(crate) work: Work,
    pub(crate) payloads: PayloadStore,
    /// Jobs that a worker had and gave back, or lost, with an assign timeout: since when they wait.
    pub(crate) moved: BTreeMap<JobKey, Time>,
    pub(crate) assignments: Slab<AssignmentKey, Assignment>,
    pub(crate) lines: Lines,
    pub(crate) pools: Pools,
    pub(crate) similar: Similar,
    pub(crate) streams: BTreeMap<AssignmentKey, Stream>,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) deadlines: Deadlines,
    pub(crate) aside: crate::aside::Aside,
    pub(crate) gate: crate::gate::Gate,
    pub(crate) clean_up: crate::cleanup::CleanUp,
    pub(crate) counts: Counts,
    pub(crate) burst: Burst,
    pub(crate) passing: Passing,
    pub(crate) actions: Vec<Action<Parcel>>,
    pub(crate) draining: bool,
}

/// Numbers that are kept, not counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// The last place in the order of arrival.
    pub(crate) sequence: u64,
    /// The upper half of the next assignment id.
    pub(crate) assignments: u32,
    /// Bursts since the beginning.
    pub(crate) bursts: u64,
    /// Looks for a worker since the beginning.
    pub(crate) looks: u64,
    /// The last ticket given out.
    pub(crate) tickets: u32,
    /// Jobs whose execution waits.
    pub(crate) queued_jobs: u64,
    /// Bytes of executions that wait.
    pub(crate) queued_bytes: u64,
    /// Jobs ended since the beginning.
    pub(crate) finished: u64,
    /// Executions that went back to their line because a worker was lost.
    pub(crate) requeued: u64,
}

/// What has to wait for the end of a burst, so that of several ends in one burst the right one counts: result, then
/// abort, then run timeout, then assign and total timeout, then worker loss.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    pub(crate) aborts: crate::aborts::Aborts,
    pub(crate) losses: Vec<Loss>,
    pub(crate) accepts: Vec<PeerKey>,
    pub(crate) no_wait: Vec<(JobKey, u64)>,
    /// Those of them that somebody could take, while slots gather: they wait for the next pass, and for nothing else.
    pub(crate) until_pass: Vec<(JobKey, u64)>,
    /// Workers that have to change their pool.
    pub(crate) misplaced: Vec<PeerKey>,
    /// Workers that got slots back, so that their weights are not what they can take.
    pub(crate) unweighed: Vec<PeerKey>,
    /// Heads that were passed over in this step.
    pub(crate) passed_over: usize,
    /// The last pass has left some to the next step.
    pub(crate) behind: bool,
    /// Empty; its room is used by each pass of the dispatch.
    pub(crate) heads: BinaryHeap<Reverse<(Head, PoolKey)>>,
    /// Empty but during a pass of the dispatch.
    pub(crate) batch: Batch,
}

impl Burst {
    /// A worker got slots back. What it can take is looked at once for all of them.
    pub(crate) fn put_off_weighing(&mut self, worker: PeerKey, row: &mut Worker) {
        if !core::mem::replace(&mut row.unweighed, true) {
            self.unweighed.push(worker);
        }
    }
}

/// A worker, or the work of one of its assignments, is gone.
#[derive(Debug)]
pub(crate) enum Loss {
    Session(PeerKey),
    Crash(PeerKey, proletariat_protocol::AssignmentId, String),
}

impl Scheduler {
    /// A scheduler without peers. `seed` decides everything that is random.
    #[must_use]
    pub fn new(config: Config, selector: Box<dyn Selector>, seed: u64) -> Self {
        let admission: Box<dyn Admission> =
            if config.sacred_guarantees { Box::new(Sacred) } else { Box::new(Borrowing) };
        Self::with_admission(config, selector, seed, admission)
    }

    /// A scheduler that keeps guarantees by a rule of the caller's.
    #[must_use]
    pub fn with_admission(
        config: Config,
        selector: Box<dyn Selector>,
        seed: u64,
        admission: Box<dyn Admission>,
    ) -> Self {
        Self {
            config,
            admission,
            selector,
            random: Random::seed_from_u64(seed),
            kinds: KindTable::new(seed),
            peers: Peers::new(),
            work: Work::new(),
            payloads: PayloadStore::new(),
            moved: BTreeMap::new(),
            assignments: Slab::new(),
            lines: Lines::new(),
            pools: Pools::new(),
            similar: Similar::default(),
            streams: BTreeMap::new(),
            broadcasts: Broadcasts::default(),
            deadlines: Deadlines::new(),
            aside: crate::aside::Aside::default(),
            gate: crate::gate::Gate::default(),
            clean_up: crate::cleanup::CleanUp::default(),
            counts: Counts::default(),
            burst: Burst::default(),
            passing: Passing::default(),
            actions: Vec::new(),
            draining: false,
        }
    }

    /// Takes in what happened. Never fails: what a peer does wrong is answered with an action.
    #[inline]
    pub fn handle(&mut self, now: Time, event: Event<'_>) {
        match event {
            // The most frequent by far, so their parts go from hand to hand as they are.
            Event::Finished { worker, assignment, result, payload } => {
                self.finished(now, worker, assignment, result, payload);
            }
            Event::Submitted { client, first, options, payloads } => {
                if let Some(client) = self.peers.find_speaker(client) {
                    self.submitted(now, client, first, options, payloads);
                }
            }
            other => self.take_in(now, other),
        }
    }

    /// What is rarer than jobs and their results.
    #[cold]
    fn take_in(&mut self, now: Time, event: Event<'_>) {
        match event {
            Event::Joined(joined) => self.joined(now, joined),
            Event::Left { peer } => {
                if let Some(peer) = self.peers.leave(peer) {
                    self.burst.losses.push(Loss::Session(peer));
                }
            }
            Event::SystemMessage { from: MANAGER, id, to, content, timeout } => {
                self.system_message(now, None, id, to, content, timeout);
            }
            Event::Draining => self.drain(),
            other => self.handle_from_peer(now, other),
        }
    }

    fn handle_from_peer(&mut self, now: Time, event: Event<'_>) {
        let Some(peer) = self.peers.find_speaker(event.peer()) else {
            return;
        };
        match event {
            Event::Aborted { first, count, .. } => {
                // What has not been submitted yet cannot be aborted, also if it comes in the same burst.
                let end = first.plus(count).0.min(self.peers[peer].numbering.next());
                self.burst.aborts.add(peer, first.0, end);
            }
            Event::Credited { job, bytes, .. } => self.credited(peer, job, bytes),
            Event::Offered { offer, .. } => self.offered(peer, &offer),
            Event::Withdrew { .. } => self.withdrew(peer),
            Event::Started { assignment, .. } => self.started(now, peer, assignment),
            Event::HandedBack { assignment, reason, .. } => self.handed_back(now, peer, assignment, reason),
            Event::Crashed { assignment, message, .. } => {
                self.burst.losses.push(Loss::Crash(peer, assignment, message));
            }
            Event::Stopped { assignment, .. } => self.stopped(now, peer, assignment),
            Event::Data { assignment, payload, .. } => self.data(now, peer, assignment, &payload),
            Event::Progress { assignment, done, total, .. } => self.progress(peer, assignment, done, total),
            Event::SystemMessage { id, to, content, timeout, .. } => {
                self.system_message(now, Some(peer), id, to, content, timeout);
            }
            Event::Confirmed { id, .. } => self.confirmed(peer, id),
            Event::Outbox { level, .. } => self.outbox(now, peer, level),
            Event::Submitted { .. } | Event::Finished { .. } => {}
            Event::Joined(_) | Event::Left { .. } | Event::Draining => {}
        }
    }

    /// Ends the burst: what fell due, what was lost, dispatch; then everything to do is appended to `actions`.
    pub fn poll(&mut self, now: Time, actions: &mut Vec<Action>) {
        let mut named = Vec::new();
        self.decide(now, &mut named);
        actions.extend(named.into_iter().map(|action| action.map(|parcel| self.payload(parcel))));
        self.settle();
    }

    /// The same for whoever copies payloads at once: the actions only name them. What they name can be asked for until the
    /// next step; [`settle`](Self::settle) lets go of it before.
    ///
    /// # Panics
    /// When the actions of an earlier step are still in the list.
    pub fn decide(&mut self, now: Time, actions: &mut Vec<Action<Parcel>>) {
        assert!(actions.is_empty(), "the actions of one step are carried out before the next is decided");
        self.passing.begin();
        self.counts.bursts += 1;
        if unlikely(!self.burst.aborts.is_empty()) {
            self.abort_all(now);
        }
        if unlikely(!self.deadlines.are_quiet(now)) {
            self.ring(now);
        }
        if unlikely(!self.burst.losses.is_empty()) {
            self.lose_all(now);
        }
        if unlikely(self.peers.is_purging()) {
            self.purge(now);
        }
        self.choose_pools();
        self.weigh_all();
        if unlikely(self.peers.are_left_behind() | self.pools.are_behind()) {
            self.do_portions();
        }
        self.dispatch(now);
        if unlikely(self.refuse_to_wait(now)) {
            // Who shared an execution with one of them may be less urgent than it was, and have room.
            self.dispatch(now);
        }
        self.accept();
        self.clean_up(now);
        self.passing.end();
        // The two lists change places from burst to burst: actions are large, and nothing is copied.
        core::mem::swap(actions, &mut self.actions);
    }

    /// When [`poll`](Self::poll) is to be called if nothing happens before.
    #[must_use]
    #[inline]
    pub fn next_deadline(&self) -> Option<Time> {
        let left_over = !self.burst.losses.is_empty() | !self.burst.aborts.is_empty();
        if unlikely(left_over | self.peers.are_left_behind() | self.pools.are_behind()) {
            return Some(Time::ZERO);
        }
        let gate = self.gate.opens_at().filter(|_| self.pools.is_dirty() && !self.draining);
        Time::earliest([self.deadlines.next(), gate, self.clean_up_at()])
    }

    /// Whether no job is open.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.work.jobs() == 0 && self.assignments.len() == 0
    }

    /// Assignments that hold a slot, those that are stopping included.
    #[must_use]
    pub fn assigned(&self) -> usize {
        self.assignments.len()
    }

    #[cold]
    fn abort_all(&mut self, now: Time) {
        for ((peer, first), end) in self.burst.aborts.take() {
            self.abort_jobs(now, peer, first, end);
        }
    }

    #[cold]
    fn lose_all(&mut self, now: Time) {
        for loss in core::mem::take(&mut self.burst.losses) {
            match loss {
                Loss::Session(peer) => self.left(now, peer),
                Loss::Crash(peer, assignment, message) => self.crashed(now, peer, assignment, &message),
            }
        }
    }

    pub(crate) fn notice(&mut self, notice: impl FnOnce() -> Notice) {
        if self.config.notices {
            self.actions.push(Action::Notice(notice()));
        }
    }

    /// Whether notices are wanted from now on.
    pub fn want_notices(&mut self, wanted: bool) {
        self.config.notices = wanted;
    }

    fn drain(&mut self) {
        self.draining = true;
        for worker in self.peers.workers() {
            self.weigh(worker);
        }
    }
}
