//! What workers say about their assignments, and how executions come back.

use super::state::{Avoid, Busy};
use super::submission::clock;
use super::{Assignment, Ending, Execution, JobRef, Model, Said, Stage, Worker};
use proletariat_protocol::{
    AssignmentId, ErrorCode, HandBackReason, JobId, Payload, PeerId, Time, WorkResult,
};
use proletariat_scheduler::OutboxLevel;
use std::time::Duration;

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// Starts are reported late, so a run may have ended by a little before its end as the manager knows it.
const REPORT_LATENESS: Duration = Duration::from_millis(250);
const UNFIT_IN_A_ROW: u32 = 8;

impl Model {
    /// The assignment, if this worker holds a slot for it.
    fn held(&self, worker: PeerId, id: AssignmentId) -> Option<usize> {
        let alive = self.peers.get(&worker).is_some_and(|peer| !peer.gone);
        self.assignments.iter().position(|a| a.id == id && a.worker == worker).filter(|_| alive)
    }

    pub(super) fn execution(&self, number: u64) -> Option<usize> {
        self.executions.iter().position(|execution| execution.number == number)
    }

    fn place_in_list(&self, id: AssignmentId) -> Option<usize> {
        self.assignments.iter().position(|a| a.id == id)
    }

    fn place_of(&self, at: usize) -> usize {
        self.execution(self.assignments[at].execution).expect("wanted work has its execution")
    }

    pub(super) fn started(&mut self, worker: PeerId, id: AssignmentId) {
        let Some(at) = self.held(worker, id) else { return };
        self.forgive(worker);
        if !self.assignments[at].stopping && self.assignments[at].started.is_none() {
            self.assignments[at].started = Some(self.now);
        }
    }

    /// A worker that starts a job is neither busy nor unfit any more: the next pauses are short ones again.
    fn forgive(&mut self, worker: PeerId) {
        let worker = self.worker(worker);
        worker.unfit = 0;
        worker.unfit_pause = Duration::ZERO;
        for busy in &mut worker.busy {
            busy.pause = Duration::ZERO;
        }
    }

    pub(super) fn finished(
        &mut self,
        worker: PeerId,
        id: AssignmentId,
        result: WorkResult,
        payload: Payload,
    ) {
        let Some(at) = self.held(worker, id) else { return };
        self.forgive(worker);
        if self.assignments[at].stopping {
            return self.stopped(worker, id);
        }
        if result == WorkResult::RunTimeout {
            return self.run_over(at);
        }
        let large = payload.len() as u64 > self.config.payload_bytes_max;
        let ending = match result {
            WorkResult::Done if large => Ending::error(ErrorCode::TooLarge),
            WorkResult::Done => Ending::Result(payload),
            WorkResult::Failed => Ending::Error(ErrorCode::WorkFailed, Some(payload)),
            WorkResult::TooLarge | WorkResult::RunTimeout => Ending::error(ErrorCode::TooLarge),
        };
        let place = self.place_of(at);
        self.assignments.remove(at);
        self.end_execution(place, &ending);
    }

    /// The worker stopped the run at its limit: whoever allows more time waits for a new run, which is no loss.
    fn run_over(&mut self, at: usize) {
        let place = self.place_of(at);
        let run = self.assignments.remove(at);
        let begin = run.started.unwrap_or(run.asked);
        let ends = |model: &Self, job: &JobRef| {
            let limit = clock(model.jobs[job].options.run_timeout_ms);
            limit
                .is_some_and(|limit| begin.max(model.jobs[job].joined) + limit <= model.now + REPORT_LATENESS)
        };
        let jobs = self.executions[place].jobs.clone();
        let over: Vec<JobRef> = jobs.iter().filter(|job| !run.moved || ends(self, job)).copied().collect();
        self.wait_on(place, run.asked);
        self.queue_again(place);
        for job in over {
            self.end_job(job, &Ending::error(ErrorCode::RunTimeout));
        }
        if let Some(place) =
            self.execution(run.execution).filter(|place| self.executions[*place].losses_max == 1)
        {
            // It was stopped midway, and once is the most.
            self.end_execution(place, &Ending::error(ErrorCode::Crash));
        }
    }

    /// All that wait get the same outcome; the slot has been given back already, or waits for the stop.
    pub(super) fn end_execution(&mut self, place: usize, ending: &Ending) {
        let execution = self.executions.remove(place);
        for job in execution.jobs {
            self.remove_job(job);
            self.say(Said::Ended { client: job.0, job: job.1, ending: ending.clone() });
        }
    }

    pub(super) fn handed_back(&mut self, worker: PeerId, id: AssignmentId, reason: HandBackReason) {
        let Some(at) = self.held(worker, id) else { return };
        if self.assignments[at].stopping {
            return self.stopped(worker, id);
        }
        let place = self.place_of(at);
        let run = self.assignments.remove(at);
        let begun = run.started.is_some();
        if reason == HandBackReason::Leaving && begun && self.executions[place].losses_max == 1 {
            // Stopped midway: nobody knows how far it came, and once is the most.
            return self.count_loss(place);
        }
        let kind = self.executions[place].kind.clone();
        match reason {
            HandBackReason::Busy => self.pause_kind(worker, kind),
            HandBackReason::NotMyKind => {
                self.worker(worker).refused.insert(kind);
            }
            HandBackReason::Leaving if self.worker(worker).offer.is_none() => {}
            HandBackReason::Unfit | HandBackReason::Leaving => self.unfit(place, worker, kind),
        }
        self.wait_on(place, run.asked);
        self.queue_again(place);
    }

    /// The waits for a worker go on where they were when this run was given away.
    fn wait_on(&mut self, place: usize, given: Time) {
        for job in self.executions[place].jobs.clone() {
            let job = self.jobs.get_mut(&job).expect("waits for it");
            job.since = Time(self.now.0 - given.0.saturating_sub(job.since.0));
        }
    }

    fn worker(&mut self, id: PeerId) -> &mut Worker {
        &mut self.peers.get_mut(&id).expect("a holder of slots is connected").worker
    }

    fn pause_kind(&mut self, worker: PeerId, kind: Option<String>) {
        let now = self.now;
        let list = &mut self.worker(worker).busy;
        let place = list.iter().position(|busy| busy.kind == kind).unwrap_or_else(|| {
            list.push(Busy { kind, until: now, pause: Duration::ZERO });
            list.len() - 1
        });
        if list[place].until > now {
            return;
        }
        list[place].pause = longer(list[place].pause);
        list[place].until = now + list[place].pause;
    }

    fn unfit(&mut self, place: usize, id: PeerId, kind: Option<String>) {
        let now = self.now;
        let worker = self.worker(id);
        worker.unfit_pause = longer(worker.unfit_pause);
        worker.unfit += 1;
        let until = now + worker.unfit_pause;
        if worker.unfit == UNFIT_IN_A_ROW {
            worker.unfit = 0;
            self.pause_kind(id, kind);
        }
        self.executions[place].avoids.retain(|avoid| avoid.worker != id);
        self.executions[place].avoids.push(Avoid { worker: id, until });
    }

    /// What did the work is gone. Counts when the burst is over, as the other losses do.
    pub(super) fn crashed(&mut self, worker: PeerId, id: AssignmentId) {
        let held = |a: &&Assignment| a.id == id && a.worker == worker;
        let Some(at) = self.assignments.iter().find(held).and_then(|_| self.place_in_list(id)) else {
            return;
        };
        if !self.peers[&worker].gone {
            self.forgive(worker);
        }
        let stopping = self.assignments[at].stopping;
        let number = self.assignments.remove(at).execution;
        if stopping {
            return self.stop_is_over(id);
        }
        let place = self.execution(number).expect("wanted work has its execution");
        self.count_loss(place);
    }

    /// The cancelled work has stopped: its slot is free, and who waits for the stop is queued.
    pub(super) fn stopped(&mut self, worker: PeerId, id: AssignmentId) {
        let Some(at) = self.held(worker, id) else { return };
        if self.assignments[at].stopping {
            self.assignments.remove(at);
            self.stop_is_over(id);
        } else {
            // Nobody asked for it: as good as a hand-back without a reason.
            self.handed_back(worker, id, HandBackReason::Unfit);
        }
    }

    pub(super) fn stop_is_over(&mut self, id: AssignmentId) {
        let Some(place) = self.executions.iter().position(|e| e.stage == Stage::Stopping(id)) else { return };
        if self.executions[place].jobs.is_empty() {
            self.executions.remove(place);
        } else {
            self.queue_again(place);
        }
    }

    /// One more worker lost: queued again at its place, or the end.
    pub(super) fn count_loss(&mut self, place: usize) {
        self.executions[place].losses += 1;
        let Execution { losses, losses_max, .. } = self.executions[place];
        if losses_max > 0 && losses >= losses_max {
            return self.end_execution(place, &Ending::error(ErrorCode::Crash));
        }
        for job in self.executions[place].jobs.clone() {
            self.jobs.get_mut(&job).expect("waits for it").since = self.now;
        }
        self.queue_again(place);
    }

    pub(super) fn queue_again(&mut self, place: usize) {
        self.executions[place].stage = Stage::Queued;
        for id in self.executions[place].jobs.clone() {
            let job = self.jobs.get_mut(&id).expect("waits for it");
            job.late = false;
            job.over = false;
            if job.options.stream {
                self.excused.insert(id);
            }
            if std::mem::take(&mut job.heard) {
                job.owed = Some(self.burst);
            }
            if job.options.no_wait {
                self.hurried.push((id, self.now, self.burst));
            }
        }
    }

    /// Nobody wants it any more: its worker is told, and the slot is held until the work has stopped.
    pub(super) fn cancel(&mut self, id: AssignmentId) {
        let at = self.assignments.iter().position(|a| a.id == id).expect("a running execution has its slot");
        let worker = self.assignments[at].worker;
        let place = self.place_of(at);
        let alive = !self.peers[&worker].gone;
        if alive {
            self.say(Said::Cancel { worker, assignment: id });
        }
        let confirms = self.peers[&worker].abilities.confirms_stop;
        if confirms {
            self.assignments[at].stopping = true;
            self.executions[place].stage = Stage::Stopping(id);
            if self.executions[place].shared.is_none() {
                self.executions.remove(place);
            }
        } else {
            self.assignments.remove(at);
            self.executions.remove(place);
        }
    }

    pub(super) fn chunks_came(&self, place: usize) -> bool {
        match self.executions[place].stage {
            Stage::Assigned(id) => self.assignments.iter().any(|a| a.id == id && a.chunks),
            Stage::Queued | Stage::Stopping(_) => false,
        }
    }

    fn hearers(&self, at: usize) -> Vec<JobRef> {
        let jobs = self.executions[self.place_of(at)].jobs.iter();
        jobs.filter(|job| self.jobs[*job].options.stream && !self.jobs[*job].late).copied().collect()
    }

    fn wanted(&self, worker: PeerId, id: AssignmentId) -> Option<&Assignment> {
        self.held(worker, id).map(|at| &self.assignments[at]).filter(|a| !a.stopping)
    }

    pub(super) fn data(&mut self, worker: PeerId, id: AssignmentId, payload: Payload) {
        if self.wanted(worker, id).is_none() {
            return;
        }
        let at = self.held(worker, id).expect("looked up above");
        self.assignments[at].chunks = true;
        for (client, job) in self.hearers(at) {
            self.jobs.get_mut(&(client, job)).expect("waits for it").heard = true;
            self.say(Said::Data { client, job, payload: payload.clone() });
        }
    }

    /// Reports have no credit: who reads too slowly gets later ones.
    pub(super) fn progress(&mut self, worker: PeerId, id: AssignmentId, done: u64, total: u64) {
        if self.wanted(worker, id).is_none() {
            return;
        }
        let at = self.held(worker, id).expect("looked up above");
        for (client, job) in self.hearers(at) {
            let reads = self.peers[&client].level != OutboxLevel::Paused;
            let row = self.jobs.get_mut(&(client, job)).expect("waits for it");
            row.heard |= reads;
            if reads {
                self.say(Said::Progress { client, job, done, total });
            }
        }
    }

    /// Credit moves grants alone, which have bounds of their own and are not predicted.
    pub(super) fn credited(&mut self, _job: (PeerId, JobId), _bytes: u64) {}
}

/// The pause after one of this length.
fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(PAUSE_FIRST, PAUSE_MOST)
}
