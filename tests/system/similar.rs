//! Similar work: jobs of equal kind and key share one execution.

use crate::harness::{CLIENT, Test};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Offer};
use rustix::process::Signal;

fn keyed() -> JobOptions {
    JobOptions { key: Some(b"k".to_vec()), ..JobOptions::default() }
}

#[test]
fn two_clients_get_the_result_of_one_run() {
    let test = Test::new();
    let manager = test.manager(&["--hold-similar-work"]);
    let mut worker = manager.raw_worker(Offer::new(10));
    let clients = ["first", "second"].map(|payload| manager.client(&["work", "--key", "k", payload]));
    manager.until("both are there", |status| status["manager"]["open_jobs"] == 2);
    let (execution, payload) = worker.execution();
    assert!(payload == b"first"[..] || payload == b"second"[..]);
    worker.finish(execution.assignment, b"shared");
    for client in clients {
        assert_eq!(client.ended().expect(0).text(), "shared\n");
    }
    worker.sync();
    assert_eq!(manager.count("finished"), 2);
}

#[test]
fn one_that_leaves_leaves_alone_and_the_last_one_stops_the_run() {
    let test = Test::new();
    let manager = test.manager(&["--hold-similar-work"]);
    let mut worker = manager.raw_worker(Offer::new(10));
    let mut raw = manager.peer(CLIENT);
    raw.submit_with(keyed(), &[b"x"]);
    let (execution, _) = worker.execution();
    let other = manager.client(&["work", "--key", "k", "x"]);
    manager.until("both are there", |status| status["manager"]["open_jobs"] == 2);
    other.signal(Signal::KILL);
    manager.until("one is there", |status| status["manager"]["open_jobs"] == 1);
    worker.sync();
    raw.say(&PeerMessage::Abort { first: JobId(0), count: 1 }, &[]);
    assert_eq!(raw.outcome().code(), ErrorCode::Aborted);
    let assignment = execution.assignment;
    assert_eq!(worker.hear().0, ManagerMessage::Cancel { assignment });
    // Who comes while it stops waits for the stop, and then has it started anew.
    raw.submit_with(keyed(), &[b"y"]);
    raw.until_accepted();
    worker.sync();
    worker.say(&PeerMessage::Stopped { assignment }, &[]);
    let (execution, payload) = worker.execution();
    assert_eq!(payload, b"y"[..]);
    worker.finish(execution.assignment, b"anew");
    assert_eq!(raw.outcome().result.unwrap(), b"anew"[..]);
}

#[test]
fn other_kinds_and_other_keys_do_not_share() {
    let test = Test::new();
    let manager = test.manager(&["--hold-similar-work"]);
    let mut worker = manager.raw_worker(Offer::new(10));
    let mut client = manager.peer(CLIENT);
    client.submit_with(keyed(), &[b"1"]);
    client.submit_with(JobOptions { kind: Some("mult".into()), ..keyed() }, &[b"2"]);
    client.submit_with(JobOptions { key: Some(b"l".to_vec()), ..JobOptions::default() }, &[b"3"]);
    client.submit(&[b"4", b"5"]);
    for (execution, payload) in worker.executions_until(5) {
        worker.finish(execution.assignment, &payload);
    }
    let mut results: Vec<_> = client.outcomes(5).into_iter().map(|outcome| outcome.result.unwrap()).collect();
    results.sort();
    assert_eq!(results, ["1", "2", "3", "4", "5"]);
}

/// One result for many jobs of one client is a copy for each of them: the bound on what waits for it holds meanwhile.
#[test]
fn a_result_for_a_crowd_of_jobs_keeps_to_the_bound_of_an_outbox() {
    const MIB: u64 = 1 << 20;
    let test = Test::alone();
    let manager = test.manager(&["--hold-similar-work", "--max-outbox-bytes", "16MiB"]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let mut client = manager.peer(CLIENT);
    client.submit_with(keyed(), &[&b""[..]; 60_000]);
    let (execution, _) = worker.execution();
    manager.until("all are there", |status| status["manager"]["open_jobs"] == 60_000);
    let process = &manager.process;
    process.forget_peak();
    let before = process.memory();
    worker.finish(execution.assignment, &[b'r'; 8_000]);
    manager.until("the client was given up", |status| status["manager"]["open_jobs"] == 0);
    let more = process.peak_memory().saturating_sub(before);
    assert!(more < 150 * MIB, "{} MiB for answers of 480 MB", more / MIB);
}
