//! What the scheduler wants done. Named for what to do.

use crate::passing::Parcel;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use core::time::Duration;
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, MessageId, Payload, PeerId};

/// Something to do, in this order for each client and for each worker. All of one `poll` belong together: what is for one of them is
/// written at once.
///
/// `P` is how the payloads of executions and results stand in it: themselves, or the [`Parcel`]s that name them.
#[derive(Clone, Debug)]
pub enum Action<P = Payload> {
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
        outcome: Outcome<P>,
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
    Assign(Assign<P>),
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
pub struct Assign<P = Payload> {
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
    /// From the start of the run, in milliseconds; 0: none.
    pub run_limit_ms: u32,
    /// What is left of the longest total timeout among the jobs that wait for it, in milliseconds, at least 1; 0: any call may last.
    pub rest_ms: u32,
    /// Whether anybody wants data and progress.
    pub stream: bool,
    /// What to work on.
    pub payload: P,
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<P = Payload> {
    /// The handler's bytes.
    Result(P),
    /// An error and a sentence about it.
    Error(ErrorCode, P),
}

impl<P> Action<P> {
    /// The same with other words for its payloads.
    pub fn map<Q>(self, payload: impl FnOnce(P) -> Q) -> Action<Q> {
        match self {
            Self::Deliver { client, job, outcome } => {
                Action::Deliver { client, job, outcome: outcome.map(payload) }
            }
            Self::Assign(assign) => Action::Assign(assign.map(payload)),
            Self::Accept { client, through } => Action::Accept { client, through },
            Self::Refuse { client, first, count, code, message, retry_after } => {
                Action::Refuse { client, first, count, code, message, retry_after }
            }
            Self::Data { client, job, payload } => Action::Data { client, job, payload },
            Self::Progress { client, job, done, total } => Action::Progress { client, job, done, total },
            Self::Restarted { client, job } => Action::Restarted { client, job },
            Self::Cancel { worker, assignment } => Action::Cancel { worker, assignment },
            Self::SetRunLimit { worker, assignment, run_limit } => {
                Action::SetRunLimit { worker, assignment, run_limit }
            }
            Self::Grant { worker, assignment, bytes } => Action::Grant { worker, assignment, bytes },
            Self::AcceptOffer { worker } => Action::AcceptOffer { worker },
            Self::RefuseOffer { worker, message } => Action::RefuseOffer { worker, message },
            Self::ConfirmWithdrawal { worker } => Action::ConfirmWithdrawal { worker },
            Self::SystemMessage { to, id, from, content } => Action::SystemMessage { to, id, from, content },
            Self::SystemReport { to, id, sent_to, received_by } => {
                Action::SystemReport { to, id, sent_to, received_by }
            }
            Self::Disconnect { peer, code, message, retry } => {
                Action::Disconnect { peer, code, message, retry }
            }
            Self::Notice(notice) => Action::Notice(notice),
            Self::ReleaseMemory => Action::ReleaseMemory,
        }
    }
}

impl<P> Assign<P> {
    /// The same with another word for its payload.
    pub fn map<Q>(self, map: impl FnOnce(P) -> Q) -> Assign<Q> {
        let Self { worker, assignment, attempt, priority, kind, run_limit_ms, rest_ms, stream, payload } =
            self;
        let payload = map(payload);
        Assign { worker, assignment, attempt, priority, kind, run_limit_ms, rest_ms, stream, payload }
    }
}

impl<P> Outcome<P> {
    /// The bytes beside it.
    pub fn payload(&self) -> &P {
        match self {
            Self::Result(payload) | Self::Error(_, payload) => payload,
        }
    }

    /// The same with another word for its bytes.
    pub fn map<Q>(self, map: impl FnOnce(P) -> Q) -> Outcome<Q> {
        match self {
            Self::Result(payload) => Outcome::Result(map(payload)),
            Self::Error(code, payload) => Outcome::Error(code, map(payload)),
        }
    }
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

/// Adds an action that is made in its place: one that is written field by field elsewhere and then moved makes a processor wait
/// for its own stores.
#[inline(always)]
pub(crate) fn made_in_place(actions: &mut Vec<Action<Parcel>>, make: impl FnOnce() -> Action<Parcel>) {
    actions.extend(iter::once_with(make));
}
