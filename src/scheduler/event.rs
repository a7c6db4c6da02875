//! What the world tells the scheduler. Named for what happened.

use crate::received::{Payloads, Received};
use alloc::string::String;
use core::time::Duration;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{
    AssignmentId, HandBackReason, InstanceId, JobId, JobOptions, MessageId, Offer, Payload, PeerId,
    WorkResult,
};

/// Something that happened. Whatever a peer may do wrong is legal here: the answer is an action.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// A handshake is complete.
    Joined(Joined),
    /// A session ended: closed, silent for too long, or dropped by the driver.
    Left {
        /// Who.
        peer: PeerId,
    },
    /// A client pushes jobs, numbered from `first` on.
    Submitted {
        /// Who.
        client: PeerId,
        /// Number of the first.
        first: JobId,
        /// What holds for all.
        options: &'a JobOptions,
        /// One each.
        payloads: Payloads<'a>,
    },
    /// A client no longer wants jobs.
    Aborted {
        /// Who.
        client: PeerId,
        /// The first.
        first: JobId,
        /// How many.
        count: u64,
    },
    /// A client took bytes of a stream.
    Credited {
        /// Who.
        client: PeerId,
        /// The job.
        job: JobId,
        /// Bytes.
        bytes: u64,
    },
    /// A worker offers.
    Offered {
        /// Who.
        worker: PeerId,
        /// What.
        offer: Offer,
    },
    /// A worker offers nothing more.
    Withdrew {
        /// Who.
        worker: PeerId,
    },
    /// A handler started.
    Started {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
    },
    /// A run ended.
    Finished {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// How.
        result: WorkResult,
        /// The result, or the handler's message.
        payload: Received<'a>,
    },
    /// An execution comes back undone.
    HandedBack {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// Why.
        reason: HandBackReason,
    },
    /// What did the work died; the worker lives.
    Crashed {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// What happened.
        message: String,
    },
    /// Cancelled work has stopped.
    Stopped {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
    },
    /// A partial result.
    Data {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// The bytes.
        payload: Payload,
    },
    /// How far a run is.
    Progress {
        /// Who.
        worker: PeerId,
        /// Which.
        assignment: AssignmentId,
        /// Done so far.
        done: u64,
        /// Of so much.
        total: u64,
    },
    /// A peer sends a system message.
    SystemMessage {
        /// Who.
        from: PeerId,
        /// Its own number for it.
        id: MessageId,
        /// Who gets it.
        to: Recipient,
        /// What.
        content: Payload,
        /// The report comes after this at the latest.
        timeout: Option<Duration>,
    },
    /// A peer has handled a system message.
    Confirmed {
        /// Who.
        by: PeerId,
        /// The manager's number.
        id: MessageId,
    },
    /// How full the outbox of a peer is, told when the level changes.
    Outbox {
        /// Whose.
        peer: PeerId,
        /// The new level.
        level: OutboxLevel,
    },
    /// The manager takes no new jobs from now on and dispatches nothing more; what runs may finish.
    Draining,
}

/// A peer that completed its handshake.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Its id in this session; never used before.
    pub peer: PeerId,
    /// One per process start. A session of the same instance (and realm) is ended by this one.
    pub instance: InstanceId,
    /// Where tokens are in use, whose token it is: instances and keys belong to it.
    pub realm: u32,
    /// Its name, for people.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// What its dialect can say.
    pub abilities: Abilities,
}

/// What a session can do, so that another dialect is an adapter without one line of scheduling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abilities {
    /// It says when cancelled work has stopped; without it the slot is free at once.
    pub confirms_stop: bool,
    /// Its words carry assignment ids.
    pub fences_attempts: bool,
    /// It can be told a new run limit.
    pub takes_run_limits: bool,
    /// It reports the start of handlers; without it a run counts from its assignment.
    pub reports_start: bool,
    /// It counts its jobs without gaps and can be sent data, progress and restarts.
    pub streams: bool,
}

impl Abilities {
    /// All of them: the native dialect.
    pub const NATIVE: Self = Self {
        confirms_stop: true,
        fences_attempts: true,
        takes_run_limits: true,
        reports_start: true,
        streams: true,
    };
}

/// How much waits to be written to a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OutboxLevel {
    /// Nothing: the last byte has left.
    Clear,
    /// Some bytes.
    Waiting,
    /// Over the mark: a worker is not eligible, a client's jobs are not dispatched and its streams pause. Told again
    /// (`Waiting` or `Clear`) below half the mark.
    Paused,
}

impl Event<'_> {
    /// Who it comes from; the manager's own number for what comes from nobody.
    pub(crate) fn peer(&self) -> PeerId {
        match self {
            Self::Joined(joined) => joined.peer,
            Self::Left { peer } | Self::Outbox { peer, .. } => *peer,
            Self::Submitted { client, .. } | Self::Aborted { client, .. } | Self::Credited { client, .. } => {
                *client
            }
            Self::Offered { worker, .. }
            | Self::Withdrew { worker }
            | Self::Started { worker, .. }
            | Self::Finished { worker, .. }
            | Self::HandedBack { worker, .. }
            | Self::Crashed { worker, .. }
            | Self::Stopped { worker, .. }
            | Self::Data { worker, .. }
            | Self::Progress { worker, .. } => *worker,
            Self::SystemMessage { from, .. } => *from,
            Self::Confirmed { by, .. } => *by,
            Self::Draining => crate::MANAGER,
        }
    }
}
