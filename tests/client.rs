//! The client library against a real manager over TCP, with a worker that is no more than its words on the wire.

use futures_util::StreamExt;
use proletariat::Manager;
use proletariat::client::{Client, WorkOptions};
use proletariat::net::connect::{LinkError, Tcp};
use proletariat::net::drive::{Clock, Drive, Member};
use proletariat::net::link::LinkConfig;
use proletariat::net::{Order, Outbox, Tail};
use proletariat_protocol::handshake::{Hello, Roles, Welcome};
use proletariat_protocol::job::WorkResult;
use proletariat_protocol::message::{FinishedRun, LeavingReason, ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, InstanceId, Offer, Payload, Time};
use std::time::Duration;
use tokio::sync::mpsc;

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
            payload_bytes_max: 32 << 20,
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
