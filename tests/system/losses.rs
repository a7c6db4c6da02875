//! Who is lost without a word, in the middle of work: workers, clients, half-open connections, a manager that was stopped.

use crate::harness::{CLIENT, Test, let_time_pass};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{JobOptions, Offer};
use rustix::process::Signal;
use std::time::{Duration, Instant};

#[test]
fn a_killed_worker_gives_its_jobs_back_at_once() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "3"]);
    let client = manager.client(&["work", "60s", "50s", "40s", "30s"]);
    manager.until("three run and one waits", |status| {
        status["manager"]["assignments"] == 3 && status["manager"]["queued_jobs"] == 1
    });
    worker.signal(Signal::KILL);
    manager.until_queued(4);
    assert_eq!((manager.workers().len(), manager.count("requeued")), (0, 3));
    let mut other = manager.raw_worker(Offer::new(10));
    let executions = other.executions_until(4);
    // At their old places, the three that were lost with their second attempt.
    let attempts: Vec<u32> = executions.iter().map(|(execution, _)| execution.attempt).collect();
    assert_eq!(attempts, [2, 2, 2, 1]);
    for (execution, payload) in &executions {
        other.finish(execution.assignment, payload);
    }
    assert_eq!(client.ended().expect(0).lines(), ["60s", "50s", "40s", "30s"]);
}

#[test]
fn a_poison_job_ends_after_its_attempts_and_takes_no_more_workers_along() {
    let test = Test::new();
    let manager = test.manager(&["--max-attempts", "2"]);
    let client = manager.client(&["work", "60s"]);
    for _ in 0..2 {
        let worker = manager.worker(&["--builtin", "sleep", "--slots", "1"]);
        manager.until_assigned(1);
        worker.signal(Signal::KILL);
        manager.until_workers(0);
    }
    assert!(client.ended().expect(1).text().starts_with("error ECRASH: "));
    manager.until_idle();
}

#[test]
fn at_most_once_means_once() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "1"]);
    let client = manager.client(&["work", "--max-attempts", "1", "60s", "50s"]);
    manager.until_assigned(1);
    worker.signal(Signal::KILL);
    let mut other = manager.raw_worker(Offer::new(2));
    // The second job had not been given to anybody.
    let (execution, payload) = other.execution();
    assert_eq!((execution.attempt, &payload[..]), (1, &b"50s"[..]));
    other.finish(execution.assignment, b"done");
    let lines = client.ended().expect(1).lines();
    assert!(lines[0].starts_with("error ECRASH: "), "{lines:?}");
    assert_eq!(lines[1], "done");
}

#[test]
fn the_jobs_of_a_killed_client_are_removed_and_its_running_ones_stopped() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let client = manager.client(&["work", "a", "b", "c"]);
    let (execution, _) = worker.execution();
    manager.until_queued(2);
    client.signal(Signal::KILL);
    let assignment = execution.assignment;
    assert_eq!(worker.hear().0, ManagerMessage::Cancel { assignment });
    manager.until_queued(0);
    // Its slot is free only when the work has stopped.
    let mut other = manager.peer(CLIENT);
    other.submit(&[b"next"]);
    other.until_accepted();
    assert_eq!(manager.workers()[0]["stopping"].as_array().unwrap().len(), 1);
    worker.say(&PeerMessage::Stopped { assignment }, &[]);
    let (execution, _) = worker.execution();
    worker.finish(execution.assignment, b"done");
    assert!(other.outcome().result.is_ok());
    manager.until_idle();
}

#[test]
fn slots_are_free_again_after_a_killed_client() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "2"]);
    let client = manager.client(&["work", "60s", "60s", "60s"]);
    manager.until_assigned(2);
    client.signal(Signal::KILL);
    manager.until_idle();
    assert_eq!(manager.ask(&["work", "1ms", "2ms", "3ms"]).expect(0).lines(), ["1ms", "2ms", "3ms"]);
}

#[test]
fn a_stopped_worker_is_given_up_after_the_heartbeat_timeout_and_comes_back() {
    let test = Test::new();
    let manager = test.manager(&["--heartbeat", "100ms", "--heartbeat-timeout", "500ms"]);
    let worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "1"]);
    let client = manager.client(&["work", "10ms", "20ms", "60s"]);
    manager.until("the last one runs", |status| {
        status["manager"]["finished"] == 2 && status["manager"]["assignments"] == 1
    });
    worker.signal(Signal::STOP);
    manager.until_workers(0);
    let mut other = manager.raw_worker(Offer::new(1));
    let (execution, _) = other.execution();
    assert_eq!(execution.attempt, 2);
    other.finish(execution.assignment, b"done");
    assert_eq!(client.ended().expect(0).lines(), ["10ms", "20ms", "done"]);
    drop(other);
    worker.signal(Signal::CONT);
    manager.until_workers(1);
    manager.ask(&["work", "1ms"]).expect(0);
}

#[test]
fn a_half_open_peer_is_noticed_and_its_jobs_run_elsewhere() {
    let test = Test::new();
    let manager = test.manager(&["--heartbeat", "100ms", "--heartbeat-timeout", "400ms"]);
    let mut half = manager.raw_worker(Offer::new(1));
    let client = manager.client(&["work", "x"]);
    half.execution();
    // From here on it reads nothing and says nothing, and its socket stays open.
    let begun = Instant::now();
    manager.until_workers(0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let _worker = manager.ready_worker(&[]);
    assert_eq!(client.ended().expect(0).text(), "x\n");
    drop(half);
}

#[test]
fn a_manager_that_was_stopped_declares_nobody_dead_when_it_wakes() {
    let test = Test::new();
    let manager = test.manager(&["--heartbeat", "100ms", "--heartbeat-timeout", "400ms"]);
    let _workers: Vec<_> =
        (0..3).map(|_| manager.ready_worker(&["--builtin", "sleep", "--slots", "2"])).collect();
    let client = manager.client(&["work", "2500ms", "2501ms", "2502ms", "2503ms"]);
    manager.until_assigned(4);
    let before: Vec<_> = manager.workers().iter().map(|worker| worker["peer"].clone()).collect();
    let mut idle = manager.peer(CLIENT);
    manager.process.signal(Signal::STOP);
    let_time_pass(Duration::from_millis(1_500));
    manager.process.signal(Signal::CONT);
    idle.sync();
    idle.leave();
    assert_eq!(client.ended().expect(0).lines(), ["2500ms", "2501ms", "2502ms", "2503ms"]);
    let after: Vec<_> = manager.workers().iter().map(|worker| worker["peer"].clone()).collect();
    assert_eq!(before, after, "the same sessions");
    assert_eq!(manager.count("requeued"), 0);
    assert!(!manager.process.err().contains("given up"), "{}", manager.process.err());
}

#[test]
fn a_ghost_of_the_same_instance_holds_no_slots() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let hello = crate::harness::hello(crate::harness::WORKER);
    let join = || match crate::harness::Peer::try_join(manager.address(), &hello) {
        crate::harness::Greeted::Welcome(mut peer) => {
            peer.offer(Offer::new(1));
            peer
        }
        crate::harness::Greeted::Refused(refusal) => panic!("{refusal:?}"),
    };
    let mut ghost = join();
    let mut client = manager.peer(CLIENT);
    client.submit_with(JobOptions::default(), &[b"x"]);
    ghost.execution();
    let mut worker = join();
    let (execution, _) = worker.execution();
    assert_eq!(execution.attempt, 2);
    worker.finish(execution.assignment, b"done");
    assert!(client.outcome().result.is_ok());
    assert_eq!(manager.workers().len(), 1);
}
