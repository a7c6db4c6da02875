//! A peer that speaks the bare wire, one step at a time, for what a real client or worker would never do.

use super::LIMIT;
use super::wire::Wire;
use bytes::BytesMut;
use proletariat::net::{Inbox, Order, Outbox, Tail};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, Refusal, Roles};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{
    AssignedExecution, FinishedRun, JobOutcome, LeavingReason, ManagerMessage, PeerMessage, Recipient,
};
use proletariat_protocol::{
    AssignmentId, ErrorCode, InstanceId, JobId, JobOptions, MessageId, Offer, Payload, PeerId, WorkResult,
};
use std::collections::VecDeque;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const CLIENT: Roles = Roles { client: true, worker: false, admin: false };
pub(crate) const WORKER: Roles = Roles { client: false, worker: true, admin: false };
pub(crate) const ADMIN: Roles = Roles { client: false, worker: false, admin: true };

pub(crate) type Heard = (ManagerMessage, Vec<Payload>);

#[derive(Debug)]
pub(crate) struct Peer {
    stream: Wire,
    inbox: Inbox,
    heard: VecDeque<Heard>,
    /// Outcomes that came and nobody has asked for.
    ended: Vec<Outcome>,
    next_job: u64,
    /// Who this is for the manager.
    pub(crate) id: PeerId,
}

/// How a handshake ended.
#[derive(Debug)]
pub(crate) enum Greeted {
    Welcome(Box<Peer>),
    Refused(Refusal),
}

/// How a job of a [`Peer`] ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) job: u64,
    pub(crate) result: Result<Payload, (ErrorCode, String)>,
}

impl Outcome {
    fn of(job: &JobOutcome, payload: Payload) -> Self {
        let result = match job.outcome {
            OutcomeKind::Result => Ok(payload),
            OutcomeKind::Error(code) => Err((code, String::from_utf8_lossy(&payload).into_owned())),
        };
        Self { job: job.job.0, result }
    }

    /// Its error code.
    #[track_caller]
    pub(crate) fn code(&self) -> ErrorCode {
        self.result.as_ref().expect_err("the job failed").0
    }
}

/// Everything until the other side closes.
pub(crate) fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A hello of an instance that nobody else is.
pub(crate) fn hello(roles: Roles) -> Hello {
    static INSTANCES: AtomicU64 = AtomicU64::new(0);
    let mut instance = [0; 16];
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    instance[..8].copy_from_slice(&INSTANCES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    instance[8..].copy_from_slice(&since.to_be_bytes()[8..]);
    Hello { instance: InstanceId(instance), roles, name: "raw".into(), token: None, capabilities: 0 }
}

pub(crate) fn greeting(hello: &Hello) -> Vec<u8> {
    let mut bytes = BytesMut::from(&Preamble::OURS.encode()[..]);
    hello.encode(&mut bytes).unwrap();
    bytes.to_vec()
}

impl Peer {
    pub(crate) fn try_join(address: SocketAddr, hello: &Hello) -> Greeted {
        Self::try_join_over(Wire::to(address, None), hello)
    }

    /// The same over a connection that is there.
    pub(crate) fn try_join_over(mut stream: Wire, hello: &Hello) -> Greeted {
        stream.write_all(&greeting(hello)).unwrap();
        let mut preamble = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut preamble).unwrap();
        Preamble::decode(preamble).unwrap();
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
            match Answer::decode(&bytes).unwrap() {
                None => {}
                Some((Answer::Refused(refusal), _)) => return Greeted::Refused(refusal),
                Some((Answer::Welcome(welcome), _)) => {
                    let inbox = Inbox::new(welcome.payload_bytes_max.max(1 << 30));
                    let (heard, ended) = (VecDeque::new(), Vec::new());
                    let peer = Self { stream, inbox, heard, ended, next_job: 0, id: welcome.peer };
                    return Greeted::Welcome(Box::new(peer));
                }
            }
        }
    }

    /// Its stream, what is known of it, and what came and nobody has heard: for who goes on in another way.
    pub(crate) fn into_parts(self) -> (TcpStream, Inbox, VecDeque<Heard>) {
        let Wire::Plain(stream) = self.stream else { panic!("it speaks TLS") };
        (stream, self.inbox, self.heard)
    }

    pub(crate) fn say(&mut self, message: &PeerMessage, payloads: &[&[u8]]) {
        assert!(self.try_say(message, payloads), "the manager takes {message:?}");
    }

    /// False when the connection is closed.
    pub(crate) fn try_say(&mut self, message: &PeerMessage, payloads: &[&[u8]]) -> bool {
        let mut outbox = Outbox::new();
        let payloads: Vec<Payload> = payloads.iter().map(|bytes| Payload::copy_from_slice(bytes)).collect();
        outbox.push(message, &payloads, Order::Free);
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = outbox.slices(&mut slices);
            match self.stream.write_vectored(&slices[..filled]) {
                Ok(written) => outbox.advance(written),
                Err(_) => return false,
            }
        }
        true
    }

    /// The next message; `None` at the end of the connection. Pings are messages like any other.
    pub(crate) fn try_hear(&mut self) -> Option<Heard> {
        while self.heard.is_empty() {
            let mut buffer = [0; 64 * 1024];
            let bytes = match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            };
            let heard = &mut self.heard;
            let mut sink = |message: ManagerMessage, tail: Tail<'_>| {
                let payloads = payloads_of(&message, tail);
                heard.push_back((message, payloads));
                ControlFlow::Continue(())
            };
            assert!(self.inbox.receive(&buffer[..bytes], &mut sink).unwrap().is_continue());
        }
        self.heard.pop_front()
    }

    /// The next message that is no ping; pings are answered.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            match self.try_hear().expect("the connection stays open") {
                (ManagerMessage::Ping, _) => self.say(&PeerMessage::Pong, &[]),
                other => return other,
            }
        }
    }

    /// The last message before the end.
    pub(crate) fn hear_the_end(&mut self) -> ManagerMessage {
        let mut last = None;
        while let Some((message, _)) = self.try_hear() {
            last = Some(message);
        }
        last.expect("a word before the end")
    }

    /// Nothing but signs of life comes for so long.
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.stream.tcp().set_read_timeout(Some(left)).unwrap();
            let waiting = self.heard.is_empty() && self.stream.tcp().peek(&mut [0]).is_err();
            self.stream.tcp().set_read_timeout(Some(LIMIT)).unwrap();
            if !waiting {
                match self.try_hear() {
                    Some((ManagerMessage::Ping, _)) => self.say(&PeerMessage::Pong, &[]),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    pub(crate) fn offer(&mut self, offer: Offer) {
        self.say(&PeerMessage::Offer(offer), &[]);
        assert_eq!(self.hear().0, ManagerMessage::OfferAccepted);
    }

    /// The manager has done all that was said to it before.
    pub(crate) fn sync(&mut self) {
        self.say(&PeerMessage::Ping, &[]);
        assert_eq!(self.hear().0, ManagerMessage::Pong);
    }

    /// The same, where jobs may have been accepted or answered meanwhile: what has come is kept for later.
    pub(crate) fn sync_past_accepted(&mut self) {
        self.say(&PeerMessage::Ping, &[]);
        let mut kept = VecDeque::new();
        loop {
            match self.hear() {
                (ManagerMessage::Pong, _) => break,
                (ManagerMessage::Accepted { .. }, _) => {}
                other => kept.push_back(other),
            }
        }
        kept.append(&mut self.heard);
        self.heard = kept;
    }

    pub(crate) fn submit(&mut self, payloads: &[&[u8]]) -> u64 {
        self.submit_with(JobOptions::default(), payloads)
    }

    /// The number of the first of them.
    pub(crate) fn submit_with(&mut self, options: JobOptions, payloads: &[&[u8]]) -> u64 {
        let first = self.next_job;
        self.next_job += payloads.len() as u64;
        let payload_bytes = payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect();
        self.say(&PeerMessage::Submit { first: JobId(first), options, payload_bytes }, payloads);
        first
    }

    /// The next execution given to this worker, which runs no other.
    pub(crate) fn execution(&mut self) -> (AssignedExecution, Payload) {
        let mut executions = self.executions();
        assert_eq!(executions.len(), 1);
        executions.remove(0)
    }

    /// Executions given to this worker, at least one.
    pub(crate) fn executions(&mut self) -> Vec<(AssignedExecution, Payload)> {
        loop {
            match self.hear() {
                (ManagerMessage::Assign { executions }, payloads) => {
                    return executions.into_iter().zip(payloads).collect();
                }
                // Somebody has taken what a run sent.
                (ManagerMessage::Grant { .. }, _) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// So many executions, however they come.
    pub(crate) fn executions_until(&mut self, count: usize) -> Vec<(AssignedExecution, Payload)> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(self.executions());
        }
        all
    }

    pub(crate) fn started(&mut self, assignment: AssignmentId) {
        self.say(&PeerMessage::Started { assignments: vec![assignment] }, &[]);
    }

    pub(crate) fn finish(&mut self, assignment: AssignmentId, result: &[u8]) {
        self.end(assignment, WorkResult::Done, result);
    }

    pub(crate) fn end(&mut self, assignment: AssignmentId, result: WorkResult, content: &[u8]) {
        let run = FinishedRun { assignment, result, bytes: u32::try_from(content.len()).unwrap() };
        self.say(&PeerMessage::Finished { runs: vec![run] }, &[content]);
    }

    /// So many ends of this client's jobs, in the order in which they come.
    pub(crate) fn outcomes(&mut self, count: usize) -> Vec<Outcome> {
        let mut outcomes = self.outcomes_at_least(count);
        self.ended.extend(outcomes.drain(count..));
        outcomes
    }

    /// The same, and those that came with them.
    pub(crate) fn outcomes_at_least(&mut self, count: usize) -> Vec<Outcome> {
        let mut outcomes = std::mem::take(&mut self.ended);
        while outcomes.len() < count {
            match self.hear() {
                (ManagerMessage::Outcomes { jobs }, payloads) => {
                    outcomes
                        .extend(jobs.iter().zip(payloads).map(|(job, payload)| Outcome::of(job, payload)));
                }
                (ManagerMessage::Accepted { .. }, _) => {}
                other => panic!("{other:?}"),
            }
        }
        outcomes
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        self.outcomes(1).remove(0)
    }

    /// All jobs so far are accepted and wait.
    pub(crate) fn until_accepted(&mut self) {
        loop {
            match self.hear().0 {
                ManagerMessage::Accepted { through } if through.0 + 1 == self.next_job => return,
                ManagerMessage::Accepted { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn tell(&mut self, to: Recipient, content: &[u8], timeout_ms: u32) {
        let bytes = u32::try_from(content.len()).unwrap();
        let message = PeerMessage::SystemMessage { id: MessageId(7), to, timeout_ms, bytes };
        self.say(&message, &[content]);
    }

    /// Sent to and received by.
    pub(crate) fn report(&mut self) -> (u32, u32) {
        match self.hear().0 {
            ManagerMessage::SystemReport { id: MessageId(7), sent_to, received_by } => (sent_to, received_by),
            other => panic!("{other:?}"),
        }
    }

    /// A system message for this peer: its number, its sender, its content.
    pub(crate) fn system_message(&mut self) -> (MessageId, PeerId, Payload) {
        let (message, payloads) = self.hear();
        let ManagerMessage::SystemMessage { id, from, .. } = message else { panic!("{message:?}") };
        (id, from, payloads[0].clone())
    }

    pub(crate) fn status(&mut self) -> Payload {
        self.say(&PeerMessage::StatusRequest { id: MessageId(1) }, &[]);
        match self.hear() {
            (ManagerMessage::Status { .. }, mut payloads) => payloads.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn leave(mut self) {
        self.say(&PeerMessage::Leaving { reason: LeavingReason::Done }, &[]);
        while self.try_hear().is_some() {}
    }
}

pub(super) fn payloads_of(message: &ManagerMessage, mut tail: Tail<'_>) -> Vec<Payload> {
    match message {
        ManagerMessage::Assign { executions } => executions.iter().map(|it| tail.take(it.bytes)).collect(),
        ManagerMessage::Outcomes { jobs } => jobs.iter().map(|it| tail.take(it.bytes)).collect(),
        ManagerMessage::Data { bytes, .. }
        | ManagerMessage::SystemMessage { bytes, .. }
        | ManagerMessage::Status { bytes, .. } => vec![tail.take(*bytes)],
        _ => Vec::new(),
    }
}
