//! The loop over a stream in memory, with the manager's end played by hand.

mod leave;

use super::*;
use crate::net::hatch::{Hatch, ManagerEnd};
use proletariat_protocol::handshake::{Answer, Refusal, Roles};
use proletariat_protocol::message::{LeavingReason, Recipient};
use proletariat_protocol::{ErrorCode, InstanceId, JobId, MessageId, Payload};
use std::collections::VecDeque;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;

/// Stands for a message of [`LARGE_BYTES`]: far more than the stream holds.
const LARGE: u64 = u64::MAX;
const LARGE_BYTES: u32 = 2 * 1024 * 1024;

/// What comes for this job has a task compute for so long, without a pause.
const COMPUTING: JobId = JobId(u64::MAX);
const COMPUTING_TIME: Duration = Duration::from_secs(3);

/// Sends what it is told to, and tells everything that happens to it.
struct Recorder {
    told: UnboundedSender<String>,
    unsent: VecDeque<u64>,
    up: bool,
    closed: bool,
    over: bool,
    deadline: Option<Time>,
    patience: Option<Time>,
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
            if job == COMPUTING {
                tokio::spawn(async { std::thread::sleep(COMPUTING_TIME) });
            }
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
            if id == LARGE {
                let (id, to, bytes) = (MessageId(id), Recipient::Manager, LARGE_BYTES);
                let message = PeerMessage::SystemMessage { id, to, timeout_ms: 0, bytes };
                outbox.push(&message, &[vec![7; LARGE_BYTES as usize].into()], Order::Free);
                continue;
            }
            outbox.push(&PeerMessage::StatusRequest { id: MessageId(id) }, &[], Order::Free);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.deadline
    }

    fn wants_to_leave(&self) -> Option<LeavingReason> {
        (self.over || self.closed && self.unsent.is_empty()).then_some(LeavingReason::Done)
    }

    fn unsent_until(&self) -> Option<Time> {
        self.patience
    }
}

struct Stage {
    hatch: Hatch,
    commands: UnboundedSender<u64>,
    told: UnboundedReceiver<String>,
    end: tokio::task::JoinHandle<End>,
}

impl Stage {
    fn open() -> Self {
        Self::of_patience(None)
    }

    /// The member's end of the wait for what it has not written, from the start of the clock on.
    fn of_patience(patience: Option<Duration>) -> Self {
        let (hatch, connector) = Hatch::open();
        let (commands, queue) = unbounded_channel();
        let (teller, told) = unbounded_channel();
        let clock = Clock::start();
        let patience = patience.map(|patience| clock.now() + patience);
        let drive = Drive {
            connector,
            hello: Hello {
                instance: InstanceId([1; 16]),
                roles: Roles { client: true, ..Roles::default() },
                name: "recorder".into(),
                token: None,
                capabilities: 0,
            },
            link: LinkConfig::default(),
            seed: 1,
            clock,
        };
        let end = tokio::spawn(async move {
            let mut member = Recorder {
                told: teller,
                unsent: VecDeque::new(),
                up: false,
                closed: false,
                over: false,
                deadline: None,
                patience,
            };
            drive.run(&mut member, queue).await
        });
        Self { hatch, commands, told, end }
    }

    async fn connection(&self) -> ManagerEnd {
        let end = self.hatch.connection().await;
        assert_eq!(end.hello.name, "recorder");
        end
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

/// The stream takes and gives as much as there is, as between two machines of which the other one is faster.
#[tokio::test(start_paused = true)]
async fn a_flood_either_way_leaves_turns_to_what_else_the_thread_has_to_do() {
    const FLOOD: u64 = 8;
    const MOST: usize = 4 * YIELD_BYTES;
    let mut stage = Stage::open();
    let wide = 2 * FLOOD as usize * LARGE_BYTES as usize;
    let mut manager = stage.hatch.wide_connection(wide).await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    (0..FLOOD).for_each(|_| stage.commands.send(LARGE).unwrap());
    let (mut taken, mut buffer) = (0, vec![0; wide]);
    while taken < FLOOD as usize * LARGE_BYTES as usize {
        let bytes = manager.stream.read(&mut buffer).await.unwrap();
        assert!(bytes <= MOST, "{bytes} bytes at once");
        taken += bytes;
    }
    // Of a size that needs no fragments, and as much of it.
    let bytes = 64 * 1024;
    let data = ManagerMessage::Data { job: JobId(3), bytes };
    let count = FLOOD * u64::from(LARGE_BYTES / bytes);
    let there_and_heard = async {
        for _ in 0..count {
            manager.say(&data, &[vec![7; bytes as usize].into()]).await;
        }
        for _ in 0..count {
            stage.next().await;
            let at_once = 1 + stage.told.len();
            assert!(at_once <= MOST / bytes as usize, "{at_once} messages at once");
        }
    };
    // It never makes way by itself.
    tokio::task::unconstrained(there_and_heard).await;
}

/// The thread that has read the flood is the one that begins to compute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_goes_on_while_another_task_computes() {
    const COUNT: usize = 64;
    let mut stage = Stage::open();
    let bytes = 64 * 1024;
    let mut manager = stage.hatch.wide_connection(2 * COUNT * bytes as usize).await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    let payload = Payload::from(vec![7; bytes as usize]);
    for number in 0..COUNT {
        let job = if number == 0 { COMPUTING } else { JobId(3) };
        manager.say(&ManagerMessage::Data { job, bytes }, std::slice::from_ref(&payload)).await;
    }
    let begin = Instant::now();
    for _ in 0..COUNT {
        stage.next().await;
    }
    assert!(begin.elapsed() < COMPUTING_TIME / 2, "it took {:?}", begin.elapsed());
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
