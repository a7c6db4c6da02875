//! A peer that speaks the bare wire, one step at a time.

use crate::net::{Inbox, Order, Outbox, Tail};
use bytes::{Buf, BytesMut};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, Refusal, Roles};
use proletariat_protocol::message::{
    AssignedExecution, FinishedRun, JobOutcome, ManagerMessage, PeerMessage,
};
use proletariat_protocol::{InstanceId, JobId, JobOptions, Offer, Payload, WorkResult};
use std::collections::VecDeque;
use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::time::Duration;

/// No answer takes longer than this.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

pub(super) const CLIENT: Roles = Roles { client: true, worker: false, admin: false };
pub(super) const WORKER: Roles = Roles { client: false, worker: true, admin: false };

pub(super) struct Peer {
    stream: TcpStream,
    inbox: Inbox,
    heard: VecDeque<(ManagerMessage, Vec<Payload>)>,
    next_job: u64,
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Everything until the other side closes.
pub(super) fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

pub(super) fn hello(roles: Roles) -> Hello {
    Hello { instance: InstanceId(rand::random()), roles, name: "peer".into(), token: None, capabilities: 0 }
}

pub(super) fn greeting(hello: &Hello) -> Vec<u8> {
    let mut bytes = BytesMut::from(&Preamble::OURS.encode()[..]);
    hello.encode(&mut bytes).unwrap();
    bytes.to_vec()
}

impl Peer {
    pub(super) fn join(address: SocketAddr, roles: Roles) -> Self {
        Self::try_join(address, &hello(roles)).expect("the manager lets peers in")
    }

    pub(super) fn worker(address: SocketAddr, offer: Offer) -> Self {
        let mut worker = Self::join(address, WORKER);
        worker.say(&PeerMessage::Offer(offer), &[]);
        assert_eq!(worker.hear().0, ManagerMessage::OfferAccepted);
        worker
    }

    pub(super) fn try_join(address: SocketAddr, hello: &Hello) -> Result<Self, Refusal> {
        let mut stream = connect(address);
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
                Some((Answer::Refused(refusal), _)) => return Err(refusal),
                Some((Answer::Welcome(welcome), _)) => {
                    let inbox = Inbox::new(welcome.payload_bytes_max);
                    return Ok(Self { stream, inbox, heard: VecDeque::new(), next_job: 0 });
                }
            }
        }
    }

    pub(super) fn say(&mut self, message: &PeerMessage, payloads: &[&[u8]]) {
        assert!(self.try_say(message, payloads), "the manager takes what is said");
    }

    /// False when the connection is closed.
    pub(super) fn try_say(&mut self, message: &PeerMessage, payloads: &[&[u8]]) -> bool {
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
    pub(super) fn try_hear(&mut self) -> Option<(ManagerMessage, Vec<Payload>)> {
        while self.heard.is_empty() {
            let mut buffer = [0; 64 * 1024];
            let bytes = match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
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
    pub(super) fn hear(&mut self) -> (ManagerMessage, Vec<Payload>) {
        loop {
            match self.try_hear().expect("the connection stays open") {
                (ManagerMessage::Ping, _) => self.say(&PeerMessage::Pong, &[]),
                other => return other,
            }
        }
    }

    /// All that was read, while a message in fragments is under way.
    pub(super) fn received_bytes(&self) -> u64 {
        let fragmented = self.inbox.incomplete().and_then(|incomplete| incomplete.fragmented);
        fragmented.expect("a message in fragments").1
    }

    /// The last message before the end.
    pub(super) fn hear_the_end(&mut self) -> ManagerMessage {
        let mut last = None;
        while let Some((message, _)) = self.try_hear() {
            last = Some(message);
        }
        last.expect("a word before the end")
    }

    pub(super) fn submit(&mut self, payloads: &[&[u8]]) {
        self.submit_with(JobOptions::default(), payloads);
    }

    pub(super) fn submit_with(&mut self, options: JobOptions, payloads: &[&[u8]]) {
        let first = JobId(self.next_job);
        self.next_job += payloads.len() as u64;
        let payload_bytes = payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect();
        self.say(&PeerMessage::Submit { first, options, payload_bytes }, payloads);
    }

    /// Executions given to this worker, at least one; what is cancelled before stops.
    pub(super) fn executions(&mut self) -> Vec<(AssignedExecution, Payload)> {
        loop {
            match self.hear() {
                (ManagerMessage::Assign { executions }, payloads) => {
                    return executions.into_iter().zip(payloads).collect();
                }
                (ManagerMessage::Cancel { assignment }, _) => {
                    self.say(&PeerMessage::Stopped { assignment }, &[]);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) fn finish(&mut self, execution: &AssignedExecution, result: &[u8]) {
        self.finish_all(&[(execution, result)]);
    }

    /// Ends them in one message.
    pub(super) fn finish_all(&mut self, ends: &[(&AssignedExecution, &[u8])]) {
        let run = |&(execution, result): &(&AssignedExecution, &[u8])| FinishedRun {
            assignment: execution.assignment,
            result: WorkResult::Done,
            bytes: u32::try_from(result.len()).unwrap(),
        };
        let results: Vec<&[u8]> = ends.iter().map(|(_, result)| *result).collect();
        self.say(&PeerMessage::Finished { runs: ends.iter().map(run).collect() }, &results);
    }

    /// So many ends of this client's jobs.
    pub(super) fn outcomes(&mut self, count: usize) -> Vec<(JobOutcome, Payload)> {
        let mut outcomes = Vec::new();
        while outcomes.len() < count {
            match self.hear() {
                (ManagerMessage::Outcomes { jobs }, payloads) => {
                    outcomes.extend(jobs.into_iter().zip(payloads))
                }
                (ManagerMessage::Accepted { .. }, _) => {}
                other => panic!("{other:?}"),
            }
        }
        outcomes
    }

    pub(super) fn write_raw(&mut self, mut bytes: &[u8]) {
        while bytes.has_remaining() {
            let written = self.stream.write(bytes).unwrap();
            bytes.advance(written);
        }
    }
}

fn payloads_of(message: &ManagerMessage, mut tail: Tail<'_>) -> Vec<Payload> {
    match message {
        ManagerMessage::Assign { executions } => executions.iter().map(|it| tail.take(it.bytes)).collect(),
        ManagerMessage::Outcomes { jobs } => jobs.iter().map(|it| tail.take(it.bytes)).collect(),
        ManagerMessage::Data { bytes, .. }
        | ManagerMessage::SystemMessage { bytes, .. }
        | ManagerMessage::Status { bytes, .. } => vec![tail.take(*bytes)],
        _ => Vec::new(),
    }
}
