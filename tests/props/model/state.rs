//! What the model knows.

use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{
    AssignmentId, InstanceId, JobId, JobOptions, MessageId, Offer, Payload, PeerId, Time,
};
use proletariat_scheduler::{Abilities, Joined, OutboxLevel};
use std::collections::BTreeSet;
use std::time::Duration;

/// A job of a session.
pub type JobRef = (PeerId, JobId);

/// Somebody connected.
pub struct Peer {
    pub id: PeerId,
    pub instance: InstanceId,
    pub realm: u32,
    pub roles: Roles,
    pub abilities: Abilities,
    pub level: OutboxLevel,
    /// Its outbox was spoken of after this burst.
    pub spoken: Option<u64>,
    /// Left in this burst; what it worked on is not lost yet.
    pub gone: bool,
    pub client: Client,
    pub worker: Worker,
}

/// What a peer is as a client.
#[derive(Default)]
pub struct Client {
    /// Number that the next job must have.
    pub next: u64,
}

/// What a peer is as a worker.
#[derive(Default)]
pub struct Worker {
    /// `None`: withdrawn, or none yet.
    pub offer: Option<Offer>,
    /// Kinds that it said it does not do.
    pub refused: BTreeSet<Option<String>>,
    /// Kinds that it is too busy for.
    pub busy: Vec<Busy>,
    /// Hand-backs as unfit since it last began something.
    pub unfit: u32,
    /// How long the last execution that it found unfit avoids it.
    pub unfit_pause: Duration,
}

/// A worker's pause for one kind.
pub struct Busy {
    pub kind: Option<String>,
    pub until: Time,
    pub pause: Duration,
}

#[derive(Clone)]
/// An execution's pause for one worker.
pub struct Avoid {
    pub worker: PeerId,
    pub until: Time,
}

/// A job that waits for its outcome.
pub struct Job {
    /// Its place in the order.
    pub sequence: u64,
    pub options: JobOptions,
    pub payload: Payload,
    /// End of the whole call.
    pub total: Option<Time>,
    pub joined: Time,
    /// Since when it waits for a worker: its arrival, or the last loss of one; time with a worker that handed it back apart.
    pub since: Time,
    /// The worker should have ended its run already, and goes on for the sake of others.
    pub over: bool,
    /// Whether it came after the first chunk of the present run: it gets the outcome only.
    pub late: bool,
    /// Whether it has been sent data or progress since the last restart.
    pub heard: bool,
    /// It must be told of a restart before it hears anything more; since this burst.
    pub owed: Option<u64>,
}

/// Where an execution is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Queued,
    Assigned(AssignmentId),
    /// What ran is being stopped; whoever waits now waits for the stop.
    Stopping(AssignmentId),
}

#[derive(Clone)]
/// One run of work, and the jobs that wait for it.
pub struct Execution {
    pub number: u64,
    /// Realm, kind and key, if it is shared.
    pub shared: Option<(u32, Option<String>, Vec<u8>)>,
    pub kind: Option<String>,
    pub payload: Payload,
    pub jobs: Vec<JobRef>,
    pub stage: Stage,
    /// Lost workers.
    pub losses: u32,
    /// As many end it, 0: no limit. The strictest of all jobs that ever waited for it.
    pub losses_max: u32,
    pub avoids: Vec<Avoid>,
}

/// A slot that is taken.
pub struct Assignment {
    pub id: AssignmentId,
    pub worker: PeerId,
    /// Number of the execution.
    pub execution: u64,
    /// Its range, by number: it keeps it whatever is offered later.
    pub range: usize,
    /// Waits for the word that the work has stopped.
    pub stopping: bool,
    /// When it was given.
    pub asked: Time,
    /// When its last byte left, as far as it is known; `None`: not yet.
    pub left: Option<Time>,
    /// The burst that gave it.
    pub burst: u64,
    pub started: Option<Time>,
    /// The run limit that the worker should know.
    pub limit: Option<Duration>,
    /// Whether that ever changed: a limit that the worker kept may then be an older one.
    pub moved: bool,
    /// The run limit that it was last told.
    pub told: Option<Duration>,
    /// Whether a chunk has come.
    pub chunks: bool,
}

/// A system message that is not reported yet.
pub struct Message {
    pub from: PeerId,
    pub id: MessageId,
    /// Who has not confirmed: peer, and the manager's number once it is known.
    pub waiting: Vec<(PeerId, Option<MessageId>)>,
    pub sent_to: u32,
    pub received_by: u32,
    pub content: Payload,
    pub due: Option<Time>,
}

impl Peer {
    pub fn new(joined: &Joined) -> Self {
        Self {
            id: joined.peer,
            instance: joined.instance,
            realm: joined.realm,
            roles: joined.roles,
            abilities: joined.abilities,
            level: OutboxLevel::Clear,
            spoken: None,
            gone: false,
            client: Client::default(),
            worker: Worker::default(),
        }
    }
}
