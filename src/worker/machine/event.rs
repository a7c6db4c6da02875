//! What the world tells the machine, and what the machine wants done.

use super::runs::RunId;
use crate::net::Order;
use crate::worker::Ending;
use core::time::Duration;
use proletariat_protocol::message::{ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{AssignmentId, ErrorCode, MessageId, Offer, Payload, PeerId, Time};

/// What the owner of a worker decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first offer. It must have been checked.
    pub offer: Offer,
    /// Results are gathered until there are so many; they are sent anyway when no run is left, or after
    /// [`GATHER_MAX`](super::GATHER_MAX).
    pub answer_threshold: u32,
    /// How long a handler of a lost session may take to stop before its slot is left out of the next offer, and how
    /// long a drain waits for handlers that it had to cancel, with a second more for those that are killed after it.
    pub kill_grace: Duration,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A session is open.
    Connected {
        /// The manager's limit, in bytes.
        payload_bytes_max: u64,
    },
    /// The session is over, for whatever reason.
    Disconnected,
    /// The manager said something.
    Received {
        /// What.
        message: ManagerMessage,
        /// Its tail, cut.
        payloads: Vec<Payload>,
    },
    /// A handler ended: its work has really stopped.
    Ended {
        /// Which.
        run: RunId,
        /// How.
        ending: Ending,
    },
    /// A handler sends a partial result. Answered with [`Action::Taken`].
    Data {
        /// Which.
        run: RunId,
        /// The bytes.
        payload: Payload,
    },
    /// A handler tells how far it is.
    Progress {
        /// Which.
        run: RunId,
        /// Done so far.
        done: u64,
        /// Of so much; 0 if not known.
        total: u64,
    },
    /// The owner changes the offer. It must have been checked.
    Offer(Offer),
    /// The owner wants to leave in order.
    Drain {
        /// Running jobs may take so long.
        timeout: Duration,
    },
    /// The owner wants to leave at once.
    Stop,
    /// The owner sends a system message. Answered with [`Action::Reported`].
    SystemMessage {
        /// A number not used before.
        id: MessageId,
        /// Who gets it.
        to: Recipient,
        /// The report comes after so many milliseconds at the latest; 0: no limit.
        timeout_ms: u32,
        /// What.
        content: Payload,
    },
    /// The callback for a system message returned.
    Confirmed(Delivery),
}

/// A system message that came in, by the session it came in: a late confirmation is never taken for one of another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Delivery {
    /// Counted here.
    pub(super) session: u64,
    /// The manager's number.
    pub(super) id: MessageId,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Start a handler. One that ends at once is told before the next poll, so that its result rides with the others.
    Start(Start),
    /// Tell a handler to stop. Its end is still to be told.
    Cancel {
        /// Which.
        run: RunId,
    },
    /// The deadline of a handler moved.
    SetDeadline {
        /// Which.
        run: RunId,
        /// `None`: it may take as long as it likes.
        deadline: Option<Time>,
    },
    /// A chunk of a handler has left the machine (sent, or dropped because nobody wants it).
    Taken {
        /// Which.
        run: RunId,
        /// Its length.
        bytes: usize,
    },
    /// Send to the manager.
    Send(Outgoing),
    /// Show a system message to the owner. Answered with [`Event::Confirmed`].
    Deliver {
        /// For the confirmation.
        delivery: Delivery,
        /// The sender.
        from: PeerId,
        /// What.
        content: Payload,
    },
    /// What became of a system message of the owner; `None`: the manager was lost before it could say.
    Reported {
        /// The owner's number.
        id: MessageId,
        /// How many it was sent to, and how many confirmed it.
        report: Option<(u32, u32)>,
    },
    /// The manager accepted an offer of the owner's.
    OfferAccepted {
        /// So many are answered by that: those that have waited longest, of which each took the place of the one before.
        wishes: usize,
    },
    /// The manager refused a change of the offer: the one before holds, or one that came after it and is answered next.
    OfferRefused {
        /// So many are answered by that, as above.
        wishes: usize,
        /// Which range.
        message: String,
    },
    /// The worker is over: say `Leaving`, close, and drop whatever handler still runs. Nothing follows.
    Finished(Finish),
}

/// A run to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// By which number everything about it is told.
    pub run: RunId,
    /// The manager's number, for people.
    pub assignment: AssignmentId,
    /// What to work on.
    pub payload: Payload,
    /// Its kind.
    pub kind: Option<String>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Larger is more urgent.
    pub priority: u32,
    /// The nearer of run limit and rest of the whole call.
    pub deadline: Option<Time>,
    /// Whether anybody wants data and progress.
    pub stream: bool,
    /// The largest result that the manager takes, in bytes.
    pub result_bytes_max: u64,
}

/// Why the worker is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finish {
    /// Drained: every job was answered or handed back, as far as the manager was there.
    Drained,
    /// Stopped by its owner.
    Stopped,
    /// The manager refused the first offer.
    OfferRefused {
        /// `EINVSLOTNR`.
        code: ErrorCode,
        /// Which range.
        message: String,
    },
}

/// A message to the manager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The head.
    pub message: PeerMessage,
    /// The tail.
    pub payloads: Vec<Payload>,
    /// What it must not overtake; the key is the assignment.
    pub order: Order,
}
