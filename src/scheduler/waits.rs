//! The clocks of jobs that wait: for a worker, and for the end of their call. Jobs that were submitted together have one
//! alarm of each together, since they have the same time.

use crate::action::Notice;
use crate::deadlines::Alarm;
use crate::machine::Scheduler;
use crate::records::Place;
use crate::tables::{JobKey, PeerKey};
use proletariat_protocol::{ErrorCode, JobId, JobOptions, PeerId, Time};

impl Scheduler {
    /// Sets the clocks of jobs that were submitted together: one of each kind for all of them.
    pub(crate) fn set_waiting_alarms(
        &mut self,
        now: Time,
        client: PeerKey,
        first: JobId,
        count: u64,
        options: &JobOptions,
    ) {
        let client = self.peers[client].id;
        let count = u32::try_from(count).expect("the payloads of one message");
        if options.timeout_ms > 0 {
            let due = now.plus_millis(u64::from(options.timeout_ms));
            self.deadlines.set(now, due, Alarm::Totals { client, first, count });
        }
        if options.assign_timeout_ms > 0 && !options.no_wait {
            let due = now.plus_millis(u64::from(options.assign_timeout_ms));
            self.deadlines.set(now, due, Alarm::Assigns { client, first, count });
        }
    }

    /// The first open job of a client with a number from `from` on and below `end`.
    pub(crate) fn next_of(&self, client: PeerId, from: u64, end: JobId) -> Option<(u64, JobKey)> {
        self.peers[self.peers.find(client)?].jobs.next(from, end.0)
    }

    /// When jobs that were submitted together have waited too long, if they have waited since then; `None` if none is open. Who came
    /// back from a worker has an alarm of its own.
    pub(crate) fn assign_waits_end_at(&self, client: PeerId, first: JobId, count: u32) -> Option<Time> {
        let (_, job) = self.next_of(client, first.0, first.plus(u64::from(count)))?;
        let job = &self.work[job];
        Some(job.arrived.plus_millis(job.assign_timeout_ms()?))
    }

    pub(crate) fn assign_wait_ends_at(&self, job: JobKey) -> Option<Time> {
        let timeout = self.work[job].assign_timeout_ms()?;
        let waits = !matches!(self.work[self.execution_of(job)].place(), Place::Assigned(_));
        waits.then(|| self.waits_since(job).plus_millis(timeout))
    }

    /// Since when a job waits for a worker: its arrival, or the last loss of one, and later by the time that others had it
    /// before they handed it back.
    pub(crate) fn waits_since(&self, job: JobKey) -> Time {
        self.moved.get(&job).copied().unwrap_or(self.work[job].arrived)
    }

    pub(crate) fn assign_timed_out(&mut self, now: Time, job: JobKey) {
        let (client, number) = self.caller(job);
        self.notice(|| Notice::AssignTimeout { client, job: number });
        self.fail_job(now, job, ErrorCode::AssignTimeout);
    }

    pub(crate) fn assigns_timed_out(&mut self, now: Time, client: PeerId, first: JobId, count: u32) {
        let (mut from, end) = (first.0, first.plus(u64::from(count)));
        while let Some((number, job)) = self.next_of(client, from, end) {
            if self.assign_wait_ends_at(job).is_some_and(|due| due <= now) {
                self.assign_timed_out(now, job);
            }
            from = number + 1;
        }
    }

    pub(crate) fn calls_timed_out(&mut self, now: Time, client: PeerId, first: JobId, count: u32) {
        let (mut from, end) = (first.0, first.plus(u64::from(count)));
        while let Some((number, job)) = self.next_of(client, from, end) {
            self.fail_job(now, job, ErrorCode::CallTimeout);
            from = number + 1;
        }
    }
}
