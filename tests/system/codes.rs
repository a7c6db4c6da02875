//! Every error code, met at the end of a wire.

use crate::harness::{CLIENT, Greeted, Manager, Peer, Test, WORKER, connect, hello, read_to_end, until};
use proletariat::worker::{Ending, Run, Worker};
use proletariat_protocol::handshake::{Answer, PREAMBLE_BYTES, Preamble};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Offer, WorkResult};
use rustix::process::Signal;
use std::io::Write;
use tokio::runtime::Runtime;

/// Codes that the native wire has no occasion for: the first three answer faults that only a JSON object can have, the last one
/// a token, which a manager cannot be told to ask for yet.
const ELSEWHERE: [ErrorCode; 4] =
    [ErrorCode::InvalidWorkList, ErrorCode::NoRequestId, ErrorCode::UnknownCommand, ErrorCode::Unauthorized];

#[test]
fn every_code_is_met() {
    for code in ErrorCode::ALL.iter().filter(|code| !ELSEWHERE.contains(code)) {
        let test = Test::new();
        let met = match code {
            ErrorCode::CallTimeout => {
                unassigned(&test, JobOptions { timeout_ms: 30, ..JobOptions::default() })
            }
            ErrorCode::AssignTimeout => {
                unassigned(&test, JobOptions { assign_timeout_ms: 30, ..JobOptions::default() })
            }
            ErrorCode::NoWorker => unassigned(&test, JobOptions { no_wait: true, ..JobOptions::default() }),
            ErrorCode::RunTimeout => ended_by_worker(&test, WorkResult::RunTimeout),
            ErrorCode::WorkFailed => ended_by_worker(&test, WorkResult::Failed),
            ErrorCode::TooLarge => ended_by_worker(&test, WorkResult::TooLarge),
            ErrorCode::InvalidSlots => impossible_offer(&test),
            ErrorCode::Crash => crashed(&test),
            ErrorCode::Aborted => aborted(&test),
            ErrorCode::Shutdown => draining(&test),
            ErrorCode::Overload => overloaded(&test),
            ErrorCode::Version => strange_version(&test),
            ErrorCode::Protocol => out_of_role(&test),
            ErrorCode::DuplicateId => instance_twice(&test),
            other => panic!("a new code, which no test meets: {other}"),
        };
        assert_eq!(met, *code);
    }
}

fn unassigned(test: &Test, options: JobOptions) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut client = manager.peer(CLIENT);
    client.submit_with(options, &[b"x"]);
    client.outcome().code()
}

fn ended_by_worker(test: &Test, result: WorkResult) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"x"]);
    let (execution, _) = worker.execution();
    worker.end(execution.assignment, result, b"");
    client.outcome().code()
}

fn impossible_offer(test: &Test) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut worker = manager.peer(WORKER);
    worker.say(&PeerMessage::Offer(Offer::new(10).guarantee(1, 8).guarantee(5, 3)), &[]);
    let ManagerMessage::OfferRefused { code, message } = worker.hear().0 else { panic!("no refusal") };
    assert!(message.contains("range from 5") && message.contains("11"), "{message}");
    worker.offer(Offer::new(10));
    code
}

fn crashed(test: &Test) -> ErrorCode {
    let manager = test.manager(&["--max-attempts", "2"]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"x"]);
    for attempt in 1..=2 {
        let (execution, _) = worker.execution();
        assert_eq!(execution.attempt, attempt);
        let message = PeerMessage::Crashed { assignment: execution.assignment, message: "gone".into() };
        worker.say(&message, &[]);
    }
    client.outcome().code()
}

fn aborted(test: &Test) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"x"]);
    client.say(&PeerMessage::Abort { first: JobId(0), count: 1 }, &[]);
    client.outcome().code()
}

fn draining(test: &Test) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"holds the manager up"]);
    let (execution, _) = worker.execution();
    manager.process.signal(Signal::TERM);
    let refusal =
        until("newcomers are refused", || match Peer::try_join(manager.address(), &hello(CLIENT)) {
            Greeted::Refused(refusal) => Some(refusal),
            Greeted::Welcome(_) => None,
        });
    assert!(refusal.retry);
    let told = manager.ask(&["work", "--no-wait", "--output", "jsonl", "x"]);
    assert!(told.text().contains("ESHUTDOWN") || told.err.contains("ESHUTDOWN"), "{told:?}");
    worker.finish(execution.assignment, b"");
    assert!(client.outcome().result.is_ok(), "what runs is answered");
    refusal.code
}

fn overloaded(test: &Test) -> ErrorCode {
    let manager = test.manager(&["--max-queued-jobs", "2"]);
    let mut client = manager.peer(CLIENT);
    refused(&mut client, &[b"1", b"2", b"3"], "max_queued_jobs")
}

fn strange_version(test: &Test) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut stream = connect(manager.address());
    stream.write_all(&Preamble { version_min: 70, version_max: 90 }.encode()).unwrap();
    let answer = read_to_end(&stream);
    let Ok(Some((Answer::Refused(refusal), _))) = Answer::decode(&answer[PREAMBLE_BYTES..]) else {
        panic!("{answer:?}")
    };
    assert!(refusal.message.contains("70 to 90"), "{}", refusal.message);
    refusal.code
}

fn out_of_role(test: &Test) -> ErrorCode {
    let manager = test.manager(&[]);
    let mut client = manager.peer(CLIENT);
    client.say(&PeerMessage::Offer(Offer::new(1)), &[]);
    let ManagerMessage::Leaving { code, retry, .. } = client.hear_the_end() else { panic!("no farewell") };
    assert!(!retry);
    code
}

fn instance_twice(test: &Test) -> ErrorCode {
    let manager = test.manager(&[]);
    let hello = hello(CLIENT);
    let Greeted::Welcome(mut old) = Peer::try_join(manager.address(), &hello) else { panic!("refused") };
    let Greeted::Welcome(_new) = Peer::try_join(manager.address(), &hello) else { panic!("refused") };
    let ManagerMessage::Leaving { code, .. } = old.hear_the_end() else { panic!("no farewell") };
    code
}

/// Submits and is refused because of this bound, with a hint when to try again.
fn refused(client: &mut Peer, payloads: &[&[u8]], bound: &str) -> ErrorCode {
    client.submit(payloads);
    let (ManagerMessage::Refused { count, code, message, retry_after_ms, .. }, _) = client.hear() else {
        panic!("accepted")
    };
    assert_eq!(count, payloads.len() as u64, "a frame is refused whole");
    assert!(message.contains(bound), "{message}");
    assert!(retry_after_ms > 0);
    code
}

#[test]
fn each_bound_of_the_queue_refuses_and_the_connection_lives_on() {
    let test = Test::new();
    for (option, value, bound) in [
        ("--max-queued-jobs", "2", "max_queued_jobs"),
        ("--max-queued-jobs-per-client", "2", "max_queued_jobs_per_client"),
        ("--max-queued-bytes", "2B", "max_queued_bytes"),
    ] {
        let manager = test.manager(&[option, value]);
        let mut client = manager.peer(CLIENT);
        client.submit(&[b"1", b"2"]);
        client.until_accepted();
        assert_eq!(refused(&mut client, &[b"3"], bound), ErrorCode::Overload);
        let mut other = manager.peer(CLIENT);
        if option.ends_with("per-client") {
            other.submit(&[b"3"]);
            other.until_accepted();
        } else {
            assert_eq!(refused(&mut other, &[b"3"], bound), ErrorCode::Overload);
        }
        drop(other);
        let mut worker = manager.raw_worker(Offer::new(1));
        for _ in 0..2 {
            let (execution, payload) = worker.execution();
            worker.finish(execution.assignment, &payload);
        }
        assert!(client.outcomes(2).iter().all(|outcome| outcome.result.is_ok()));
        client.submit(&[b"4"]);
        let (execution, payload) = worker.execution();
        worker.finish(execution.assignment, &payload);
        assert_eq!(client.outcome().result.unwrap(), b"4"[..]);
    }
}

#[test]
fn a_connection_too_many_is_refused_and_may_come_back() {
    let test = Test::new();
    let manager = test.manager(&["--max-connections", "2"]);
    let one = manager.peer(CLIENT);
    let two = manager.peer(CLIENT);
    let Greeted::Refused(refusal) = Peer::try_join(manager.address(), &hello(CLIENT)) else {
        panic!("a third one is let in")
    };
    assert_eq!((refusal.code, refusal.retry), (ErrorCode::Overload, true));
    drop(two);
    until("there is room again", || {
        matches!(Peer::try_join(manager.address(), &hello(CLIENT)), Greeted::Welcome(_)).then_some(())
    });
    drop(one);
}

#[test]
fn a_client_waits_for_room_in_the_queue_unless_told_not_to() {
    let test = Test::new();
    let manager = test.manager(&["--max-queued-jobs", "3"]);
    let impatient = manager.ask(&["work", "--no-wait", "--output", "jsonl", "1", "2", "3", "4"]);
    assert!(
        impatient.text().contains("ENOWORKER") || impatient.text().contains("EOVERLOAD"),
        "{impatient:?}"
    );
    let _worker = manager.ready_worker(&["--slots", "1", "--builtin", "sleep"]);
    let lines: String = (1..=40).map(|number| format!("{number}us\n")).collect();
    let patient = manager.ask_with(&["work", "-"], lines.clone()).expect(0);
    assert_eq!(patient.text(), lines);
}

#[test]
fn payloads_and_results_over_the_limit_are_final() {
    let test = Test::new();
    let manager = test.manager(&["--max-payload", "100B"]);
    let attempts = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let runtime = Runtime::new().unwrap();
    let counted = std::sync::Arc::clone(&attempts);
    let _worker = library_worker(&runtime, &manager, move |run: Run| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ending::Done(vec![b'x'; if run.payload().len() == 3 { 101 } else { 100 }].into())
    });
    let line = "x".repeat(101);
    let over = manager.ask(&["work", "--output", "jsonl", &line, "big", "fits"]).expect(1);
    let lines = over.lines();
    assert!(lines[0].contains("ELARGEMSG") && lines[1].contains("ELARGEMSG"), "{lines:?}");
    assert!(lines[2].contains(&"x".repeat(100)), "{lines:?}");
    assert_eq!(attempts.load(std::sync::atomic::Ordering::Relaxed), 2, "nothing was retried");
}

#[test]
fn a_handler_that_fails_or_panics_fails_its_job_alone() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let runtime = Runtime::new().unwrap();
    let _worker = library_worker(&runtime, &manager, |run: Run| match &run.payload()[..] {
        b"panic" => panic!("out of cheese"),
        b"fail" => Ending::Failed("no such file".into()),
        b"large" => Ending::TooLarge("seen coming".into()),
        other => Ending::Done(other.to_vec().into()),
    });
    let ended = manager.ask(&["work", "panic", "fail", "work", "large"]).expect(1);
    let lines = ended.lines();
    assert!(lines[0].starts_with("error EWORK: ") && lines[0].contains("out of cheese"), "{lines:?}");
    assert!(lines[1].starts_with("error EWORK: ") && lines[1].contains("no such file"), "{lines:?}");
    assert_eq!(lines[2], "work");
    assert!(lines[3].starts_with("error ELARGEMSG: "), "{lines:?}");
    manager.until_idle();
}

fn library_worker(
    runtime: &Runtime,
    manager: &Manager<'_>,
    handler: impl Fn(Run) -> Ending + Send + Sync + 'static,
) -> Worker {
    let builder = Worker::builder().port(manager.port).slots(4).handler(move |run: Run| {
        let ending = handler(run);
        async move { ending }
    });
    runtime.block_on(builder.start()).unwrap()
}
