//! Partial results: data and progress on their way from a run to the callers that want them, and credit on its way back.
//!
//! A worker may send a window of bytes; more only as every caller that gets them has taken them, so a slow caller
//! slows the run and fills nobody's memory. Who joins after the first chunk gets the outcome only.

use crate::action::Action;
use crate::machine::Scheduler;
use crate::records::Place;
use crate::tables::{AssignmentKey, ExecutionKey, JobKey, PeerKey};
use alloc::string::String;
use alloc::vec::Vec;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, Payload, Time};

#[derive(Debug)]
struct Recipient {
    job: JobKey,
    taken: u64,
}

/// The stream of one assignment, from its first word on.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// A chunk has come: who is not among the recipients by now gets the outcome only.
    begun: bool,
    recipients: Vec<Recipient>,
    received: u64,
    granted: u64,
}

impl Stream {
    /// More that the worker may send, now that everybody has taken so much.
    fn grant(&mut self) -> u64 {
        let taken = self.recipients.iter().map(|recipient| recipient.taken).min().unwrap_or(self.received);
        let taken = taken.min(self.received);
        let more = taken.saturating_sub(self.granted);
        self.granted += more;
        more
    }
}

impl Scheduler {
    pub(crate) fn data(&mut self, now: Time, worker: PeerKey, id: AssignmentId, payload: &Payload) {
        let Some(key) = self.find_assignment(worker, id) else {
            return;
        };
        let Some(execution) = self.assignments[key].execution() else {
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
        let jobs: Vec<JobKey> = stream.recipients.iter().map(|recipient| recipient.job).collect();
        for job in jobs {
            let (client, job) = self.caller(job);
            self.actions.push(Action::Data { client, job, payload: payload.clone() });
        }
        self.grant(key);
    }

    pub(crate) fn progress(&mut self, worker: PeerKey, id: AssignmentId, done: u64, total: u64) {
        let Some(key) = self.find_assignment(worker, id) else {
            return;
        };
        let Some(execution) = self.assignments[key].execution() else {
            return;
        };
        let recipients = &self.stream(key, execution).recipients;
        let jobs: Vec<JobKey> = recipients.iter().map(|recipient| recipient.job).collect();
        for job in jobs {
            let (client, job) = self.caller(job);
            self.actions.push(Action::Progress { client, job, done, total });
        }
    }

    /// The stream of an assignment. Until the first chunk, everybody who wants it may still join.
    fn stream(&mut self, key: AssignmentKey, execution: ExecutionKey) -> &mut Stream {
        if self.streams.get(&key).is_none_or(|stream| !stream.begun) {
            let recipients =
                self.wanting(execution).into_iter().map(|job| Recipient { job, taken: 0 }).collect();
            self.streams.insert(key, Stream { recipients, ..Stream::default() });
        }
        self.streams.get_mut(&key).expect("made above if it was not there")
    }

    /// The jobs of an execution whose callers want data and can be sent it.
    fn wanting(&self, execution: ExecutionKey) -> Vec<JobKey> {
        let mut jobs = Vec::new();
        let row = &self.executions[execution];
        let mut next = if row.flags.stream { row.first } else { JobKey::NONE };
        while !next.is_none() {
            let client = &self.peers[self.jobs[next].client];
            let wants = !row.flags.shared || self.similar.wants_stream(execution, next);
            if wants && client.abilities.streams && !client.gone {
                jobs.push(next);
            }
            next = self.jobs[next].next;
        }
        jobs
    }

    pub(crate) fn credited(&mut self, client: PeerKey, job: JobId, bytes: u64) {
        let Some(job) = self.peers[client].jobs.get(job.0) else {
            return;
        };
        let Place::Assigned(key) = self.executions[self.jobs[job].execution].place else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        for recipient in stream.recipients.iter_mut().filter(|recipient| recipient.job == job) {
            recipient.taken = recipient.taken.saturating_add(bytes);
        }
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
        let Place::Assigned(key) = self.executions[self.jobs[job].execution].place else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.recipients.retain(|recipient| recipient.job != job);
            self.grant(key);
        }
    }

    /// The stream of a run that ended without an outcome.
    pub(crate) fn take_stream(&mut self, key: AssignmentKey) -> Option<Stream> {
        if self.streams.is_empty() { None } else { self.streams.remove(&key) }
    }

    /// The run starts anew: whoever got data is told to forget it.
    pub(crate) fn tell_restart(&mut self, execution: ExecutionKey, stream: Option<Stream>) {
        for Recipient { job, .. } in stream.into_iter().flat_map(|stream| stream.recipients) {
            let still = self.jobs.get(job).is_some_and(|row| row.execution == execution);
            if still {
                let (client, job) = self.caller(job);
                self.actions.push(Action::Restarted { client, job });
            }
        }
    }
}
