//! An open group: jobs go in one by one.

use super::call::Call;
use super::calls::Sink;
use super::driver::Command;
use super::error::Error;
use super::handle::Shared;
use super::machine::Job;
use super::outcomes::Updates;
use proletariat_protocol::JobOptions;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};

/// The half of an open group that takes jobs. Dropped without [`close`](Self::close), it aborts those of its jobs that
/// have no outcome.
#[derive(Debug)]
pub struct Group {
    call: Call,
    /// The index of the next job. Held while a job is handed over, so that jobs arrive in the order of their indexes.
    next: Mutex<usize>,
    /// Room for jobs. The other half gives it back with each outcome that is taken, and closes it with itself.
    window: Arc<Semaphore>,
}

impl Group {
    /// Jobs that may be under way or have an outcome that was not taken, unless the caller says otherwise.
    pub const WINDOW: usize = 1_000;

    pub(super) fn open(
        shared: &Arc<Shared>,
        options: JobOptions,
        window: usize,
    ) -> Result<(Self, Updates), Error> {
        let (sink, source) = mpsc::unbounded_channel();
        let call = Call::open(shared, options, Vec::new(), true, Sink::Feed(sink))?;
        let window = Arc::new(Semaphore::new(window.clamp(1, Semaphore::MAX_PERMITS)));
        let updates = Updates::new(call.share(), source, Some(Arc::clone(&window)));
        Ok((Self { call, next: Mutex::new(0), window }, updates))
    }

    /// Adds a job; its index. Waits while the window is full: until an outcome is taken from the other half. So that
    /// half must be read meanwhile, by another task or in turns.
    ///
    /// Dropped midway, the job was not added.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]; [`Error::Closed`] when the other half or the client is gone.
    pub async fn submit(&self, job: impl Into<Job>) -> Result<usize, Error> {
        let job = job.into();
        job.check()?;
        self.window.acquire().await.map_err(|_| Error::Closed)?.forget();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        self.call.send(|tag| Command::Add { tag, job })?;
        let index = *next;
        *next += 1;
        Ok(index)
    }

    /// Adds jobs from the front, as many as there is room for: at least one, if there is one. How many. For many short jobs: they
    /// cost less together. Waits as [`submit`](Self::submit) does.
    ///
    /// Dropped midway, no job was added.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); then no job was added.
    pub async fn submit_some(&self, jobs: &mut VecDeque<Job>) -> Result<usize, Error> {
        if jobs.is_empty() {
            return Ok(0);
        }
        self.window.acquire().await.map_err(|_| Error::Closed)?.forget();
        let more = self.window.available_permits().min(jobs.len() - 1);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        // Another one may have been quicker.
        let count = match self.window.try_acquire_many(more) {
            Ok(permits) => {
                permits.forget();
                more as usize + 1
            }
            Err(_) => 1,
        };
        if let Err(error) = jobs.iter().take(count).try_for_each(Job::check) {
            self.window.add_permits(count);
            return Err(error);
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs.drain(..count).collect();
        self.call.send(|tag| Command::AddMany { tag, jobs })?;
        *next += count;
        Ok(count)
    }

    /// Ends a job with `EABORT`, unless it has its outcome.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn abort(&self, index: usize) -> Result<(), Error> {
        self.call.send(|tag| Command::Abort { tag, index: index as u64 })
    }

    /// No more jobs will come: the other half ends with the last outcome.
    pub fn close(mut self) {
        // Without the client's task the other half ends anyway.
        let _ = self.call.send(Command::Close);
        self.call.is_over();
    }
}
