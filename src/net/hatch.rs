//! For tests: streams in memory, with the manager's end played by hand.

use super::connect::{Connector, Opening};
use super::{Inbox, Order, Outbox, Tail};
use bytes::BytesMut;
use core::ops::ControlFlow;
use core::time::Duration;
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, VERSION_MAX, Welcome};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{Payload, PeerId};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The largest payload that this manager takes, in bytes.
pub(crate) const LIMIT: u64 = 1 << 20;

/// A connector whose streams come from a [`Hatch`].
pub(crate) struct HatchConnector(Arc<Mutex<UnboundedReceiver<DuplexStream>>>);

/// Where a test hands streams in.
pub(crate) struct Hatch(UnboundedSender<DuplexStream>);

impl Hatch {
    pub(crate) fn open() -> (Self, HatchConnector) {
        let (streams, arriving) = unbounded_channel();
        (Self(streams), HatchConnector(Arc::new(Mutex::new(arriving))))
    }

    /// The manager's end of the next stream, when the hello has come.
    pub(crate) async fn connection(&self) -> ManagerEnd {
        self.wide_connection(64 * 1024).await
    }

    /// The same of a stream that holds so many bytes each way.
    pub(crate) async fn wide_connection(&self, bytes: usize) -> ManagerEnd {
        let (near, far) = duplex(bytes);
        self.0.send(near).unwrap();
        ManagerEnd::greeted(far).await
    }
}

impl Connector for HatchConnector {
    type Stream = DuplexStream;

    fn connect(&mut self) -> Opening<DuplexStream> {
        let streams = Arc::clone(&self.0);
        Box::pin(async move {
            streams.lock().await.recv().await.ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }

    fn address(&self) -> &str {
        "the hatch"
    }
}

/// The manager's end of one stream.
pub(crate) struct ManagerEnd {
    pub(crate) stream: DuplexStream,
    pub(crate) hello: Hello,
    /// Before each read, which is of 16 KiB at most.
    pub(crate) pause: Duration,
    inbox: Inbox,
    messages: VecDeque<(PeerMessage, Vec<Payload>)>,
}

impl ManagerEnd {
    async fn greeted(mut stream: DuplexStream) -> Self {
        let mut bytes = Vec::new();
        loop {
            let hello = bytes.get(PREAMBLE_BYTES..).map(Hello::decode);
            if let Some(Some((hello, _))) = hello.transpose().unwrap() {
                let inbox = Inbox::new(2 * LIMIT);
                return Self { stream, hello, pause: Duration::ZERO, inbox, messages: VecDeque::new() };
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
    }

    pub(crate) async fn answer(&mut self, answer: Answer) {
        let mut bytes = BytesMut::from(&Preamble::chosen(VERSION_MAX).encode()[..]);
        answer.encode(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn welcome(mut self, peer: u64) -> Self {
        let welcome = Welcome {
            peer: PeerId(peer),
            software: "test".into(),
            payload_bytes_max: LIMIT,
            heartbeat_ms: 5_000,
            heartbeat_timeout_ms: 15_000,
            capabilities: 0,
        };
        self.answer(Answer::Welcome(welcome)).await;
        self
    }

    pub(crate) async fn say(&mut self, message: &ManagerMessage, payloads: &[Payload]) {
        let mut outbox = Outbox::new();
        outbox.push(message, payloads, Order::Free);
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[])];
            assert_eq!(outbox.slices(&mut slices), 1);
            let count = self.stream.write(&slices[0]).await.unwrap();
            outbox.advance(count);
        }
    }

    /// The next message; `None` when the peer has closed.
    pub(crate) async fn hear(&mut self) -> Option<PeerMessage> {
        Some(self.hear_all().await?.0)
    }

    /// The next message and its payloads.
    pub(crate) async fn hear_all(&mut self) -> Option<(PeerMessage, Vec<Payload>)> {
        let mut bytes = vec![0; 16 * 1_024];
        while self.messages.is_empty() {
            tokio::time::sleep(self.pause).await;
            let count = self.stream.read(&mut bytes).await.unwrap();
            if count == 0 {
                return None;
            }
            let messages = &mut self.messages;
            let flow = self.inbox.receive(&bytes[..count], &mut |message, mut tail: Tail<'_>| {
                let payloads = match &message {
                    PeerMessage::Submit { payload_bytes, .. } => {
                        payload_bytes.iter().map(|&bytes| tail.take(bytes)).collect()
                    }
                    PeerMessage::Finished { runs } => runs.iter().map(|run| tail.take(run.bytes)).collect(),
                    PeerMessage::SystemMessage { bytes, .. } | PeerMessage::Data { bytes, .. } => {
                        vec![tail.take(*bytes)]
                    }
                    _ => Vec::new(),
                };
                messages.push_back((message, payloads));
                ControlFlow::Continue(())
            });
            assert!(flow.unwrap().is_continue());
        }
        self.messages.pop_front()
    }
}
