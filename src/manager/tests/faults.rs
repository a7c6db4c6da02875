//! Faults of our own: one in what is done for a connection ends that connection, one of the scheduler ends the manager.

use super::json::Json;
use super::peer::{CLIENT, LIMIT, Peer, connect};
use super::{block_on, builder};
use crate::manager::boundary::faults;
use crate::manager::selector::{Candidate, Candidates, Random, Request, Selector};
use crate::manager::{Error, Manager};
use proletariat_protocol::{JobOptions, Offer};
use serde_json::json;
use std::io::{Read, Write};

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

/// A job goes there and back; so many connections have met a fault, and the others are there.
fn lives_on(manager: &Manager, worker: &mut Peer, faults: u64) {
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit_with(of_kind("work"), &[b"work"]);
    let (execution, _) = worker.executions().remove(0);
    worker.finish(&execution, b"done");
    assert_eq!(&client.outcomes(1)[0].1[..], b"done");
    let status = block_on(manager.status()).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["manager"]["connection_faults"], faults);
    assert_eq!(status["manager"]["open_jobs"], 0, "the jobs of those who are gone went with them");
}

#[test]
fn a_fault_over_what_a_peer_says_ends_its_connection_alone() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1).kinds(["work"]));
    let mut other = Peer::join(manager.local_addr(), CLIENT);
    for (met, fault) in [(1, faults::TRANSLATION), (2, faults::WRITE)] {
        let mut client = Peer::join(manager.local_addr(), CLIENT);
        client.submit_with(of_kind("absent"), &[b"waits"]);
        client.submit_with(of_kind(fault), &[b"x"]);
        while client.try_hear().is_some() {}
        lives_on(&manager, &mut worker, met);
    }
    let mut json = connect(manager.local_addr());
    let text = format!(r#"{{"command":"push","rid":"r","work":["{}"]}}"#, faults::JSON);
    json.write_all(&[&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()).unwrap();
    assert_eq!(json.read(&mut [0; 64]).unwrap_or(0), 0, "its connection is closed");
    lives_on(&manager, &mut worker, 3);
    other.submit_with(of_kind("work"), &[b"after all"]);
    assert_eq!(&worker.executions()[0].1[..], b"after all");
}

#[test]
fn a_fault_over_what_is_said_to_a_peer_ends_its_connection_alone() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(3));
    let (mut one, mut two) =
        (Peer::join(manager.local_addr(), CLIENT), Peer::join(manager.local_addr(), CLIENT));
    one.submit(&[b"one"]);
    let (first, _) = worker.executions().remove(0);
    two.submit(&[b"two"]);
    let (second, _) = worker.executions().remove(0);
    // Both results may come in one turn: what is said after the fault is said all the same.
    worker.finish(&first, faults::WORD.as_bytes());
    worker.finish(&second, b"fine");
    while one.try_hear().is_some() {}
    assert_eq!(&two.outcomes(1)[0].1[..], b"fine");
    lives_on(&manager, &mut worker, 1);
}

#[test]
fn a_fault_of_the_scheduler_ends_the_manager_wherever_it_is_met() {
    #[derive(Debug)]
    struct Broken;
    impl Selector for Broken {
        fn select(&mut self, _: &Request<'_>, _: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
            panic!("a broken assertion");
        }
    }
    let deciding = builder().selector(Broken).start().unwrap();
    let told = builder().start().unwrap();
    for (manager, kind) in [(deciding, "any"), (told, faults::SCHEDULER)] {
        let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
        let mut client = Peer::join(manager.local_addr(), CLIENT);
        client.submit_with(of_kind(kind), &[b"x"]);
        while client.try_hear().is_some() {}
        while worker.try_hear().is_some() {}
        has_ended(&manager);
    }
}

/// Bytes whose buffer is asked for: too many to be copied to others.
fn large(fault: &str) -> Vec<u8> {
    [fault.as_bytes(), &[b'.'; 16 * 1024]].concat()
}

fn has_ended(manager: &Manager) {
    let ended = async { tokio::time::timeout(LIMIT, manager.ended()).await };
    block_on(ended).expect("it ends");
    assert!(
        matches!(block_on(manager.status()), Err(Error::Ended)),
        "it does not go on with what it cannot trust"
    );
}

#[test]
fn a_scheduler_that_cannot_show_the_bytes_of_an_action_ends_the_manager() {
    for (payload, result) in [
        (faults::SHOWN.into(), vec![]),
        (large(faults::GIVEN), vec![]),
        (b"x".to_vec(), faults::SHOWN.into()),
        (b"x".to_vec(), large(faults::GIVEN)),
    ] {
        let manager = builder().start().unwrap();
        let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
        let mut client = Peer::join(manager.local_addr(), CLIENT);
        client.submit(&[&payload]);
        if !result.is_empty() {
            let (execution, _) = worker.executions().remove(0);
            worker.finish(&execution, &result);
        }
        while client.try_hear().is_some() {}
        has_ended(&manager);
    }
}

#[test]
fn nor_does_it_go_on_when_they_were_for_a_json_peer() {
    let manager = builder().start().unwrap();
    let mut worker = Json::worker(manager.local_addr(), 1);
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[faults::GIVEN.as_bytes()]);
    while worker.try_hear().is_some() {}
    has_ended(&manager);

    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Json::connect(manager.local_addr());
    client.say(&json!({"command": "push", "rid": "r", "work": ["x"]}));
    let (execution, _) = worker.executions().remove(0);
    worker.finish(&execution, faults::GIVEN.as_bytes());
    while client.try_hear().is_some() {}
    has_ended(&manager);
}
