//! Processes that stand still for a while and go on: a worker, a client that reads nothing, everybody at once as when a machine
//! sleeps.

use crate::harness::{Running, Test, let_time_pass, until};
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn what_a_stopped_worker_has_done_is_for_nobody_when_it_goes_on() {
    let test = Test::new();
    let manager = test.manager(&["--heartbeat", "200ms", "--heartbeat-timeout", "1s"]);
    let (begun, done) = (test.path("begun"), test.path("done"));
    let late = format!("sh -c 'touch {}; sleep 1; echo late; touch {}'", begun.display(), done.display());
    let worker = manager.ready_worker(&["--run", &late, "--slots", "1"]);
    let client = manager.client(&["work", "x"]);
    until("it has begun", || begun.exists().then_some(()));
    // Its child is not stopped and does the work.
    worker.signal(Signal::STOP);
    manager.until_workers(0);
    until("the child has done it", || done.exists().then_some(()));
    let other = manager.ready_worker(&["--run", "echo in time", "--slots", "1"]);
    worker.signal(Signal::CONT);
    assert_eq!(client.ended().expect(0).text(), "in time\n");
    manager.until_workers(2);
    assert_eq!(manager.count("finished"), 1, "the late answer was taken");
    drop(other);
    manager.until_workers(1);
    assert_eq!(manager.ask(&["work", "y"]).expect(0).text(), "late\n");
}

#[test]
fn a_client_that_stands_still_is_dropped_and_gets_everything_when_it_goes_on() {
    let test = Test::new();
    // It is not silence that ends it, but what it does not read.
    let manager = test.manager(&["--outbox-stall", "1s", "--heartbeat-timeout", "60s"]);
    let jobs: String = (0..200).map(|job| format!("{job} {}\n", "x".repeat(100_000))).collect();
    let client = manager.client(&["work", "-"]).feed(jobs.as_bytes());
    manager.until_queued(200);
    client.signal(Signal::STOP);
    // More answers than the system keeps for it.
    let _worker = manager.ready_worker(&["--slots", "20"]);
    manager.process.until_it_says("a session was given up");
    // Nobody else notices.
    manager.ask(&["work", "y"]).expect(0);
    manager.until_idle();
    client.signal(Signal::CONT);
    assert!(client.ended().expect(0).text() == jobs, "each answer once, in order");
    manager.until_idle();
}

#[test]
fn a_machine_that_sleeps_loses_no_session() {
    let test = Test::new();
    let manager = test.manager(&["--heartbeat", "500ms", "--heartbeat-timeout", "2s"]);
    let sleep = ["--builtin", "sleep", "--slots", "2", "--manager-timeout", "2s"];
    let workers: Vec<Running> = (0..3).map(|_| manager.ready_worker(&sleep)).collect();
    let jobs: String = (0..60).map(|job| format!("{}ms\n", 200 + job)).collect();
    let words = ["work", "-", "--manager-timeout", "2s"];
    let clients: Vec<Running> = (0..2).map(|_| manager.client(&words).feed(jobs.as_bytes())).collect();
    manager.until("work is under way", |status| status["manager"]["finished"].as_u64() > Some(6));
    let peers = || -> Vec<_> { manager.workers().iter().map(|worker| worker["peer"].clone()).collect() };
    let before = peers();
    let everybody = || workers.iter().chain(&clients).chain([&manager.process]);
    everybody().for_each(|process| process.signal(Signal::STOP));
    let_time_pass(Duration::from_secs(5));
    everybody().for_each(|process| process.signal(Signal::CONT));
    for client in clients {
        let ended = client.ended().expect(0);
        assert!(!ended.err.contains("no manager"), "{}", ended.err);
        assert_eq!(ended.text(), jobs);
    }
    assert_eq!(peers(), before, "the same sessions");
    assert_eq!((manager.count("finished"), manager.count("requeued")), (120, 0));
}
