//! One call: its jobs and where each of them is.
//!
//! ```text
//!               submit                 outcome, clock, abort
//!   pending ────────────► submitted ─────────────────────────► gone (told to the caller)
//!      ▲                      │
//!      └──────────────────────┘ session lost, or refused and to be tried again
//! ```

use super::event::{Job, JobError, OwnOptions};
use super::ranges::Ranges;
use super::stream::Stream;
use super::table::Table;
use proletariat_protocol::{JobOptions, Payload, Time};
use std::collections::VecDeque;

/// One call.
#[derive(Debug)]
pub(super) struct Group {
    /// Groups are sent in the order in which they were opened.
    pub(super) opened: u64,
    pub(super) options: JobOptions,
    /// The end of the whole call.
    pub(super) deadline: Option<Time>,
    /// Those without an outcome, by index.
    pub(super) jobs: Table<Record>,
    /// Indexes of those that are to be sent; may hold some of jobs that are gone.
    pub(super) pending: Ranges,
    /// More may be added.
    pub(super) open: bool,
    /// It stands in a queue of groups that have jobs to send.
    pub(super) queued: bool,
    /// How jobs end that are added from now on.
    pub(super) over: Option<JobError>,
    /// While there is no manager: the assign clocks, as (first index, start), up to the next entry.
    pub(super) waits: VecDeque<(u64, Time)>,
    /// The entry of this group among the deadlines, if the first of `waits` has one.
    pub(super) assign_due: Option<Time>,
}

/// A job without an outcome.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) payload: Payload,
    pub(super) own: Option<Box<OwnOptions>>,
    /// Its number in this session; `None`: pending.
    pub(super) number: Option<u64>,
    /// From the first chunk on; boxed, because few jobs have any.
    pub(super) stream: Option<Box<Stream>>,
    /// The caller has seen data of the run that is under way.
    pub(super) told_data: bool,
}

impl Record {
    /// Whatever comes from now on is of another run.
    pub(super) fn restart_stream(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.restart();
        }
    }
}

impl Group {
    pub(super) fn new(opened: u64, options: JobOptions, deadline: Option<Time>, open: bool) -> Self {
        Self {
            opened,
            options,
            deadline,
            jobs: Table::default(),
            pending: Ranges::default(),
            open,
            queued: false,
            over: None,
            waits: VecDeque::new(),
            assign_due: None,
        }
    }

    /// Puts a job at the end; its index.
    pub(super) fn push(&mut self, job: Job) -> u64 {
        let Job { payload, own } = job;
        self.jobs.push(Record { payload, own, number: None, stream: None, told_data: false })
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn is_over(&self) -> bool {
        !self.open && self.jobs.live() == 0
    }

    /// The index of the next job to send; the pending ones before it are forgotten.
    pub(super) fn next_pending(&mut self) -> Option<u64> {
        while let Some(first) = self.pending.first() {
            match self.jobs.next_live(first..self.jobs.next()) {
                Some(index) => self.pending.remove_below(index),
                None => self.pending.replace(0..0),
            }
            // In a gap between the ranges there are jobs that have been sent.
            if let Some(index) = self.pending.first()
                && self.jobs.get(index).is_some()
            {
                return Some(index);
            }
        }
        None
    }

    /// The assign clock that ends next.
    pub(super) fn next_assign_end(&self) -> Option<Time> {
        let (_, start) = self.waits.front()?;
        Some(start.plus_millis(u64::from(self.options.assign_timeout_ms)))
    }

    /// The options of a submit, with what is left of the call.
    pub(super) fn options_for(&self, own: Option<&OwnOptions>, now: Time) -> JobOptions {
        let mut options = self.options.clone();
        if let Some(deadline) = self.deadline {
            // Rounded up: the manager must not be earlier than the caller asked for.
            let left = deadline.since(now).as_micros().div_ceil(1_000);
            options.timeout_ms = u32::try_from(left).unwrap_or(u32::MAX).max(1);
        }
        if let Some(own) = own {
            options.kind = own.kind.clone().or(options.kind);
            options.key = own.key.clone().or(options.key);
            options.priority = own.priority.unwrap_or(options.priority);
        }
        options
    }
}
