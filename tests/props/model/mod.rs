//! A scheduler that is obviously right and hopelessly slow: plain vectors, linear scans, everything computed anew
//! whenever it is asked for. Written from the specification. It predicts all that the scheduler must say in a burst;
//! where the specification leaves a choice (which worker), it takes the scheduler's and checks that it was legal.

mod clocks;
mod dispatch;
mod execution;
mod messages;
mod said;
mod state;
mod submission;
mod worker;

use proletariat_protocol::{AssignmentId, PeerId, Time};
use proletariat_scheduler::{Action, Config, Event, Joined};
pub use said::{Ending, Said};
pub use state::{Assignment, Execution, Job, JobRef, Message, Peer, Stage, Worker};
use std::collections::{BTreeMap, BTreeSet};
use submission::found_no_worker;

/// What differs from the model, in a sentence.
pub type Verdict = Result<(), String>;

/// What counts as lost when a burst is over.
enum Loss {
    Session(PeerId),
    Run(PeerId, AssignmentId),
}

/// The naive scheduler.
pub struct Model {
    pub config: Config,
    pub now: Time,
    pub peers: BTreeMap<PeerId, Peer>,
    /// Jobs without an outcome.
    pub jobs: BTreeMap<JobRef, Job>,
    pub executions: Vec<Execution>,
    /// Those that hold a slot.
    pub assignments: Vec<Assignment>,
    pub messages: Vec<Message>,
    pub draining: bool,
    sequence: u64,
    /// Counts the bursts.
    burst: u64,
    newest_assignment: u64,
    /// Ends of this burst that wait for their turn: results come first.
    aborts: Vec<JobRef>,
    lost: Vec<Loss>,
    /// What must be said in this burst.
    expected: Vec<Said>,
    /// Clients that submitted something in this burst.
    submitters: BTreeSet<PeerId>,
    /// Jobs that may be told of a restart in this burst: they ended while they were owed the word, or their run began anew
    /// and they happened not to have heard of it.
    excused: BTreeSet<JobRef>,
    /// Jobs that do not wait, and since which time and burst no worker has had them.
    hurried: Vec<(JobRef, Time, u64)>,
}

impl Model {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            now: Time::ZERO,
            peers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            executions: Vec::new(),
            assignments: Vec::new(),
            messages: Vec::new(),
            draining: false,
            sequence: 0,
            burst: 0,
            newest_assignment: 0,
            aborts: Vec::new(),
            lost: Vec::new(),
            expected: Vec::new(),
            submitters: BTreeSet::new(),
            excused: BTreeSet::new(),
            hurried: Vec::new(),
        }
    }

    /// The world tells.
    pub fn handle(&mut self, now: Time, event: &Event<'_>) {
        self.now = now;
        match event.clone() {
            Event::Joined(joined) => self.joined(joined),
            Event::Left { peer } => self.left(peer),
            Event::Submitted { client, first, options, payloads } => {
                self.submitted(client, first, options.clone(), payloads);
            }
            Event::Aborted { client, first, count } => self.aborted(client, first, count),
            Event::Credited { client, job, bytes } => self.credited((client, job), bytes),
            Event::Offered { worker, offer } => self.offered(worker, offer),
            Event::Withdrew { worker } => self.withdrew(worker),
            Event::Started { worker, assignment } => self.started(worker, assignment),
            Event::Finished { worker, assignment, result, payload } => {
                self.finished(worker, assignment, result, payload.into_payload());
            }
            Event::HandedBack { worker, assignment, reason } => self.handed_back(worker, assignment, reason),
            Event::Crashed { worker, assignment, .. } => {
                if self.peers.get(&worker).is_some_and(|peer| !peer.gone) {
                    self.lost.push(Loss::Run(worker, assignment));
                }
            }
            Event::Stopped { worker, assignment } => self.stopped(worker, assignment),
            Event::Data { worker, assignment, payload } => self.data(worker, assignment, payload),
            Event::Progress { worker, assignment, done, total } => {
                self.progress(worker, assignment, done, total);
            }
            Event::SystemMessage { from, id, to, content, timeout } => {
                self.system_message(from, id, to, content, timeout);
            }
            Event::Confirmed { by, id } => self.confirmed(by, id),
            Event::Outbox { peer, level } => self.outbox(peer, level),
            Event::Draining => self.draining = true,
        }
    }

    /// The burst is over: the ends that waited for their turn, the clocks, and then what the scheduler did.
    pub fn poll(&mut self, now: Time, actions: &[Action]) -> Verdict {
        self.now = now;
        for job in std::mem::take(&mut self.aborts) {
            self.end_job(job, &Ending::error(proletariat_protocol::ErrorCode::Aborted));
        }
        self.fire_clocks();
        let mut gone = Vec::new();
        for loss in std::mem::take(&mut self.lost) {
            match loss {
                Loss::Session(peer) => {
                    self.lose_worker(peer);
                    self.recipient_left(peer);
                    gone.push(peer);
                }
                Loss::Run(worker, assignment) => self.crashed(worker, assignment),
            }
        }
        gone.into_iter().for_each(|peer| self.forget_jobs_of(peer));
        self.fire_message_clocks();
        // Who was refused may have been the urgent one of those that wait for an execution. Without it others may take that.
        let refusals = actions.iter().position(|action| found_no_worker(action).is_some());
        let (before, after) = actions.split_at(refusals.unwrap_or(actions.len()));
        self.follow_assignments(before)?;
        self.refuse_the_hurried(after)?;
        self.follow_assignments(after)?;
        self.check_the_hurried()?;
        self.compare(actions)?;
        self.check_run_limits(actions)?;
        self.check_accepts(actions)?;
        self.burst += 1;
        self.check_work_conserving()
    }

    fn joined(&mut self, joined: Joined) {
        let ghost =
            |peer: &&Peer| !peer.gone && peer.instance == joined.instance && peer.realm == joined.realm;
        if let Some(old) = self.peers.values().find(ghost).map(|peer| peer.id) {
            self.say(Said::Disconnect { peer: old });
            self.left(old);
        }
        self.peers.insert(joined.peer, Peer::new(&joined));
    }

    /// A session ends: nothing of it is heard any more. What it leaves behind is seen to when the burst is over.
    fn left(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.gone) {
            peer.gone = true;
            self.lost.push(Loss::Session(id));
        }
    }

    /// The jobs of a client that is gone.
    fn forget_jobs_of(&mut self, id: PeerId) {
        let own: Vec<JobRef> = self.jobs.keys().filter(|(client, _)| *client == id).copied().collect();
        for job in own {
            self.forget_job(job);
        }
        self.peers.remove(&id);
    }

    fn say(&mut self, said: Said) {
        self.expected.push(said);
    }
}
