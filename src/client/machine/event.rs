//! What the world tells the client machine, and what it wants done.

use core::fmt;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, JobId, JobOptions, MessageId, Payload, PeerId};

/// A group, numbered by whoever opens it. The number may be used again once [`Action::Finished`] was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupId(pub u32);

/// A job as the caller hands it in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Job {
    /// What to work on.
    pub payload: Payload,
    /// What differs from the options of its group; boxed, because few jobs have any.
    pub own: Option<Box<OwnOptions>>,
}

/// What one job may have for itself. `None` is what the group has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnOptions {
    /// Its type.
    pub kind: Option<String>,
    /// Its key of similar work.
    pub key: Option<Vec<u8>>,
    /// Its priority.
    pub priority: Option<u32>,
}

/// How a job ended.
pub type Outcome = Result<Payload, JobError>;

/// A job that ended without a result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobError {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened, for people; of a handler that failed its own message.
    pub message: String,
}

impl JobError {
    /// An error with this code and sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl core::error::Error for JobError {}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A call begins.
    Opened {
        /// Its number, not in use.
        group: GroupId,
        /// What holds for its jobs; `timeout_ms` is that of the whole call.
        options: JobOptions,
        /// Its first jobs.
        jobs: Vec<Job>,
        /// Whether more will be added.
        open: bool,
    },
    /// Jobs are added to an open group.
    Added {
        /// The group.
        group: GroupId,
        /// The jobs.
        jobs: Vec<Job>,
    },
    /// No more jobs will be added.
    Closed {
        /// The group.
        group: GroupId,
    },
    /// The caller does not want these jobs any more; they end with `EABORT`.
    Aborted {
        /// The group.
        group: GroupId,
        /// Index of the first.
        first: u64,
        /// How many.
        count: u64,
    },
    /// The caller does not want the group any more and hears nothing of it.
    Dropped {
        /// The group.
        group: GroupId,
    },
    /// The caller took stream data.
    Taken {
        /// The group.
        group: GroupId,
        /// Index of the job.
        index: u64,
        /// Bytes.
        bytes: u64,
    },
    /// The caller sends a system message.
    SystemMessage {
        /// Its number, not in use.
        id: MessageId,
        /// Who gets it.
        to: Recipient,
        /// What.
        content: Payload,
        /// The report comes after so many milliseconds at the latest; 0: no limit.
        timeout_ms: u32,
    },
    /// A system message from somebody else has been handled here.
    Confirmed {
        /// The manager's number.
        id: MessageId,
    },
    /// The caller asks for the state of the manager.
    StatusAsked {
        /// Its number, not in use.
        id: MessageId,
    },
    /// A session is open.
    LinkUp {
        /// The largest payload that the manager takes, in bytes.
        payload_bytes_max: u64,
    },
    /// The session ended, or an attempt to open one failed.
    LinkDown {
        /// Why, as jobs are told that cannot wait.
        why: JobError,
        /// There will be no other session.
        last: bool,
    },
    /// A job ended.
    Ended {
        /// Its number in this session.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// Jobs were not accepted.
    Refused {
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
        /// Why.
        error: JobError,
        /// Try again after so many milliseconds; 0: no use.
        retry_after_ms: u32,
    },
    /// A partial result.
    Data {
        /// The job.
        job: JobId,
        /// The bytes.
        payload: Payload,
    },
    /// How far a run is.
    Progress {
        /// The job.
        job: JobId,
        /// Done so far.
        done: u64,
        /// Of so much.
        total: u64,
    },
    /// The execution starts anew.
    Restarted {
        /// The job.
        job: JobId,
    },
    /// A system message from somebody else.
    Incoming {
        /// The manager's number.
        id: MessageId,
        /// The sender.
        from: PeerId,
        /// What.
        content: Payload,
    },
    /// What became of a system message.
    Reported {
        /// The caller's number.
        id: MessageId,
        /// What.
        report: SystemReport,
    },
    /// The state of the manager.
    Status {
        /// The caller's number.
        id: MessageId,
        /// JSON text.
        text: Payload,
    },
}

/// What became of a system message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemReport {
    /// How many it was sent to.
    pub sent_to: u32,
    /// How many of them confirmed it.
    pub received_by: u32,
}

/// Something to do, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send jobs.
    Submit(Box<Submit>),
    /// Tell the manager that jobs are no longer wanted. Must not overtake their submit.
    Abort {
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
    },
    /// Tell the manager that stream data was taken.
    Credit {
        /// The job.
        job: JobId,
        /// Bytes.
        bytes: u64,
    },
    /// Send a system message.
    SendSystemMessage {
        /// The caller's number.
        id: MessageId,
        /// Who gets it.
        to: Recipient,
        /// What.
        content: Payload,
        /// The report comes after so many milliseconds at the latest; 0: no limit.
        timeout_ms: u32,
    },
    /// Confirm a system message.
    Confirm {
        /// The manager's number.
        id: MessageId,
    },
    /// Ask for the state of the manager.
    AskStatus {
        /// The caller's number.
        id: MessageId,
    },
    /// Tell the caller how a job ended.
    Deliver {
        /// The group.
        group: GroupId,
        /// Index of the job.
        index: u64,
        /// How.
        outcome: Outcome,
    },
    /// Pass a partial result to the caller.
    Data {
        /// The group.
        group: GroupId,
        /// Index of the job.
        index: u64,
        /// The bytes.
        payload: Payload,
    },
    /// Pass progress to the caller.
    Progress {
        /// The group.
        group: GroupId,
        /// Index of the job.
        index: u64,
        /// Done so far.
        done: u64,
        /// Of so much.
        total: u64,
    },
    /// Tell the caller to forget the data of a job.
    Restarted {
        /// The group.
        group: GroupId,
        /// Index of the job.
        index: u64,
    },
    /// Every job of a group has ended and none will be added, or it was dropped.
    Finished {
        /// The group.
        group: GroupId,
    },
    /// Pass a system message from somebody else on; to be answered with [`Event::Confirmed`].
    Incoming {
        /// The manager's number.
        id: MessageId,
        /// The sender.
        from: PeerId,
        /// What.
        content: Payload,
    },
    /// Tell the caller what became of its system message.
    Report {
        /// The caller's number.
        id: MessageId,
        /// What; an error when nothing is known.
        result: Result<SystemReport, JobError>,
    },
    /// Tell the caller the state of the manager.
    Status {
        /// The caller's number.
        id: MessageId,
        /// JSON text.
        result: Result<Payload, JobError>,
    },
}

/// Jobs to be sent in one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submit {
    /// Number of the first in this session; the others follow without gaps.
    pub first: JobId,
    /// What holds for all of them.
    pub options: JobOptions,
    /// One each.
    pub payloads: Vec<Payload>,
}
