//! SIGTERM and SIGINT: no new work, what runs may finish, and a second signal ends at once.

use crate::harness::{CLIENT, Test, until};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, Offer};
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn a_rolling_restart_of_the_workers_fails_no_job_and_runs_none_twice() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let start = || manager.ready_worker(&["--builtin", "sleep", "--slots", "3"]);
    let mut workers = vec![start(), start()];
    let jobs: String = (0..300).map(|job| format!("{}ms\n", 5 + job % 13)).collect();
    let client = manager.client(&["work", "-"]).feed(jobs.as_bytes());
    for _ in 0..4 {
        let finished = manager.count("finished");
        manager.until("work goes on", |status| status["manager"]["finished"].as_u64() > Some(finished + 10));
        workers.push(manager.worker(&["--builtin", "sleep", "--slots", "3"]));
        let oldest = workers.remove(0);
        oldest.signal(Signal::TERM);
        oldest.ended().expect(0);
    }
    assert_eq!(client.ended().expect(0).text(), jobs);
    assert_eq!(manager.count("requeued"), 0);
    assert_eq!(manager.count("finished"), 300, "each ran once");
}

#[test]
fn a_worker_that_drains_finishes_what_runs_and_takes_nothing_new() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "1"]);
    let client = manager.client(&["work", "600ms", "1ms"]);
    manager.until_assigned(1);
    worker.signal(Signal::TERM);
    manager.until("its offer is withdrawn", |status| {
        status["workers"].as_array().unwrap().iter().all(|worker| worker["withdrawn"] == true)
    });
    worker.ended().expect(0);
    manager.until("the other one waits", |status| {
        status["manager"]["finished"] == 1 && status["manager"]["queued_jobs"] == 1
    });
    let mut other = manager.raw_worker(Offer::new(1));
    let (execution, payload) = other.execution();
    assert_eq!((execution.attempt, &payload[..]), (1, &b"1ms"[..]));
    other.finish(execution.assignment, &payload);
    assert_eq!(client.ended().expect(0).lines(), ["600ms", "1ms"]);
}

#[test]
fn what_ends_only_when_it_is_killed_is_handed_back_too() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let begun = test.path("begun");
    // What it starts ignores TERM as it does.
    let stubborn = format!("sh -c 'trap \"\" TERM; touch {}; while :; do sleep 1; done'", begun.display());
    let short = ["--kill-grace", "300ms", "--drain-timeout", "100ms"];
    let worker = manager.ready_worker(&[&["--slots", "1", "--run", &stubborn], &short[..]].concat());
    let client = manager.client(&["work", "x"]);
    until("its program ignores TERM", || begun.exists().then_some(()));
    worker.signal(Signal::TERM);
    let mut other = manager.raw_worker(Offer::new(1));
    let (execution, _) = other.execution();
    assert_eq!(execution.attempt, 1, "a hand-back never counts");
    other.finish(execution.assignment, b"done");
    assert_eq!(client.ended().expect(0).text(), "done\n");
    worker.ended().expect(0);
}

#[test]
fn an_idle_worker_leaves_at_once() {
    let test = Test::new();
    let manager = test.manager(&[]);
    for signal in [Signal::TERM, Signal::INT] {
        let worker = manager.ready_worker(&[]);
        let begun = Instant::now();
        worker.signal(signal);
        worker.ended().expect(0);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        manager.until_workers(0);
    }
}

#[test]
fn a_second_signal_ends_a_worker_at_once() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&["--builtin", "sleep"]);
    let client = manager.client(&["work", "60s"]);
    manager.until_assigned(1);
    worker.signal(Signal::TERM);
    manager.until("it drains", |status| status["workers"][0]["withdrawn"] == true);
    let begun = Instant::now();
    worker.signal(Signal::TERM);
    let ended = worker.ended();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(!ended.err.contains("panicked"), "{ended:?}");
    manager.until_workers(0);
    manager.until_queued(1);
    drop(client);
}

#[test]
fn a_worker_without_a_manager_ends_all_the_same() {
    let test = Test::new();
    let port = crate::harness::nobody().port().to_string();
    let worker = test.start("worker", &["--port", &port]);
    worker.until_it_says("echo");
    worker.signal(Signal::TERM);
    worker.ended().expect(0);
}

#[test]
fn a_manager_that_drains_answers_what_runs_and_says_goodbye() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"runs", b"waits"]);
    let (execution, _) = worker.execution();
    manager.process.signal(Signal::TERM);
    manager.process.until_it_says("draining");
    worker.finish(execution.assignment, b"done");
    let outcome = client.outcome();
    assert_eq!((outcome.job, outcome.result.unwrap()), (0, "done".into()));
    let ManagerMessage::Leaving { code, retry, .. } = client.hear_the_end() else { panic!("no farewell") };
    assert_eq!((code, retry), (ErrorCode::Shutdown, true));
    assert!(matches!(worker.hear_the_end(), ManagerMessage::Leaving { code: ErrorCode::Shutdown, .. }));
    drop((worker, client));
    manager.process.ended().expect(0);
}

#[test]
fn an_idle_manager_leaves_at_once() {
    let test = Test::new();
    for signal in [Signal::TERM, Signal::INT] {
        let manager = test.manager(&[]);
        let worker = manager.ready_worker(&[]);
        let begun = Instant::now();
        manager.process.signal(signal);
        manager.process.ended().expect(0);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(worker);
    }
}

#[test]
fn a_second_signal_ends_a_manager_at_once() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"runs for ever"]);
    worker.execution();
    manager.process.signal(Signal::TERM);
    manager.process.until_it_says("draining");
    let begun = Instant::now();
    manager.process.signal(Signal::INT);
    let ended = manager.process.ended();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!ended.err.contains("panicked"), "{ended:?}");
}

#[test]
fn a_job_that_ends_while_its_worker_withdraws_is_not_lost() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(2));
    let mut client = manager.peer(CLIENT);
    client.submit(&[b"1", b"2", b"3"]);
    let executions = worker.executions_until(2);
    worker.say(&PeerMessage::Withdraw, &[]);
    worker.finish(executions[0].0.assignment, b"1");
    assert_eq!(worker.hear().0, ManagerMessage::Withdrawn);
    worker.finish(executions[1].0.assignment, b"2");
    worker.leave();
    assert!(client.outcomes(2).iter().all(|outcome| outcome.result.is_ok()));
    until("the third one waits", || (manager.count("queued_jobs") == 1).then_some(()));
}
