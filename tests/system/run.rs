//! `worker --run`: a process for each job.

use crate::harness::{CLIENT, Test, let_time_pass, until, within};
use proletariat_protocol::JobOptions;
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use rustix::process::Signal;
use std::path::Path;
use std::time::Duration;

/// Whether the process whose id stands in the file is there.
fn is_alive(file: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else { return false };
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", text.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn until_alive(file: &Path) {
    until("the process is there", || is_alive(file).then_some(()));
}

fn until_gone(file: &Path) {
    within(Duration::from_secs(3), "the process is gone", || (!is_alive(file)).then_some(()));
}

#[test]
fn the_payload_is_an_argument_and_on_standard_input_and_no_shell_looks_at_it() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _arg = manager.ready_worker(&["--kinds", "arg", "--run", "printf '%s|%s' 'a b' --x={}"]);
    let payload = "two words; $(touch pwned) \"q\" 'p' * {}";
    let ended = manager.ask(&["work", "--kind", "arg", payload]).expect(0);
    assert_eq!(ended.text(), format!("a b|--x={payload}\n"));
    let _stdin = manager.ready_worker(&["--kinds", "in", "--run", "cat"]);
    assert_eq!(manager.ask(&["work", "--kind", "in", payload]).expect(0).text(), format!("{payload}\n"));
    let long = "x".repeat(200_000);
    let ended = manager.ask_with(&["work", "--kind", "arg", "-"], format!("{long}\n")).expect(1);
    assert!(ended.text().starts_with("error EWORK: printf: a payload of 200000 bytes"), "{}", ended.text());
    assert!(ended.text().contains("use stdin"));
    let ended = manager.ask_with(&["work", "--kind", "arg", "-"], "a\0b\n").expect(1);
    assert!(ended.text().contains("NUL") && ended.text().contains("use stdin"), "{}", ended.text());
}

#[test]
fn large_payloads_go_both_ways_and_a_deaf_child_is_no_deadlock() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _cat = manager.ready_worker(&["--kinds", "cat", "--run", "cat"]);
    let _deaf = manager.ready_worker(&["--kinds", "deaf", "--run", "printf deaf"]);
    let noisy = "sh -c 'head -c 3000000 /dev/zero >&2; cat'";
    let _noisy = manager.ready_worker(&["--kinds", "noisy", "--run", noisy]);
    let large = "0123456789abcdef".repeat(5 << 16);
    for (kind, result) in [("cat", &*large), ("deaf", "deaf"), ("noisy", &large)] {
        let ended = manager.ask_with(&["work", "--kind", kind, "-"], format!("{large}\n")).expect(0);
        assert!(ended.text().trim_end() == result, "{kind}");
    }
}

#[test]
fn a_status_fails_the_job_with_the_end_of_the_complaint() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let complains = "sh -c 'seq 10000 >&2; echo the reason >&2; exit 7'";
    let _complains = manager.ready_worker(&["--kinds", "a", "--run", complains]);
    let ended = manager.ask(&["work", "--kind", "a", "x"]).expect(1);
    let text = ended.text();
    assert!(text.starts_with("error EWORK: sh: exit status 7: "), "{text}");
    assert!(text.ends_with("| 10000 | the reason\n") && text.len() < 8_000, "{text}");
    let _killed = manager.ready_worker(&["--kinds", "b", "--run", "sh -c 'kill -9 $$'"]);
    let ended = manager.ask(&["work", "--kind", "b", "x"]).expect(1);
    assert_eq!(ended.text(), "error EWORK: sh: killed by signal 9\n");
    let _absent = manager.ready_worker(&["--kinds", "c", "--run", "no-such-program {}"]);
    let ended = manager.ask(&["work", "--kind", "c", "x"]).expect(1);
    assert!(ended.text().starts_with("error EWORK: cannot start no-such-program"), "{}", ended.text());
}

#[test]
fn a_result_over_the_limit_ends_the_process() {
    let test = Test::new();
    let manager = test.manager(&["--max-payload", "100000"]);
    let file = test.path("pid");
    let endless = format!("sh -c 'echo $$ > {}; exec yes'", file.display());
    let _worker = manager.ready_worker(&["--run", &endless]);
    let ended = manager.ask(&["work", "x"]).expect(1);
    assert!(ended.text().starts_with("error ELARGEMSG"), "{}", ended.text());
    until_gone(&file);
}

#[test]
fn abort_and_run_limit_end_the_group_and_the_slot_is_free_after_that() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let (parent, child) = (test.path("parent"), test.path("child"));
    // Parent and child both ignore TERM, so that only KILL ends them.
    let stubborn = format!(
        "sh -c 'trap \"\" TERM; echo $$ > {}; sh -c \"echo \\$\\$ > {}; sleep 60; sleep 60\"; sleep 60'",
        parent.display(),
        child.display()
    );
    let words = ["--run", &stubborn, "--kill-grace", "100ms", "--slots", "1"];
    let _worker = manager.ready_worker(&words);
    let job = manager.client(&["work", "x"]);
    until_alive(&child);
    drop(job);
    manager.until_idle();
    assert!(!is_alive(&parent) && !is_alive(&child), "the slot is free and they run");
    std::fs::remove_file(&child).unwrap();
    let ended = manager.ask(&["work", "--run-timeout", "300ms", "x"]).expect(4);
    assert!(ended.text().starts_with("error ETO"), "{}", ended.text());
    manager.until_idle();
    assert!(!is_alive(&parent) && !is_alive(&child), "they have outlived their run limit");
}

#[test]
fn nothing_outlives_a_worker_that_is_killed() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let file = test.path("pid");
    let program = format!("sh -c 'echo $$ > {}; sleep 60; sleep 60'", file.display());
    let worker = manager.ready_worker(&["--run", &program]);
    let _job = manager.client(&["work", "x"]);
    until_alive(&file);
    worker.signal(Signal::KILL);
    until_gone(&file);
}

#[test]
fn output_is_streamed_while_it_comes() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let gate = test.path("gate");
    let program =
        format!("sh -c 'echo one; while [ ! -e {} ]; do sleep 0.01; done; echo two'", gate.display());
    let _worker = manager.ready_worker(&["--run", &program, "--stream"]);
    let job = manager.client(&["work", "--stream", "--output", "jsonl", "x"]);
    job.until_it_prints(r#"{"index":0,"data":"one\n"}"#);
    std::fs::write(&gate, "").unwrap();
    let ended = job.close_input().ended().expect(0);
    assert_eq!(ended.lines()[1..], [r#"{"index":0,"data":"two\n"}"#, r#"{"index":0,"result":"one\ntwo\n"}"#]);
}

#[test]
fn a_caller_that_takes_slowly_gets_the_whole_result() {
    const WHOLE: u64 = 500_000;
    let test = Test::new();
    let manager = test.manager(&[]);
    let gate = test.path("gate");
    // The program ends at the gate; a descendant that has left its group stands before the full pipe.
    let program = format!(
        "sh -c 'setsid head -c {WHOLE} /dev/zero & while [ ! -e {} ]; do sleep 0.01; done'",
        gate.display()
    );
    let _worker = manager.ready_worker(&["--run", &program, "--stream"]);
    let mut client = manager.peer(CLIENT);
    client.submit_with(JobOptions { stream: true, ..JobOptions::default() }, &[b"x"]);
    let (mut taken, mut credited) = (0, 0);
    let result = loop {
        match client.hear() {
            (ManagerMessage::Data { job, bytes }, _) => {
                taken += u64::from(bytes);
                // With chunks of 64 KiB, the window of 256 KiB may be as good as full here.
                if credited == 0 && taken > 196_000 {
                    std::fs::write(&gate, "").unwrap();
                    // Twice as long as anybody waits for last words.
                    let_time_pass(Duration::from_secs(1));
                }
                if gate.exists() {
                    client.say(&PeerMessage::Credit { job, bytes: taken - credited }, &[]);
                    credited = taken;
                }
            }
            (ManagerMessage::Outcomes { .. }, payloads) => break payloads[0].len() as u64,
            (ManagerMessage::Accepted { .. }, _) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((taken, result), (WHOLE, WHOLE));
}

#[test]
fn commands_that_cannot_be_are_usage_errors() {
    let test = Test::new();
    for line in ["", "'open"] {
        test.run("worker", &["--run", line]).expect(2).said(&["--run", "quotes closed"]);
    }
    test.run("worker", &["--run", "cat", "--http", "http://h/"]).expect(2).said(&["--http and --run"]);
    test.run("worker", &["--stream"]).expect(2).said(&["--stream is for --run"]);
}
