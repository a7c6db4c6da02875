//! One call, as its handles hold it: dropped before its end, it aborts what has no outcome.

use super::calls::{Sink, Tag};
use super::driver::Command;
use super::error::Error;
use super::handle::Shared;
use super::machine::Job;
use core::sync::atomic::Ordering;
use proletariat_protocol::JobOptions;
use std::sync::Arc;

/// A call that is under way.
#[derive(Debug)]
pub(super) struct Call {
    shared: Arc<Shared>,
    tag: Tag,
    over: bool,
}

impl Call {
    pub(super) fn open(
        shared: &Arc<Shared>,
        options: JobOptions,
        jobs: Vec<Job>,
        open: bool,
        sink: Sink,
    ) -> Result<Self, Error> {
        jobs.iter().try_for_each(Job::check)?;
        let tag = Tag(shared.tags.fetch_add(1, Ordering::Relaxed));
        let called = shared.clock.now();
        shared.send(Command::Open { tag, called, options: Box::new(options), jobs, open, sink })?;
        Ok(Self { shared: Arc::clone(shared), tag, over: false })
    }

    /// Another handle of the same call.
    pub(super) fn share(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), tag: self.tag, over: self.over }
    }

    /// Tells the client's task something about this call.
    pub(super) fn send(&self, command: impl FnOnce(Tag) -> Command) -> Result<(), Error> {
        self.shared.send(command(self.tag))
    }

    /// Dropping it means nothing any more.
    pub(super) fn is_over(&mut self) {
        self.over = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.over {
            // If the client is closed there is nothing left to abort.
            let _ = self.send(Command::Drop);
        }
    }
}
