//! Which execution goes where: the scheduler chooses, the model says whether it might.

use super::{Assignment, Execution, Model, Peer, Stage, Verdict};
use crate::formula::{Mode, may_enter, range_of, ranges};
use proletariat_protocol::{AssignmentId, Kinds, PeerId, Time};
use proletariat_scheduler::{Action, Assign, OutboxLevel};
use std::cmp::Reverse;
use std::time::Duration;

impl Model {
    /// What each range of a worker is guaranteed and holds, ranges of an earlier offer included.
    pub fn ledger(&self, peer: &Peer) -> Option<(Vec<u32>, Vec<u32>, Vec<u32>)> {
        let (bounds, mut guaranteed) = ranges(peer.worker.offer.as_ref()?);
        let own: Vec<usize> =
            self.assignments.iter().filter(|a| a.worker == peer.id).map(|a| a.range).collect();
        let rows = own.iter().map(|range| range + 1).max().unwrap_or(0).max(bounds.len());
        guaranteed.resize(rows, 0);
        let held = (0..rows).map(|k| own.iter().filter(|range| **range == k).count() as u32).collect();
        Some((bounds, guaranteed, held))
    }

    /// Whether this worker could be given this execution now.
    fn may_take(&self, peer: &Peer, execution: &Execution) -> bool {
        let Some((bounds, guaranteed, held)) = self.ledger(peer) else { return false };
        let range = range_of(&bounds, self.priority(execution));
        let kind = &execution.kind;
        let offered = match &peer.worker.offer.as_ref().expect("it has a ledger").kinds {
            Kinds::Any => true,
            Kinds::Only(kinds) => kind.as_ref().is_some_and(|kind| kinds.contains(kind)),
        };
        let pause = |until: Time| until > self.now;
        !peer.gone
            && peer.level != OutboxLevel::Paused
            && offered
            && !peer.worker.refused.contains(kind)
            && !peer.worker.busy.iter().any(|busy| busy.kind == *kind && pause(busy.until))
            && !execution.avoids.iter().any(|avoid| avoid.worker == peer.id && pause(avoid.until))
            && may_enter(Mode::of(self.config.sacred_guarantees), &guaranteed, &held, range)
    }

    /// Whether this execution waits for nothing but a worker.
    fn ready(&self, execution: &Execution) -> bool {
        let reads = |client: &PeerId| self.peers[client].level != OutboxLevel::Paused;
        let wanted = execution.jobs.iter().any(|job| reads(&job.0));
        execution.stage == Stage::Queued && !self.draining && wanted
    }

    /// Whether somebody could take this execution now.
    pub(super) fn has_taker(&self, execution: &Execution) -> bool {
        self.ready(execution) && self.peers.values().any(|peer| self.may_take(peer, execution))
    }

    fn rank(&self, execution: &Execution) -> (Reverse<u32>, u64) {
        (Reverse(self.priority(execution)), self.place_in_order(execution))
    }

    /// The first execution in the order that somebody could take now.
    fn best(&self) -> Option<&Execution> {
        let takable = |e: &&Execution| self.has_taker(e);
        self.executions.iter().filter(takable).min_by_key(|execution| self.rank(execution))
    }

    pub(super) fn follow_assignments(&mut self, actions: &[Action]) -> Verdict {
        for action in actions {
            if let Action::Assign(assign) = action {
                self.follow(assign).map_err(|why| format!("{assign:?}: {why}"))?;
            }
        }
        Ok(())
    }

    fn follow(&mut self, assign: &Assign) -> Verdict {
        let found = |e: &Execution| e.stage == Stage::Queued && e.payload == assign.payload;
        let place = self.executions.iter().position(found).ok_or("no such execution is queued")?;
        let execution = &self.executions[place];
        let peer = self.peers.get(&assign.worker).ok_or("no such worker")?;
        if !self.ready(execution) {
            return Err("it waits for something else".into());
        }
        if !self.may_take(peer, execution) {
            return Err(format!("the worker may not take it: {:?}", self.ledger(peer)));
        }
        let first = self.best().expect("this one could be taken");
        if self.rank(first) < self.rank(execution) {
            let (rank, own) = (self.rank(first), self.rank(execution));
            return Err(format!("{:?} comes first: {rank:?}, this one is {own:?}", first.jobs));
        }
        if assign.assignment.0 <= self.newest_assignment && self.newest_assignment > 0 {
            return Err("its id is not fresh".into());
        }
        self.check_words(assign, execution)?;
        let (bounds, _, _) = self.ledger(peer).expect("it may take it");
        let range = range_of(&bounds, self.priority(execution));
        self.newest_assignment = assign.assignment.0;
        self.assignments.push(Assignment {
            id: assign.assignment,
            worker: assign.worker,
            execution: execution.number,
            range,
            stopping: false,
            asked: self.now,
            left: (peer.level == OutboxLevel::Clear).then_some(self.now),
            burst: self.burst,
            started: None,
            limit: millis(assign.run_limit_ms),
            moved: false,
            told: millis(assign.run_limit_ms),
            chunks: false,
        });
        self.assigned(place, assign.assignment);
        Ok(())
    }

    fn assigned(&mut self, place: usize, id: AssignmentId) {
        self.executions[place].stage = Stage::Assigned(id);
        let worker = self.assignments.last().expect("pushed by the caller").worker;
        if !self.peers[&worker].abilities.reports_start {
            self.assignments.last_mut().expect("pushed by the caller").started = Some(self.now);
        }
    }

    fn check_words(&self, assign: &Assign, execution: &Execution) -> Verdict {
        let jobs = || execution.jobs.iter().map(|job| &self.jobs[job]);
        let rest: Option<Vec<Time>> = jobs().map(|job| job.total).collect();
        let rest = rest.map(|ends| ends.into_iter().max().expect("somebody waits").since(self.now));
        let rest_ms = rest.map_or(0, |rest| rest.as_micros().div_ceil(1_000).max(1));
        let limit = self.run_limit(execution, Time::NEVER);
        let says = [
            ("attempt", u64::from(assign.attempt), u64::from(execution.losses) + 1),
            ("priority", assign.priority.into(), self.priority(execution).into()),
        ];
        for (what, found, right) in says {
            if found != right {
                return Err(format!("{what} is {found}, not {right}"));
            }
        }
        if jobs().any(|job| job.options.stream) && !assign.stream {
            return Err("somebody wants data".into());
        }
        if millis(assign.run_limit_ms) != limit
            || u128::from(assign.rest_ms) != rest_ms
            || assign.kind.as_deref() != execution.kind.as_deref()
        {
            return Err(format!("limit {limit:?}, rest {rest:?}, kind {:?} were right", execution.kind));
        }
        Ok(())
    }

    /// With a threshold of 1 and no wait, nothing that somebody could take is left lying.
    pub fn check_work_conserving(&self) -> Verdict {
        if self.config.avail_threshold > 1 || !self.config.distrib_randmax.is_zero() {
            return Ok(());
        }
        match self.best() {
            None => Ok(()),
            Some(execution) => {
                let takers: Vec<PeerId> =
                    self.peers.values().filter(|p| self.may_take(p, execution)).map(|p| p.id).collect();
                Err(format!("{:?} is left, though {takers:?} could take it", execution.jobs))
            }
        }
    }
}

/// A limit in milliseconds, of which 0 is none.
fn millis(limit: u32) -> Option<Duration> {
    (limit > 0).then(|| Duration::from_millis(u64::from(limit)))
}
