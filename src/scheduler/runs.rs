//! What becomes of an assignment: its start, and its one end.

use crate::action::{Action, Notice, Outcome};
use crate::aside::{PAUSE_MILLIS_MIN, longer};
use crate::machine::Scheduler;
use crate::passing::Parcel;
use crate::received::Received;
use crate::records::{Place, Run};
use crate::run_limits::run_end;
use crate::tables::{AssignmentKey, ExecutionKey, JobKey, PeerKey};
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::{AssignmentId, ErrorCode, HandBackReason, Payload, PeerId, Time, WorkResult};

/// Starts are reported up to 100 ms late, so the manager's idea of a run's end may be later than the worker's by this.
const LATENESS_MILLIS: u64 = 250;
/// So many hand-backs as unfit in a row count as busy.
const UNFIT_IN_ROW_MAX: u8 = 8;

impl Scheduler {
    pub(crate) fn started(&mut self, now: Time, worker: PeerKey, id: AssignmentId) {
        let Some((key, _)) = self.find_assignment(worker, id) else {
            return;
        };
        self.began_something(worker);
        if matches!(self.assignments[key].state, Run::Sent(_)) {
            self.begin_run(now, key);
        }
    }

    /// A worker that starts a job is neither busy nor unfit any more.
    fn began_something(&mut self, worker: PeerKey) {
        let Some(row) = self.peers.worker_mut(worker) else {
            return;
        };
        row.unfit_in_row = 0;
        row.unfit_pause_ms = 0;
        if unlikely(!row.pauses.is_empty()) {
            self.forget_backoff(worker);
        }
    }

    /// The run clocks of the jobs start.
    pub(crate) fn begin_run(&mut self, now: Time, key: AssignmentKey) {
        let Run::Sent(execution) = self.assignments[key].state else {
            return;
        };
        self.assignments[key].state = Run::Started(execution, now);
        for job in self.jobs_of(execution) {
            self.set_run_alarm(now, job);
        }
    }

    #[inline]
    pub(crate) fn finished(
        &mut self,
        now: Time,
        worker: PeerId,
        id: AssignmentId,
        result: WorkResult,
        payload: Received<'_>,
    ) {
        let Some(worker) = self.peers.find_speaker(worker) else {
            return;
        };
        let Some((key, execution)) = self.find_assignment(worker, id) else {
            return;
        };
        self.began_something(worker);
        let Some(execution) = execution else {
            return self.stop_confirmed(key);
        };
        if unlikely(result == WorkResult::RunTimeout) {
            return self.run_over(now, key, execution);
        }
        self.release(key);
        let outcome = match result {
            WorkResult::Done if payload.len() as u64 <= self.config.payload_bytes_max => {
                Outcome::Result(self.passing.put(payload))
            }
            WorkResult::Failed => Outcome::Error(ErrorCode::WorkFailed, self.passing.put(payload)),
            // A handler that saw it coming says so in its own words.
            WorkResult::TooLarge if !payload.is_empty() => {
                Outcome::Error(ErrorCode::TooLarge, self.passing.put(payload))
            }
            WorkResult::Done | WorkResult::TooLarge | WorkResult::RunTimeout => error(ErrorCode::TooLarge),
        };
        self.finish_execution(execution, outcome);
    }

    /// The worker stopped the run at its limit. Jobs that allow it more time wait for a new run; it is no loss.
    fn run_over(&mut self, now: Time, key: AssignmentKey, execution: ExecutionKey) {
        let started = self.assignments[key].started().unwrap_or(self.assignments[key].sent_at);
        let late = now.plus_millis(LATENESS_MILLIS);
        // A limit that never moved was that of all. Otherwise the worker may have kept an older one, and only those
        // whose own time is over have ended.
        let (moved, kept_since) = (self.assignments[key].limit_moved, self.assignments[key].sent_at);
        let restarted = self.take_stream(key);
        for job in self.jobs_of(execution) {
            let over = !moved || run_end(&self.work[job], started).is_some_and(|end| end <= late);
            if over && self.is_alone(execution) {
                self.release(key);
                return self.finish_execution(execution, error(ErrorCode::RunTimeout));
            }
            if over {
                self.fail_job(now, job, ErrorCode::RunTimeout);
            }
        }
        self.release(key);
        if self.work[execution].losses_max == 1 {
            // It has been stopped midway for the sake of others: for who is left that was the one attempt.
            return self.lose(
                now,
                execution,
                restarted,
                "the worker stopped it at a run limit of another job",
            );
        }
        self.tell_restart(execution, restarted);
        self.requeue(now, execution, Some(kept_since));
    }

    pub(crate) fn run_timed_out(&mut self, now: Time, job: JobKey) {
        self.fail_job(now, job, ErrorCode::RunTimeout);
    }

    /// Nobody waits for an execution any more: out of its line, or off its worker.
    pub(crate) fn drop_execution(&mut self, now: Time, execution: ExecutionKey) {
        match self.work[execution].place() {
            Place::Assigned(key) => {
                self.similar.stopping(execution, key);
                self.stop(now, key);
            }
            Place::Held => self.abandon_successor(execution),
            Place::Queued | Place::Parked => {}
        }
        if !matches!(self.work[execution].place(), Place::Assigned(_)) {
            self.counts.queued_bytes -= self.bytes_of(execution);
        }
        self.forget_execution(execution);
    }

    /// Tells a worker to stop. The slot is free when it says that the work has stopped.
    pub(crate) fn stop(&mut self, now: Time, key: AssignmentKey) {
        let assignment = &mut self.assignments[key];
        assignment.state = Run::Stopping { since: now, successor: ExecutionKey::NONE };
        let (worker, id) = (assignment.worker, assignment.id);
        self.streams.remove(&key);
        let peer = &self.peers[worker];
        self.actions.push(Action::Cancel { worker: peer.id, assignment: id });
        if !peer.abilities.confirms_stop {
            self.stop_confirmed(key);
        }
    }

    pub(crate) fn stopped(&mut self, now: Time, worker: PeerKey, id: AssignmentId) {
        let Some((key, execution)) = self.find_assignment(worker, id) else {
            return;
        };
        match execution {
            None => self.stop_confirmed(key),
            // Nobody asked for it: as if handed back without a reason.
            Some(_) => self.handed_back(now, worker, id, HandBackReason::Unfit),
        }
    }

    /// Stopping work has stopped: its slot is free, and whoever waited for that may run.
    pub(crate) fn stop_confirmed(&mut self, key: AssignmentKey) {
        let state = self.release(key);
        self.similar.stopped(key);
        if let Run::Stopping { successor, .. } = state
            && !successor.is_none()
        {
            self.enqueue(successor, false);
        }
    }

    /// A held execution is no longer wanted before it could begin.
    fn abandon_successor(&mut self, execution: ExecutionKey) {
        let Some(key) = self.similar.held_by(execution) else {
            return;
        };
        if let Run::Stopping { successor, .. } = &mut self.assignments[key].state {
            *successor = ExecutionKey::NONE;
        }
        self.similar.stopping(execution, key);
    }

    pub(crate) fn handed_back(
        &mut self,
        now: Time,
        worker: PeerKey,
        id: AssignmentId,
        reason: HandBackReason,
    ) {
        let Some((key, execution)) = self.find_assignment(worker, id) else {
            return;
        };
        let Some(execution) = execution else {
            return self.stop_confirmed(key);
        };
        let (restarted, kept_since) = (self.take_stream(key), self.assignments[key].sent_at);
        let begun = matches!(self.release(key), Run::Started(..));
        if reason == HandBackReason::Leaving && begun && self.work[execution].losses_max == 1 {
            // It was stopped midway, and nobody knows how far it came: that was its one attempt.
            return self.lose(now, execution, restarted, "its worker left while it ran");
        }
        self.heed(now, worker, execution, reason);
        self.tell_restart(execution, restarted);
        self.requeue(now, execution, Some(kept_since));
    }

    /// What a hand-back means for the worker and for the execution.
    fn heed(&mut self, now: Time, worker: PeerKey, execution: ExecutionKey, reason: HandBackReason) {
        let kind = self.work[execution].kind;
        let heeded = match reason {
            HandBackReason::Leaving => self.peers.worker(worker).is_none_or(|row| row.withdrawn),
            HandBackReason::Busy => self.pause_kind(now, worker, kind),
            HandBackReason::NotMyKind => self.not_my_kind(worker, kind),
            HandBackReason::Unfit => false,
        };
        if !heeded {
            self.avoid(now, worker, execution);
        }
    }

    /// An execution avoids a worker for a pause; too many in a row, and the worker counts as busy.
    fn avoid(&mut self, now: Time, worker: PeerKey, execution: ExecutionKey) {
        let (kind, id) = (self.work[execution].kind, self.peers[worker].id);
        let Some(row) = self.peers.worker_mut(worker) else {
            return;
        };
        row.unfit_pause_ms = longer(row.unfit_pause_ms.max(PAUSE_MILLIS_MIN / 2));
        row.unfit_in_row += 1;
        let until = now.plus_millis(row.unfit_pause_ms);
        if row.unfit_in_row >= UNFIT_IN_ROW_MAX {
            row.unfit_in_row = 0;
            self.pause_kind(now, worker, kind);
        }
        self.aside.avoid(execution, id, until);
    }

    pub(crate) fn crashed(&mut self, now: Time, worker: PeerKey, id: AssignmentId, message: &str) {
        let Some((key, execution)) = self.find_assignment(worker, id) else {
            return;
        };
        self.began_something(worker);
        let Some(execution) = execution else {
            return self.stop_confirmed(key);
        };
        let restarted = self.take_stream(key);
        self.release(key);
        self.lose(now, execution, restarted, message);
    }

    /// No start was reported: the run is stopped, and counts as lost. A shared execution waits for the stop, since a
    /// key never has two runs.
    pub(crate) fn start_overdue(&mut self, now: Time, key: AssignmentKey) {
        let Some(execution) = self.assignments[key].execution() else {
            return;
        };
        let restarted = self.take_stream(key);
        self.stop(now, key);
        let stops = self.work[execution].flags.shared && self.assignments.get(key).is_some();
        if stops {
            self.similar.stopping(execution, key);
        }
        self.lose(now, execution, restarted, "its worker never started it");
        if stops && self.work.execution(execution).is_some() {
            self.hold(execution, key);
        }
    }

    /// An execution lost its worker: it waits again at its place, unless that happened too often.
    pub(crate) fn lose(
        &mut self,
        now: Time,
        execution: ExecutionKey,
        restarted: Option<crate::streams::Stream>,
        message: &str,
    ) {
        let row = &mut self.work[execution];
        row.losses = row.losses.saturating_add(1);
        if row.losses_max == 0 || row.losses < row.losses_max {
            self.tell_restart(execution, restarted);
            return self.requeue(now, execution, None);
        }
        let advice = ErrorCode::Crash.advice();
        let text = if message.is_empty() {
            Parcel::advice(ErrorCode::Crash)
        } else {
            let text = Payload::from(alloc::format!("{message}; {advice}").into_bytes());
            self.passing.put(text.into())
        };
        for job in self.jobs_of(execution) {
            let (client, job) = self.caller(job);
            self.notice(|| Notice::GiveUp { client, job });
        }
        self.finish_execution(execution, Outcome::Error(ErrorCode::Crash, text));
    }
}

fn error(code: ErrorCode) -> Outcome<Parcel> {
    Outcome::Error(code, Parcel::advice(code))
}
