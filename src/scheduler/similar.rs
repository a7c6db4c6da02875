//! Similar work: jobs with equal (kind, key) share one execution.
//!
//! A key is in one of three states, and never has two runs:
//!
//! ```text
//! (none) → live: an execution that waits or runs; jobs join it
//!          live → stopping: its last job left while it ran
//!          stopping → held: a new job came before the work had stopped; more may join
//!          held → live: the work has stopped, the held execution takes its place in its line
//! ```

use crate::machine::Scheduler;
use crate::records::{Execution, Place, Run};
use crate::tables::{AssignmentKey, ExecutionKey, JobKey, KindKey, Stored};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use proletariat_protocol::{JobOptions, Time};

/// Kind and key, and whose they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    realm: u32,
    kind: KindKey,
    bytes: Arc<[u8]>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Live(ExecutionKey),
    Stopping(AssignmentKey),
}

/// What an execution that is shared has beside its record.
#[derive(Debug)]
struct Shared {
    key: Key,
    /// The jobs that wait for it …
    jobs: BTreeMap<JobKey, Member>,
    /// … in the order of arrival.
    order: BTreeMap<u64, JobKey>,
    /// How many of them have each priority.
    priorities: BTreeMap<u32, u32>,
    /// How many of them allow a run each time, in milliseconds; [`NO_LIMIT`] for any. Those that joined the present run after
    /// its start apart …
    limits: BTreeMap<u32, u32>,
    /// … by the end that each allows it, [`Time::NEVER`] for none.
    late_ends: BTreeMap<Time, u32>,
    /// The stopping assignment that it waits for.
    held_by: Option<AssignmentKey>,
}

/// A job that waits for a shared execution.
#[derive(Debug)]
struct Member {
    sequence: u64,
    priority: u32,
    /// It wants data and progress.
    stream: bool,
    /// What it allows a run; [`NO_LIMIT`] for any.
    limit_ms: u32,
    /// The end that it allows the present run, if it joined after its start.
    late_end: Option<Time>,
}

/// Longer than any run limit there is.
const NO_LIMIT: u32 = u32::MAX;

/// One more of a key, or one less.
fn count<K: Ord>(counts: &mut BTreeMap<K, u32>, key: K, more: bool) {
    use alloc::collections::btree_map::Entry;
    match counts.entry(key) {
        Entry::Vacant(entry) if more => {
            entry.insert(1);
        }
        Entry::Occupied(mut entry) if more => *entry.get_mut() += 1,
        Entry::Occupied(entry) if *entry.get() == 1 => {
            entry.remove();
        }
        Entry::Occupied(mut entry) => *entry.get_mut() -= 1,
        Entry::Vacant(_) => {}
    }
}

/// The table of keys in use.
#[derive(Debug, Default)]
pub(crate) struct Similar {
    states: BTreeMap<Key, State>,
    shared: BTreeMap<ExecutionKey, Shared>,
    of_job: BTreeMap<JobKey, ExecutionKey>,
    stopping: BTreeMap<AssignmentKey, Key>,
}

impl Similar {
    /// Length of the key of a shared execution.
    pub(crate) fn key_bytes(&self, execution: ExecutionKey) -> usize {
        self.shared.get(&execution).map_or(0, |shared| shared.key.bytes.len())
    }

    /// What a job that shares its execution waits for.
    pub(crate) fn execution_of(&self, job: JobKey) -> ExecutionKey {
        *self.of_job.get(&job).expect("a job waits for an execution of its own, or for a shared one")
    }

    /// The jobs that wait for a shared execution, the earliest first.
    pub(crate) fn jobs_of(&self, execution: ExecutionKey) -> impl Iterator<Item = JobKey> {
        self.shared.get(&execution).into_iter().flat_map(|shared| shared.order.values().copied())
    }

    /// The earliest of them.
    pub(crate) fn first(&self, execution: ExecutionKey) -> JobKey {
        self.jobs_of(execution).next().expect("an execution that nobody waits for is dropped")
    }

    /// A job joins; the priority of the execution from now on. `late_end`: when it wants the run to end that had started before.
    fn join(
        &mut self,
        execution: ExecutionKey,
        (job, sequence): (JobKey, u64),
        options: &JobOptions,
        late_end: Option<Time>,
    ) -> u32 {
        let shared = self.shared.get_mut(&execution).expect("a live key has its row");
        let limit_ms = if options.run_timeout_ms == 0 { NO_LIMIT } else { options.run_timeout_ms };
        let (priority, stream) = (options.priority, options.stream);
        let member = Member { sequence, priority, stream, limit_ms, late_end };
        count(&mut shared.priorities, member.priority, true);
        shared.count_limit(&member, true);
        shared.jobs.insert(job, member);
        shared.order.insert(sequence, job);
        self.of_job.insert(job, execution);
        shared.highest()
    }

    /// A job leaves an execution for which others still wait; its priority from now on.
    pub(crate) fn leave(&mut self, execution: ExecutionKey, job: JobKey) -> u32 {
        let shared = self.shared.get_mut(&execution).expect("only a shared execution has several jobs");
        let member = shared.jobs.remove(&job).expect("it had joined");
        shared.order.remove(&member.sequence);
        self.of_job.remove(&job);
        count(&mut shared.priorities, member.priority, false);
        shared.count_limit(&member, false);
        shared.highest()
    }

    /// A run is over and the execution waits again: nobody is late for the next one.
    pub(crate) fn run_is_over(&mut self, execution: ExecutionKey) {
        let Some(shared) = self.shared.get_mut(&execution).filter(|shared| !shared.late_ends.is_empty())
        else {
            return;
        };
        shared.late_ends.clear();
        for member in shared.jobs.values_mut() {
            if member.late_end.take().is_some() {
                count(&mut shared.limits, member.limit_ms, true);
            }
        }
    }

    /// The longest run that any waiting job of a shared execution allows, in milliseconds from its start; 0: no limit.
    pub(crate) fn run_limit(&self, execution: ExecutionKey, started: Option<Time>) -> u32 {
        let Some(shared) = self.shared.get(&execution) else {
            return 0;
        };
        let longest = shared.limits.last_key_value().map_or(0, |(limit, _)| *limit);
        let latest = shared.late_ends.last_key_value().map_or(Time::ZERO, |(end, _)| *end);
        if longest == NO_LIMIT || latest == Time::NEVER {
            return 0;
        }
        let late = latest.since(started.unwrap_or(latest)).as_millis();
        longest.max(u32::try_from(late).unwrap_or(u32::MAX)).max(1)
    }

    /// An execution is gone, and its key with it unless work of it is still stopping.
    pub(crate) fn forget(&mut self, execution: ExecutionKey) {
        let Some(shared) = self.shared.remove(&execution) else {
            return;
        };
        for job in shared.jobs.keys() {
            self.of_job.remove(job);
        }
        if matches!(self.states.get(&shared.key), Some(State::Live(live)) if *live == execution) {
            self.states.remove(&shared.key);
        }
    }

    /// The work of an execution is being stopped (again): its key stays in use until it has stopped.
    pub(crate) fn stopping(&mut self, execution: ExecutionKey, assignment: AssignmentKey) {
        if let Some(shared) = self.shared.get(&execution) {
            let key = shared.key.clone();
            self.states.insert(key.clone(), State::Stopping(assignment));
            self.stopping.insert(assignment, key);
        }
    }

    /// An execution waits for the stop of its own last run.
    fn hold(&mut self, execution: ExecutionKey, assignment: AssignmentKey) {
        let shared = self.shared.get_mut(&execution).expect("a shared execution has its row");
        shared.held_by = Some(assignment);
        self.states.insert(shared.key.clone(), State::Live(execution));
    }

    /// Stopping work has stopped.
    pub(crate) fn stopped(&mut self, assignment: AssignmentKey) {
        let Some(key) = self.stopping.remove(&assignment) else {
            return;
        };
        match self.states.get(&key).copied() {
            Some(State::Stopping(_)) => {
                self.states.remove(&key);
            }
            Some(State::Live(execution)) => {
                if let Some(shared) = self.shared.get_mut(&execution) {
                    shared.held_by = None;
                }
            }
            None => {}
        }
    }

    /// Whether a job of a shared execution wants data and progress itself.
    pub(crate) fn wants_stream(&self, execution: ExecutionKey, job: JobKey) -> bool {
        self.shared
            .get(&execution)
            .is_some_and(|shared| shared.jobs.get(&job).is_some_and(|member| member.stream))
    }

    pub(crate) fn held_by(&self, execution: ExecutionKey) -> Option<AssignmentKey> {
        self.shared.get(&execution)?.held_by
    }

    pub(crate) fn audit(&self, scheduler: &Scheduler) {
        for (execution, shared) in &self.shared {
            let row = &scheduler.work[*execution];
            assert!(row.flags.shared, "only shared executions have rows here");
            let live = self.states.get(&shared.key);
            assert!(matches!(live, Some(State::Live(live)) if live == execution), "one execution a key");
            assert_eq!(row.priority, shared.highest(), "the priority of the highest job that waits");
            assert_eq!(
                shared.held_by.is_some(),
                row.place() == Place::Held,
                "held while work of the key stops"
            );
            assert_eq!(shared.jobs.len() as u32, shared.priorities.values().sum::<u32>());
            let limits = shared.limits.values().chain(shared.late_ends.values()).sum::<u32>();
            assert_eq!(shared.jobs.len() as u32, limits, "what each job allows a run is counted");
            assert_eq!(shared.order.len(), shared.jobs.len());
            for (sequence, job) in &shared.order {
                assert_eq!(shared.jobs[job].sequence, *sequence);
                assert_eq!(scheduler.work[*job].sequence(), *sequence);
                assert_eq!(self.of_job.get(job), Some(execution));
            }
        }
        for (assignment, key) in &self.stopping {
            assert!(scheduler.assignments.get(*assignment).is_some_and(|row| row.execution().is_none()));
            assert!(self.states.contains_key(key));
        }
        assert_eq!(self.of_job.len(), self.shared.values().map(|shared| shared.jobs.len()).sum::<usize>());
        let live = self.states.values().filter(|state| matches!(state, State::Live(_))).count();
        assert_eq!(live, self.shared.len());
    }
}

impl Shared {
    fn count_limit(&mut self, member: &Member, more: bool) {
        match member.late_end {
            Some(end) => count(&mut self.late_ends, end, more),
            None => count(&mut self.limits, member.limit_ms, more),
        }
    }

    fn highest(&self) -> u32 {
        self.priorities.last_key_value().map_or(0, |(priority, _)| *priority)
    }
}

impl Scheduler {
    /// A job with a key: joins what is there, or is the first of its key.
    pub(crate) fn submit_similar(
        &mut self,
        now: Time,
        job: JobKey,
        kind: KindKey,
        options: &JobOptions,
        bytes: &[u8],
        payload: Stored,
    ) {
        let realm = self.peers[self.work[job].client].realm;
        let key = Key { realm, kind, bytes: Arc::from(bytes) };
        match self.similar.states.get(&key).copied() {
            Some(State::Live(execution)) => {
                // The first payload counts.
                self.payloads.discard(payload);
                self.join(now, execution, job, options);
            }
            Some(State::Stopping(assignment)) => {
                let execution = self.share(job, kind, options, payload, key, Some(assignment));
                self.work[execution].set_place(Place::Held);
                if let Run::Stopping { successor, .. } = &mut self.assignments[assignment].state {
                    *successor = execution;
                }
            }
            None => {
                let execution = self.share(job, kind, options, payload, key, None);
                self.enqueue(execution, true);
            }
        }
    }

    fn share(
        &mut self,
        job: JobKey,
        kind: KindKey,
        options: &JobOptions,
        payload: Stored,
        key: Key,
        held_by: Option<AssignmentKey>,
    ) -> ExecutionKey {
        self.kinds.retain(kind);
        let losses_max = options.max_attempts.unwrap_or(self.config.max_attempts);
        let execution = Execution::new(payload, kind, options, losses_max, true);
        let execution = self.work.insert_shared(execution);
        self.similar.states.insert(key.clone(), State::Live(execution));
        let shared = Shared {
            key,
            jobs: BTreeMap::new(),
            order: BTreeMap::new(),
            priorities: BTreeMap::new(),
            limits: BTreeMap::new(),
            late_ends: BTreeMap::new(),
            held_by,
        };
        self.similar.shared.insert(execution, shared);
        let sequence = self.work[job].sequence();
        self.similar.join(execution, (job, sequence), options, None);
        self.count_waiting(execution);
        execution
    }

    fn join(&mut self, now: Time, execution: ExecutionKey, job: JobKey, options: &JobOptions) {
        let place = self.work[execution].place();
        let urgent = options.priority > self.work[execution].priority;
        if urgent && place == Place::Queued {
            self.unqueue(execution);
        }
        let late_end = self.late_end(execution, job);
        let sequence = self.work[job].sequence();
        let row = &mut self.work[execution];
        row.flags.stream |= options.stream;
        // The strictest bound of all that ever joined: who asked for one attempt must not get two.
        let own = options.max_attempts.unwrap_or(self.config.max_attempts);
        if own > 0 && (row.losses_max == 0 || own < row.losses_max) {
            row.losses_max = own;
        }
        let priority = self.similar.join(execution, (job, sequence), options, late_end);
        self.work[execution].priority = priority;
        if !matches!(place, Place::Assigned(_)) {
            let client = self.work[job].client;
            self.counts.queued_jobs += 1;
            self.peers[client].queued += 1;
        }
        if urgent && place == Place::Queued {
            self.enqueue(execution, false);
        } else if urgent {
            self.unpark_avoiding(execution);
        }
        self.unpark_unread(execution, job);
        if options.stream {
            self.join_stream(execution, job);
        }
        self.extend_run_limit(now, execution, job);
        self.set_run_alarm(now, job);
    }

    /// Takes a queued execution out of its line until the stopping run of its key has stopped.
    pub(crate) fn hold(&mut self, execution: ExecutionKey, assignment: AssignmentKey) {
        self.unqueue(execution);
        self.work[execution].set_place(Place::Held);
        self.similar.hold(execution, assignment);
        if let Run::Stopping { successor, .. } = &mut self.assignments[assignment].state {
            *successor = execution;
        }
    }

    /// For places that borrow the machine as a whole.
    pub(crate) fn audit_similar(&self) {
        self.similar.audit(self);
    }
}
