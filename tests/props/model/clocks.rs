//! The three clocks, the wait for a start, and the losses of workers, in the order in which they count.

use super::submission::{clock, due};
use super::{Ending, Execution, JobRef, Model, Said, Stage, Verdict};
use proletariat_protocol::{AssignmentId, ErrorCode, PeerId, Time};
use proletariat_scheduler::Action;
use std::time::Duration;

/// The manager's own end of a run comes so long after the worker's.
const BACKSTOP: Duration = Duration::from_secs(1);
/// A start is reported so long after the last byte of its assignment has left.
const START: Duration = Duration::from_secs(30);

impl Model {
    pub(super) fn fire_clocks(&mut self) {
        for job in self.all(|model, job| model.run_due(job)) {
            self.end_job(job, &Ending::error(ErrorCode::RunTimeout));
        }
        let now = self.now;
        let past = |due: Option<Time>| due.is_some_and(|due| due <= now);
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            match (past(self.assign_due(job)), past(self.jobs[&job].total)) {
                (false, false) => {}
                (true, true) => {
                    self.end_job(job, &Ending::Either(ErrorCode::AssignTimeout, ErrorCode::CallTimeout));
                }
                (true, false) => self.end_job(job, &Ending::error(ErrorCode::AssignTimeout)),
                (false, true) => self.end_job(job, &Ending::error(ErrorCode::CallTimeout)),
            }
        }
        let late = |id: &AssignmentId, model: &Self| model.start_due(*id).is_some_and(|due| due <= now);
        let ids: Vec<AssignmentId> = self.assignments.iter().map(|a| a.id).collect();
        for id in ids {
            if late(&id, self) {
                self.take_back(id);
            }
        }
    }

    fn all(&self, due: impl Fn(&Self, JobRef) -> Option<Time>) -> Vec<JobRef> {
        let past = |job: &JobRef| due(self, *job).is_some_and(|due| due <= self.now);
        self.jobs.keys().copied().filter(past).collect()
    }

    /// When the manager itself ends a run for a job: at its end, or by the backstop if its end is the worker's to keep.
    fn run_due(&self, job: JobRef) -> Option<Time> {
        let (end, by_worker) = self.run_end(job)?;
        let late = by_worker && !self.jobs[&job].over;
        Some(if late { end + BACKSTOP } else { end })
    }

    fn run_end(&self, job: JobRef) -> Option<(Time, bool)> {
        let limit = clock(self.jobs[&job].options.run_timeout_ms)?;
        let Stage::Assigned(id) = self.executions[self.execution_of(job)?].stage else { return None };
        let assignment = self.assignments.iter().find(|a| a.id == id)?;
        let start = assignment.started?;
        let end = start.max(self.jobs[&job].joined) + limit;
        // The worker ends the run at the latest end that any job allows: for that one the manager is the backstop only.
        Some((end, assignment.limit.is_some_and(|limit| end >= start + limit)))
    }

    fn assign_due(&self, job: JobRef) -> Option<Time> {
        let options = &self.jobs[&job].options;
        // Who does not wait has no clock for it.
        let wait = if options.no_wait { 0 } else { options.assign_timeout_ms };
        due(self.jobs[&job].since, wait).filter(|_| self.waits(job))
    }

    fn start_due(&self, id: AssignmentId) -> Option<Time> {
        let assignment = self.assignments.iter().find(|a| a.id == id)?;
        let waits = assignment.started.is_none() && !assignment.stopping;
        assignment.left.filter(|_| waits).map(|left| left + START)
    }

    /// No start was reported: the work is stopped there and counts as lost.
    fn take_back(&mut self, id: AssignmentId) {
        let at = self.assignments.iter().position(|a| a.id == id).expect("it is late");
        let (worker, number) = (self.assignments[at].worker, self.assignments[at].execution);
        let place = self.execution(number).expect("wanted work has its execution");
        self.assignments[at].stopping = true;
        self.say(Said::Cancel { worker, assignment: id });
        let before = self.executions[place].clone();
        self.count_loss(place);
        if before.shared.is_none() {
            return;
        }
        // A key never has two runs: whoever waits for it, or comes, waits for the stop.
        match self.execution(number) {
            Some(place) => self.executions[place].stage = Stage::Stopping(id),
            None => {
                let stage = Stage::Stopping(id);
                self.executions.push(Execution { jobs: Vec::new(), stage, ..before });
            }
        }
    }

    /// What a worker held is queued again.
    pub(super) fn lose_worker(&mut self, peer: PeerId) {
        while let Some(at) = self.assignments.iter().position(|a| a.worker == peer) {
            let lost = self.assignments.remove(at);
            if lost.stopping {
                self.stop_is_over(lost.id);
            } else {
                let place = self.execution(lost.execution).expect("wanted work has its execution");
                self.count_loss(place);
            }
        }
    }

    /// The latest end that any job allows that waits for it, from the start of the run; `None`: no limit.
    pub(super) fn run_limit(&self, execution: &Execution, start: Time) -> Option<Duration> {
        let ends = execution.jobs.iter().map(|job| {
            let joined = self.jobs[job].joined.since(start);
            clock(self.jobs[job].options.run_timeout_ms).map(|limit| joined + limit)
        });
        // The wire counts limits in milliseconds, and 0 would be none.
        let longest = ends.collect::<Option<Vec<_>>>()?.into_iter().max()?;
        Some(Duration::from_millis((longest.as_millis() as u64).max(1)))
    }

    /// The jobs that wait have changed: a worker that can be told learns its new limit.
    pub(super) fn retell_run_limit(&mut self, place: usize) {
        let Stage::Assigned(id) = self.executions[place].stage else { return };
        let at = self.assignments.iter().position(|a| a.id == id).expect("a running execution has its slot");
        let start = self.assignments[at].started;
        let limit = self.run_limit(&self.executions[place], start.unwrap_or(Time::NEVER));
        let hears = self.peers[&self.assignments[at].worker].abilities.takes_run_limits;
        // Whose end the worker should have kept by now is over as soon as the worker learns that it may go on.
        if hears && limit.is_none_or(|limit| Some(limit) > self.assignments[at].limit) {
            for job in self.executions[place].jobs.clone() {
                let over = self.run_end(job).is_some_and(|(end, by_worker)| by_worker && end <= self.now);
                self.jobs.get_mut(&job).expect("waits for it").over |= over;
            }
        }
        let assignment = &mut self.assignments[at];
        assignment.moved |= assignment.limit != limit;
        if hears {
            assignment.limit = limit;
        }
    }

    /// When a burst is over, each worker has been told the limits that hold; what it was told on the way is of no matter.
    pub(super) fn check_run_limits(&mut self, actions: &[Action]) -> Verdict {
        for action in actions {
            let Action::SetRunLimit { worker, assignment, run_limit } = action else { continue };
            let known = |a: &&mut super::Assignment| a.id == *assignment && a.worker == *worker;
            if let Some(found) = self.assignments.iter_mut().find(known) {
                found.told = *run_limit;
            }
        }
        let wrong = |a: &&super::Assignment| !a.stopping && a.told != a.limit;
        match self.assignments.iter().find(wrong) {
            Some(found) => {
                Err(format!("{:?} knows the limit {:?}, not {:?}", found.id, found.told, found.limit))
            }
            None => Ok(()),
        }
    }

    /// When something falls due next.
    pub fn next_due(&self) -> Option<Time> {
        let jobs = self.jobs.keys().flat_map(|job| {
            [self.run_due(*job), self.assign_due(*job), self.jobs[job].total].into_iter().flatten()
        });
        let starts = self.assignments.iter().filter_map(|a| self.start_due(a.id));
        let messages = self.messages.iter().filter_map(|message| message.due);
        jobs.chain(starts).chain(messages).chain(self.pauses()).min()
    }

    /// Whether a clock, not a mere pause, has ended by then.
    pub fn clock_due(&self, by: Time) -> bool {
        let past = |due: Option<Time>| due.is_some_and(|due| due <= by);
        let jobs = self.jobs.keys();
        jobs.clone()
            .any(|job| past(self.run_due(*job)) || past(self.assign_due(*job)) || past(self.jobs[job].total))
            || self.assignments.iter().any(|a| past(self.start_due(a.id)))
            || self.messages.iter().any(|message| past(message.due))
    }

    fn pauses(&self) -> impl Iterator<Item = Time> {
        let busy = self.peers.values().flat_map(|peer| peer.worker.busy.iter().map(|busy| busy.until));
        let avoids = self.executions.iter().flat_map(|e| e.avoids.iter().map(|avoid| avoid.until));
        busy.chain(avoids).filter(|until| *until > self.now)
    }
}
