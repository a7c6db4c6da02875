//! Words of the wire ⇄ words of the scheduler. Nothing unknown, and nothing that a role does not allow, gets past here.

use crate::net::{Order, Tail};
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::limits::{
    CLOCK_MILLIS_MAX, JOBS_PER_SUBMIT_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, SYSTEM_MESSAGE_BYTES_MAX,
};
use proletariat_protocol::message::{
    AssignedExecution, FinishedRun, JobOutcome, ManagerMessage, PeerMessage,
};
use proletariat_protocol::{ErrorCode, JobOptions, MessageId, Payload, PeerId};
use proletariat_scheduler::{Action, Assign, Event, Outcome, Payloads, Received};
use std::time::Duration;

/// The sentence of a crash is cut here, in bytes: it is kept for each attempt.
const CRASH_BYTES_MAX: usize = 4 * 1024;

/// Payloads up to this size are copied, in bytes.
const LENT_BYTES_MAX: u32 = 1_024;

/// Who speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speaker {
    pub(super) peer: PeerId,
    pub(super) roles: Roles,
}

/// What the driver itself has to do about a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// The scheduler has been told.
    Told,
    /// Answer with a sign of life.
    Ping,
    /// That was one.
    Pong,
    /// Send the state of the manager.
    StatusRequest(MessageId),
    /// Flush and close.
    Leaving,
}

/// What a peer did against the protocol: a sentence for it. The session ends.
pub(super) type Violation = String;

/// Tells the scheduler what a peer said.
pub(super) fn hear(
    speaker: Speaker,
    message: PeerMessage,
    tail: &mut Tail<'_>,
    tell: &mut impl FnMut(Event<'_>),
) -> Result<Heard, Violation> {
    match message {
        PeerMessage::Submit { .. } | PeerMessage::Abort { .. } | PeerMessage::Credit { .. } => {
            if !speaker.roles.client {
                return Err("only a client has jobs, and this peer did not say that it is one".into());
            }
            hear_client(speaker.peer, message, tail, tell)
        }
        PeerMessage::Ping => Ok(Heard::Ping),
        PeerMessage::Pong => Ok(Heard::Pong),
        PeerMessage::StatusRequest { id } => Ok(Heard::StatusRequest(id)),
        PeerMessage::Leaving { .. } => Ok(Heard::Leaving),
        PeerMessage::Confirm { id } => {
            tell(Event::Confirmed { by: speaker.peer, id });
            Ok(Heard::Told)
        }
        PeerMessage::SystemMessage { id, to, timeout_ms, bytes } => {
            if bytes as usize > SYSTEM_MESSAGE_BYTES_MAX {
                return Err(format!("a system message of {bytes} bytes: at most 1 MiB is passed on"));
            }
            let timeout = clock("timeout", timeout_ms)?;
            tell(Event::SystemMessage { from: speaker.peer, id, to, content: tail.take(bytes), timeout });
            Ok(Heard::Told)
        }
        _ => {
            if !speaker.roles.worker {
                return Err(
                    "only a worker offers slots and runs, and this peer did not say that it is one".into()
                );
            }
            hear_worker(speaker.peer, message, tail, tell)
        }
    }
}

fn hear_client(
    client: PeerId,
    message: PeerMessage,
    tail: &mut Tail<'_>,
    tell: &mut impl FnMut(Event<'_>),
) -> Result<Heard, Violation> {
    match message {
        PeerMessage::Submit { first, options, payload_bytes } => {
            check_submit(&options, payload_bytes.len())?;
            let small = payload_bytes.iter().all(|bytes| *bytes <= LENT_BYTES_MAX);
            let buffer = if small { Received::Lent(tail.lend_all()) } else { tail.take_all().into() };
            let payloads = Payloads::new(buffer, payload_bytes);
            tell(Event::Submitted { client, first, options: &options, payloads });
        }
        PeerMessage::Abort { first, count } => tell(Event::Aborted { client, first, count }),
        PeerMessage::Credit { job, bytes } => tell(Event::Credited { client, job, bytes }),
        _ => return Err("this is nothing that a client says".into()),
    }
    Ok(Heard::Told)
}

fn hear_worker(
    worker: PeerId,
    message: PeerMessage,
    tail: &mut Tail<'_>,
    tell: &mut impl FnMut(Event<'_>),
) -> Result<Heard, Violation> {
    match message {
        PeerMessage::Finished { runs } => {
            for FinishedRun { assignment, result, bytes } in runs {
                tell(Event::Finished { worker, assignment, result, payload: received(tail, bytes) });
            }
        }
        PeerMessage::Started { assignments } => {
            for assignment in assignments {
                tell(Event::Started { worker, assignment });
            }
        }
        PeerMessage::Offer(offer) => tell(Event::Offered { worker, offer }),
        PeerMessage::Withdraw => tell(Event::Withdrew { worker }),
        PeerMessage::HandBack { assignment, reason } => {
            tell(Event::HandedBack { worker, assignment, reason })
        }
        PeerMessage::Crashed { assignment, mut message } => {
            message.truncate(message.floor_char_boundary(CRASH_BYTES_MAX));
            tell(Event::Crashed { worker, assignment, message });
        }
        PeerMessage::Stopped { assignment } => tell(Event::Stopped { worker, assignment }),
        PeerMessage::Data { assignment, bytes } => {
            tell(Event::Data { worker, assignment, payload: tail.take(bytes) });
        }
        PeerMessage::Progress { assignment, done, total } => {
            tell(Event::Progress { worker, assignment, done, total });
        }
        _ => return Err("this is nothing that a worker says".into()),
    }
    Ok(Heard::Told)
}

/// The next payload: a small one is copied on its way, a large one shared.
fn received<'a>(tail: &mut Tail<'a>, bytes: u32) -> Received<'a> {
    if bytes <= LENT_BYTES_MAX { Received::Lent(tail.lend(bytes)) } else { tail.take(bytes).into() }
}

fn check_submit(options: &JobOptions, jobs: usize) -> Result<(), Violation> {
    if jobs == 0 || jobs > JOBS_PER_SUBMIT_MAX {
        return Err(format!("a submit of {jobs} jobs: 1 to {JOBS_PER_SUBMIT_MAX} are taken at once"));
    }
    if let Some(kind) = &options.kind
        && !(1..=NAME_BYTES_MAX).contains(&kind.len())
    {
        return Err(format!("a kind of {} bytes: 1 to {NAME_BYTES_MAX}", kind.len()));
    }
    if let Some(key) = &options.key
        && key.len() > KEY_BYTES_MAX
    {
        return Err(format!("a key of {} bytes: at most {KEY_BYTES_MAX}", key.len()));
    }
    clock("timeout", options.timeout_ms)?;
    clock("assign_timeout", options.assign_timeout_ms)?;
    clock("run_timeout", options.run_timeout_ms)?;
    Ok(())
}

fn clock(name: &str, millis: u32) -> Result<Option<Duration>, Violation> {
    match millis {
        0 => Ok(None),
        1..=CLOCK_MILLIS_MAX => Ok(Some(Duration::from_millis(millis.into()))),
        _ => Err(format!("a {name} of {millis} ms: at most 30 days, {CLOCK_MILLIS_MAX} ms")),
    }
}

/// A message for a peer, with at most one payload, and what it may not pass.
pub(super) struct Word {
    pub(super) to: PeerId,
    pub(super) message: ManagerMessage,
    pub(super) payload: Option<Payload>,
    pub(super) order: Order,
}

/// What an action says to a peer; nothing if it is for somebody else, or if it is one of the two that are gathered.
pub(super) fn say<P>(action: &Action<P>) -> Option<Word> {
    let (to, message, payload, order) = match action {
        &Action::Data { client, job, ref payload } => {
            let message = ManagerMessage::Data { job, bytes: length(payload) };
            (client, message, Some(payload.clone()), Order::Keyed(job.0))
        }
        &Action::SystemMessage { to, id, from, ref content } => {
            let message = ManagerMessage::SystemMessage { id, from, bytes: length(content) };
            (to, message, Some(content.clone()), Order::Free)
        }
        Action::Accept { .. }
        | Action::Refuse { .. }
        | Action::Progress { .. }
        | Action::Restarted { .. } => {
            let (to, message, order) = say_to_client(action)?;
            (to, message, None, order)
        }
        _ => {
            let (to, message, order) = say_to_worker(action)?;
            (to, message, None, order)
        }
    };
    Some(Word { to, message, payload, order })
}

fn say_to_client<P>(action: &Action<P>) -> Option<(PeerId, ManagerMessage, Order)> {
    Some(match *action {
        Action::Accept { client, through } => (client, ManagerMessage::Accepted { through }, Order::Free),
        Action::Refuse { client, first, count, code, ref message, retry_after } => {
            let (message, retry_after_ms) = (message.clone(), millis(retry_after));
            (client, ManagerMessage::Refused { first, count, code, message, retry_after_ms }, Order::Free)
        }
        Action::Progress { client, job, done, total } => {
            (client, ManagerMessage::Progress { job, done, total }, Order::Keyed(job.0))
        }
        Action::Restarted { client, job } => (client, ManagerMessage::Restarted { job }, Order::Keyed(job.0)),
        _ => return None,
    })
}

fn say_to_worker<P>(action: &Action<P>) -> Option<(PeerId, ManagerMessage, Order)> {
    Some(match *action {
        Action::Cancel { worker, assignment } => {
            (worker, ManagerMessage::Cancel { assignment }, Order::Keyed(assignment.0))
        }
        Action::SetRunLimit { worker, assignment, run_limit } => {
            let run_limit_ms = limit_millis(run_limit);
            (worker, ManagerMessage::SetRunLimit { assignment, run_limit_ms }, Order::Keyed(assignment.0))
        }
        Action::Grant { worker, assignment, bytes } => {
            (worker, ManagerMessage::Grant { assignment, bytes }, Order::Keyed(assignment.0))
        }
        Action::AcceptOffer { worker } => (worker, ManagerMessage::OfferAccepted, Order::Free),
        Action::RefuseOffer { worker, ref message } => {
            let (code, message) = (ErrorCode::InvalidSlots, message.clone());
            (worker, ManagerMessage::OfferRefused { code, message }, Order::Free)
        }
        // Nothing may follow it, so it follows everything.
        Action::ConfirmWithdrawal { worker } => (worker, ManagerMessage::Withdrawn, Order::Barrier),
        Action::SystemReport { to, id, sent_to, received_by } => {
            (to, ManagerMessage::SystemReport { id, sent_to, received_by }, Order::Free)
        }
        _ => return None,
    })
}

/// An execution as its worker hears of it.
pub(super) fn execution<'a, P>(assign: &'a Assign<P>, payload: &[u8]) -> AssignedExecution<&'a str> {
    AssignedExecution {
        assignment: assign.assignment,
        bytes: length(payload),
        attempt: assign.attempt,
        priority: assign.priority,
        run_limit_ms: assign.run_limit_ms,
        rest_ms: assign.rest_ms,
        kind: assign.kind.as_deref(),
        stream: assign.stream,
    }
}

/// The end of a job as its client hears of it.
pub(super) fn outcome<P>(
    job: proletariat_protocol::JobId,
    outcome: &Outcome<P>,
    payload: &[u8],
) -> JobOutcome {
    let outcome = match outcome {
        Outcome::Result(_) => OutcomeKind::Result,
        Outcome::Error(code, _) => OutcomeKind::Error(*code),
    };
    JobOutcome { job, outcome, bytes: length(payload) }
}

/// No payload in the manager is longer than the largest message it takes, which is below 4 GiB.
fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).expect("payloads are below 4 GiB")
}

/// Milliseconds, rounded up to at least one, since 0 stands for none.
fn limit_millis(limit: Option<Duration>) -> u32 {
    limit.map_or(0, |limit| millis(limit).max(1))
}

pub(super) fn millis(duration: Duration) -> u32 {
    let millis =
        duration.as_secs().saturating_mul(1_000) + u64::from(duration.subsec_micros().div_ceil(1_000));
    u32::try_from(millis).unwrap_or(u32::MAX)
}
