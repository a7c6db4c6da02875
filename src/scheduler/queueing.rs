//! Executions enter and leave their waiting lines; the pools learn of new heads.

use crate::deadlines::Alarm;
use crate::machine::Scheduler;
use crate::records::{Job, Place};
use crate::similar::Similar;
use crate::tables::{ExecutionKey, FifoKey, JobKey, PeerKey};
use crate::waiting::{Head, LineKey};
use crate::work::Work;
use alloc::vec::Vec;
use core::time::Duration;
use proletariat_protocol::Time;
use proletariat_protocol::hint::unlikely;

impl Scheduler {
    /// Which line an execution belongs to.
    fn line_key(&self, execution: ExecutionKey) -> LineKey {
        let row = &self.work[execution];
        let owner = if row.flags.shared { PeerKey::NONE } else { self.work[JobKey(execution.0)].client };
        LineKey { owner, kind: row.kind, priority: row.priority }
    }

    /// The place of an execution in the order: that of the earliest job that waits for it.
    pub(crate) fn sequence(&self, execution: ExecutionKey) -> u64 {
        self.work[self.first_job(execution)].sequence()
    }

    /// The line of a key, made if need be.
    #[inline]
    pub(crate) fn line(&mut self, key: LineKey) -> FifoKey {
        if let Some(line) = self.lines.find(key) {
            if unlikely(self.peers.is_changing()) {
                self.follow_owner(line);
            }
            return line;
        }
        let detached = self.is_detached(key.owner);
        self.kinds.retain(key.kind);
        self.lines.open(key, detached)
    }

    /// Into its line: a new one at the end, an old one at its place.
    pub(crate) fn enqueue(&mut self, execution: ExecutionKey, new: bool) {
        let key = self.line_key(execution);
        let sequence = self.sequence(execution);
        let line = self.line(key);
        let ticket = self.next_ticket();
        let row = &mut self.work[execution];
        row.ticket = ticket;
        row.set_place(Place::Queued);
        let entry = (execution, ticket);
        if new {
            self.lines.extend(line, |entries| entries.push_back(entry));
        } else {
            self.lines.put_back(line, sequence, entry);
        }
        if self.lines.line(line).head.is_none_or(|head| sequence < head) {
            self.sync_head(line);
        }
    }

    /// Tickets are counted for all executions together: a void entry outlives its execution, and another one that gets
    /// the same row must not be taken for it.
    pub(crate) fn next_ticket(&mut self) -> u32 {
        self.counts.tickets = self.counts.tickets.wrapping_add(1);
        self.counts.tickets
    }

    /// Out of its line, from wherever it stands in it.
    pub(crate) fn unqueue(&mut self, execution: ExecutionKey) {
        let key = self.line_key(execution);
        let line = self.lines.find(key).expect("a queued execution has its line");
        let sequence = self.sequence(execution);
        self.work[execution].set_place(Place::Parked);
        let Self { lines, work, similar, .. } = self;
        lines.voided(line, |entry| stands(work, similar, entry));
        if self.lines.line(line).head == Some(sequence) {
            self.sync_head(line);
        }
        self.close_line(line, false);
    }

    /// Tells the pools what the first of a line is now.
    pub(crate) fn sync_head(&mut self, line: FifoKey) {
        let first = self.first_of(line);
        self.set_head(line, first.map(|(sequence, _)| sequence));
    }

    /// The first execution of a line, and its sequence.
    pub(crate) fn first_of(&mut self, line: FifoKey) -> Option<(u64, ExecutionKey)> {
        let Self { lines, work, similar, .. } = self;
        lines.first(line, |entry| stands(work, similar, entry))
    }

    /// Tells the pools the sequence of the first of a line.
    pub(crate) fn set_head(&mut self, line: FifoKey, first: Option<u64>) {
        let row = self.lines.line_mut(line);
        let new = first.filter(|_| !row.detached);
        let old = core::mem::replace(&mut row.head, new);
        let key = row.key;
        if old != new {
            let head = |sequence| Head::new(key.priority, sequence, line);
            self.pools.set_head(key.kind, old.map(head), new.map(head));
        }
    }

    #[inline]
    pub(crate) fn close_line(&mut self, line: FifoKey, force: bool) {
        if let Some(key) = self.lines.close_if_idle(line, force) {
            self.kinds.release(key.kind);
        }
    }

    /// The lines of a client that is gone, with all of its jobs: no more than are kept empty.
    pub(crate) fn close_lines(&mut self, client: PeerKey) {
        let lines: Vec<(LineKey, FifoKey)> = self.lines.of_owner(client, None).collect();
        for (_, line) in lines {
            self.close_line(line, true);
        }
    }

    /// What an execution counts for while it waits, in bytes: payload, kind and, if others may share it, key.
    pub(crate) fn bytes_of(&self, execution: ExecutionKey) -> u64 {
        let row = &self.work[execution];
        let kind = self.kinds.name(row.kind).map_or(0, |name| name.len());
        let key = if row.flags.shared { self.similar.key_bytes(execution) } else { 0 };
        (row.payload.len() + kind + key) as u64
    }

    /// All jobs of an execution wait (again).
    pub(crate) fn count_waiting(&mut self, execution: ExecutionKey) {
        self.counts.queued_bytes += self.bytes_of(execution);
        for job in self.jobs_of(execution) {
            let client = self.work[job].client;
            self.counts.queued_jobs += 1;
            self.peers[client].queued += 1;
        }
    }

    /// None of the jobs of an execution waits any more.
    pub(crate) fn uncount_waiting(&mut self, execution: ExecutionKey) {
        self.counts.queued_bytes -= self.bytes_of(execution);
        for job in self.jobs_of(execution) {
            let client = self.work[job].client;
            self.counts.queued_jobs -= 1;
            self.peers[client].queued -= 1;
        }
    }

    /// So many jobs of one client, and their bytes, wait no longer.
    pub(crate) fn count_no_longer(&mut self, client: PeerKey, jobs: u64, bytes: u64) {
        if jobs > 0 {
            self.counts.queued_jobs -= jobs;
            self.counts.queued_bytes -= bytes;
            self.peers[client].queued -= jobs;
        }
    }

    /// One job of a waiting execution ends.
    pub(crate) fn uncount_job(&mut self, job: JobKey) {
        let client = self.work[job].client;
        self.counts.queued_jobs -= 1;
        self.peers[client].queued -= 1;
    }

    /// An execution goes back to its line after it was with a worker, since `kept_since` if that hands it back: its wait
    /// goes on where it was. `None`: it lost its worker, and its wait starts anew.
    pub(crate) fn requeue(&mut self, now: Time, execution: ExecutionKey, kept_since: Option<Time>) {
        for key in self.jobs_of(execution) {
            let job = &self.work[key];
            let (sequence, assign) = (job.sequence(), job.assign_timeout_ms());
            if !job.waits() {
                self.burst.no_wait.push((key, sequence));
            }
            if let Some(assign) = assign {
                // Who joined the run has not waited at all.
                let waited =
                    kept_since.map_or(Duration::ZERO, |kept_since| kept_since.since(self.waits_since(key)));
                let since = now.before(waited);
                self.moved.insert(key, since);
                self.deadlines.set(now, since.plus_millis(assign), Alarm::Assign { job: key, sequence });
            }
        }
        self.work[execution].set_place(Place::Parked);
        self.similar.run_is_over(execution);
        self.count_waiting(execution);
        if kept_since.is_none() {
            self.counts.requeued += 1;
        }
        self.enqueue(execution, false);
    }
}

/// The sequence of an entry of a line, unless it is void.
#[inline]
pub(crate) fn stands(
    work: &Work,
    similar: &Similar,
    (execution, ticket): (ExecutionKey, u32),
) -> Option<u64> {
    let (own, row) = work.find_pair(execution)?;
    let sequence = || own.map_or_else(|| work[similar.first(execution)].sequence(), Job::sequence);
    (row.place() == Place::Queued && row.ticket == ticket).then(sequence)
}
