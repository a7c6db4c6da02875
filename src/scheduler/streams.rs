//! Partial results: data and progress on their way from a run to the callers that want them, and credit on its way back.
//!
//! A worker may send a window of bytes; more only as every caller that gets them has taken them, so a slow caller
//! slows the run and fills nobody's memory. Who joins after the first chunk gets the outcome only.

use crate::action::Action;
use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::records::Place;
use crate::tables::{AssignmentKey, ExecutionKey, JobKey, PeerKey};
use crate::work::Waiting;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, Payload, Time};

/// The stream of one assignment, from its first word on.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// A chunk has come: who is not among the recipients by now gets the outcome only.
    begun: bool,
    /// Who gets it, and how many bytes each has taken.
    recipients: BTreeMap<JobKey, u64>,
    /// The same by bytes.
    by_taken: BTreeSet<(u64, JobKey)>,
    /// How many of them read too slowly at the moment.
    slow: usize,
    received: u64,
    granted: u64,
}

impl Stream {
    fn join(&mut self, job: JobKey, slow: bool) {
        self.recipients.insert(job, 0);
        self.by_taken.insert((0, job));
        self.slow += usize::from(slow);
    }

    fn leave(&mut self, job: JobKey, slow: bool) {
        if let Some(taken) = self.recipients.remove(&job) {
            self.by_taken.remove(&(taken, job));
            self.slow -= usize::from(slow);
        }
    }

    fn take(&mut self, job: JobKey, bytes: u64) {
        if let Some(taken) = self.recipients.get_mut(&job) {
            self.by_taken.remove(&(*taken, job));
            *taken = taken.saturating_add(bytes);
            self.by_taken.insert((*taken, job));
        }
    }

    /// More that the worker may send, now that everybody has taken so much.
    fn grant(&mut self) -> u64 {
        if self.slow > 0 {
            return 0;
        }
        let taken = self.by_taken.first().map_or(self.received, |(taken, _)| *taken);
        let taken = taken.min(self.received);
        let more = taken.saturating_sub(self.granted);
        self.granted += more;
        more
    }
}

impl Scheduler {
    pub(crate) fn data(&mut self, now: Time, worker: PeerKey, id: AssignmentId, payload: &Payload) {
        let Some((key, Some(execution))) = self.find_assignment(worker, id) else {
            return;
        };
        let stream = self.stream(key, execution);
        stream.begun = true;
        let outstanding = stream.received - stream.granted;
        stream.received += payload.len() as u64;
        // A single chunk may be larger than the window: it goes alone.
        if outstanding > 0 && stream.received - stream.granted > 2 * STREAM_WINDOW_BYTES {
            let message = String::from("more stream data than was granted");
            return self.expel(now, worker, ErrorCode::Protocol, message);
        }
        let jobs: Vec<JobKey> = stream.recipients.keys().copied().collect();
        for job in jobs {
            // Empty chunks need no credit: as with reports of progress nothing else bounds them.
            if payload.is_empty() && self.reads_slowly(job) {
                continue;
            }
            let (client, job) = self.caller(job);
            self.actions.push(Action::Data { client, job, payload: payload.clone() });
        }
        self.grant(key);
    }

    pub(crate) fn progress(&mut self, worker: PeerKey, id: AssignmentId, done: u64, total: u64) {
        let Some((key, Some(execution))) = self.find_assignment(worker, id) else {
            return;
        };
        let jobs: Vec<JobKey> = self.stream(key, execution).recipients.keys().copied().collect();
        for job in jobs {
            // Reports have no credit. Who does not read gets later ones, once it does: nothing else bounds them.
            if self.reads_slowly(job) {
                continue;
            }
            let (client, job) = self.caller(job);
            self.actions.push(Action::Progress { client, job, done, total });
        }
    }

    /// The stream of an assignment. Until the first chunk, everybody who wants it may still join.
    fn stream(&mut self, key: AssignmentKey, execution: ExecutionKey) -> &mut Stream {
        if !self.streams.contains_key(&key) {
            let mut stream = Stream::default();
            for job in self.wanting(execution) {
                stream.join(job, self.reads_slowly(job));
            }
            self.streams.insert(key, stream);
        }
        self.streams.get_mut(&key).expect("made above if it was not there")
    }

    /// A job that joined a run gets its stream if no chunk has come.
    pub(crate) fn join_stream(&mut self, execution: ExecutionKey, job: JobKey) {
        let Place::Assigned(key) = self.work[execution].place() else {
            return;
        };
        let slow = self.reads_slowly(job);
        let able = self.peers[self.work[job].client].abilities.streams;
        if able && let Some(stream) = self.streams.get_mut(&key).filter(|stream| !stream.begun) {
            stream.join(job, slow);
        }
    }

    fn reads_slowly(&self, job: JobKey) -> bool {
        self.peers[self.work[job].client].level == OutboxLevel::Paused
    }

    /// A client reads too slowly from now on, or no longer does: its streams pause, or go on.
    pub(crate) fn pause_streams(&mut self, client: PeerKey, pause: bool) {
        let mut runs = Vec::new();
        for (key, stream) in &mut self.streams {
            let own = stream.recipients.keys().filter(|job| self.work[**job].client == client).count();
            stream.slow = if pause { stream.slow + own } else { stream.slow - own };
            if own > 0 && !pause {
                runs.push(*key);
            }
        }
        for key in runs {
            self.grant(key);
        }
    }

    /// The jobs of an execution whose callers want data and can be sent it.
    fn wanting(&self, execution: ExecutionKey) -> Vec<JobKey> {
        let mut jobs = Vec::new();
        let row = &self.work[execution];
        let waiting = if row.flags.stream { self.jobs_of(execution) } else { Waiting::new() };
        for job in waiting {
            let client = &self.peers[self.work[job].client];
            let wants = !row.flags.shared || self.similar.wants_stream(execution, job);
            if wants && client.abilities.streams && !client.gone {
                jobs.push(job);
            }
        }
        jobs
    }

    pub(crate) fn credited(&mut self, client: PeerKey, job: JobId, bytes: u64) {
        let Some(job) = self.peers[client].jobs.get(job.0) else {
            return;
        };
        let Place::Assigned(key) = self.work[self.execution_of(job)].place() else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        stream.take(job, bytes);
        self.grant(key);
    }

    fn grant(&mut self, key: AssignmentKey) {
        let Some(bytes) = self.streams.get_mut(&key).map(Stream::grant).filter(|bytes| *bytes > 0) else {
            return;
        };
        let row = &self.assignments[key];
        let (worker, assignment) = (self.peers[row.worker].id, row.id);
        self.actions.push(Action::Grant { worker, assignment, bytes });
    }

    /// A job that gets a stream ends alone.
    pub(crate) fn leave_stream(&mut self, job: JobKey) {
        if self.streams.is_empty() {
            return;
        }
        let Place::Assigned(key) = self.work[self.execution_of(job)].place() else {
            return;
        };
        let slow = self.reads_slowly(job);
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.leave(job, slow);
            self.grant(key);
        }
    }

    /// The stream of a run that ended without an outcome.
    pub(crate) fn take_stream(&mut self, key: AssignmentKey) -> Option<Stream> {
        if self.streams.is_empty() { None } else { self.streams.remove(&key) }
    }

    /// The run starts anew: whoever got data is told to forget it.
    pub(crate) fn tell_restart(&mut self, execution: ExecutionKey, stream: Option<Stream>) {
        for (job, _) in stream.into_iter().flat_map(|stream| stream.recipients) {
            let still = self.work.job(job).is_some() && self.execution_of(job) == execution;
            if still {
                let (client, job) = self.caller(job);
                self.actions.push(Action::Restarted { client, job });
            }
        }
    }
}
