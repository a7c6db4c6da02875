//! `client work` as a user sees it: order, forms of output, exit codes, talk.

use crate::harness::{CLIENT, Test, WORKER, nobody, until};
use bytes::BytesMut;
use proletariat_protocol::handshake::{Answer, Preamble, Refusal, VERSION_MAX};
use proletariat_protocol::message::PeerMessage;
use proletariat_protocol::{ErrorCode, JobOptions, Offer};
use rustix::process::Signal;
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;

#[test]
fn answers_come_in_the_order_of_the_jobs() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep"]);
    let ended = manager.ask(&["work", "300ms", "10ms", "200ms", "20ms", "100ms"]).expect(0);
    assert_eq!(ended.lines(), ["300ms", "10ms", "200ms", "20ms", "100ms"]);
    let ended = manager.ask(&["work", "--individual", "300ms", "10ms", "150ms"]).expect(0);
    assert_eq!(ended.lines(), ["10ms", "150ms", "300ms"]);
}

#[test]
fn individual_answers_are_printed_when_they_come() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(2));
    let client = manager.client(&["work", "--individual", "first", "second"]);
    let executions = worker.executions_until(2);
    worker.finish(executions[1].0.assignment, b"second");
    client.until_it_prints("second\n");
    assert!(!client.out().contains("first"));
    worker.finish(executions[0].0.assignment, b"first");
    assert_eq!(client.ended().expect(0).text(), "second\nfirst\n");
}

#[test]
fn endless_input_is_answered_line_by_line() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&[]);
    let mut client = manager.client(&["work", "-"]);
    for line in ["one\n", "two\n", "three\n"] {
        client.feed_some(line.as_bytes());
        client.until_it_prints(line);
    }
    assert_eq!(client.close_input().ended().expect(0).text(), "one\ntwo\nthree\n");
}

#[test]
fn ten_thousand_lines_come_back_as_they_went() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _workers = [manager.ready_worker(&["--slots", "7"]), manager.ready_worker(&["--slots", "100"])];
    let lines: String = (0..10_000).map(|n| format!("{n} é\t\"'\\ {{}} {}\n", "x".repeat(n % 61))).collect();
    let ended = manager.ask_with(&["work", "-"], lines.clone()).expect(0);
    assert!(ended.text() == lines, "{} bytes for {}", ended.out.len(), lines.len());
}

#[test]
fn large_and_odd_payloads_come_back_unchanged() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&[]);
    let mut line: Vec<u8> =
        (0..5_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    line.retain(|byte| *byte != b'\n');
    line.push(b'\n');
    let ended = manager.ask_with(&["work", "-"], line.clone()).expect(0);
    assert!(ended.out == line, "{} bytes for {}", ended.out.len(), line.len());
}

#[test]
fn each_form_of_output() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&[]);
    let words = ["{\"b\": 1}", "two words", "17"];
    let ask = |form: &str| manager.ask(&[&["work", "--output", form][..], &words].concat()).expect(0);
    assert_eq!(ask("human").lines(), words);
    assert_eq!(
        ask("json").json(),
        json!([
            {"index": 0, "result": {"b": 1}},
            {"index": 1, "result": "two words"},
            {"index": 2, "result": 17},
        ])
    );
    assert_eq!(
        ask("jsonl").text(),
        "{\"index\":0,\"result\":{\"b\":1}}\n{\"index\":1,\"result\":\"two words\"}\n{\"index\":2,\"result\":17}\n"
    );
    assert_eq!(ask("quiet").text(), "");
    let odd = manager.ask_with(&["work", "--output", "jsonl", "-"], *b"\xff\n").expect(0);
    assert_eq!(odd.text(), "{\"index\":0,\"result\":{\"base64\":\"/w==\"}}\n");
}

#[test]
fn failed_jobs_stand_in_their_place_in_each_form() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep"]);
    let human = manager.ask(&["work", "1ms", "frobnicate", "2ms"]).expect(1).lines();
    assert_eq!((human.len(), human[0].as_str(), human[2].as_str()), (3, "1ms", "2ms"));
    assert!(human[1].starts_with("error EWORK: "), "{human:?}");
    let json = manager.ask(&["work", "--output", "json", "1ms", "frobnicate"]).expect(1).json();
    assert_eq!(json[1]["index"], 1);
    assert_eq!(json[1]["error"]["code"], "EWORK");
    assert!(json[1]["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    let quiet = manager.ask(&["work", "--output", "quiet", "frobnicate"]).expect(1);
    assert_eq!(quiet.text(), "");
    quiet.said(&["error: job 0: EWORK: "]);
}

#[test]
fn partial_results_are_printed_with_stream_alone() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    for (arguments, wanted) in [(&["--stream"][..], true), (&[], false)] {
        let client = manager.client(&[&["work", "--output", "jsonl", "x"], arguments].concat());
        let (execution, _) = worker.execution();
        let assignment = execution.assignment;
        assert_eq!(execution.stream, wanted);
        worker.started(assignment);
        if wanted {
            worker.say(&PeerMessage::Data { assignment, bytes: 4 }, &[b"half"]);
            worker.say(&PeerMessage::Progress { assignment, done: 1, total: 2 }, &[]);
            client.until_it_prints("{\"index\":0,\"data\":\"half\"}\n");
        }
        worker.finish(assignment, b"whole");
        let text = client.ended().expect(0).text();
        assert!(text.ends_with("{\"index\":0,\"result\":\"whole\"}\n"), "{text}");
        assert_eq!(text.contains("half"), wanted);
    }
}

#[test]
fn a_run_that_starts_anew_says_so_in_its_stream() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut worker = manager.raw_worker(Offer::new(1));
    let client = manager.client(&["work", "--stream", "--output", "jsonl", "x"]);
    let (execution, _) = worker.execution();
    worker.started(execution.assignment);
    worker.say(&PeerMessage::Data { assignment: execution.assignment, bytes: 3 }, &[b"old"]);
    client.until_it_prints("old");
    drop(worker);
    let mut worker = manager.raw_worker(Offer::new(1));
    let (execution, _) = worker.execution();
    assert_eq!(execution.attempt, 2);
    worker.started(execution.assignment);
    worker.say(&PeerMessage::Data { assignment: execution.assignment, bytes: 3 }, &[b"new"]);
    worker.finish(execution.assignment, b"done");
    let lines = client.ended().expect(0).lines();
    let places = ["old", "restarted", "new", "done"]
        .map(|word| lines.iter().position(|line| line.contains(word)).unwrap_or_else(|| panic!("{lines:?}")));
    assert!(places.is_sorted(), "{lines:?}");
}

#[test]
fn exit_codes() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep"]);
    manager.ask(&["work", "1ms"]).expect(0);
    manager.ask(&["work", "frobnicate"]).expect(1);
    manager.ask(&["work", "frobnicate", "60s", "--run-timeout", "50ms"]).expect(1);
    manager.ask(&["work"]).expect(2);
    manager.ask(&["work", "x", "--timeout", "31d"]).expect(2);
    manager.ask(&["work", "60s", "1ms", "--run-timeout", "50ms"]).expect(4);
    let port = nobody().port().to_string();
    for arguments in [&["work", "x"][..], &["status"], &["sysmsg", "x"]] {
        let words = [arguments, &["--port", &port, "--connect-timeout", "200ms"]].concat();
        test.run("client", &words).expect(3).said(&[&port]);
    }
}

/// A manager that lets nobody in.
#[test]
fn who_is_refused_for_good_ends_with_5() {
    let test = Test::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let refuser = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            let message = "no one is let in today".to_owned();
            let code = ErrorCode::Unauthorized;
            let mut bytes = BytesMut::from(&Preamble::chosen(VERSION_MAX).encode()[..]);
            Answer::Refused(Refusal { code, message, retry: false, retry_after_ms: 0 }).encode(&mut bytes);
            stream.write_all(&bytes).unwrap();
            // Until the other side has read it and gone: a reset would eat it.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    test.run("client", &["work", "x", "--port", &port]).expect(5).said(&["no one is let in today"]);
    test.run("client", &["status", "--port", &port]).expect(5).said(&["no one is let in today"]);
    test.run("worker", &["--port", &port]).expect(5).said(&["no one is let in today"]);
    refuser.join().unwrap();
}

#[test]
fn an_interrupted_call_ends_with_130_and_its_jobs_are_aborted() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "2"]);
    for signal in [Signal::INT, Signal::TERM] {
        let client = manager.client(&["work", "60s", "60s", "60s"]);
        manager.until("two run and one waits", |status| {
            status["manager"]["assignments"] == 2 && status["manager"]["queued_jobs"] == 1
        });
        client.signal(signal);
        client.ended().expect(130);
        manager.until_idle();
        manager.ask(&["work", "1ms"]).expect(0);
    }
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&[]);
    let client = test.command("client", &[]);
    let client = client.get_program().to_string_lossy().into_owned();
    let script = format!("seq 100000 | '{client}' work --port {} --individual - | head -1", manager.port);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]);
    let ended = test.spawn(shell).close_input().ended().expect(0);
    assert_eq!((ended.lines().len(), ended.err.as_str()), (1, ""));
    manager.until_idle();
}

#[test]
fn a_call_that_waits_says_why() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let client = manager.client(&["work", "--kind", "mult", "x"]);
    client.until_it_says("waiting: no worker");
    let mut worker = manager.raw_worker(Offer::new(1).kinds(["mult"]));
    let (execution, _) = worker.execution();
    worker.finish(execution.assignment, b"done");
    assert_eq!(client.ended().expect(0).text(), "done\n");
}

#[test]
fn kind_key_priority_and_attempts_arrive_with_the_job() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let words = ["work", "x", "--kind", "mult", "--key", "k", "--priority", "7", "--max-attempts", "1"];
    let client = manager.client(&words);
    let status = manager.until("the job waits", |status| status["manager"]["queued_jobs"] == 1);
    assert_eq!((&status["queues"][0]["kind"], &status["queues"][0]["priority"]), (&json!("mult"), &json!(7)));
    let mut worker = manager.raw_worker(Offer::new(1).kinds(["mult"]));
    let (execution, _) = worker.execution();
    assert_eq!((execution.kind.as_deref(), execution.priority), (Some("mult"), 7));
    drop(worker);
    assert!(client.ended().expect(1).text().starts_with("error ECRASH: "));
}

#[test]
fn a_kind_that_nobody_has_blocks_no_other() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _a = manager.ready_worker(&["--kinds", "a,b"]);
    let _c = manager.ready_worker(&["--kinds", "c"]);
    let mut stuck = manager.client(&["work", "--kind", "nobody", "--priority", "9", "1", "2", "3"]);
    manager.until_queued(3);
    for kind in ["a", "b", "c"] {
        manager.ask(&["work", "--kind", kind, "x"]).expect(0);
    }
    assert!(stuck.is_running());
    // Without a kind, only a worker of any kind may take it.
    manager.ask(&["work", "--no-wait", "x"]).expect(1);
    let _any = manager.ready_worker(&[]);
    manager.ask(&["work", "--no-wait", "x"]).expect(0);
    stuck.ended().expect(0);
}

#[test]
fn urgent_jobs_pass_those_that_wait_and_equals_keep_their_order() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut client = manager.peer(CLIENT);
    for (priority, payloads) in [(0, [b"a", b"b"]), (7, [b"c", b"d"]), (3, [b"e", b"f"]), (7, [b"g", b"h"])] {
        let payloads: Vec<&[u8]> = payloads.iter().map(|payload| &payload[..]).collect();
        client.submit_with(JobOptions { priority, ..JobOptions::default() }, &payloads);
    }
    client.until_accepted();
    let mut worker = manager.peer(WORKER);
    worker.offer(Offer::new(1));
    let mut order = String::new();
    for _ in 0..8 {
        let (execution, payload) = worker.execution();
        order.push_str(std::str::from_utf8(&payload).unwrap());
        worker.finish(execution.assignment, b"");
    }
    assert_eq!(order, "cdghefab");
}

#[test]
fn pipes_get_no_escape_codes() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&["--builtin", "sleep"]);
    for arguments in [&["work", "1ms", "bad"][..], &["status"], &["work", "--frobnicate"], &["--help"]] {
        let ended = manager.ask(arguments);
        assert!(!ended.out.contains(&0x1b) && !ended.err.contains('\x1b'), "{ended:?}");
    }
    assert!(!worker.err().contains('\x1b') && !manager.process.err().contains('\x1b'));
    assert_eq!(worker.out() + &manager.process.out(), "", "standard output is data");
}

#[test]
fn the_state_is_shown_to_people_and_programs() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--name", "anton", "--priority-slots", "1=30,2=20"]);
    let status = manager.ask(&["status", "--output", "json"]).expect(0).json();
    let limits: Vec<_> = (0..3).map(|range| status["workers"][0]["ranges"][range]["limit"].clone()).collect();
    assert_eq!(limits, [50, 80, 100]);
    let text = manager.ask(&["status"]).expect(0).text();
    for word in ["anton", "limit", "used", "free", "max_payload"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let watch = manager.client(&["status", "--watch", "--output", "jsonl"]);
    until("two states", || (watch.out().lines().count() >= 2).then_some(()));
    watch.signal(Signal::INT);
    watch.ended().expect(130);
}
