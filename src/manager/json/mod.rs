//! The JSON dialect: what the ancestor's clients and workers speak, and what is the simplest wire for any other language.
//!
//! One [`Dialect`] stands for one connection. It is a machine without I/O and clock: it hears the text of a frame and tells the
//! scheduler events, it is handed the scheduler's words and makes text of them. It keeps names, since that dialect has names
//! where the native one has numbers, and decides nothing about who runs what.
//!
//! In reading order: `text` (JSON that is cut, never rewritten), `frames` and `speech` (bytes in, bytes out), `shown` (bytes as a JSON
//! value); `requests`, `runs`, `messages`, `failures` (the names, and what is kept under them); `hear`, with `client` and `worker`, and
//! `say` (the words); `status` and `moment` (answers for people). `super::dialect` is the driver's half.

mod client;
mod failures;
mod frames;
mod hear;
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/hostile/manager/json.rs"]
pub(crate) mod hostile;
mod messages;
mod moment;
mod requests;
mod runs;
mod say;
mod shown;
mod speech;
mod status;
mod text;
mod worker;

pub(super) use failures::Failures;
pub(super) use frames::{Frame, Frames};
pub(super) use requests::RidBytes;
pub(super) use runs::JobName;
pub(super) use say::error_text;
pub(super) use shown::LastShown;
pub(super) use speech::Piece;
pub(super) use status::{Question, Survey, Times};

use messages::Messages;
use proletariat_protocol::{ErrorCode, Payload, PeerId};
use proletariat_scheduler::Event;
use requests::Requests;
use runs::Runs;
use speech::Speech;
use std::time::Duration;

/// Largest frame, in either direction.
pub(super) const FRAME_BYTES_MAX: usize = 20 * 1024 * 1024;
/// What a peer chose itself and gets back (a rid, the id of a message, the name of a command) is kept up to this length, in bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// Most jobs in one push: the scheduler takes them in one step, and nobody else is served meanwhile.
const JOBS_PER_PUSH_MAX: usize = 1_000_000;

/// What a dialect needs to know of the manager's settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) payload_bytes_max: u64,
    pub(super) hold_similar_work: bool,
}

/// Why jobs are not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) retry_after: Duration,
}

/// What a dialect asks of its surroundings while it hears.
pub(super) trait World {
    /// Something happened that the scheduler is to know.
    fn tell(&mut self, event: Event<'_>);
    /// Why so many more jobs of a client would not be taken now. The bytes are those of the jobs, and of what is kept beside jobs.
    fn refusal(&self, client: PeerId, jobs: u64, bytes: u64) -> Option<Refused>;
    /// Whether the manager is stopping.
    fn is_draining(&self) -> bool;
    /// A run failed with this message; that is all that native peers are told, and this is the whole of what the worker said.
    fn failed(&mut self, message: &Payload, result: Payload);
    /// The peer wants to know how things stand.
    fn ask(&mut self, question: Question);
    /// Milliseconds since 1970.
    fn unix_millis(&self) -> u64;
}

/// One connection, from its first frame on.
#[derive(Debug)]
pub(super) struct Dialect {
    peer: PeerId,
    rules: Rules,
    requests: Requests,
    runs: Runs,
    offered: bool,
    messages: Messages,
    speech: Speech,
    last_shown: LastShown,
}

impl Dialect {
    /// `last_shown` and `rid_bytes` are shared by all dialects of a manager.
    pub(super) fn new(peer: PeerId, rules: Rules, last_shown: LastShown, rid_bytes: RidBytes) -> Self {
        Self {
            peer,
            rules,
            requests: Requests::counted_in(rid_bytes),
            runs: Runs::default(),
            offered: false,
            messages: Messages::default(),
            speech: Speech::default(),
            last_shown,
        }
    }

    /// Bytes that have been said and not been handed out.
    pub(super) fn bytes(&self) -> usize {
        self.speech.bytes()
    }

    /// Whether something is to be handed out at the end of the turn.
    pub(super) fn has_words(&self) -> bool {
        self.speech.bytes() > 0 || self.requests.has_aborts()
    }

    /// Hands out what there is to write. Called when the scheduler has decided: only then is known what an abort has ended.
    pub(super) fn pour(&mut self, write: impl FnMut(Piece<'_>)) {
        self.answer_aborts();
        self.speech.pour(write);
    }
}

#[cfg(any(test, fuzzing))]
mod tests;
