//! Jobs end: with an outcome, taken back, or with their client.

use crate::action::{Action, Notice, Outcome, made_in_place};
use crate::machine::Scheduler;
use crate::passing::Parcel;
use crate::records::Place;
use crate::tables::{ExecutionKey, JobKey, PeerKey};
use crate::work::Caller;
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::{ErrorCode, JobId, PeerId, Time};

/// Jobs of a client that left are removed in portions, so that a million of them do not hold up the others.
const PURGE_JOBS: usize = 16_384;

impl Scheduler {
    /// A client takes back those of its jobs that are still open and have numbers from `first` on and below `end`.
    pub(crate) fn abort_jobs(&mut self, now: Time, client: PeerKey, first: u64, end: u64) {
        let (mut from, mut aborted) = (first, 0);
        while let Some((number, job)) = self.peers.get(client).and_then(|peer| peer.jobs.next(from, end)) {
            let id = self.peers[client].id;
            self.notice(|| Notice::Abort { client: id, job: JobId(number) });
            self.fail_job(now, job, ErrorCode::Aborted);
            (from, aborted) = (number + 1, aborted + 1);
        }
        let per_second = self.config.aborts_per_second_max;
        if let Some(peer) = self.peers.get_mut(client) {
            peer.churn.count(now, aborted, per_second);
        }
    }

    /// Ends one job with an error; its execution goes on for whoever else waits for it.
    pub(crate) fn fail_job(&mut self, now: Time, job: JobKey, code: ErrorCode) {
        let caller = Caller::of(&self.work[job]);
        self.answer(caller, Outcome::Error(code, Parcel::advice(code)));
        self.drop_job(now, job);
    }

    /// Tells the client how its job ended, whose row has gone or is about to go.
    #[inline]
    fn answer(&mut self, Caller { client, number }: Caller, outcome: Outcome<Parcel>) {
        self.counts.finished += 1;
        let client = &self.peers[client];
        if unlikely(client.gone) {
            return;
        }
        let (client, job) = (client.id, JobId(number));
        if unlikely(self.config.notices) {
            let error = match outcome {
                Outcome::Result(_) => None,
                Outcome::Error(code, _) => Some(code),
            };
            self.notice(|| Notice::Finish { client, job, error });
        }
        made_in_place(&mut self.actions, || Action::Deliver { client, job, outcome });
    }

    pub(crate) fn caller(&self, job: JobKey) -> (PeerId, JobId) {
        let job = &self.work[job];
        (self.peers[job.client].id, JobId(job.number))
    }

    /// Takes a job out of everything; an execution that nobody waits for any more is dropped with it.
    pub(crate) fn drop_job(&mut self, now: Time, key: JobKey) {
        let execution = self.execution_of(key);
        let (place, alone) = (self.work[execution].place(), self.is_alone(execution));
        if !matches!(place, Place::Assigned(_)) {
            self.uncount_job(key);
        }
        self.leave_stream(key);
        if place == Place::Queued {
            self.unqueue(execution);
        }
        let job = self.work.remove_job(key);
        self.forget_job(key, Caller::of(&job));
        if alone {
            return self.drop_execution(now, execution);
        }
        let priority = self.similar.leave(execution, key);
        self.work[execution].priority = priority;
        if place == Place::Queued {
            self.enqueue(execution, false);
        } else {
            self.unpark_avoiding(execution);
        }
        self.shorten_run_limit(execution, &job);
    }

    /// A row went; what hung on it goes, too.
    #[inline]
    fn forget_job(&mut self, key: JobKey, Caller { client, number }: Caller) {
        self.peers[client].jobs.remove(number);
        if unlikely(!self.moved.is_empty()) {
            self.moved.remove(&key);
        }
    }

    /// All jobs of an execution get the same outcome, and the execution is gone. Its assignment is the caller's business.
    pub(crate) fn finish_execution(&mut self, execution: ExecutionKey, outcome: Outcome<Parcel>) {
        if let Some(caller) = self.remove_own(execution) {
            return self.answer(caller, outcome);
        }
        for key in self.jobs_of(execution) {
            let job = self.work.remove_job(key);
            self.forget_job(key, Caller::of(&job));
            self.answer(Caller::of(&job), outcome);
        }
        self.forget_execution(execution);
    }

    /// A job and the execution that it has alone go, and wait no longer. Of an execution that jobs share only the waiting ends.
    fn remove_own(&mut self, execution: ExecutionKey) -> Option<Caller> {
        let (own, row) = self.work.pair(execution);
        let (is_own, waits) = (own.is_some(), !matches!(row.place(), Place::Assigned(_)));
        if waits {
            self.uncount_waiting(execution);
        }
        if !is_own {
            return None;
        }
        let key = JobKey(execution.0);
        let Self { work, payloads, aside, kinds, .. } = self;
        let caller = work.remove_both(key, |row| {
            payloads.discard(row.payload);
            aside.forget(execution);
            kinds.release(row.kind);
        });
        self.forget_job(key, caller);
        Some(caller)
    }

    /// The row goes, with what hangs on it.
    pub(crate) fn forget_execution(&mut self, execution: ExecutionKey) {
        let row = self.work.remove_execution(execution);
        self.payloads.discard(row.payload);
        self.aside.forget(execution);
        self.kinds.release(row.kind);
        if row.flags.shared {
            self.similar.forget(execution);
        }
    }

    /// Fails at once what does not want to wait and still does. While slots gather, or a pass has left some to the next step, nobody has been looked for yet: whom
    /// somebody could take takes part in the pass that follows. Tells whether any has failed.
    pub(crate) fn refuse_to_wait(&mut self, now: Time) -> bool {
        if likely(self.burst.no_wait.is_empty() & self.burst.until_pass.is_empty()) {
            return false;
        }
        let mut failed = false;
        let behind = self.burst.behind | self.pools.are_behind();
        let gathering = (self.gate.opens_at().is_some() | behind) && !self.draining;
        if !gathering {
            self.burst.no_wait.append(&mut self.burst.until_pass);
        }
        for (key, sequence) in core::mem::take(&mut self.burst.no_wait) {
            if self.work.job(key).is_none_or(|job| job.sequence() != sequence) {
                continue;
            }
            let execution = self.execution_of(key);
            if matches!(self.work[execution].place(), Place::Assigned(_)) {
                continue;
            }
            if gathering && self.could_be_taken(now, execution) {
                self.burst.until_pass.push((key, sequence));
            } else {
                self.fail_job(now, key, ErrorCode::NoWorker);
                failed = true;
            }
        }
        failed
    }

    /// Removes the jobs of clients that left, a portion at a time.
    #[cold]
    pub(crate) fn purge(&mut self, now: Time) {
        let mut portion = PURGE_JOBS;
        while portion > 0 {
            let Some(&(client, from)) = self.peers.purging.last() else {
                return;
            };
            let Some((number, job)) = self.peers[client].jobs.next(from, u64::MAX) else {
                self.peers.purging.pop();
                self.close_lines(client);
                self.peers.remove(client);
                continue;
            };
            let id = self.peers[client].id;
            self.notice(|| Notice::Abort { client: id, job: JobId(number) });
            self.counts.finished += 1;
            self.drop_job(now, job);
            if let Some(last) = self.peers.purging.last_mut() {
                last.1 = number + 1;
            }
            portion -= 1;
        }
    }
}
