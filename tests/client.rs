//! The client library against a real manager over TCP, with a worker that is no more than its words on the wire.

use futures_util::StreamExt;
use proletariat::Manager;
use proletariat::client::{Client, SystemMessage, Update, WorkOptions};
use proletariat::manager::selector::{Candidate, Candidates, Random, Request, Selector};
use proletariat::net::connect::{LinkError, Tcp};
use proletariat::net::drive::{Clock, Drive, Member};
use proletariat::net::link::LinkConfig;
use proletariat::net::{Order, Outbox, Tail};
use proletariat::worker::{Cancelled, Run, Worker};
use proletariat_protocol::handshake::{Hello, Roles, Welcome};
use proletariat_protocol::job::WorkResult;
use proletariat_protocol::message::{FinishedRun, LeavingReason, ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{ErrorCode, InstanceId, Offer, Payload, Time};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// More than any test needs, so that a hang is a failure and not a wait for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers every job with its payload.
struct Echo {
    offer: Option<Offer>,
    runs: Vec<FinishedRun>,
    payloads: Vec<Payload>,
    closed: bool,
}

impl Member for Echo {
    type Command = ();

    fn command(&mut self, _now: Time, (): ()) {}

    fn commands_closed(&mut self, _now: Time) {
        self.closed = true;
    }

    fn link_up(&mut self, _now: Time, _welcome: &Welcome) {
        self.offer = Some(Offer::new(1_000));
    }

    fn link_down(&mut self, _now: Time, _error: &LinkError, _next: Option<Time>) {
        self.runs.clear();
        self.payloads.clear();
    }

    fn receive(&mut self, _now: Time, message: ManagerMessage, mut tail: Tail<'_>) {
        let ManagerMessage::Assign { executions } = message else { return };
        for execution in executions {
            let (assignment, bytes) = (execution.assignment, execution.bytes);
            self.runs.push(FinishedRun { assignment, result: WorkResult::Done, bytes });
            self.payloads.push(tail.take(bytes));
        }
    }

    fn expire(&mut self, _now: Time) {}

    fn poll(&mut self, _now: Time, outbox: &mut Outbox) {
        if let Some(offer) = self.offer.take() {
            outbox.push(&PeerMessage::Offer(offer), &[], Order::Free);
        }
        if !self.runs.is_empty() {
            let runs = std::mem::take(&mut self.runs);
            outbox.push(&PeerMessage::Finished { runs }, &self.payloads, Order::Free);
            self.payloads.clear();
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }

    fn wants_to_leave(&self) -> Option<LeavingReason> {
        self.closed.then_some(LeavingReason::Done)
    }
}

/// Runs until the sender is dropped.
fn echo(port: u16) -> mpsc::UnboundedSender<()> {
    let (keep, commands) = mpsc::unbounded_channel();
    let drive = Drive {
        connector: Tcp::new(format!("127.0.0.1:{port}"), Duration::from_secs(5)),
        hello: Hello {
            instance: InstanceId(rand::random()),
            roles: Roles { worker: true, ..Roles::default() },
            name: "echo".into(),
            token: None,
            capabilities: 0,
        },
        link: LinkConfig { retry_time: Duration::from_millis(50), ..LinkConfig::default() },
        seed: rand::random(),
        clock: Clock::start(),
    };
    tokio::spawn(async move {
        let mut member = Echo { offer: None, runs: Vec::new(), payloads: Vec::new(), closed: false };
        drive.run(&mut member, commands).await
    });
    keep
}

fn manager(port: u16) -> Manager {
    Manager::builder().port(port).start().expect("a free port")
}

async fn client(port: u16) -> Client {
    Client::connect(format!("127.0.0.1:{port}")).await.expect("a manager listens")
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("a test that does not hang")
}

#[tokio::test]
async fn jobs_come_back_through_a_real_manager() {
    let manager = manager(0);
    let port = manager.local_addr().port();
    let _worker = echo(port);
    let client = client(port).await;
    let payloads: Vec<String> = (0..50_000).map(|number| number.to_string()).collect();
    let outcomes = in_time(client.work(payloads.clone(), WorkOptions::default())).await.unwrap();
    for (outcome, payload) in outcomes.into_iter().zip(&payloads) {
        assert_eq!(outcome.unwrap(), payload.as_bytes());
    }
    let sizes = [0, 1, 100_000, 300_000, 5 << 20, 20 << 20];
    let large: Vec<Payload> = sizes.iter().map(|&size| vec![7; size].into()).collect();
    let outcomes = in_time(client.work(large.clone(), WorkOptions::default())).await.unwrap();
    assert!(outcomes.into_iter().zip(large).all(|(outcome, payload)| outcome == Ok(payload)));
    let over = in_time(client.work([vec![7; (20 << 20) + 1]], WorkOptions::default())).await.unwrap();
    assert_eq!(over[0].as_ref().unwrap_err().code, ErrorCode::TooLarge);
    assert!(in_time(client.status()).await.unwrap().starts_with('{'));
}

/// Stands between client and manager, and lets no more bytes of the client through than there are permits.
async fn narrow(manager: u16, room: Arc<Semaphore>) -> u16 {
    let socket = TcpSocket::new_v4().expect("a socket");
    // What waits in the system's buffers is before everything that is sent later, so they are kept small.
    socket.set_recv_buffer_size(64 * 1024).expect("a size");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let listener = socket.listen(1).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("a client");
        let manager = TcpStream::connect(("127.0.0.1", manager)).await.expect("a manager");
        let ((mut from_client, mut to_client), (mut from_manager, mut to_manager)) =
            (client.into_split(), manager.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut from_manager, &mut to_client).await });
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(bytes @ 1..) = from_client.read(&mut buffer).await {
            room.acquire_many(bytes as u32).await.expect("never closed").forget();
            to_manager.write_all(&buffer[..bytes]).await.expect("a manager reads");
        }
    });
    port
}

#[tokio::test]
async fn a_large_job_does_not_hold_up_a_small_one_of_the_same_client() {
    const LARGE: usize = 16 << 20;
    const STEP: usize = 256 * 1024;
    let manager = manager(0);
    let _worker = echo(manager.local_addr().port());
    let room = Arc::new(Semaphore::new(STEP));
    let client = client(narrow(manager.local_addr().port(), Arc::clone(&room)).await).await;
    let work = |payload: Vec<u8>| {
        let client = client.clone();
        tokio::spawn(async move { client.work([payload], WorkOptions::default()).await.unwrap() })
    };
    let used_up = async || {
        while room.available_permits() >= 16 * 1024 {
            tokio::task::yield_now().await;
        }
    };
    let large = work(vec![7; LARGE]);
    in_time(used_up()).await;
    let mut small = work(b"small".to_vec());
    // Less than all of the large job gets through: if the small one had to follow it, it would not be answered.
    let mut answer = None;
    for _ in 2..LARGE / STEP {
        room.add_permits(STEP);
        tokio::select! {
            small = &mut small => answer = Some(small.unwrap()),
            () = in_time(used_up()) => {}
        }
        if answer.is_some() {
            break;
        }
    }
    let answer = answer.expect("the small job passes the large one");
    assert_eq!(answer[0].as_ref().unwrap(), &b"small"[..]);
    assert!(!large.is_finished());
    room.add_permits(2 * LARGE);
    let large = in_time(large).await.unwrap();
    assert!(large[0].as_ref().is_ok_and(|result| result.len() == LARGE));
}

#[tokio::test]
async fn a_large_chunk_comes_after_a_small_one_that_was_taken() {
    const LARGE: usize = 300_000;
    let manager = manager(0);
    let port = manager.local_addr().port();
    let handler = |run: Run| async move {
        run.send("small").await?;
        run.send(vec![7_u8; LARGE]).await?;
        Ok::<_, Cancelled>("end")
    };
    let _worker = in_time(Worker::builder().port(port).handler(handler).start()).await.unwrap();
    let client = client(port).await;
    let mut updates = client.work_updates(["go"], WorkOptions::default()).unwrap();
    let mut lengths = Vec::new();
    while let Some((_, update)) = in_time(updates.next()).await {
        match update {
            Update::Data(chunk) => lengths.push(chunk.len()),
            Update::Outcome(outcome) => assert_eq!(outcome.unwrap(), "end"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lengths, [5, LARGE]);
}

#[tokio::test]
async fn more_system_messages_at_once_than_a_manager_takes_wait_for_their_turn() {
    let manager = manager(0);
    let port = manager.local_addr().port();
    let (sender, listener) = (client(port).await, client(port).await);
    let (heard, mut hears) = mpsc::unbounded_channel();
    let callback = move |message: SystemMessage| {
        heard.send(message.content).unwrap();
        async {}
    };
    listener.on_system_message(callback).unwrap();
    let messages =
        (0..1_000_u32).map(|n| sender.system_message(n.to_string(), Recipient::All, Duration::ZERO));
    for report in in_time(futures_util::future::join_all(messages)).await {
        let report = report.expect("nobody is sent away for many messages");
        assert_eq!((report.sent_to, report.received_by), (1, 1));
    }
    for _ in 0..1_000 {
        assert!(in_time(hears.recv()).await.is_some());
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_manager_is_replaced_under_load() {
    const JOBS: usize = 30_000;
    let first = manager(0);
    let port = first.local_addr().port();
    let _worker = echo(port);
    let client = client(port).await;
    let (group, outcomes) = client.open_group(WorkOptions::default()).unwrap();
    let feeding = tokio::spawn(async move {
        for number in 0..JOBS {
            assert_eq!(group.submit(number.to_string()).await.unwrap(), number);
        }
        group.close();
    });
    let mut outcomes = outcomes.enumerate();
    let mut seen = vec![false; JOBS];
    let mut first = Some(first);
    let mut second = None;
    while let Some((count, (index, outcome))) = in_time(outcomes.next()).await {
        assert!(!std::mem::replace(&mut seen[index], true), "a second outcome for {index}");
        assert_eq!(outcome.unwrap(), index.to_string().as_bytes());
        if count == JOBS / 3 {
            let first = first.take().unwrap();
            first.stop();
            in_time(first.ended()).await;
            drop(first);
            second = Some(manager(port));
        }
    }
    in_time(feeding).await.unwrap();
    assert!(second.is_some() && seen.into_iter().all(|seen| seen));
}

#[tokio::test]
async fn bounds_of_the_manager_are_waited_for() {
    let manager = Manager::builder().port(0).max_queued_jobs_per_client(500).start().unwrap();
    let port = manager.local_addr().port();
    let _worker = echo(port);
    let client = client(port).await;
    let payloads: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    let outcomes = in_time(client.work(payloads, WorkOptions::default())).await.unwrap();
    assert!(outcomes.into_iter().all(|outcome| outcome.is_ok()));
    let no_wait: Vec<_> = (0..10_000).map(|number| number.to_string()).collect();
    let outcomes = in_time(client.work(no_wait, WorkOptions::default().no_wait())).await.unwrap();
    assert!(outcomes.iter().any(|outcome| outcome.as_ref().is_err_and(|e| e.code == ErrorCode::Overload)));
}

#[tokio::test]
async fn what_nobody_takes_fails_at_once_or_at_its_clock_or_is_aborted() {
    let manager = manager(0);
    let port = manager.local_addr().port();
    let client = client(port).await;
    let code = |options| async {
        let outcomes = in_time(client.work(["a"], options)).await.unwrap();
        outcomes.into_iter().next().unwrap().unwrap_err().code
    };
    let options = WorkOptions::default();
    assert_eq!(code(options.clone().no_wait()).await, ErrorCode::NoWorker);
    let short = Duration::from_millis(30);
    assert_eq!(code(options.clone().assign_timeout(short)).await, ErrorCode::AssignTimeout);
    assert_eq!(code(options.clone().timeout(short)).await, ErrorCode::CallTimeout);
    let (group, mut outcomes) = client.open_group(options).unwrap();
    let index = in_time(group.submit("a")).await.unwrap();
    group.abort(index).unwrap();
    let (_, outcome) = in_time(outcomes.next()).await.unwrap();
    assert_eq!(outcome.unwrap_err().code, ErrorCode::Aborted);
    group.close();
    assert!(in_time(outcomes.next()).await.is_none());
    in_time(client.shutdown()).await;
}

/// Breaks over the first job that it is asked about.
#[derive(Debug)]
struct Broken;

impl Selector for Broken {
    fn select(&mut self, _: &Request<'_>, _: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        panic!("two tables disagree");
    }
}

#[tokio::test]
async fn peers_of_a_manager_that_broke_come_back_and_submit_again() {
    let broken = Manager::builder().port(0).selector(Broken).start().unwrap();
    let port = broken.local_addr().port();
    let worker = Worker::builder().port(port).retry_time(Duration::from_millis(50));
    let worker = worker.handler(|run: Run| async move { Ok::<_, String>(run.payload().clone()) });
    let _worker = worker.start().await.unwrap();
    let client = Client::connect(broken.local_addr().to_string()).await.unwrap();
    let work = client.work(["x", "y"], WorkOptions::default());
    let next = async {
        broken.ended().await;
        Manager::builder().port(port).start().unwrap()
    };
    let (outcomes, _next) = tokio::time::timeout(LIMIT, async { tokio::join!(work, next) }).await.unwrap();
    let outcomes: Vec<_> = outcomes.unwrap().into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes, ["x", "y"], "the next manager has them done");
}
