//! The three clocks: which code, when they start, and how exactly they end. None may ever be early.

use crate::harness::{CLIENT, Peer, Test, let_time_pass};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, HandBackReason, JobOptions, Offer};
use std::time::{Duration, Instant};

/// How late a clock may end what it limits, on a busy machine of two cores; on a quiet one it is a few milliseconds.
const LATE: Duration = Duration::from_millis(300);
/// A process needs this much more to start and to end.
const PROCESS: Duration = Duration::from_millis(500);
/// The manager leaves a worker so much time to enforce a run limit by itself.
const BACKSTOP: Duration = Duration::from_secs(1);

#[track_caller]
fn assert_on_time(took: Duration, limit: Duration, late: Duration) {
    assert!(took >= limit, "{took:?} is earlier than {limit:?}");
    assert!(took < limit + late, "{took:?} is later than {limit:?} and {late:?}");
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap()
}

#[test]
fn the_whole_call_ends_with_ecsto_and_keeps_what_was_answered() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep"]);
    let ended = manager.ask(&["work", "--timeout", "400ms", "10ms", "60s", "20ms"]).expect(4);
    assert_on_time(ended.took, Duration::from_millis(400), PROCESS);
    let lines = ended.lines();
    assert_eq!((lines[0].as_str(), lines[2].as_str()), ("10ms", "20ms"));
    assert!(lines[1].starts_with("error ECSTO: "), "{lines:?}");
    manager.until_idle();
}

#[test]
fn the_whole_call_ends_though_its_input_does_not() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let table = test.file("table", "1.1.1.1:foo:10:0\n1.1.1.1:slow:10:60\n");
    let lookup = ["--builtin", "lookup", "--table", table.to_str().unwrap(), "--slots", "4"];
    let sleep = ["--builtin", "sleep", "--kinds", "sleep"];
    let _workers = [manager.ready_worker(&sleep), manager.ready_worker(&lookup)];
    let limit = Duration::from_millis(300);
    let work = &["work", "--timeout", "300ms", "--kind", "sleep", "-"][..];
    let batch = &["batch", "--timeout", "300ms", "--group", "1", "-"][..];
    for (words, quick, slow) in [(work, "1ms\n", "60s\n"), (batch, "1.1.1.1:foo\n", "1.1.1.1:slow\n")] {
        let silent = manager.client(words).ended().expect(4).said(&["standard input"]);
        assert_on_time(silent.took, limit, 2 * PROCESS);
        let mut waiting = manager.client(words);
        waiting.feed_some([quick, slow].concat().as_bytes());
        let waiting = waiting.ended().expect(4);
        assert_on_time(waiting.took, limit, 2 * PROCESS);
        let told = [&waiting.text(), &*waiting.err].concat();
        assert_eq!(told.matches("error ECSTO").count(), 1, "{told}");
        let endless = manager.client(words).feed_without_end(quick.as_bytes()).ended().expect(4);
        assert_on_time(endless.took, limit, 2 * PROCESS);
        manager.until_idle();
    }
}

#[test]
fn the_whole_call_includes_connecting() {
    let test = Test::alone();
    let port = crate::harness::nobody().port().to_string();
    let ended = test.run("client", &["work", "--timeout", "300ms", "x", "--port", &port]);
    assert_on_time(ended.took, Duration::from_millis(300), PROCESS);
    ended.expect(3).said(&[&port]);
}

#[test]
fn what_is_left_of_the_call_is_told_to_the_worker() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut client = manager.peer(CLIENT);
    let options = JobOptions { timeout_ms: 60_000, run_timeout_ms: 7_000, ..JobOptions::default() };
    client.submit_with(options, &[b"x"]);
    client.until_accepted();
    let_time_pass(Duration::from_millis(20));
    let mut worker = manager.raw_worker(Offer::new(1));
    let (execution, _) = worker.execution();
    assert!((30_000..=59_980).contains(&execution.rest_ms), "{} ms are left", execution.rest_ms);
    assert_eq!(execution.run_limit_ms, 7_000);
}

#[test]
fn the_wait_for_a_worker_ends_with_eato_and_leaves_the_running_one_alone() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    let limit = Duration::from_millis(250);
    let options = JobOptions { assign_timeout_ms: millis(limit), ..JobOptions::default() };
    client.submit_with(options.clone(), &[b"runs"]);
    let (execution, _) = worker.execution();
    let begun = Instant::now();
    client.submit_with(options, &[b"waits"]);
    let outcome = client.outcome();
    assert_on_time(begun.elapsed(), limit, LATE);
    assert_eq!((outcome.job, outcome.code()), (1, ErrorCode::AssignTimeout));
    worker.finish(execution.assignment, b"done");
    assert_eq!(client.outcome().result.unwrap(), b"done"[..]);
    drop(worker);
    let ended = manager.ask(&["work", "--assign-timeout", "200ms", "x"]).expect(4);
    assert!(ended.text().starts_with("error EATO: "), "{}", ended.text());
    assert_on_time(ended.took, Duration::from_millis(200), PROCESS);
}

/// The time from the submit of a job to its `EATO`, when its first worker did this to it after half of the limit.
fn eato_after(
    limit: Duration,
    what: impl Fn(Peer, proletariat_protocol::AssignmentId) -> Option<Peer>,
) -> Duration {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    let begun = Instant::now();
    let options = JobOptions { assign_timeout_ms: millis(limit), ..JobOptions::default() };
    client.submit_with(options, &[b"x"]);
    let (execution, _) = worker.execution();
    let_time_pass(limit / 2);
    let _kept = what(worker, execution.assignment);
    assert_eq!(client.outcome().code(), ErrorCode::AssignTimeout);
    begun.elapsed()
}

#[test]
fn the_wait_starts_anew_with_the_loss_of_a_worker() {
    let limit = Duration::from_millis(400);
    let took = eato_after(limit, |worker, _| {
        drop(worker);
        None
    });
    assert_on_time(took, limit / 2 + limit, LATE);
}

#[test]
fn the_wait_goes_on_after_a_hand_back() {
    let limit = Duration::from_millis(400);
    let took = eato_after(limit, |mut worker, assignment| {
        // And withdraws, so that nobody takes it again.
        worker.say(&PeerMessage::Withdraw, &[]);
        worker.say(&PeerMessage::HandBack { assignment, reason: HandBackReason::Leaving }, &[]);
        Some(worker)
    });
    // The time with the worker does not count, and the wait does not start anew.
    assert_on_time(took, limit / 2 + limit, LATE);
}

#[test]
fn the_run_ends_with_eto_and_its_clock_starts_with_the_run() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "1"]);
    let ended = manager.ask(&["work", "--run-timeout", "300ms", "150ms", "150ms", "150ms", "60s"]).expect(4);
    // One slot: the first three run one after the other, and only then the last one starts.
    assert_on_time(ended.took, Duration::from_millis(3 * 150 + 300), PROCESS);
    let lines = ended.lines();
    assert_eq!(lines[..3], ["150ms", "150ms", "150ms"]);
    assert!(lines[3].starts_with("error ETO: "), "{lines:?}");
    manager.until_idle();
}

#[test]
fn the_manager_ends_a_run_that_its_worker_does_not() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    let limit = Duration::from_millis(100);
    client.submit_with(JobOptions { run_timeout_ms: millis(limit), ..JobOptions::default() }, &[b"x"]);
    let (execution, _) = worker.execution();
    worker.started(execution.assignment);
    let begun = Instant::now();
    assert_eq!(client.outcome().code(), ErrorCode::RunTimeout);
    assert_on_time(begun.elapsed() + Duration::from_millis(5), limit + BACKSTOP, LATE);
    let assignment = execution.assignment;
    assert_eq!(worker.hear().0, ManagerMessage::Cancel { assignment });
    // The slot is free only when the work has stopped.
    client.submit(&[b"next"]);
    client.until_accepted();
    assert_eq!(manager.status()["workers"][0]["stopping"].as_array().unwrap().len(), 1);
    worker.say(&PeerMessage::Stopped { assignment }, &[]);
    assert_eq!(worker.execution().1, b"next"[..]);
}

#[test]
fn a_result_in_time_beats_the_clocks_of_a_manager_that_was_away() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit_with(JobOptions { timeout_ms: 300, ..JobOptions::default() }, &[b"x"]);
    let (execution, _) = worker.execution();
    manager.process.signal(rustix::process::Signal::STOP);
    worker.finish(execution.assignment, b"done");
    let_time_pass(Duration::from_millis(400));
    manager.process.signal(rustix::process::Signal::CONT);
    assert_eq!(client.outcome().result.unwrap(), b"done"[..], "what was received comes before the clock");
}
