//! The books are held against each other. For tests and simulations: it costs O(everything).

use crate::ledger::Ledger;
use crate::machine::Scheduler;
use crate::records::{Place, Run};
use crate::tables::{ExecutionKey, PeerKey};
use crate::waiting::{KindSet, Member};
use alloc::collections::{BTreeMap, BTreeSet};

impl Scheduler {
    /// Recomputes what the tables say of each other.
    ///
    /// # Panics
    /// If two of them disagree: that is a bug of the scheduler, whatever the peers did.
    pub fn audit(&self) {
        self.audit_slots();
        self.audit_jobs();
        self.audit_places();
        self.audit_aside();
        self.audit_pools();
        self.audit_work_conserving();
        self.audit_similar();
        self.audit_broadcasts();
    }

    /// Slots: what each range of a worker holds is what its assignments own, and the gate counts the same.
    fn audit_slots(&self) {
        let mut owned: BTreeMap<PeerKey, (u32, Ledger)> = BTreeMap::new();
        for (key, assignment) in self.assignments.iter() {
            let worker = self.peers.worker(assignment.worker).expect("an assignment has its worker");
            assert_eq!(worker.assignments[assignment.position as usize], key);
            let (count, ledger) = owned.entry(assignment.worker).or_default();
            let range = assignment.slot.range();
            ledger.set_held(range, ledger.held(range) + 1);
            *count += 1;
        }
        let (mut offered, mut free) = (0, 0);
        for key in self.peers.workers() {
            let Some(worker) = self.peers.worker(key) else {
                continue;
            };
            let (count, ledger) = owned.remove(&key).unwrap_or_default();
            assert_eq!(worker.assignments.len(), count as usize, "a worker's list is its assignments");
            for range in 0..worker.ledger.rows().max(ledger.rows()) {
                assert_eq!(worker.ledger.held(range), ledger.held(range), "held slots of range {range}");
            }
            offered += u64::from(worker.counted.0);
            free += u64::from(worker.counted.1);
        }
        assert!(owned.is_empty(), "no slot on a worker that is gone");
        assert_eq!((self.gate.offered, self.gate.free), (offered, free), "the gate counts the fleet's slots");
    }

    /// Jobs: each is in its client's table and in exactly one execution's list; the counts agree.
    fn audit_jobs(&self) {
        let mut seen = 0;
        let (mut queued, mut bytes) = (0_u64, 0_u64);
        let mut by_client: BTreeMap<PeerKey, u64> = BTreeMap::new();
        for (key, execution) in self.work.executions() {
            let waits = !matches!(execution.place(), Place::Assigned(_));
            bytes += if waits { self.bytes_of(key) } else { 0 };
            let waiting = self.jobs_of(key);
            assert!(!waiting.is_empty(), "an execution that nobody waits for is dropped");
            for key_of_job in waiting {
                let job = &self.work[key_of_job];
                assert_eq!(self.execution_of(key_of_job), key);
                assert_eq!(self.peers[job.client].jobs.get(job.number), Some(key_of_job));
                if waits {
                    queued += 1;
                    *by_client.entry(job.client).or_default() += 1;
                }
                seen += 1;
            }
        }
        assert!(self.moved.keys().all(|job| self.work.job(*job).is_some()), "nothing is kept of ended jobs");
        let stored = self.work.executions().filter(|(_, execution)| execution.payload.len() > 0).count();
        let stored_bytes = self.work.executions().map(|(_, execution)| execution.payload.len() as u64).sum();
        assert_eq!(self.payloads.bytes(), stored_bytes, "the bytes of all of them");
        assert_eq!(self.payloads.len(), stored, "each execution has its payload, and nobody else has one");
        assert_eq!(seen, self.work.jobs(), "every job is in the list of its execution");
        assert_eq!((self.counts.queued_jobs, self.counts.queued_bytes), (queued, bytes));
        let mut open = 0;
        for (key, peer) in self.peers.iter() {
            assert_eq!(peer.queued, by_client.get(&key).copied().unwrap_or(0));
            open += peer.jobs.len();
        }
        assert_eq!(open, seen as u64, "no job without its client");
    }

    /// Executions: each is in exactly one place, and that place knows it.
    fn audit_places(&self) {
        let mut queued = 0;
        for (key, execution) in self.work.executions() {
            match execution.place() {
                Place::Queued => queued += 1,
                Place::Parked => assert!(self.aside.is_parked(key), "set aside with an end to it"),
                Place::Held => assert!(self.is_successor(key), "held by stopping work"),
                Place::Assigned(assignment) => {
                    let row = self.assignments.get(assignment).expect("assigned to something");
                    assert_eq!(row.execution(), Some(key));
                }
            }
        }
        self.lines.audit();
        let live: usize = self.lines.iter().map(|(_, line)| line.live as usize).sum();
        assert_eq!(live, queued, "every queued execution is in a line");
        for (line, row) in self.lines.iter() {
            let mut live = 0;
            for (execution, ticket) in self.lines.entries(line) {
                let here = self.work.execution(execution);
                live += u32::from(here.is_some_and(|e| e.place() == Place::Queued && e.ticket == ticket));
            }
            assert_eq!(live, row.live, "a line counts its executions");
            assert_eq!(row.head.is_some(), live > 0 && !row.detached, "the pools know the head of each line");
            let follows = row.detached == self.is_detached(row.key.owner);
            assert!(follows || self.may_be_left_behind(row.key.owner), "a line follows its owner");
        }
    }

    /// Whether lines of a client need not follow it yet.
    fn may_be_left_behind(&self, client: PeerKey) -> bool {
        self.peers.get(client).is_some_and(|peer| peer.gone || peer.round.is_some())
    }

    fn is_successor(&self, execution: ExecutionKey) -> bool {
        self.similar
            .held_by(execution)
            .and_then(|key| self.assignments.get(key))
            .is_some_and(|row| matches!(row.state, Run::Stopping { successor, .. } if successor == execution))
    }

    /// Pools: the weights are what the admission says, and the heads are those of the lines.
    fn audit_pools(&self) {
        for key in self.peers.workers() {
            if let Some(worker) = self.peers.worker(key) {
                self.audit_posts(key, worker);
            }
        }
        for (_, pool) in self.pools.iter() {
            for bound in pool.workers.bounds() {
                let (total, one_by_one) = pool.workers.totals(bound);
                assert_eq!(total, one_by_one, "the weight of a pool at priority {bound}");
                let open = pool.workers.open_up_to(bound) == Some(bound);
                assert_eq!(open, total > 0, "a pool is open where somebody has room");
            }
            let heads = self
                .lines
                .iter()
                .filter(|(_, line)| line.head.is_some() && pool.kinds().takes(line.key.kind));
            let (heads, known) = (heads.count(), pool.heads.len());
            assert!(
                known == heads || known < heads && pool.is_learning(),
                "a pool knows the heads that it serves"
            );
        }
    }

    /// Each kind that a worker takes finds it in one pool, with the weight that its ledger allows.
    fn audit_posts(&self, key: PeerKey, worker: &crate::peers::Worker) {
        let peer = &self.peers[key];
        let eligible = !worker.withdrawn && !self.draining && peer.level != crate::event::OutboxLevel::Paused;
        let mut kinds = BTreeSet::new();
        for &(pool, spot) in &worker.posts {
            let pool = self.pools.pool(pool);
            assert_eq!(pool.workers.member(spot), Some(Member { id: peer.id, key }));
            if let KindSet::Only(names) = pool.kinds() {
                assert!(names.iter().all(|kind| kinds.insert(*kind)), "no kind finds a worker twice");
            }
            for (range, bound) in worker.ledger.bounds().iter().enumerate() {
                let weight = pool.workers.weight(*bound, spot);
                let free = if eligible && !pool.is_learning() {
                    self.admission.free(&worker.ledger, range)
                } else {
                    0
                };
                // Slots that came back since the last step are looked at in the next one.
                assert!(weight == free || worker.unweighed, "the weight of a worker in range {range}");
            }
        }
    }

    /// After a pass, nothing is left that somebody could take.
    fn audit_work_conserving(&self) {
        if self.draining || self.pools.is_dirty() {
            return;
        }
        for (_, pool) in self.pools.iter() {
            assert!(pool.best().is_none(), "an execution waits that a worker could take");
        }
    }
}
