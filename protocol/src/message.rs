//! Every message after the handshake: [`PeerMessage`] goes to the manager, [`ManagerMessage`] comes from it.
//!
//! A message is a small head, coded by `codec`, and the *tail*: its payloads, one after the other, raw. Each head
//! states the length of each payload, so the tail is cut without being looked at. Variants are only ever appended.

use crate::ErrorCode;
use crate::id::{AssignmentId, JobId, MessageId, PeerId};
use crate::job::{HandBackReason, JobOptions, OutcomeKind, WorkResult};
use crate::offer::Offer;
use serde::{Deserialize, Serialize};

/// From client or worker to the manager.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PeerMessage {
    /// Jobs, numbered from `first` upwards; one payload each in the tail.
    Submit {
        /// Number of the first one. A session counts from 0 without gaps, each number once.
        first: JobId,
        /// What holds for all of them.
        options: JobOptions,
        /// Length of each payload, in bytes.
        payload_bytes: Vec<u32>,
    },
    /// The client no longer wants `count` jobs from `first` on; each that is still open ends with `EABORT`.
    Abort {
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
    },
    /// The client took so many bytes of a job's stream.
    Credit {
        /// The job.
        job: JobId,
        /// Bytes taken since the last credit.
        bytes: u64,
    },
    /// The worker's slots from now on; takes the place of an earlier offer.
    Offer(Offer),
    /// An offer of nothing more. Assignments may follow until [`ManagerMessage::Withdrawn`] comes.
    Withdraw,
    /// Handlers that have started.
    Started {
        /// Their assignments.
        assignments: Vec<AssignmentId>,
    },
    /// Runs that have ended; one payload each in the tail.
    Finished {
        /// One entry a run.
        runs: Vec<FinishedRun>,
    },
    /// An execution given back without having been done. Its slot is free.
    HandBack {
        /// The assignment.
        assignment: AssignmentId,
        /// Why.
        reason: HandBackReason,
    },
    /// What did the work is gone (a child crashed). Counts as a lost worker for the execution; the slot is free.
    Crashed {
        /// The assignment.
        assignment: AssignmentId,
        /// What happened, for people.
        message: String,
    },
    /// The work of a cancelled assignment has stopped; its slot is free.
    Stopped {
        /// The assignment.
        assignment: AssignmentId,
    },
    /// A partial result; its bytes are the tail.
    Data {
        /// The assignment.
        assignment: AssignmentId,
        /// Length of the tail.
        bytes: u32,
    },
    /// How far a run is.
    Progress {
        /// The assignment.
        assignment: AssignmentId,
        /// Done so far.
        done: u64,
        /// Of so much; 0 if not known.
        total: u64,
    },
    /// A message to other peers; its content is the tail.
    SystemMessage {
        /// The sender's number for it.
        id: MessageId,
        /// Who gets it.
        to: Recipient,
        /// The report comes after so many milliseconds at the latest; 0: no limit.
        timeout_ms: u32,
        /// Length of the tail.
        bytes: u32,
    },
    /// A system message has been handled here.
    Confirm {
        /// The manager's number of it.
        id: MessageId,
    },
    /// Asks for [`ManagerMessage::Status`].
    StatusRequest {
        /// The sender's number for the request.
        id: MessageId,
    },
    /// Asks for a sign of life.
    Ping,
    /// The sign of life.
    Pong,
    /// The peer will close. Nothing of it follows.
    Leaving {
        /// Why.
        reason: LeavingReason,
    },
}

/// From the manager to a client or worker.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ManagerMessage {
    /// All jobs up to and with this one were accepted (or have been answered already). Sent at most once a turn, and
    /// only when jobs still wait after dispatch.
    Accepted {
        /// The last of them.
        through: JobId,
    },
    /// Jobs that were not accepted; the numbers are used up.
    Refused {
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
        /// Why.
        code: ErrorCode,
        /// Which bound, in a sentence.
        message: String,
        /// Try again after so many milliseconds; 0: there is no use in trying again.
        retry_after_ms: u32,
    },
    /// How jobs ended; one payload each in the tail (a result, or an error's sentence).
    Outcomes {
        /// One entry a job.
        jobs: Vec<JobOutcome>,
    },
    /// A partial result of a job; its bytes are the tail.
    Data {
        /// The job.
        job: JobId,
        /// Length of the tail.
        bytes: u32,
    },
    /// How far a job's run is.
    Progress {
        /// The job.
        job: JobId,
        /// Done so far.
        done: u64,
        /// Of so much; 0 if not known.
        total: u64,
    },
    /// The execution starts anew: forget the data that came.
    Restarted {
        /// The job.
        job: JobId,
    },
    /// Executions for this worker; one payload each in the tail.
    Assign {
        /// One entry an execution.
        executions: Vec<AssignedExecution>,
    },
    /// Stop the work. Answered with [`PeerMessage::Stopped`] when it has stopped, unless its end crosses this.
    Cancel {
        /// The assignment.
        assignment: AssignmentId,
    },
    /// A new run limit for an assignment, counted from its start.
    SetRunLimit {
        /// The assignment.
        assignment: AssignmentId,
        /// Milliseconds from the start of the run; 0: none.
        run_limit_ms: u32,
    },
    /// So many more bytes of stream data may be sent for an assignment.
    Grant {
        /// The assignment.
        assignment: AssignmentId,
        /// Bytes.
        bytes: u64,
    },
    /// The offer holds.
    OfferAccepted,
    /// The offer is refused; the earlier one, if any, still holds.
    OfferRefused {
        /// `EINVSLOTNR`.
        code: ErrorCode,
        /// Which range.
        message: String,
    },
    /// The offer is withdrawn: no assignment follows this.
    Withdrawn,
    /// A system message; its content is the tail. To be confirmed.
    SystemMessage {
        /// The manager's number.
        id: MessageId,
        /// The sender.
        from: PeerId,
        /// Length of the tail.
        bytes: u32,
    },
    /// What became of a system message.
    SystemReport {
        /// The sender's number.
        id: MessageId,
        /// How many it was sent to.
        sent_to: u32,
        /// How many confirmed it.
        received_by: u32,
    },
    /// The state of the manager as JSON text in the tail.
    Status {
        /// The number of the request.
        id: MessageId,
        /// Length of the tail.
        bytes: u32,
    },
    /// Asks for a sign of life.
    Ping,
    /// The sign of life.
    Pong,
    /// The manager closes this session. Nothing follows.
    Leaving {
        /// Why, as a code (`ESHUTDOWN` when it drains).
        code: ErrorCode,
        /// Why, for people.
        message: String,
        /// Whether connecting again makes sense.
        retry: bool,
        /// Not before so many milliseconds; 0: as the peer likes.
        retry_after_ms: u32,
    },
}

/// One ended run of [`PeerMessage::Finished`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FinishedRun {
    /// The assignment.
    pub assignment: AssignmentId,
    /// How it ended.
    pub result: WorkResult,
    /// Length of its payload, in bytes.
    pub bytes: u32,
}

/// One ended job of [`ManagerMessage::Outcomes`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobOutcome {
    /// The job.
    pub job: JobId,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Length of its payload, in bytes.
    pub bytes: u32,
}

/// One execution of [`ManagerMessage::Assign`]. `Kind` is the text of the kind: who sends it need not own it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AssignedExecution<Kind = String> {
    /// The assignment.
    pub assignment: AssignmentId,
    /// Length of its payload, in bytes.
    pub bytes: u32,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Its priority.
    pub priority: u32,
    /// The longest run, in milliseconds from its start; 0: none.
    pub run_limit_ms: u32,
    /// What is left of the whole call, in milliseconds; 0: no limit.
    pub rest_ms: u32,
    /// Its kind.
    pub kind: Option<Kind>,
    /// Whether anybody wants data and progress; without it the worker need not send them.
    pub stream: bool,
}

/// Who gets a system message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Recipient {
    /// Everybody else, and the manager.
    All,
    /// The manager alone.
    Manager,
    /// One peer.
    Peer(PeerId),
}

/// Why a peer leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LeavingReason {
    /// Its work is done.
    Done,
    /// It was told to stop.
    Draining,
    /// It does not accept what the manager says.
    Refused,
}
