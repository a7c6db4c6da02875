//! Every option of the manager, as a flag, as a variable and in a file; each seen in what the manager does or tells.

use crate::harness::{CLIENT, LIMIT, Manager, Test, WORKER, Way, connect, read_to_end, until};
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{JobOptions, Offer};
use rustix::process::Signal;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Runs a check against a manager with these options, given in each of the three ways.
fn in_every_way(options: &[(&str, &str)], check: impl Fn(&Manager<'_>)) {
    for way in Way::ALL {
        let test = Test::new();
        check(&test.manager_by(way, options));
    }
}

#[test]
fn bounds_are_told_in_the_status() {
    const OPTIONS: [(&str, &str, &str, u64); 19] = [
        ("max_attempts", "3", "max_attempts", 3),
        ("heartbeat", "700", "heartbeat_ms", 700),
        ("heartbeat_timeout", "2s", "heartbeat_timeout_ms", 2_000),
        ("max_connections", "77", "max_connections", 77),
        ("max_connections_per_address", "66", "max_connections_per_address", 66),
        ("handshake_timeout", "1.5s", "handshake_timeout_ms", 1_500),
        ("frame_timeout", "1m", "frame_timeout_ms", 60_000),
        ("max_payload", "1MiB", "max_payload", 1 << 20),
        ("max_queued_jobs", "1000", "max_queued_jobs", 1_000),
        ("max_queued_jobs_per_client", "100", "max_queued_jobs_per_client", 100),
        ("max_queued_bytes", "64kB", "max_queued_bytes", 64_000),
        ("outbox_pause_bytes", "2MiB", "outbox_pause_bytes", 2 << 20),
        ("outbox_stall", "9s", "outbox_stall_ms", 9_000),
        ("max_outbox_bytes", "1GB", "max_outbox_bytes", 1_000_000_000),
        ("max_outboxes_bytes", "3GB", "max_outboxes_bytes", 3_000_000_000),
        ("max_incomplete_bytes", "77MiB", "max_incomplete_bytes", 77 << 20),
        ("max_open_jobs", "5000", "max_open_jobs", 5_000),
        ("max_open_bytes", "5MiB", "max_open_bytes", 5 << 20),
        ("max_aborts_per_second", "9", "max_aborts_per_second", 9),
    ];
    let options = OPTIONS.map(|(name, value, _, _)| (name, value));
    in_every_way(&options, |manager| {
        let limits = &manager.status()["limits"];
        for (_, _, name, value) in OPTIONS {
            assert_eq!(limits[name], value, "{name}");
        }
    });
}

#[test]
fn a_state_that_is_too_large_to_tell_is_told_in_part() {
    const LINES: u64 = 20_000;
    let test = Test::new();
    let manager = test.manager(&["--max-payload", "1KiB"]);
    let mut client = manager.peer(CLIENT);
    for priority in 0..LINES {
        // Each job has a line of its own.
        let priority = u32::try_from(priority).unwrap();
        client.submit_with(JobOptions { priority, ..JobOptions::default() }, &[b"x"]);
    }
    client.sync_past_accepted();
    let told = manager.ask(&["status", "--output", "json"]).expect(0).json();
    let listed = told["queues"].as_array().unwrap().len() as u64;
    assert!(listed > 1_000, "{listed} of {LINES}");
    assert_eq!(told["omitted"]["queues"], LINES - listed);
    assert_eq!((&told["manager"]["queued_jobs"], &told["omitted"]["workers"]), (&json!(LINES), &json!(0)));
    let people = manager.ask(&["status"]).expect(0).text();
    assert!(people.contains("too many to list"), "{}", people.lines().last().unwrap_or_default());
}

#[test]
fn defaults_are_those_of_the_documents() {
    let test = Test::new();
    let limits = &test.manager(&[]).status()["limits"];
    for (name, value) in [
        ("max_attempts", 5),
        ("heartbeat_ms", 5_000),
        ("heartbeat_timeout_ms", 15_000),
        ("max_connections", 16_384),
        ("max_connections_per_address", 0),
        ("handshake_timeout_ms", 5_000),
        ("frame_timeout_ms", 30_000),
        ("max_payload", 20 << 20),
        ("max_queued_jobs", 10_000_000),
        ("max_queued_jobs_per_client", 0),
        ("max_queued_bytes", 4 << 30),
        ("outbox_pause_bytes", 8 << 20),
        ("outbox_stall_ms", 30_000),
        ("max_outbox_bytes", 1_u64 << 30),
        ("max_outboxes_bytes", 4 << 30),
        ("max_incomplete_bytes", 1 << 30),
        ("max_open_jobs", 20_000_000),
        ("max_open_bytes", 8 << 30),
        ("max_aborts_per_second", 100_000),
    ] {
        assert_eq!(limits[name], value, "{name}");
    }
}

#[test]
fn a_flag_beats_a_variable_beats_a_file_beats_the_default() {
    let test = Test::new();
    let name = "max_queued_jobs";
    let limit = |ways: &[Way]| {
        let file = test.file("precedence.toml", "max_queued_jobs = 1\nmax_attempts = 9\n");
        let mut command = test.command("manager", &["--port", "0"]);
        if ways.contains(&Way::File) {
            command.arg("--config").arg(file);
        }
        if ways.contains(&Way::Environment) {
            command.env("PROLETARIAT_MAX_QUEUED_JOBS", "2");
        }
        if ways.contains(&Way::Flag) {
            command.args(["--max-queued-jobs", "3"]);
        }
        Manager::started(&test, command).status()["limits"][name].clone()
    };
    assert_eq!(limit(&[]), 10_000_000);
    assert_eq!(limit(&[Way::File]), 1);
    assert_eq!(limit(&[Way::File, Way::Environment]), 2);
    assert_eq!(limit(&[Way::File, Way::Environment, Way::Flag]), 3);
    assert_eq!(limit(&[Way::Flag]), 3);
}

#[test]
fn sacred_guarantees() {
    for (option, limits) in [("true", [50, 80, 70]), ("false", [50, 80, 100])] {
        in_every_way(&[("sacred_guarantees", option)], |manager| {
            let _worker = manager.raw_worker(Offer::new(100).guarantee(1, 30).guarantee(2, 20));
            let ranges = &manager.workers()[0]["ranges"];
            assert_eq!([0, 1, 2].map(|range| ranges[range]["limit"].clone()), limits);
        });
    }
}

#[test]
fn hold_similar_work() {
    for (option, runs) in [("true", 1), ("false", 2)] {
        in_every_way(&[("hold_similar_work", option)], |manager| {
            let mut worker = manager.raw_worker(Offer::new(10));
            let mut client = manager.peer(CLIENT);
            let options = JobOptions { key: Some(b"k".to_vec()), ..JobOptions::default() };
            client.submit_with(options, &[b"x", b"x"]);
            client.sync_past_accepted();
            let executions = worker.executions_until(runs);
            worker.hears_nothing_for(Duration::from_millis(10));
            for (execution, _) in executions {
                worker.finish(execution.assignment, b"done");
            }
            assert_eq!(client.outcomes(2).len(), 2);
        });
    }
}

#[test]
fn avail_threshold() {
    in_every_way(&[("avail_threshold", "2")], |manager| {
        let mut worker = manager.raw_worker(Offer::new(4));
        let mut client = manager.peer(CLIENT);
        client.submit(&[&b"x"[..]; 6]);
        let executions = worker.executions_until(4);
        worker.finish(executions[0].0.assignment, b"");
        worker.hears_nothing_for(Duration::from_millis(30));
        worker.finish(executions[1].0.assignment, b"");
        assert_eq!(worker.executions_until(2).len(), 2);
    });
}

/// The time between a submit and its assignment.
fn waited(manager: &Manager<'_>) -> Duration {
    let mut worker = manager.raw_worker(Offer::new(4));
    let mut client = manager.peer(CLIENT);
    let begun = Instant::now();
    client.submit(&[b"x"]);
    let (execution, _) = worker.execution();
    let waited = begun.elapsed();
    worker.finish(execution.assignment, b"");
    waited
}

#[test]
fn distrib_randmax() {
    // A random wait below this: of eight in a row, at least one is well over what an immediate one takes.
    in_every_way(&[("distrib_randmax", "200ms")], |manager| {
        let waits: Vec<_> = (0..8).map(|_| waited(manager)).collect();
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(30)), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(2)), "{waits:?}");
    });
}

#[test]
fn classic() {
    in_every_way(&[("classic", "true")], |manager| {
        let waits: Vec<_> = (0..8).map(|_| waited(manager)).collect();
        assert!(waits.iter().any(|wait| *wait > Duration::from_millis(20)), "{waits:?}");
        // The threshold of 50 is at most half of the slots: two of these four.
        let mut worker = manager.raw_worker(Offer::new(4));
        let mut client = manager.peer(CLIENT);
        client.submit(&[&b"x"[..]; 6]);
        let executions = worker.executions_until(4);
        worker.finish(executions[0].0.assignment, b"");
        worker.hears_nothing_for(Duration::from_millis(150));
        worker.finish(executions[1].0.assignment, b"");
        assert_eq!(worker.executions_until(2).len(), 2);
    });
}

#[test]
fn max_attempts() {
    in_every_way(&[("max_attempts", "2")], |manager| {
        let mut client = manager.peer(CLIENT);
        client.submit(&[b"x"]);
        for attempt in 1..=2 {
            let mut worker = manager.raw_worker(Offer::new(1));
            assert_eq!(worker.execution().0.attempt, attempt);
        }
        assert_eq!(client.outcome().code(), proletariat_protocol::ErrorCode::Crash);
    });
}

#[test]
fn heartbeat() {
    in_every_way(&[("heartbeat", "50"), ("heartbeat_timeout", "400ms")], |manager| {
        let mut silent = manager.peer(CLIENT);
        let begun = Instant::now();
        assert_eq!(silent.try_hear().unwrap().0, ManagerMessage::Ping);
        while silent.try_hear().is_some() {}
        assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    });
}

#[test]
fn no_json() {
    in_every_way(&[("no_json", "true"), ("handshake_timeout", "100ms")], |manager| {
        let silent = connect(manager.address());
        assert!(read_to_end(&silent).is_empty(), "nobody may be silent there");
    });
    in_every_way(&[("no_json", "false"), ("handshake_timeout", "100ms")], |manager| {
        let silent = connect(manager.address());
        silent.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
        assert!(silent.peek(&mut [0]).is_err(), "a JSON peer may listen first");
    });
}

#[test]
fn busy_poll() {
    const QUESTIONS: u64 = 1_000;
    let sleeps = |manager: &Manager<'_>| {
        let mut client = manager.peer(CLIENT);
        client.sync();
        let before = manager.process.sleeps();
        (0..QUESTIONS).for_each(|_| client.sync());
        manager.process.sleeps() - before
    };
    in_every_way(&[("busy_poll", "never")], |manager| {
        let slept = sleeps(manager);
        // Where other work keeps the processors busy, the next question may be there before the manager can fall asleep.
        assert!(slept > QUESTIONS / 10, "it slept {slept} times between {QUESTIONS} questions");
    });
    for when in ["auto", "always"] {
        in_every_way(&[("busy_poll", when)], |manager| {
            sleeps(manager);
            until("it has nothing to do, and sleeps", || {
                let before = manager.process.cpu_time();
                std::thread::sleep(Duration::from_millis(200));
                (manager.process.cpu_time() - before < Duration::from_millis(50)).then_some(())
            });
        });
    }
}

#[test]
fn insecure() {
    for way in Way::ALL {
        let test = Test::new();
        let command = way.command(&test, "manager", &[("host", "0.0.0.0:0"), ("insecure", "true")]);
        let manager = Manager::started(&test, command);
        drop(manager.peer(CLIENT));
        let refused = way.command(&test, "manager", &[("host", "0.0.0.0:0")]);
        test.spawn(refused).close_input().ended().expect(2).said(&["insecure"]);
    }
}

#[test]
fn drain_timeout() {
    in_every_way(&[("drain_timeout", "100ms")], |manager| {
        let mut worker = manager.raw_worker(Offer::new(1));
        let mut client = manager.peer(CLIENT);
        client.submit(&[b"runs for ever"]);
        worker.execution();
        let begun = Instant::now();
        manager.process.signal(Signal::TERM);
        assert!(matches!(client.hear_the_end(), ManagerMessage::Leaving { .. }));
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
    });
}

/// Where each of `jobs` goes, one at a time, among workers with so many slots.
fn choices(manager: &Manager<'_>, slots: &[u32], jobs: usize) -> BTreeMap<usize, usize> {
    let crowd = crate::harness::Crowd::of(manager, slots);
    let mut client = manager.peer(CLIENT);
    for _ in 0..jobs {
        client.submit(&[b"x"]);
        assert!(client.outcome().result.is_ok());
    }
    crowd.answered().into_iter().map(|count| usize::try_from(count).unwrap()).enumerate().collect()
}

#[test]
fn selector() {
    // Idle workers of equal size take turns; chance would have to be kind 2^-58 times.
    in_every_way(&[("selector", "round-robin")], |manager| {
        assert_eq!(choices(manager, &[5, 5], 60), BTreeMap::from([(0, 30), (1, 30)]));
    });
    for name in ["random-weighted", "least-loaded", "two-choices"] {
        in_every_way(&[("selector", name)], |manager| {
            assert_eq!(choices(manager, &[5, 5], 60).values().sum::<usize>(), 60);
        });
    }
}

#[test]
fn cleanup() {
    in_every_way(&[("cleanup_reqs", "10"), ("cleanup_checkint", "1s"), ("debug", "true")], |manager| {
        assert_eq!(choices(manager, &[5], 60)[&0], 60);
        manager.until_idle();
    });
}

#[test]
fn host_and_port() {
    for way in Way::ALL {
        let test = Test::new();
        let file = test.path("given.port");
        let options = [("host", "localhost"), ("port", "0"), ("port_file", file.to_str().unwrap())];
        let manager = Manager::started(&test, way.command(&test, "manager", &options));
        assert_eq!(manager.status()["manager"]["address"], json!(format!("127.0.0.1:{}", manager.port)));
        manager.process.until_it_says(&format!("127.0.0.1:{}", manager.port));
        let told = until("the port file", || std::fs::read_to_string(&file).ok());
        assert_eq!(told, format!("{}\n", manager.port));
        drop(manager.peer(WORKER));
    }
}
