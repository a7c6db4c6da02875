//! The state of the machine, for people.

use crate::event::OutboxLevel;
use crate::ledger::single_range_maximum;
use crate::machine::Scheduler;
use crate::records::Run;
use crate::waiting::KindSet;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{AssignmentId, PeerId, Time};

/// Lines that are looked at for the queues: a client may open one with each job, and dispatch rests meanwhile.
const LINES_MAX: usize = 16_384;

/// What [`Scheduler::status`] tells.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Everybody who has offered.
    pub workers: Vec<WorkerStatus>,
    /// What waits, by kind and priority.
    pub queues: Vec<QueueStatus>,
    /// Waiting lines that were not looked at: there are more than anybody reads.
    pub lines_omitted: usize,
    /// Everybody.
    pub peers: Vec<PeerStatus>,
    /// Jobs whose execution waits.
    pub queued_jobs: u64,
    /// Bytes of executions that wait: payloads, kinds, shared keys.
    pub queued_bytes: u64,
    /// Jobs that have no outcome yet.
    pub open_jobs: u64,
    /// Bytes of the payloads of executions that wait or run.
    pub open_bytes: u64,
    /// Assignments, those that are stopping included.
    pub assignments: u64,
    /// Executions that are set aside for a pause.
    pub set_aside: u64,
    /// Jobs that ended since the beginning.
    pub finished: u64,
    /// Times that an execution went back because its worker was lost.
    pub requeued: u64,
    /// System messages that not all have confirmed.
    pub unconfirmed_messages: u64,
    /// Clocks that stand in the tables, those that are over but not yet dropped included.
    pub alarms: u64,
    /// Names of kinds that somebody uses.
    pub kinds: u64,
    /// The manager is stopping.
    pub draining: bool,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    /// Who.
    pub peer: PeerId,
    /// Its name.
    pub name: String,
    /// Slots offered.
    pub slots: u32,
    /// It offers nothing more.
    pub withdrawn: bool,
    /// Too much waits to be written to it.
    pub paused: bool,
    /// `None`: any.
    pub kinds: Option<Vec<String>>,
    /// Kinds that it takes none of at the moment; the empty name stands for jobs without a kind.
    pub paused_kinds: Vec<String>,
    /// From the lowest up.
    pub ranges: Vec<RangeStatus>,
    /// Assignments that are wanted.
    pub running: u32,
    /// Assignments that are being stopped, and for how long.
    pub stopping: Vec<(AssignmentId, Duration)>,
}

/// One priority range of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeStatus {
    /// Lower bound.
    pub from: u32,
    /// Guaranteed slots.
    pub guarantee: u32,
    /// What it could hold if it were alone, in the mode in force.
    pub limit: u32,
    /// What it holds.
    pub used: u32,
    /// What it could still take now.
    pub free: u32,
}

/// What waits of one kind and priority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueStatus {
    /// `None`: jobs without a kind.
    pub kind: Option<String>,
    /// The priority.
    pub priority: u32,
    /// Executions that wait.
    pub queued: u64,
    /// Whether any worker offers the kind, free or not.
    pub offered: bool,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// Who.
    pub peer: PeerId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// Its jobs without outcome.
    pub open_jobs: u64,
    /// Those of them that wait.
    pub queued_jobs: u64,
}

impl Scheduler {
    /// The state for people: costs O(peers), and O(lines) up to a bound.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        Status {
            workers: self
                .peers
                .workers()
                .into_iter()
                .filter_map(|key| self.worker_status(now, key))
                .collect(),
            queues: self.queue_status(),
            lines_omitted: self.lines.len().saturating_sub(LINES_MAX),
            peers: self
                .peers
                .present()
                .map(|(_, peer)| PeerStatus {
                    peer: peer.id,
                    name: peer.name.clone(),
                    roles: peer.roles,
                    open_jobs: peer.jobs.len(),
                    queued_jobs: peer.queued,
                })
                .collect(),
            queued_jobs: self.counts.queued_jobs,
            queued_bytes: self.counts.queued_bytes,
            open_jobs: self.work.jobs() as u64,
            open_bytes: self.payloads.bytes(),
            assignments: self.assignments.len() as u64,
            set_aside: self.aside.len() as u64,
            finished: self.counts.finished,
            requeued: self.counts.requeued,
            unconfirmed_messages: self.broadcasts.len() as u64,
            alarms: self.deadlines.iter().count() as u64,
            kinds: self.kinds.len() as u64,
            draining: self.draining,
        }
    }

    fn worker_status(&self, now: Time, key: crate::tables::PeerKey) -> Option<WorkerStatus> {
        let (peer, worker) = (&self.peers[key], self.peers.worker(key)?);
        let name = |kind: &crate::tables::KindKey| {
            self.kinds.name(*kind).map_or(String::new(), |name| name.to_string())
        };
        let ledger = &worker.ledger;
        let mut stopping = Vec::new();
        for assignment in &worker.assignments {
            let row = &self.assignments[*assignment];
            if let Run::Stopping { since, .. } = row.state {
                stopping.push((row.id, now.since(since)));
            }
        }
        Some(WorkerStatus {
            peer: peer.id,
            name: peer.name.clone(),
            slots: ledger.slots(),
            withdrawn: worker.withdrawn,
            paused: peer.level == OutboxLevel::Paused,
            kinds: match &worker.offered {
                KindSet::Only(kinds) => Some(kinds.difference(&worker.not_mine).map(name).collect()),
                KindSet::AnyBut(_) => None,
            },
            paused_kinds: worker
                .pauses
                .iter()
                .filter(|(_, pause)| pause.active)
                .map(|(kind, _)| name(kind))
                .collect(),
            ranges: (0..ledger.ranges())
                .map(|range| RangeStatus {
                    from: ledger.bounds()[range],
                    guarantee: ledger.guaranteed(range),
                    limit: single_range_maximum(&*self.admission, ledger, range),
                    used: ledger.held(range),
                    free: self.admission.free(ledger, range),
                })
                .collect(),
            running: u32::try_from(worker.assignments.len() - stopping.len()).unwrap_or(u32::MAX),
            stopping,
        })
    }

    fn queue_status(&self) -> Vec<QueueStatus> {
        let mut queues: BTreeMap<(Option<String>, u32), (u64, bool)> = BTreeMap::new();
        for (_, line) in self.lines.iter().filter(|(_, line)| line.live > 0).take(LINES_MAX) {
            let kind = self.kinds.name(line.key.kind).map(ToString::to_string);
            let entry = queues.entry((kind, line.key.priority)).or_insert((0, false));
            entry.0 += u64::from(line.live);
            entry.1 |= !self.pools.serving(line.key.kind).is_empty();
        }
        let row = |((kind, priority), (queued, offered))| QueueStatus { kind, priority, queued, offered };
        queues.into_iter().map(row).collect()
    }
}
