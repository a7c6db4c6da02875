//! What the scheduler wants done. Named for what to do.

use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, MessageId, Payload, PeerId};

/// Something to do, in this order. All of one `poll` belong together: connections are flushed after the last.
#[derive(Clone, Debug)]
pub enum Action {
    /// Tell a client that all its jobs up to this one were accepted. At most one a client and burst.
    Accept {
        /// Whom.
        client: PeerId,
        /// The last.
        through: JobId,
    },
    /// Tell a client that jobs were not accepted.
    Refuse {
        /// Whom.
        client: PeerId,
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
        /// Why.
        code: ErrorCode,
        /// Which bound or rule, in a sentence.
        message: String,
        /// When trying again makes sense; zero: never.
        retry_after: Duration,
    },
    /// Tell a client how a job ended.
    Deliver {
        /// Whom.
        client: PeerId,
        /// Which.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// Pass a partial result on.
    Data {
        /// To whom.
        client: PeerId,
        /// Of which job.
        job: JobId,
        /// The bytes.
        payload: Payload,
    },
    /// Pass progress on.
    Progress {
        /// To whom.
        client: PeerId,
        /// Of which job.
        job: JobId,
        /// Done so far.
        done: u64,
        /// Of so much.
        total: u64,
    },
    /// Tell a client that the execution starts anew.
    Restarted {
        /// Whom.
        client: PeerId,
        /// Which job.
        job: JobId,
    },
    /// Give an execution to a worker.
    Assign(Assign),
    /// Tell a worker to stop.
    Cancel {
        /// Whom.
        worker: PeerId,
        /// What.
        assignment: AssignmentId,
    },
    /// Tell a worker a new run limit.
    SetRunLimit {
        /// Whom.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// From the start of the run; `None`: no limit.
        run_limit: Option<Duration>,
    },
    /// Let a worker send so many more bytes of stream data.
    Grant {
        /// Whom.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// Bytes.
        bytes: u64,
    },
    /// The offer holds.
    AcceptOffer {
        /// Whose.
        worker: PeerId,
    },
    /// The offer is refused.
    RefuseOffer {
        /// Whose.
        worker: PeerId,
        /// Which range.
        message: String,
    },
    /// The offer is withdrawn: no assignment follows.
    ConfirmWithdrawal {
        /// Whose.
        worker: PeerId,
    },
    /// Pass a system message on.
    SystemMessage {
        /// To whom.
        to: PeerId,
        /// The manager's number.
        id: MessageId,
        /// The sender.
        from: PeerId,
        /// What.
        content: Payload,
    },
    /// Tell the sender of a system message what became of it.
    SystemReport {
        /// The sender.
        to: PeerId,
        /// Its number.
        id: MessageId,
        /// How many it was sent to.
        sent_to: u32,
        /// How many confirmed.
        received_by: u32,
    },
    /// End a session; its `Left` has been handled already, in the same step.
    Disconnect {
        /// Whose.
        peer: PeerId,
        /// Why.
        code: ErrorCode,
        /// Why, for people.
        message: String,
        /// Whether connecting again makes sense.
        retry: bool,
    },
    /// For whoever watches the manager.
    Notice(Notice),
    /// A good moment to give memory back to the system.
    ReleaseMemory,
}

/// One execution for one worker.
#[derive(Clone, Debug)]
pub struct Assign {
    /// To whom.
    pub worker: PeerId,
    /// Fresh.
    pub assignment: AssignmentId,
    /// From 1.
    pub attempt: u32,
    /// Of the execution.
    pub priority: u32,
    /// Of the execution.
    pub kind: Option<Arc<str>>,
    /// From the start of the run.
    pub run_limit: Option<Duration>,
    /// What is left of the longest total timeout among the jobs that wait for it.
    pub rest: Option<Duration>,
    /// Whether anybody wants data and progress.
    pub stream: bool,
    /// What to work on.
    pub payload: Payload,
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The handler's bytes.
    Result(Payload),
    /// An error and a sentence about it.
    Error(ErrorCode, Payload),
}

/// What `manager.events()` shows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// Jobs came in.
    Receive {
        /// From whom.
        client: PeerId,
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
    },
    /// An execution went to a worker.
    Assign {
        /// Which worker.
        worker: PeerId,
        /// Which assignment.
        assignment: AssignmentId,
        /// Which attempt.
        attempt: u32,
    },
    /// A job was answered by a handler.
    Finish {
        /// Whose.
        client: PeerId,
        /// Which.
        job: JobId,
        /// `None`: a result; otherwise the code.
        error: Option<ErrorCode>,
    },
    /// An execution lost its worker once too often.
    GiveUp {
        /// Whose.
        client: PeerId,
        /// Which.
        job: JobId,
    },
    /// A job was aborted by its client, or its client left.
    Abort {
        /// Whose.
        client: PeerId,
        /// Which.
        job: JobId,
    },
    /// A job waited too long for a worker.
    AssignTimeout {
        /// Whose.
        client: PeerId,
        /// Which.
        job: JobId,
    },
    /// A system message to the manager or to all.
    SystemMessage {
        /// The sender.
        from: PeerId,
        /// What.
        content: Payload,
    },
    /// Memory was given back.
    Cleanup,
    /// A peer joined.
    Join {
        /// Who.
        peer: PeerId,
    },
    /// A peer left.
    Leave {
        /// Who.
        peer: PeerId,
    },
}
