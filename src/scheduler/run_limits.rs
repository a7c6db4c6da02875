//! How long a run may take: the limits of the jobs that wait for it, and what the worker is told of them.

use crate::action::Action;
use crate::deadlines::Alarm;
use crate::machine::Scheduler;
use crate::records::{Job, Place};
use crate::similar::Similar;
use crate::tables::{AssignmentKey, ExecutionKey, JobKey};
use crate::work::Work;
use core::time::Duration;
use proletariat_protocol::Time;

/// How much later than the worker the manager enforces a run limit itself, in milliseconds.
const BACKSTOP_MILLIS: u64 = 1_000;

impl Scheduler {
    /// Rings at the end of the run's limit; whether that counts or the backstop does is seen then.
    pub(crate) fn set_run_alarm(&mut self, now: Time, key: JobKey) {
        let job = &self.work[key];
        let sequence = job.sequence();
        let Place::Assigned(assignment) = self.work[self.execution_of(key)].place() else {
            return;
        };
        let Some(started) = self.assignments[assignment].started() else {
            return;
        };
        if let Some(end) = run_end(job, started) {
            self.deadlines.set(now, end, Alarm::Run { job: key, sequence });
        }
    }

    /// When the manager ends the run of a job itself, if it is running and has a limit.
    pub(crate) fn run_ends_at(&self, job: JobKey) -> Option<Time> {
        let (end, by_worker) = self.run_end_of(job)?;
        Some(if by_worker { end.plus_millis(BACKSTOP_MILLIS) } else { end })
    }

    /// When the run of a job is over by its own clock, whoever is to end it.
    pub(crate) fn run_over_at(&self, job: JobKey) -> Option<Time> {
        self.run_end_of(job).map(|(end, _)| end)
    }

    /// When an alarm rings again that rang before it was due. That of a run rings at its limit first: whether the backstop counts is seen
    /// then, since those who join meanwhile may take the limit out of the worker's hands.
    pub(crate) fn rings_again_at(&self, now: Time, alarm: Alarm, due: Time) -> Time {
        match alarm {
            Alarm::Run { job, .. } => self.run_over_at(job).filter(|over| *over > now).unwrap_or(due),
            _ => due,
        }
    }

    /// When the run of a job ends by its own clock, and whether that is the worker's to keep.
    fn run_end_of(&self, job: JobKey) -> Option<(Time, bool)> {
        let Place::Assigned(key) = self.work[self.execution_of(job)].place() else {
            return None;
        };
        let assignment = &self.assignments[key];
        let started = assignment.started()?;
        let end = run_end(&self.work[job], started)?;
        // The worker ends the run at the latest end that any job allows: for that one the manager is the backstop only.
        // A worker without a limit ends nothing.
        let told = started.plus_millis(u64::from(assignment.told_limit_ms));
        Some((end, assignment.told_limit_ms > 0 && end >= told))
    }

    /// The longest run that any waiting job allows, in milliseconds from its start, if that is known; 0: no limit.
    fn run_limit(&self, execution: ExecutionKey, started: Option<Time>) -> u32 {
        let row = &self.work[execution];
        if row.flags.shared {
            return self.similar.run_limit(execution, started);
        }
        self.work[JobKey(execution.0)].run_timeout_ms
    }

    /// When a job that joins now wants the run to end that has started already; [`Time::NEVER`] if it sets no limit.
    pub(crate) fn late_end(&self, execution: ExecutionKey, job: JobKey) -> Option<Time> {
        let Place::Assigned(key) = self.work[execution].place() else {
            return None;
        };
        let started = self.assignments[key].started()?;
        Some(run_end(&self.work[job], started).unwrap_or(Time::NEVER))
    }

    /// A job that joined a run may allow it more time.
    pub(crate) fn extend_run_limit(&mut self, now: Time, execution: ExecutionKey, job: JobKey) {
        let Place::Assigned(key) = self.work[execution].place() else {
            return;
        };
        let (told, job) = (self.assignments[key].told_limit_ms, &self.work[job]);
        let own = match self.assignments[key].started() {
            None => job.run_timeout_ms,
            Some(started) => run_end(job, started).map_or(0, |end| limit_until(started, end)),
        };
        if told != 0 && (own == 0 || own > told) {
            self.end_overdue(now, execution, key);
            self.tell_run_limit(key, own);
        }
    }

    /// A worker that should have ended a run by now is about to learn that it may go on. So the limit that is over is no longer the
    /// worker's to keep, and those whose limit it was end with this burst. Nearly all jobs that are looked at are such.
    fn end_overdue(&mut self, now: Time, execution: ExecutionKey, key: AssignmentKey) {
        let assignment = &self.assignments[key];
        let Some(started) = assignment.started() else { return };
        let told = started.plus_millis(u64::from(assignment.told_limit_ms));
        if told > now || !self.peers[assignment.worker].abilities.takes_run_limits {
            return;
        }
        for job in self.jobs_of(execution) {
            let row = &self.work[job];
            let sequence = row.sequence();
            if run_end(row, started).is_some_and(|end| end <= now) {
                self.deadlines.set(now, now, Alarm::Overdue { job, sequence });
            }
        }
    }

    /// A job that left a run may have been the one that allowed it the most time.
    pub(crate) fn shorten_run_limit(&mut self, execution: ExecutionKey, left: &Job) {
        let Place::Assigned(key) = self.work[execution].place() else {
            return;
        };
        let (told, started) = (self.assignments[key].told_limit_ms, self.assignments[key].started());
        let own = match started {
            None => left.run_timeout_ms,
            Some(started) => run_end(left, started).map_or(0, |end| limit_until(started, end)),
        };
        if own != 0 && own < told {
            return;
        }
        let limit = self.run_limit(execution, started);
        if limit != told {
            self.tell_run_limit(key, limit);
        }
    }

    fn tell_run_limit(&mut self, key: AssignmentKey, limit_ms: u32) {
        let assignment = &mut self.assignments[key];
        assignment.limit_moved = true;
        if !self.peers[assignment.worker].abilities.takes_run_limits {
            return;
        }
        assignment.told_limit_ms = limit_ms;
        let (worker, id) = (self.peers[assignment.worker].id, assignment.id);
        let run_limit = (limit_ms > 0).then(|| Duration::from_millis(u64::from(limit_ms)));
        self.actions.push(Action::SetRunLimit { worker, assignment: id, run_limit });
    }
}

/// What a worker is told of the clocks: the longest run that any waiting job allows, in milliseconds (0: no limit), and the end of the
/// longest call.
pub(crate) fn terms(work: &Work, similar: &Similar, execution: ExecutionKey) -> (u32, Time) {
    if let (Some(job), _) = work.pair(execution) {
        return (job.run_timeout_ms, job.deadline());
    }
    let ends = similar.jobs_of(execution).map(|job| work[job].deadline());
    (similar.run_limit(execution, None), ends.max().unwrap_or(Time::NEVER))
}

/// When the run of a job ends by its own clock: it starts with the run or with its joining, whichever is later.
pub(crate) fn run_end(job: &Job, started: Time) -> Option<Time> {
    (job.run_timeout_ms > 0).then(|| started.max(job.arrived).plus_millis(u64::from(job.run_timeout_ms)))
}

/// A limit in milliseconds from the start; never 0, which would be none.
fn limit_until(started: Time, end: Time) -> u32 {
    u32::try_from(end.since(started).as_millis()).unwrap_or(u32::MAX).max(1)
}
