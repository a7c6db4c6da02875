//! The manager goes and another one comes on the same port: workers and clients find it, and nothing is lost.

use crate::harness::{Manager, Running, Test, until};
use proletariat_protocol::Offer;
use rustix::process::Signal;
use std::time::Duration;

/// Clients have no option for their first wait, so theirs is the default of up to 2 s.
const CLIENTS: usize = 2;

fn clients(manager: &Manager<'_>, jobs: &str) -> Vec<Running> {
    (0..CLIENTS).map(|_| manager.client(&["work", "-"]).feed(jobs.as_bytes())).collect()
}

/// Enough work that the manager goes in the middle of it.
fn jobs() -> String {
    (0..300).map(|job| format!("{}ms\n", 20 + job % 7)).collect()
}

/// A manager that is in the middle of jobs of several clients gets a signal, and another one comes on its port: all is answered.
fn replaced_under_load(test: &Test, signal: Signal) -> Manager<'_> {
    let manager = test.manager(&[]);
    let port = manager.port;
    let _workers: Vec<_> =
        (0..2).map(|_| manager.ready_worker(&["--builtin", "sleep", "--slots", "4"])).collect();
    let jobs = jobs();
    let clients = clients(&manager, &jobs);
    manager.until("some are done", |status| status["manager"]["finished"].as_u64() > Some(50));
    manager.process.signal(signal);
    let ended = manager.process.ended();
    if signal == Signal::TERM {
        ended.expect(0);
    }
    let manager = test.manager_at(port, &[]);
    for client in clients {
        assert_eq!(client.ended().expect(0).text(), jobs);
    }
    manager.until_workers(2);
    manager.until_idle();
    manager
}

#[test]
fn a_killed_manager_loses_nothing() {
    replaced_under_load(&Test::new(), Signal::KILL);
}

#[test]
fn a_manager_that_drains_loses_nothing_and_fails_nothing() {
    let test = Test::new();
    let manager = replaced_under_load(&test, Signal::TERM);
    assert_eq!(manager.count("requeued"), 0);
}

#[test]
fn jobs_that_wait_for_a_worker_wait_through_a_restart() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port;
    let client = manager.client(&["work", "--timeout", "60s", "a", "b"]);
    manager.until_queued(2);
    manager.kill();
    let manager = test.manager_at(port, &[]);
    manager.until_queued(2);
    let mut worker = manager.raw_worker(Offer::new(2));
    for (execution, payload) in worker.executions_until(2) {
        // What is left of the whole call is less than it was.
        assert!((1..60_000).contains(&execution.rest_ms), "{}", execution.rest_ms);
        worker.finish(execution.assignment, &payload);
    }
    assert_eq!(client.ended().expect(0).lines(), ["a", "b"]);
}

#[test]
fn what_may_run_only_once_is_not_sent_again() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port;
    let mut worker = manager.raw_worker(Offer::new(1));
    let client = manager.client(&["work", "--max-attempts", "1", "x"]);
    worker.execution();
    manager.kill();
    let manager = test.manager_at(port, &[]);
    assert!(client.ended().expect(1).text().starts_with("error ECRASH: "));
    let mut worker = manager.raw_worker(Offer::new(1));
    worker.sync();
    assert_eq!(manager.count("finished"), 0);
}

#[test]
fn a_worker_cancels_what_runs_when_its_manager_is_lost_and_offers_again() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port;
    let _worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "1"]);
    let client = manager.client(&["work", "60s"]);
    manager.until_assigned(1);
    client.signal(Signal::KILL);
    manager.kill();
    let manager = test.manager_at(port, &[]);
    manager.until_workers(1);
    // Its only slot is free: the minute of sleep was cancelled.
    manager.ask(&["work", "1ms", "--timeout", "20s"]).expect(0);
}

#[test]
fn a_timeout_ends_a_call_while_there_is_no_manager() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let client = manager.client(&["work", "--timeout", "700ms", "x"]);
    manager.until_queued(1);
    manager.kill();
    let ended = client.ended().expect(4);
    assert!(ended.text().starts_with("error ECSTO: "), "{}", ended.text());
    assert!(ended.took >= Duration::from_millis(700));
}

#[test]
fn an_assign_timeout_runs_while_there_is_no_manager() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let client = manager.client(&["work", "--assign-timeout", "500ms", "x"]);
    manager.until_queued(1);
    manager.kill();
    assert!(client.ended().expect(4).text().starts_with("error EATO: "));
}

#[test]
fn workers_may_come_before_their_manager() {
    let test = Test::new();
    let port = crate::harness::nobody().port();
    let text = port.to_string();
    let worker = test.start("worker", &["--port", &text, "--con-retrytime", "20ms"]);
    let client = test.start("client", &["work", "x", "--port", &text, "--connect-timeout", "20s"]);
    worker.until_it_says("echo");
    let manager = test.manager_at(port, &[]);
    manager.until_workers(1);
    assert_eq!(client.ended().expect(0).text(), "x\n");
    until("the worker is still there", || (manager.workers().len() == 1).then_some(()));
}
