//! Whole sessions: bytes of up to four connections go through the manager's own driver (greeting, inbox, dialects, liveness, outboxes)
//! with the real scheduler behind it, turn by turn in virtual time. After each turn the scheduler's tables agree and what is said to a
//! peer is what the wire allows; the driver comes to rest; and when all have gone, nothing of them is left.

use super::wire::{Wire, wire};
use crate::hostile::input::Input;
use crate::manager::accept::Acceptor;
use crate::manager::busy_poll::{BusyPoll, BusyPolling};
use crate::manager::config::Config;
use crate::manager::driver::Driver;
use crate::manager::events::{Events, Notices};
use crate::manager::handle::Command;
use crate::manager::poller::Poller;
use crate::manager::ready::Doorbell;
use crate::manager::selector::RandomWeighted;
use crate::manager::status::StatusDesk;
use bytes::BytesMut;
use proletariat_protocol::frame::put_message_start;
use proletariat_protocol::handshake::{Hello, Preamble, Roles};
use proletariat_protocol::message::{FinishedRun, PeerMessage, Recipient};
use proletariat_protocol::{
    Guarantee, HandBackReason, InstanceId, JobId, JobOptions, Kinds, MessageId, Offer, PeerId, Time,
    WorkResult,
};
use proletariat_scheduler::Scheduler;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// Connections at a time.
const WIRES: usize = 4;
/// So many turns without a rest are too many: what comes in is some hundred bytes.
const TURNS_MAX: u32 = 400;
/// Deadlines that one step of time stops at.
const STOPS_MAX: u32 = 40;
/// Whoever holds the doorbell beside the connections: the driver, and this house.
const BELLS: usize = 2;

/// What all inputs of a thread share, because it is dear: a runtime whose time stands still, and a port.
struct Stage {
    runtime: Runtime,
    listener: std::net::TcpListener,
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

struct House {
    driver: Driver,
    doorbell: Arc<Doorbell<Command>>,
    flag: Arc<Flag>,
    waker: Waker,
    wires: [Option<Wire>; WIRES],
    /// The number of the next job of each.
    jobs: [u64; WIRES],
    _events: Option<Events>,
}

thread_local! {
    static STAGE: Stage = Stage {
        runtime: Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime"),
        listener: {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
            listener.set_nonblocking(true).expect("a socket of ours");
            listener
        },
    };
}

/// The first byte has the settings; then come steps: a byte that tells who and what, and what belongs to it.
pub(crate) fn session(data: &[u8]) {
    STAGE.with(|stage| {
        let listener = stage.listener.try_clone().expect("a descriptor");
        stage.runtime.block_on(tokio::task::unconstrained(play(data, listener)));
    });
}

async fn play(data: &[u8], listener: std::net::TcpListener) {
    let mut input = Input(data);
    let mut house = House::new(input.byte(), listener);
    while !input.is_empty() {
        house.step(&mut input).await;
        house.rest();
    }
    house.end();
}

fn config(settings: u8) -> Config {
    let is_set = |bit: u8| settings & (1 << bit) != 0;
    let mut config = Config { no_json: is_set(3), ..Config::default() };
    config.scheduler.sacred_guarantees = is_set(0);
    config.scheduler.hold_similar_work = is_set(1);
    if is_set(2) {
        config.outbox_pause_bytes = 64;
        config.outbox_bytes_max = 4_096;
        config.scheduler.payload_bytes_max = 100;
        config.scheduler.queued_jobs_max = 4;
        config.scheduler.queued_jobs_per_client_max = 3;
        config.scheduler.queued_bytes_max = 200;
    }
    if is_set(4) {
        config.scheduler.avail_threshold = 50;
        config.scheduler.distrib_randmax = Duration::from_millis(100);
    }
    if is_set(5) {
        config.connections_max = 2;
    }
    if is_set(6) {
        config.scheduler.max_attempts = 1;
    }
    config
}

impl House {
    fn new(settings: u8, listener: std::net::TcpListener) -> Self {
        let (doorbell, notices) = (Doorbell::new(), Notices::new());
        let poller = Poller::new(BusyPoll::new(BusyPolling::Never)).expect("descriptors");
        let listener = mio::net::TcpListener::from_std(listener);
        let acceptor = Acceptor::new(listener, poller.registry()).expect("a socket has an address");
        let events = (settings >= 0x80).then(|| {
            let _ = doorbell.send(Command::Watch);
            notices.downgrade().subscribe()
        });
        let config = config(settings);
        let status = StatusDesk::new(&config);
        let config = config.in_numbers();
        let scheduler = Scheduler::new(config.scheduler.clone(), Box::new(RandomWeighted), 7);
        let bell = Arc::clone(&doorbell);
        let driver = Driver::new(config, scheduler, bell, acceptor, notices, status, poller);
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let (wires, jobs) = ([const { None }; WIRES], [0; WIRES]);
        Self { driver, doorbell, flag, waker, wires, jobs, _events: events }
    }

    /// Turns until nothing is left to do.
    fn rest(&mut self) {
        for _ in 0..TURNS_MAX {
            self.flag.0.store(false, Ordering::Release);
            let now = self.driver.clock.now();
            let turn = self.driver.turn(now, &mut Context::from_waker(&self.waker));
            assert!(turn.is_pending(), "the manager has ended");
            self.driver.scheduler.audit();
            self.wires.iter_mut().flatten().for_each(Wire::hear);
            self.await_texts();
            if !self.flag.0.load(Ordering::Acquire) {
                return;
            }
        }
        panic!("it never rests");
    }

    /// The text of a status is made on another thread, which holds the doorbell until it is done.
    fn await_texts(&self) {
        let begin = Instant::now();
        while Arc::strong_count(&self.doorbell) > BELLS + self.driver.connections.count() {
            assert!(begin.elapsed() < Duration::from_secs(20), "no text comes");
            std::thread::yield_now();
        }
    }

    async fn step(&mut self, input: &mut Input<'_>) {
        let code = input.byte();
        let who = usize::from(code % 4);
        match code / 4 % 12 {
            0 => self.wire(who).say(input.counted()),
            1 => {
                let content = input.counted();
                let length = u32::try_from(content.len()).expect("at most 255 bytes");
                self.wire(who).say(&[&length.to_be_bytes(), content].concat());
            }
            2 => self.greet(who, input.byte()),
            3 => {
                let short = input.counted();
                let text = [b"{\"command\":\"", short, b"}"].concat();
                let length = u32::try_from(text.len()).expect("some hundred bytes");
                self.wire(who).say(&[&length.to_be_bytes(), &*text].concat());
            }
            4 => self.pass(input.byte()).await,
            5 => {
                if let Some(wire) = self.wires[who].take() {
                    wire.close();
                }
            }
            6 => self.wire(who).toggle(),
            7 => self.submit(who, input),
            8 => self.offer(who, input),
            9 => self.about_work(who, input),
            10 => self.about_messages(who, input),
            _ => {
                let (first, count) = (JobId(u64::from(input.byte())), u64::from(input.byte()));
                let say = match count {
                    0 => PeerMessage::Credit { job: first, bytes: 1 << 16 },
                    _ => PeerMessage::Abort { first, count },
                };
                self.say(who, &say, &[]);
            }
        }
    }

    /// The connection of this number, a new one if there is none.
    fn wire(&mut self, who: usize) -> &Wire {
        let place = &mut self.wires[who];
        if place.as_ref().is_none_or(Wire::is_shut) {
            let (wire, stream) = wire();
            let adopted = self.doorbell.send(Command::Adopt(Box::new(stream)));
            assert!(adopted.is_ok());
            self.jobs[who] = 0;
            if let Some(old) = place.replace(wire) {
                old.close();
            }
        }
        self.wires[who].as_ref().expect("just opened")
    }

    fn greet(&mut self, who: usize, how: u8) {
        let all = how & 7 == 0;
        let roles =
            Roles { client: all || how & 1 != 0, worker: all || how & 2 != 0, admin: all || how & 4 != 0 };
        // Sessions of one process take the place of each other.
        let instance = if how & 8 == 0 { u8::try_from(who).expect("one of four") } else { 77 };
        let hello = Hello {
            instance: InstanceId([instance; 16]),
            roles,
            name: "f".into(),
            token: None,
            capabilities: 0,
        };
        let mut bytes = BytesMut::from(&Preamble::OURS.encode()[..]);
        hello.encode(&mut bytes).expect("a short name");
        self.wire(who).say(&bytes);
    }

    fn say(&mut self, who: usize, message: &PeerMessage, tail: &[u8]) {
        let mut bytes = BytesMut::new();
        put_message_start(&mut bytes, message);
        bytes.extend_from_slice(tail);
        self.wire(who).say(&bytes);
    }

    fn submit(&mut self, who: usize, input: &mut Input<'_>) {
        let (how, clocks) = (input.byte(), input.byte());
        let tail = input.counted();
        let jobs = 1 + usize::from(how % 4);
        let clock = |bit: u8| if clocks & (1 << bit) == 0 { 0 } else { 1 + u32::from(clocks) * 5 };
        let options = JobOptions {
            priority: u32::from(how >> 4 & 3),
            kind: (how & 0x04 != 0).then(|| "k".into()),
            key: (how & 0x08 != 0).then(|| vec![how >> 7]),
            timeout_ms: clock(0),
            assign_timeout_ms: clock(1),
            run_timeout_ms: clock(2),
            max_attempts: (clocks & 0x08 != 0).then_some(u16::from(clocks >> 6)),
            no_wait: clocks & 0x10 != 0,
            stream: how & 0x40 != 0,
        };
        let bytes = |job: usize| tail.len() / jobs + if job == 0 { tail.len() % jobs } else { 0 };
        let payload_bytes = (0..jobs).map(|job| u32::try_from(bytes(job)).expect("at most 255")).collect();
        // A new connection counts from zero.
        self.wire(who);
        let first = JobId(self.jobs[who]);
        self.jobs[who] += jobs as u64;
        self.say(who, &PeerMessage::Submit { first, options, payload_bytes }, tail);
    }

    fn offer(&mut self, who: usize, input: &mut Input<'_>) {
        let (slots, how) = (u32::from(input.byte() % 8), input.byte());
        if slots == 0 {
            return self.say(who, &PeerMessage::Withdraw, &[]);
        }
        let guarantee = |bound| Guarantee { bound, slots: u32::from(how >> (2 * bound) & 3) };
        let guarantees = (1..=u32::from(how & 3)).map(guarantee).collect();
        let kinds = if how & 0x80 == 0 { Kinds::Any } else { Kinds::Only(vec!["k".into()]) };
        self.say(who, &PeerMessage::Offer(Offer { slots, guarantees, kinds }), &[]);
    }

    /// Something about one of the executions that it was given, which may be over for long.
    fn about_work(&mut self, who: usize, input: &mut Input<'_>) {
        use HandBackReason::{Busy, Leaving, NotMyKind, Unfit};
        let (how, tail) = (input.byte(), input.counted());
        let given = &self.wire(who).assignments;
        let Some(&assignment) = given.iter().rev().nth(usize::from(how >> 4)) else { return };
        let bytes = u32::try_from(tail.len()).expect("at most 255");
        let finished =
            |result| PeerMessage::Finished { runs: vec![FinishedRun { assignment, result, bytes }] };
        let message = match how & 15 {
            0 => PeerMessage::Started { assignments: vec![assignment] },
            1 | 2 => return self.say(who, &finished(WorkResult::Done), tail),
            3 => return self.say(who, &finished(WorkResult::Failed), tail),
            4 => return self.say(who, &finished(WorkResult::RunTimeout), tail),
            5 => return self.say(who, &finished(WorkResult::TooLarge), tail),
            6 => PeerMessage::HandBack { assignment, reason: Busy },
            7 => PeerMessage::HandBack { assignment, reason: NotMyKind },
            8 => PeerMessage::HandBack { assignment, reason: Unfit },
            9 => PeerMessage::HandBack { assignment, reason: Leaving },
            10 => PeerMessage::Crashed { assignment, message: tail.escape_ascii().to_string() },
            11 | 12 => PeerMessage::Stopped { assignment },
            13 => return self.say(who, &PeerMessage::Data { assignment, bytes }, tail),
            14 => PeerMessage::Progress { assignment, done: 1, total: u64::from(bytes) },
            _ => PeerMessage::Pong,
        };
        self.say(who, &message, &[]);
    }

    fn about_messages(&mut self, who: usize, input: &mut Input<'_>) {
        let (how, tail) = (input.byte(), input.counted());
        let bytes = u32::try_from(tail.len()).expect("at most 255");
        let to = match how % 8 {
            0 | 1 => Recipient::All,
            2 => Recipient::Manager,
            peer @ 3..=6 => Recipient::Peer(PeerId(u64::from(peer) - 2)),
            _ if how >= 0xf0 => return self.say(who, &PeerMessage::StatusRequest { id: MessageId(1) }, &[]),
            _ => {
                let id = self.wire(who).messages.last().copied().unwrap_or(0);
                return self.say(who, &PeerMessage::Confirm { id: MessageId(id) }, &[]);
            }
        };
        let (id, timeout_ms) = (MessageId(u64::from(how >> 5)), u32::from(how & 0x18));
        self.say(who, &PeerMessage::SystemMessage { id, to, timeout_ms, bytes }, tail);
    }

    /// Time passes, 1 µs to 134 s: from deadline to deadline, or at once, as if the manager had been stopped.
    async fn pass(&mut self, how: u8) {
        let target = self.driver.clock.now() + Duration::from_micros(1 << (how % 28));
        for _ in 0..if how < 0xc0 { STOPS_MAX } else { 0 } {
            let now = self.driver.clock.now();
            let due = [self.driver.scheduler.next_deadline(), self.driver.connections.agenda.next()];
            let Some(due) = due.into_iter().flatten().min().filter(|due| *due < target) else { break };
            self.pass_until(due.max(now + Duration::from_micros(1))).await;
            self.rest();
        }
        self.pass_until(target).await;
    }

    async fn pass_until(&self, time: Time) {
        let now = self.driver.clock.now();
        tokio::time::advance(time.since(now)).await;
    }

    /// All go; nothing of them stays.
    fn end(mut self) {
        self.wires.iter().flatten().for_each(Wire::close);
        self.rest();
        let status = self.driver.scheduler.status(self.driver.clock.now());
        assert_eq!(self.driver.connections.count(), 0);
        assert!(status.peers.is_empty() && status.workers.is_empty(), "{status:?}");
        let left = (status.open_jobs, status.queued_jobs, status.queued_bytes, status.assignments);
        assert_eq!((left, status.unconfirmed_messages), ((0, 0, 0, 0), 0));
    }
}
