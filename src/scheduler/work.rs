//! The table of open work: jobs, and the executions that they wait for.
//!
//! Nearly every execution is of one job. The two then share a row, and so a number: neither has to say which the other is, and
//! both are found, made and dropped in one go. An execution that jobs share has a row of its own, and what hangs together is
//! told by [`similar`](crate::similar).

use crate::machine::Scheduler;
use crate::records::{Execution, Job};
use crate::tables::{ExecutionKey, JobKey, PeerKey, RowKey, Slab};
use core::ops::{Index, IndexMut};
use smallvec::SmallVec;

#[derive(Debug, Default)]
struct Row {
    job: Option<Job>,
    execution: Option<Execution>,
}

#[cfg(test)]
pub(crate) const ROW_BYTES: usize = size_of::<Option<Row>>();

/// Jobs without outcome and executions that wait or run.
#[derive(Debug)]
pub(crate) struct Work {
    rows: Slab<RowKey, Row>,
    jobs: usize,
}

/// Who has to be told of a job that has gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) client: PeerKey,
    pub(crate) number: u64,
}

impl Caller {
    pub(crate) fn of(job: &Job) -> Self {
        Self { client: job.client, number: job.number }
    }
}

/// Jobs that wait for one execution, the earliest first. Nearly always it is one.
pub(crate) type Waiting = SmallVec<[JobKey; 2]>;

impl Work {
    pub(crate) const fn new() -> Self {
        Self { rows: Slab::new(), jobs: 0 }
    }

    /// How many jobs are open.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// Gives back what was only needed for a crowd.
    pub(crate) fn shrink(&mut self) {
        self.rows.shrink();
    }

    /// A job that shares its execution.
    pub(crate) fn insert_job(&mut self, job: Job) -> JobKey {
        self.jobs += 1;
        JobKey(self.rows.insert(Row { job: Some(job), execution: None }).0)
    }

    /// A job and the execution that is its own.
    #[inline(always)]
    pub(crate) fn insert(&mut self, job: Job, execution: Execution) -> JobKey {
        self.jobs += 1;
        JobKey(self.rows.insert(Row { job: Some(job), execution: Some(execution) }).0)
    }

    /// An execution that jobs may share.
    pub(crate) fn insert_shared(&mut self, execution: Execution) -> ExecutionKey {
        ExecutionKey(self.rows.insert(Row { job: None, execution: Some(execution) }).0)
    }

    /// The execution of this job alone, if it has one.
    pub(crate) fn own(&self, job: JobKey) -> Option<ExecutionKey> {
        self.rows.get(RowKey(job.0)).filter(|row| row.execution.is_some()).map(|_| ExecutionKey(job.0))
    }

    pub(crate) fn job(&self, key: JobKey) -> Option<&Job> {
        self.rows.get(RowKey(key.0))?.job.as_ref()
    }

    pub(crate) fn execution(&self, key: ExecutionKey) -> Option<&Execution> {
        self.rows.get(RowKey(key.0))?.execution.as_ref()
    }

    /// An execution that may be there comes near to the processor, with its job.
    #[inline]
    pub(crate) fn prefetch(&self, key: ExecutionKey) {
        self.rows.prefetch(RowKey(key.0));
    }

    /// An execution, and the job whose own it is.
    pub(crate) fn pair(&self, key: ExecutionKey) -> (Option<&Job>, &Execution) {
        self.find_pair(key).expect("a key lives as long as its execution")
    }

    /// The same of an execution that may be gone.
    pub(crate) fn find_pair(&self, key: ExecutionKey) -> Option<(Option<&Job>, &Execution)> {
        let row = self.rows.get(RowKey(key.0))?;
        Some((row.job.as_ref(), row.execution.as_ref()?))
    }

    pub(crate) fn remove_job(&mut self, key: JobKey) -> Job {
        let row = &mut self.rows[RowKey(key.0)];
        let job = row.job.take().expect("a job ends once");
        if row.execution.is_none() {
            self.rows.remove(RowKey(key.0));
        }
        self.jobs -= 1;
        job
    }

    pub(crate) fn remove_execution(&mut self, key: ExecutionKey) -> Execution {
        let row = &mut self.rows[RowKey(key.0)];
        let execution = row.execution.take().expect("an execution ends once");
        if row.job.is_none() {
            self.rows.remove(RowKey(key.0));
        }
        execution
    }

    /// A job goes, and the execution that it has alone; whoever sees to that gets it.
    #[inline(always)]
    pub(crate) fn remove_both(&mut self, key: JobKey, execution: impl FnOnce(Execution)) -> Caller {
        self.jobs -= 1;
        self.rows.take_apart(RowKey(key.0), |row| {
            execution(row.execution.expect("its own execution"));
            Caller::of(&row.job.expect("the row of a job"))
        })
    }

    pub(crate) fn executions(&self) -> impl Iterator<Item = (ExecutionKey, &Execution)> {
        self.rows
            .iter()
            .filter_map(|(key, row)| row.execution.as_ref().map(|execution| (ExecutionKey(key.0), execution)))
    }
}

impl Index<JobKey> for Work {
    type Output = Job;

    fn index(&self, key: JobKey) -> &Job {
        self.job(key).expect("a key lives as long as its job")
    }
}

impl Index<ExecutionKey> for Work {
    type Output = Execution;

    fn index(&self, key: ExecutionKey) -> &Execution {
        self.execution(key).expect("a key lives as long as its execution")
    }
}

impl IndexMut<ExecutionKey> for Work {
    fn index_mut(&mut self, key: ExecutionKey) -> &mut Execution {
        self.rows[RowKey(key.0)].execution.as_mut().expect("a key lives as long as its execution")
    }
}

impl Scheduler {
    /// What a job waits for.
    pub(crate) fn execution_of(&self, job: JobKey) -> ExecutionKey {
        self.work.own(job).unwrap_or_else(|| self.similar.execution_of(job))
    }

    /// The jobs that wait for an execution.
    pub(crate) fn jobs_of(&self, execution: ExecutionKey) -> Waiting {
        if self.work[execution].flags.shared {
            self.similar.jobs_of(execution).collect()
        } else {
            smallvec::smallvec![JobKey(execution.0)]
        }
    }

    /// The same one by one, for whoever need not see all of them.
    pub(crate) fn each_job_of(&self, execution: ExecutionKey) -> impl Iterator<Item = JobKey> {
        let shared = self.work[execution].flags.shared;
        let own = (!shared).then_some(JobKey(execution.0));
        own.into_iter().chain(shared.then(|| self.similar.jobs_of(execution)).into_iter().flatten())
    }

    /// The earliest job that waits for an execution.
    pub(crate) fn first_job(&self, execution: ExecutionKey) -> JobKey {
        if self.work[execution].flags.shared { self.similar.first(execution) } else { JobKey(execution.0) }
    }

    /// Whether one job waits for an execution, and no other.
    pub(crate) fn is_alone(&self, execution: ExecutionKey) -> bool {
        !self.work[execution].flags.shared || self.similar.jobs_of(execution).nth(1).is_none()
    }
}
