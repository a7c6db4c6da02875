//! Jobs come, and their callers give them up.

use super::{Ending, Execution, Job, JobRef, Model, Said, Stage, Verdict};
use proletariat_protocol::limits::CLOCK_MILLIS_MAX;
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Payload, PeerId, Time};
use proletariat_scheduler::{Action, Outcome, Payloads};
use std::time::Duration;

impl Model {
    pub(super) fn submitted(
        &mut self,
        id: PeerId,
        first: JobId,
        options: JobOptions,
        payloads: Payloads<'_>,
    ) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.gone) else {
            return;
        };
        if first.0 != peer.client.next || payloads.is_empty() {
            self.say(Said::Disconnect { peer: id });
            return self.left(id);
        }
        peer.client.next += payloads.len() as u64;
        let realm = peer.realm;
        if let Some(code) = self.refusal(id, &options, &payloads) {
            for n in 0..payloads.len() as u64 {
                self.say(Said::Ended { client: id, job: first.plus(n), ending: Ending::error(code) });
            }
            return;
        }
        self.submitters.insert(id);
        for (n, payload) in payloads.iter().enumerate() {
            self.accept((id, first.plus(n as u64)), realm, &options, Payload::copy_from_slice(payload));
        }
    }

    /// Why a whole submit is refused.
    fn refusal(&self, client: PeerId, options: &JobOptions, payloads: &Payloads<'_>) -> Option<ErrorCode> {
        let clocks = [options.timeout_ms, options.assign_timeout_ms, options.run_timeout_ms];
        if clocks.iter().any(|clock| *clock > CLOCK_MILLIS_MAX) {
            return Some(ErrorCode::Protocol);
        }
        if payloads.iter().any(|payload| payload.len() as u64 > self.config.payload_bytes_max) {
            return Some(ErrorCode::TooLarge);
        }
        if self.draining {
            return Some(ErrorCode::Shutdown);
        }
        let queued: Vec<&JobRef> = self.jobs.keys().filter(|job| self.waits(**job)).collect();
        let own = queued.iter().filter(|job| job.0 == client).count();
        let waiting = self.executions.iter().filter(|e| e.jobs.first().is_some_and(|job| self.waits(*job)));
        let length = |kind: &Option<String>| kind.as_ref().map_or(0, String::len);
        let bytes = |e: &Execution| {
            e.payload.len() + length(&e.kind) + e.shared.as_ref().map_or(0, |(_, _, key)| key.len())
        };
        let bytes: usize = waiting.map(bytes).sum();
        let key = options.key.as_ref().filter(|_| self.config.hold_similar_work).map_or(0, Vec::len);
        let more: usize = payloads.iter().map(|payload| payload.len() + length(&options.kind) + key).sum();
        let over = |bound: u64, count: usize| bound > 0 && count as u64 > bound;
        let full = over(self.config.queued_jobs_max, queued.len() + payloads.len())
            || over(self.config.queued_jobs_per_client_max, own + payloads.len())
            || over(self.config.queued_bytes_max, bytes + more);
        full.then_some(ErrorCode::Overload)
    }

    fn accept(&mut self, id: JobRef, realm: u32, options: &JobOptions, payload: Payload) {
        self.sequence += 1;
        let shared = match &options.key {
            Some(key) if self.config.hold_similar_work => Some((realm, options.kind.clone(), key.clone())),
            _ => None,
        };
        let total = (options.timeout_ms > 0).then(|| self.now.plus_millis(options.timeout_ms.into()));
        let mut job = Job {
            sequence: self.sequence,
            options: options.clone(),
            payload: payload.clone(),
            total,
            joined: self.now,
            since: self.now,
            over: false,
            late: false,
            heard: false,
            owed: None,
        };
        if options.no_wait {
            self.hurried.push((id, self.now, self.burst));
        }
        let partner = shared.as_ref().and_then(|_| self.executions.iter().position(|e| e.shared == shared));
        if let Some(place) = partner {
            job.late = self.chunks_came(place);
            self.jobs.insert(id, job);
            self.join(place, id, options);
            return;
        }
        self.jobs.insert(id, job);
        self.executions.push(Execution {
            number: self.sequence,
            shared,
            kind: options.kind.clone(),
            payload,
            jobs: vec![id],
            stage: Stage::Queued,
            losses: 0,
            losses_max: self.attempts(options),
            avoids: Vec::new(),
        });
    }

    fn attempts(&self, options: &JobOptions) -> u32 {
        options.max_attempts.unwrap_or(self.config.max_attempts).into()
    }

    fn join(&mut self, place: usize, id: JobRef, options: &JobOptions) {
        let payload = self.jobs[&id].payload.clone();
        let own = self.attempts(options);
        let execution = &mut self.executions[place];
        if execution.jobs.is_empty() {
            // What ran is being stopped and nobody waits for it any more: the new job starts it anew.
            execution.payload = payload;
            execution.losses = 0;
            execution.losses_max = 0;
            execution.avoids.clear();
        }
        if own > 0 && (execution.losses_max == 0 || own < execution.losses_max) {
            execution.losses_max = own;
        }
        execution.jobs.push(id);
        self.retell_run_limit(place);
    }

    pub(super) fn aborted(&mut self, client: PeerId, first: JobId, count: u64) {
        let range = first.0..first.0.saturating_add(count);
        let own = self.jobs.keys().filter(|job| job.0 == client && range.contains(&job.1.0));
        let own: Vec<JobRef> = own.copied().collect();
        self.aborts.extend(own);
    }

    /// Jobs that do not wait, of which the scheduler says that nobody took them. Where slots gather before they are given away,
    /// those that somebody could take take part in that; only a threshold may have kept all of them from it.
    pub(super) fn refuse_the_hurried(&mut self, actions: &[Action]) -> Verdict {
        let gathers = self.config.avail_threshold == 1 && !self.config.distrib_randmax.is_zero();
        for job in actions.iter().filter_map(found_no_worker) {
            let hurried = self.hurried.iter().position(|(hurried, ..)| *hurried == job);
            let Some(place) = hurried.filter(|_| self.jobs.contains_key(&job) && self.waits(job)) else {
                continue;
            };
            if gathers && self.could_be_taken(job) {
                return Err(format!("{job:?} was refused, though somebody could take it"));
            }
            self.hurried.remove(place);
            self.end_job(job, &Ending::error(ErrorCode::NoWorker));
        }
        Ok(())
    }

    /// Jobs that do not wait are taken or refused by now; where slots gather, when that was in vain.
    pub(super) fn check_the_hurried(&mut self) -> Verdict {
        let randmax = self.config.distrib_randmax;
        for (job, since, burst) in std::mem::take(&mut self.hurried) {
            if !self.jobs.contains_key(&job) || !self.waits(job) {
                continue;
            }
            if !self.could_be_taken(job) && self.burst == burst || self.now >= since + randmax {
                return Err(format!("{job:?} does not wait, and waits since {since:?}"));
            }
            self.hurried.push((job, since, burst));
        }
        Ok(())
    }

    fn could_be_taken(&self, job: JobRef) -> bool {
        self.execution_of(job).is_some_and(|place| self.has_taker(&self.executions[place]))
    }

    /// Whether a job waits for a worker: queued, or held until the run before it has stopped.
    pub(super) fn waits(&self, job: JobRef) -> bool {
        self.execution_of(job)
            .is_some_and(|place| !matches!(self.executions[place].stage, Stage::Assigned(_)))
    }

    pub(super) fn execution_of(&self, job: JobRef) -> Option<usize> {
        self.executions.iter().position(|execution| execution.jobs.contains(&job))
    }

    /// A job gets its outcome: it alone.
    pub(super) fn end_job(&mut self, job: JobRef, ending: &Ending) {
        if self.jobs.contains_key(&job) {
            self.say(Said::Ended { client: job.0, job: job.1, ending: ending.clone() });
            self.forget_job(job);
        }
    }

    /// A job is no longer waited for: its execution goes on while anybody else waits.
    pub(super) fn forget_job(&mut self, job: JobRef) {
        let place = self.execution_of(job).expect("an open job has its execution");
        self.remove_job(job);
        let execution = &mut self.executions[place];
        execution.jobs.retain(|other| *other != job);
        if !execution.jobs.is_empty() {
            return self.retell_run_limit(place);
        }
        match execution.stage {
            Stage::Queued => {
                self.executions.remove(place);
            }
            Stage::Assigned(id) => self.cancel(id),
            Stage::Stopping(_) => {}
        }
    }

    pub(super) fn remove_job(&mut self, job: JobRef) {
        if self.jobs.remove(&job).expect("an open job").owed.is_some() {
            self.excused.insert(job);
        }
    }

    pub(super) fn priority(&self, execution: &Execution) -> u32 {
        execution.jobs.iter().map(|job| self.jobs[job].options.priority).max().unwrap_or(0)
    }

    pub(super) fn place_in_order(&self, execution: &Execution) -> u64 {
        execution.jobs.iter().map(|job| self.jobs[job].sequence).min().unwrap_or(u64::MAX)
    }
}

/// A clock of the options: 0 means none.
pub fn clock(millis: u32) -> Option<Duration> {
    (millis > 0).then(|| Duration::from_millis(millis.into()))
}

/// When a clock that began then ends.
pub fn due(since: Time, millis: u32) -> Option<Time> {
    clock(millis).map(|clock| since + clock)
}

/// The job that an action refuses since nobody could take it.
pub(super) fn found_no_worker(action: &Action) -> Option<JobRef> {
    match action {
        Action::Deliver { client, job, outcome: Outcome::Error(ErrorCode::NoWorker, _) } => {
            Some((*client, *job))
        }
        _ => None,
    }
}
