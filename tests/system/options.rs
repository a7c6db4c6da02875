//! Every option of worker and client, as a flag, as a variable and in a file.

use crate::harness::{Ended, Manager, Running, Test, Way, until};
use proletariat_protocol::Offer;
use proletariat_protocol::message::PeerMessage;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A worker with these options, given in this way, once the manager has its offer.
fn worker(test: &Test, manager: &Manager<'_>, way: Way, options: &[(&str, &str)]) -> Running {
    let port = manager.port.to_string();
    let all = [options, &[("port", port.as_str())]].concat();
    let before = manager.workers().len();
    let worker = test.spawn(way.command(test, "worker", &all));
    manager.until_workers(before + 1);
    worker
}

/// What `client work` with these options does with one payload.
fn work(
    test: &Test,
    manager: &Manager<'_>,
    way: Way,
    options: &[(&str, &str)],
    payloads: &[&str],
) -> Running {
    let port = manager.port.to_string();
    let all = [options, &[("port", port.as_str())]].concat();
    let mut command = way.command(test, "client", &[]);
    match way {
        // The flags of a subcommand come behind it.
        Way::Flag => {
            command.arg("work");
            let flags = way.command(test, "client", &all);
            command.args(flags.get_args());
        }
        Way::Environment | Way::File => {
            command = way.command(test, "client", &all);
            command.arg("work");
        }
    }
    command.args(payloads);
    test.spawn(command)
}

fn worked(
    test: &Test,
    manager: &Manager<'_>,
    way: Way,
    options: &[(&str, &str)],
    payloads: &[&str],
) -> Ended {
    work(test, manager, way, options, payloads).close_input().ended()
}

#[test]
fn the_offer_of_a_worker() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let options =
            [("slots", "100"), ("priority_slots", "1=30,2=20"), ("kinds", "mult,add"), ("name", "anton")];
        let _worker = worker(&test, &manager, way, &options);
        let told = &manager.workers()[0];
        assert_eq!((&told["slots"], &told["name"]), (&json!(100), &json!("anton")));
        assert_eq!(told["kinds"], json!(["mult", "add"]));
        let guarantees: Vec<&Value> = (0..3).map(|range| &told["ranges"][range]["guarantee"]).collect();
        assert_eq!(guarantees, [50, 30, 20]);
        let bounds: Vec<&Value> = (0..3).map(|range| &told["ranges"][range]["from"]).collect();
        assert_eq!(bounds, [0, 1, 2]);
    }
}

#[test]
fn the_handler_of_a_worker() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let sleeper = worker(&test, &manager, way, &[("builtin", "sleep")]);
        let ended = manager.ask(&["work", "120ms", "frobnicate"]).expect(1);
        assert!(ended.took >= Duration::from_millis(120));
        assert!(ended.lines()[1].starts_with("error EWORK"), "{}", ended.text());
        drop(sleeper);
        manager.until_workers(0);
        let echo = worker(&test, &manager, way, &[("builtin", "echo")]);
        assert_eq!(manager.ask(&["work", "frobnicate"]).expect(0).text(), "frobnicate\n");
        drop(echo);
    }
}

#[test]
fn a_worker_without_a_handler_echoes_and_says_so() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&[]);
    worker.until_it_says("echo");
}

#[test]
fn the_other_options_of_a_worker_are_taken() {
    let options = [
        ("answer_threshold", "10"),
        ("cleanup_reqs", "10"),
        ("cleanup_checkint", "1s"),
        ("con_retrytime", "20ms"),
        ("kill_grace", "100ms"),
        ("manager_timeout", "20s"),
        ("drain_timeout", "10s"),
        ("color", "never"),
        ("debug", "true"),
        ("host", "127.0.0.1"),
    ];
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let worker = worker(&test, &manager, way, &options);
        // Fewer answers than the threshold come all the same.
        assert_eq!(manager.ask(&["work", "1", "2", "3"]).expect(0).lines(), ["1", "2", "3"]);
        worker.signal(Signal::TERM);
        worker.ended().expect(0);
    }
}

#[test]
fn a_worker_drains_no_longer_than_it_is_told() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let sleeper = worker(&test, &manager, way, &[("builtin", "sleep"), ("drain_timeout", "100ms")]);
        let client = manager.client(&["work", "60s"]);
        manager.until_assigned(1);
        let begun = Instant::now();
        sleeper.signal(Signal::TERM);
        sleeper.ended().expect(0);
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        // Its job was handed back, which is no attempt.
        let mut other = manager.raw_worker(Offer::new(1));
        let (execution, _) = other.execution();
        assert_eq!(execution.attempt, 1);
        other.finish(execution.assignment, b"done");
        assert_eq!(client.ended().expect(0).text(), "done\n");
    }
}

/// Welcomes nobody, but takes connections; tells when it got the second one.
fn silent_manager() -> (String, std::thread::JoinHandle<Duration>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let second = std::thread::spawn(move || {
        use proletariat_protocol::handshake::{Answer, Preamble, VERSION_MAX, Welcome};
        use std::io::Write;
        let (mut first, _) = listener.accept().unwrap();
        let mut bytes = bytes::BytesMut::from(&Preamble::chosen(VERSION_MAX).encode()[..]);
        Answer::Welcome(Welcome {
            peer: proletariat_protocol::PeerId(1),
            software: "nothing".into(),
            payload_bytes_max: 1 << 20,
            heartbeat_ms: 5_000,
            heartbeat_timeout_ms: 15_000,
            capabilities: 0,
        })
        .encode(&mut bytes);
        first.write_all(&bytes).unwrap();
        let begun = Instant::now();
        let _second = listener.accept().unwrap();
        begun.elapsed()
    });
    (port, second)
}

#[test]
fn a_silent_manager_is_given_up_after_the_manager_timeout() {
    for way in Way::ALL {
        let test = Test::new();
        let (port, second) = silent_manager();
        let options = [("manager_timeout", "300ms"), ("con_retrytime", "10ms"), ("port", port.as_str())];
        let worker = test.spawn(way.command(&test, "worker", &options));
        let took = second.join().unwrap();
        assert!((Duration::from_millis(290)..Duration::from_secs(5)).contains(&took), "{took:?}");
        drop(worker);
        let (port, second) = silent_manager();
        let mut command =
            way.command(&test, "client", &[("manager_timeout", "300ms"), ("port", port.as_str())]);
        command.args(["work", "x"]);
        let client = test.spawn(command);
        let took = second.join().unwrap();
        assert!((Duration::from_millis(290)..Duration::from_secs(10)).contains(&took), "{took:?}");
        drop(client);
    }
}

#[test]
fn what_a_client_says_of_its_jobs() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let options = [
            ("kind", "mult"),
            ("key", "k"),
            ("priority", "7"),
            ("max_attempts", "1"),
            ("timeout", "60s"),
            ("assign_timeout", "50s"),
            ("run_timeout", "40s"),
        ];
        let client = work(&test, &manager, way, &options, &["x"]);
        let status = manager.until("the job waits", |status| status["manager"]["queued_jobs"] == 1);
        assert_eq!(status["queues"][0]["kind"], "mult");
        let mut worker = manager.raw_worker(Offer::new(1));
        let (execution, _) = worker.execution();
        assert_eq!((execution.priority, execution.run_limit_ms), (7, 40_000));
        assert!((1..=60_000).contains(&execution.rest_ms), "{}", execution.rest_ms);
        drop(worker);
        assert!(client.ended().expect(1).text().starts_with("error ECRASH"));
    }
}

#[test]
fn the_clocks_of_a_client() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let ecsto = worked(&test, &manager, way, &[("timeout", "100ms")], &["60s"]).expect(4);
        assert!(ecsto.text().starts_with("error ECSTO"), "{}", ecsto.text());
        let eato = worked(&test, &manager, way, &[("assign_timeout", "100ms")], &["60s"]).expect(4);
        assert!(eato.text().starts_with("error EATO"), "{}", eato.text());
        let _worker = manager.ready_worker(&["--builtin", "sleep"]);
        let eto = worked(&test, &manager, way, &[("run_timeout", "100")], &["60s"]).expect(4);
        assert!(eto.text().starts_with("error ETO"), "{}", eto.text());
    }
}

#[test]
fn how_a_client_waits_and_prints() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let options = [("no_wait", "true"), ("output", "json")];
        let failed = worked(&test, &manager, way, &options, &["x"]).expect(1);
        assert_eq!(failed.json()[0]["error"]["code"], "ENOWORKER");
        let _worker = manager.ready_worker(&["--builtin", "sleep"]);
        let individual =
            worked(&test, &manager, way, &[("individual", "true")], &["300ms", "10ms"]).expect(0);
        assert_eq!(individual.lines(), ["10ms", "300ms"]);
        let switched_off = worked(&test, &manager, way, &[("individual", "false")], &["100ms", "10ms"]);
        assert_eq!(switched_off.expect(0).lines(), ["100ms", "10ms"]);
    }
}

#[test]
fn the_stream_of_a_client() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let mut worker = manager.raw_worker(Offer::new(1));
        let client = work(&test, &manager, way, &[("stream", "true")], &["x"]);
        let (execution, _) = worker.execution();
        let assignment = execution.assignment;
        worker.started(assignment);
        worker.say(&PeerMessage::Data { assignment, bytes: 4 }, &[b"half"]);
        client.until_it_prints("half");
        worker.finish(assignment, b"whole");
        client.ended().expect(0);
    }
}

#[test]
fn how_long_a_client_tries() {
    for way in Way::ALL {
        let test = Test::new();
        let port = crate::harness::nobody().port().to_string();
        let mut command =
            way.command(&test, "client", &[("connect_timeout", "200ms"), ("port", port.as_str())]);
        command.args(["work", "x"]);
        let ended = test.spawn(command).close_input().ended().expect(3);
        assert!(ended.took < Duration::from_secs(4), "{:?}", ended.took);

        let manager = test.manager(&[]);
        let client = work(&test, &manager, way, &[("max_retries", "1")], &["x"]);
        manager.until_queued(1);
        manager.kill();
        let ended = client.ended();
        assert!(matches!(ended.code, Some(1 | 3 | 4)), "{ended:?}");
        assert!(!ended.err.is_empty() || !ended.out.is_empty(), "{ended:?}");
    }
}

#[test]
fn the_options_of_a_system_message() {
    for way in Way::ALL {
        let test = Test::new();
        let manager = test.manager(&[]);
        let port = manager.port.to_string();
        let options = [("to", "MANAGER"), ("output", "json"), ("timeout", "9s"), ("port", port.as_str())];
        let mut command = test.command("client", &[]);
        if way == Way::Flag {
            command.arg("sysmsg");
            let flags = way.command(&test, "client", &options);
            command.args(flags.get_args());
        } else {
            command = way.command(&test, "client", &options);
            command.arg("sysmsg");
        }
        command.arg("hello");
        let report = test.spawn(command).close_input().ended().expect(0).json();
        assert_eq!(report, json!({"sentTo": 1, "receivedBy": 1}));
    }
}

#[test]
fn one_file_serves_each_executable_by_its_own_names() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port;
    let file = test.file(
        "worker.toml",
        &format!("port = {port}\nslots = 7\nkinds = [\"a\", \"b\"]\npriority_slots = {{ 1 = 3 }}\n"),
    );
    let _worker = test.start("worker", &["--config", file.to_str().unwrap()]);
    manager.until_workers(1);
    let worker = &manager.workers()[0];
    assert_eq!((&worker["slots"], &worker["kinds"]), (&json!(7), &json!(["a", "b"])));
    assert_eq!(worker["ranges"][1]["guarantee"], 3);
    let host = format!("localhost:{port}");
    manager.ask(&["status"]).expect(0);
    test.run("client", &["status", "--host", &host]).expect(0);
    until("nothing of them is left", || (manager.workers().len() == 1).then_some(()));
}
