//! The loop over a stream in memory, with the manager's end played by hand.

use super::*;
use bytes::BytesMut;
use proletariat_protocol::handshake::{Answer, PREAMBLE_BYTES, Preamble, Refusal, Roles};
use proletariat_protocol::limits::PAYLOAD_BYTES_DEFAULT;
use proletariat_protocol::{ErrorCode, InstanceId, JobId, MessageId, Payload, PeerId};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// A connector whose streams come from the test.
struct Hatch(UnboundedReceiverOf<DuplexStream>);
type UnboundedReceiverOf<T> = Arc<tokio::sync::Mutex<UnboundedReceiver<T>>>;

impl Connector for Hatch {
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

/// Sends what it is told to, and tells everything that happens to it.
struct Recorder {
    told: UnboundedSender<String>,
    unsent: VecDeque<u64>,
    up: bool,
    closed: bool,
    over: bool,
    deadline: Option<Time>,
}

impl Recorder {
    fn tell(&self, what: impl Into<String>) {
        let _ = self.told.send(what.into());
    }
}

impl Member for Recorder {
    type Command = u64;

    fn command(&mut self, _now: Time, command: u64) {
        self.unsent.push_back(command);
    }

    fn commands_closed(&mut self, _now: Time) {
        self.closed = true;
    }

    fn link_up(&mut self, now: Time, welcome: &Welcome) {
        self.up = true;
        self.deadline = Some(now + Duration::from_secs(40));
        self.tell(format!("up {}", welcome.peer));
    }

    fn link_down(&mut self, _now: Time, error: &LinkError, next: Option<Time>) {
        self.up = false;
        self.over = next.is_none();
        self.tell(format!("down {error}"));
    }

    fn receive(&mut self, _now: Time, message: ManagerMessage, mut tail: Tail<'_>) {
        if let ManagerMessage::Data { job, bytes } = message {
            self.tell(format!("data {job} {:?}", tail.take(bytes)));
        }
    }

    fn expire(&mut self, now: Time) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.tell("expired");
        }
    }

    fn poll(&mut self, _now: Time, outbox: &mut Outbox) {
        while self.up && outbox.bytes() < OUTBOX_MARK_BYTES {
            let Some(id) = self.unsent.pop_front() else { break };
            outbox.push(&PeerMessage::StatusRequest { id: MessageId(id) }, &[], Order::Free);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn wants_to_leave(&self) -> Option<LeavingReason> {
        (self.over || self.closed && self.unsent.is_empty()).then_some(LeavingReason::Done)
    }
}

/// The manager's end of one stream.
struct ManagerEnd {
    stream: DuplexStream,
    inbox: Inbox,
    messages: VecDeque<PeerMessage>,
}

impl ManagerEnd {
    /// Reads preamble and hello.
    async fn greeted(mut stream: DuplexStream) -> Self {
        let mut bytes = Vec::new();
        loop {
            let hello = bytes.get(PREAMBLE_BYTES..).map(Hello::decode);
            if let Some(Some((hello, _))) = hello.transpose().unwrap() {
                assert_eq!(hello.name, "recorder");
                break;
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
        Self { stream, inbox: Inbox::new(1 << 20), messages: VecDeque::new() }
    }

    async fn answer(&mut self, answer: Answer) {
        let mut bytes = BytesMut::from(&Preamble::chosen(0).encode()[..]);
        answer.encode(&mut bytes);
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn welcome(mut self, peer: u64) -> Self {
        let welcome = Welcome {
            peer: PeerId(peer),
            software: "test".into(),
            payload_bytes_max: PAYLOAD_BYTES_DEFAULT as u64,
            heartbeat_ms: 5_000,
            heartbeat_timeout_ms: 15_000,
            capabilities: 0,
        };
        self.answer(Answer::Welcome(welcome)).await;
        self
    }

    async fn say(&mut self, message: &ManagerMessage, payloads: &[Payload]) {
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
    async fn hear(&mut self) -> Option<PeerMessage> {
        let mut bytes = vec![0; 4_096];
        while self.messages.is_empty() {
            let count = self.stream.read(&mut bytes).await.unwrap();
            if count == 0 {
                return None;
            }
            let messages = &mut self.messages;
            let flow = self.inbox.receive(&bytes[..count], &mut |message, _| {
                messages.push_back(message);
                ControlFlow::Continue(())
            });
            assert!(flow.unwrap().is_continue());
        }
        self.messages.pop_front()
    }
}

struct Stage {
    streams: UnboundedSender<DuplexStream>,
    commands: UnboundedSender<u64>,
    told: UnboundedReceiver<String>,
    end: tokio::task::JoinHandle<End>,
}

impl Stage {
    fn open() -> Self {
        let (streams, arriving) = unbounded_channel();
        let (commands, queue) = unbounded_channel();
        let (teller, told) = unbounded_channel();
        let drive = Drive {
            connector: Hatch(Arc::new(tokio::sync::Mutex::new(arriving))),
            hello: Hello {
                instance: InstanceId([1; 16]),
                roles: Roles { client: true, ..Roles::default() },
                name: "recorder".into(),
                token: None,
                payload_bytes_max: 1 << 20,
                capabilities: 0,
            },
            link: LinkConfig::default(),
            seed: 1,
            clock: Clock::start(),
        };
        let end = tokio::spawn(async move {
            let mut member = Recorder {
                told: teller,
                unsent: VecDeque::new(),
                up: false,
                closed: false,
                over: false,
                deadline: None,
            };
            drive.run(&mut member, queue).await
        });
        Self { streams, commands, told, end }
    }

    async fn connection(&self) -> ManagerEnd {
        let (near, far) = duplex(64 * 1024);
        self.streams.send(near).unwrap();
        ManagerEnd::greeted(far).await
    }

    async fn next(&mut self) -> String {
        self.told.recv().await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_from_greeting_to_goodbye() {
    let mut stage = Stage::open();
    let mut manager = stage.connection().await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    stage.commands.send(1).unwrap();
    assert_eq!(manager.hear().await, Some(PeerMessage::StatusRequest { id: MessageId(1) }));
    let data = ManagerMessage::Data { job: JobId(3), bytes: 2 };
    manager.say(&data, &[Payload::from_static(b"ab")]).await;
    assert_eq!(stage.next().await, "data 3 b\"ab\"");
    manager.say(&ManagerMessage::Ping, &[]).await;
    assert_eq!(manager.hear().await, Some(PeerMessage::Pong));
    // What was sent before the last handle went is still said.
    stage.commands.send(2).unwrap();
    drop(stage.commands);
    assert_eq!(manager.hear().await, Some(PeerMessage::StatusRequest { id: MessageId(2) }));
    assert_eq!(manager.hear().await, Some(PeerMessage::Leaving { reason: LeavingReason::Done }));
    assert_eq!(manager.hear().await, None);
    drop(manager);
    assert!(matches!(stage.end.await.unwrap(), End::Left));
}

#[tokio::test(start_paused = true)]
async fn more_than_the_streams_and_the_outbox_hold_goes_through() {
    const COMMANDS: u64 = 200_000;
    let mut stage = Stage::open();
    let mut manager = stage.connection().await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    (0..COMMANDS).for_each(|id| stage.commands.send(id).unwrap());
    for id in 0..COMMANDS {
        assert_eq!(manager.hear().await, Some(PeerMessage::StatusRequest { id: MessageId(id) }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_manager_is_found_again() {
    let mut stage = Stage::open();
    let mut manager = stage.connection().await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    let leaving = ManagerMessage::Leaving {
        code: ErrorCode::Shutdown,
        message: "good night".into(),
        retry: true,
        retry_after_ms: 0,
    };
    manager.say(&leaving, &[]).await;
    assert_eq!(stage.next().await, "down the manager ended the session: ESHUTDOWN: good night");
    stage.commands.send(1).unwrap();
    let mut manager = stage.connection().await.welcome(8).await;
    assert_eq!(stage.next().await, "up 8");
    assert_eq!(manager.hear().await, Some(PeerMessage::StatusRequest { id: MessageId(1) }));
    drop(manager);
    assert_eq!(stage.next().await, "down the manager closed the connection");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_at_the_first_handshake_is_the_end() {
    let mut stage = Stage::open();
    let mut manager = stage.connection().await;
    let refusal = Refusal {
        code: ErrorCode::Unauthorized,
        message: "no token".into(),
        retry: false,
        retry_after_ms: 0,
    };
    manager.answer(Answer::Refused(refusal)).await;
    assert_eq!(stage.next().await, "down the manager refuses: EAUTH: no token");
    assert!(matches!(stage.end.await.unwrap(), End::GaveUp(LinkError::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn somebody_who_is_no_manager_is_quoted() {
    let mut stage = Stage::open();
    let mut other = stage.connection().await;
    other.stream.write_all(b"HTTP/1.1 400 Bad Request\r\n").await.unwrap();
    let told = stage.next().await;
    assert!(
        told.contains("the hatch answers") && told.contains("\"HTTP/1.1 400 Bad Request\\r\\n\""),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_manager_is_pinged_and_then_given_up() {
    let mut stage = Stage::open();
    let mut manager = stage.connection().await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    let begin = Instant::now();
    assert_eq!(manager.hear().await, Some(PeerMessage::Ping));
    assert_eq!(begin.elapsed().as_secs(), 5);
    manager.say(&ManagerMessage::Pong, &[]).await;
    assert_eq!(manager.hear().await, Some(PeerMessage::Ping));
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(manager.hear().await, None);
    assert_eq!(begin.elapsed().as_secs(), 35);
    assert!(stage.next().await.starts_with("down not a byte"));
}

#[tokio::test(start_paused = true)]
async fn a_greeting_that_never_ends_is_given_up_and_tried_again() {
    let mut stage = Stage::open();
    let _silent = stage.connection().await;
    let begin = Instant::now();
    assert_eq!(stage.next().await, "down no answer from the hatch within 5s");
    assert_eq!(begin.elapsed().as_secs(), 5);
    let _manager = stage.connection().await.welcome(9).await;
    assert_eq!(stage.next().await, "up 9");
}

#[tokio::test(start_paused = true)]
async fn what_was_received_is_read_before_a_clock_fires() {
    let mut stage = Stage::open();
    let mut manager = stage.connection().await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    let data = ManagerMessage::Data { job: JobId(3), bytes: 0 };
    for _ in 0..7 {
        tokio::time::advance(Duration::from_secs(4)).await;
        manager.say(&data, &[Payload::new()]).await;
        assert_eq!(stage.next().await, "data 3 b\"\"");
    }
    // Nothing of this runs the loop: the answer arrives, and the clock passes, while the task is not polled.
    manager.say(&data, &[Payload::new()]).await;
    let jump = Duration::from_secs(100);
    tokio::time::advance(jump).await;
    assert_eq!(stage.next().await, "data 3 b\"\"");
    assert_eq!(stage.next().await, "expired");
}
