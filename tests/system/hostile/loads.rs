//! Storms of legal words: floods of jobs, jobs that are taken back, answers that nobody reads.

use super::{Attacker, FREED_BYTES, MIB, Scale, Storm, TURN_BYTES};
use crate::harness::{CLIENT, Greeted, Peer, Test, WORKER, hello};
use proletariat_protocol::message::{ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{ErrorCode, JobId, JobOptions, MessageId, Offer};
use std::time::Duration;

fn join(attacker: &Attacker<'_>, roles: proletariat_protocol::handshake::Roles) -> Peer {
    match Peer::try_join(attacker.address, &hello(roles)) {
        Greeted::Welcome(peer) => *peer,
        Greeted::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn absent() -> JobOptions {
    JobOptions { kind: Some("absent".into()), timeout_ms: 3_600_000, ..JobOptions::default() }
}

/// Jobs for nobody, until the queue is full and on.
#[test]
fn floods_of_jobs_end_at_the_bounds_of_the_queue() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let storm = Storm {
        name: "flood of jobs",
        options: &["--max-queued-bytes", "64MiB", "--max-queued-jobs", "200999"],
        // A job costs 150 bytes beside its payload.
        certificates: None,
        bound: TURN_BYTES + FREED_BYTES + 64 * MIB + 200_000 * 150,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let mut client = join(attacker, CLIENT);
        let (mut tries, mut refused) = (0, 0);
        // With its kind a portion has a multiple of 10,000 bytes, so whatever fits no more, a good job does.
        let (many, large) = ([&[b'x'; 64][..]; 1_000], [b'x'; 99_994]);
        while attacker.goes_on() {
            let payloads: &[&[u8]] = if attacker.number == 0 { &many } else { &[&large] };
            client.submit_with(absent(), payloads);
            tries += payloads.len() as u64;
            if let (ManagerMessage::Refused { code, retry_after_ms, .. }, _) = client.hear() {
                assert!(code == ErrorCode::Overload && retry_after_ms > 0, "{code}");
                refused += 1;
            }
        }
        assert!(refused > 0, "the queue is full at last, after {tries} jobs");
        tries
    });
    outcome.manager.until("the jobs went with their clients", |status| status["manager"]["open_jobs"] == 0);
}

/// Jobs that are taken back at once, waiting ones and running ones.
#[test]
fn taking_back_has_a_rate() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    const PER_SECOND: u64 = 5_000;
    let storm = Storm {
        name: "push and abort",
        options: &["--max-aborts-per-second", "5000"],
        certificates: None,
        bound: TURN_BYTES + 3 * 10 * PER_SECOND * 150,
        attackers: 3,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        if attacker.number == 2 {
            return stop_what_is_cancelled(attacker);
        }
        let kind = if attacker.number == 0 { "absent" } else { "stopping" };
        let options = JobOptions { kind: Some(kind.into()), timeout_ms: 3_600_000, ..JobOptions::default() };
        let mut client = join(attacker, CLIENT);
        let (mut aborted, mut refused) = (0, 0);
        while attacker.goes_on() {
            let first = client.submit_with(options.clone(), &[&[b'x'; 64][..]; 500]);
            client.say(&PeerMessage::Abort { first: JobId(first), count: 500 }, &[]);
            let mut ended = 0;
            while ended < 500 {
                match client.hear().0 {
                    ManagerMessage::Outcomes { jobs } => ended += jobs.len() as u64,
                    ManagerMessage::Refused { count, code, message, retry_after_ms, .. } => {
                        assert_eq!(code, ErrorCode::Overload, "{message}");
                        assert!(message.contains("max_aborts_per_second") && retry_after_ms > 0, "{message}");
                        (ended, refused) = (ended + count, refused + 1);
                    }
                    _ => {}
                }
            }
            aborted += 500;
        }
        assert!(refused > 0, "{aborted} were taken back at any rate");
        aborted
    });
    outcome.manager.until("nothing is left", |status| status["manager"]["open_jobs"] == 0);
    let accepted = outcome.manager.count("finished");
    // Its share of ten seconds, and of all the time that both rounds took.
    let share = 4 * PER_SECOND * (10 + 2 * scale.time.as_secs() + 1 + 20);
    let good = 20_000 * (2 * scale.time.as_secs() + 20);
    assert!(accepted < share + good, "{accepted} jobs were accepted and taken back");
}

/// A worker that does nothing but stop.
fn stop_what_is_cancelled(attacker: &Attacker<'_>) -> u64 {
    let mut worker = join(attacker, WORKER);
    worker.offer(Offer::new(100).kinds(["stopping"]));
    let mut stopped = 0;
    while attacker.goes_on() {
        // Something comes at least as often as a ping does.
        worker.say(&PeerMessage::Ping, &[]);
        if let ManagerMessage::Cancel { assignment } = worker.hear().0 {
            worker.say(&PeerMessage::Stopped { assignment }, &[]);
            stopped += 1;
        }
    }
    stopped
}

/// Everything for which an answer comes, from peers that read none.
#[test]
fn who_reads_nothing_is_dropped_and_holds_no_more_than_it_may() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let storm = Storm {
        name: "peers that do not read",
        options: &["--outbox-stall", "500ms", "--max-outbox-bytes", "16MiB", "--max-outboxes-bytes", "48MiB"],
        // Messages of the turn in which a bound is reached are there beside it.
        certificates: None,
        bound: TURN_BYTES + FREED_BYTES + (48 + 16) * MIB,
        attackers: 3,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let mut dropped = 0;
        while attacker.goes_on() {
            let (mut sender, silent) = (join(attacker, CLIENT), join(attacker, CLIENT));
            let content = vec![b'x'; MIB as usize];
            let mut number = 0;
            // A minute of messages, unless the one that reads nothing is dropped and the other is told.
            while attacker.goes_on() && number < 60 {
                let (to, bytes) = (Recipient::Peer(silent.id), MIB as u32);
                let message = PeerMessage::SystemMessage { id: MessageId(number), to, timeout_ms: 0, bytes };
                if !sender.try_say(&message, &[&content]) {
                    break;
                }
                number += 1;
                // It asks for the state as well, a hundred times, and does not wait for it.
                for _ in 0..100 {
                    let _ = sender.try_say(&PeerMessage::StatusRequest { id: MessageId(number) }, &[]);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
            dropped += 1;
        }
        dropped
    });
    assert!(outcome.tries > 0);
    assert!(outcome.manager.count("connections_given_up") > 0, "{}", outcome.manager.process.err());
    outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
}
