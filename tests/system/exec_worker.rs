//! `worker --exec` and `--builtin simulate`: children as a worker of a manager.

use crate::exec::{is_alive, pids, telling};
use crate::harness::{Test, until, within};
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn a_line_a_job() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _echo = manager.ready_worker(&["--kinds", "echo", "--exec", r#"["cat"]"#, "--slots", "2"]);
    let _reply = manager.ready_worker(&["--kinds", "b", "--exec", r#"["sed","-u","s/^/b/"]"#, "--reply"]);
    let input: String = (0..2_000).map(|number| format!("line {number}\n")).collect();
    let ended = manager.ask_with(&["work", "--kind", "echo", "-"], &*input).expect(0);
    assert!(ended.text() == input);
    let ended = manager.ask_with(&["work", "--kind", "b", "-"], "x\n\ny").expect(0);
    assert_eq!(ended.text(), "bx\nb\nby\n");
    let ended = manager.ask(&["work", "--kind", "echo", "two\nlines"]).expect(1);
    assert!(ended.text().starts_with("error EWORK: the payload has a line break"), "{}", ended.text());
    let ended = manager.ask_with(&["work", "--kind", "echo", "-"], "\u{e4}\0\n").expect(0);
    assert_eq!(ended.text(), "\u{e4}\0\n");
}

#[test]
fn as_many_slots_as_lines_may_be_with_the_children() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let words = ["--exec", r#"["cat"]"#, "--slots", "3", "--priority-slots", "1=1"];
    let _fixed = manager.ready_worker(&[&words[..], &["--depth", "10", "--kinds", "fixed"]].concat());
    let ranges = manager.workers()[0]["ranges"].clone();
    assert_eq!((&manager.workers()[0]["slots"], &ranges[1]["limit"]), (&30.into(), &30.into()), "{ranges}");
    let _adaptive = manager.ready_worker(&[&words[..], &["--kinds", "quick"]].concat());
    let input = "x\n".repeat(20_000);
    manager.ask_with(&["work", "--kind", "quick", "-"], input).expect(0);
    let slots = |worker: &serde_json::Value| worker["slots"].as_u64().unwrap();
    manager.until("quick children get more lines ahead", |status| {
        status["workers"].as_array().unwrap().iter().any(|worker| slots(worker) > 30)
    });
}

#[test]
fn a_child_that_cannot_start_is_not_offered() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let place = test.path("place");
    // There is room for one of them.
    let script = format!("mkdir {} || exit 3; while read -r line; do echo $line; done", place.display());
    let program = serde_json::json!(["sh", "-c", script]).to_string();
    let words = ["--exec", &program, "--slots", "3", "--depth", "4", "--priority-slots", "1=2"];
    let _worker = manager.ready_worker(&words);
    within(Duration::from_secs(15), "only one child is offered", || {
        (manager.workers()[0]["slots"] == 4).then_some(())
    });
    let input: String = (0..100).map(|number| format!("{number}\n")).collect();
    assert_eq!(manager.ask_with(&["work", "-"], &*input).expect(0).text(), input);
}

#[test]
fn ten_jobs_that_always_kill_do_not_end_a_fresh_worker() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let script =
        r#"["sh","-c","while read -r line; do case $line in poison*) exit 9; esac; echo $line; done"]"#;
    let _worker = manager.ready_worker(&["--slots", "2", "--exec", script]);
    let jobs: Vec<_> = (0..10).map(|number| format!("poison {number}")).collect();
    let words: Vec<_> = ["work"].into_iter().chain(jobs.iter().map(|job| &**job)).chain(["a"]).collect();
    let ended = manager.ask(&words).expect(1);
    let lines = ended.lines();
    assert!(lines[..10].iter().all(|line| line.starts_with("error ECRASH: child ")), "{lines:?}");
    assert_eq!(lines[10], "a");
}

#[test]
fn abort_and_run_limit_end_the_child_and_the_slot_is_free_after_that() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let file = test.path("pids");
    let script =
        "trap '' TERM; sleep 1000 & while read -r line; do [ $line = quick ] && echo $line || wait; done";
    let words = ["--slots", "1", "--kill-grace", "100ms", "--exec", &telling(&file, script)];
    let _worker = manager.ready_worker(&words);
    let job = manager.client(&["work", "slow"]);
    manager.until_assigned(1);
    until("the child is there", || (pids(&file).len() == 1).then_some(()));
    drop(job);
    manager.until_idle();
    assert!(!is_alive(pids(&file)[0]), "the slot is free and it runs");
    let ended = manager.ask(&["work", "--run-timeout", "300ms", "slow"]).expect(4);
    assert!(ended.text().starts_with("error ETO"), "{}", ended.text());
    manager.until_idle();
    assert!(!is_alive(pids(&file)[1]), "it has outlived its run limit");
    assert_eq!(manager.ask(&["work", "quick"]).expect(0).text(), "quick\n");
}

#[test]
fn a_crash_is_an_attempt_and_the_children_go_on() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let script = "while read -r line; do [ $line = poison ] && exit 9; echo $line; done";
    let file = test.path("pids");
    let _worker = manager.ready_worker(&["--slots", "1", "--exec", &telling(&file, script)]);
    let ended = manager.ask(&["work", "a", "poison", "b"]).expect(1);
    let lines = ended.lines();
    assert!(lines[1].starts_with("error ECRASH: child 1: exit status 9"), "{lines:?}");
    assert_eq!((&*lines[0], &*lines[2]), ("a", "b"));
    let starts = pids(&file).len();
    assert_eq!(manager.ask(&["work", "--max-attempts", "1", "poison"]).expect(1).lines().len(), 1);
    until("it starts again", || (pids(&file).len() == starts + 1).then_some(()));
}

#[test]
fn a_worker_whose_children_cannot_start_says_so_and_ends() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let absent = manager.worker(&["--exec", r#"["no-such-program"]"#]);
    absent.close_input().ended().expect(1).said(&["error: cannot start no-such-program"]);
    let mut job = manager.client(&["work", "a"]);
    let mute = manager.worker(&["--slots", "2", "--exec", r#"["sh","-c","echo no license >&2; exit 3"]"#]);
    let ended = mute.close_input().ended().expect(1);
    ended.said(&["[1] no license", "error: sh ends before it reads a line (exit status 3)"]);
    assert!(job.is_running(), "its job goes to another one");
    let _other = manager.worker(&["--exec", r#"["cat"]"#]);
    assert_eq!(job.close_input().ended().expect(0).text(), "a\n");
}

#[test]
fn a_worker_that_is_told_to_end_takes_its_children_along() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let file = test.path("pids");
    let script = "while read -r line; do sleep 0.3; echo $line; done";
    let worker = manager.ready_worker(&["--slots", "2", "--exec", &telling(&file, script)]);
    let jobs = manager.client(&["work", "a", "b"]);
    manager.until_assigned(2);
    worker.signal(Signal::TERM);
    worker.ended().expect(0);
    assert_eq!(jobs.close_input().ended().expect(0).text(), "a\nb\n");
    assert!(pids(&file).into_iter().all(|pid| !is_alive(pid)));
}

#[test]
fn children_see_the_end_of_their_input_and_have_time_to_end() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let (file, bye) = (test.path("pids"), test.path("bye"));
    let script = format!("while read -r line; do echo $line; done; sleep 0.3; echo bye > {}", bye.display());
    let worker = manager.ready_worker(&["--slots", "1", "--exec", &telling(&file, &script)]);
    manager.ask(&["work", "a"]).expect(0);
    worker.signal(Signal::TERM);
    worker.ended().expect(0);
    assert!(bye.exists(), "it was ended within its grace");
}

#[test]
fn nothing_outlives_a_worker_that_is_killed_or_loses_its_manager() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let file = test.path("pids");
    let script = "sleep 1000 & read -r line; sleep 1000";
    let worker = manager.ready_worker(&["--slots", "2", "--exec", &telling(&file, script)]);
    let _jobs = manager.client(&["work", "a", "b"]);
    manager.until_assigned(2);
    until("the children are there", || (pids(&file).len() == 2).then_some(()));
    manager.process.signal(Signal::KILL);
    within(Duration::from_secs(5), "what nobody waits for is ended", || {
        pids(&file)[..2].iter().all(|pid| !is_alive(*pid)).then_some(())
    });
    worker.signal(Signal::KILL);
    within(Duration::from_secs(3), "all are gone", || {
        pids(&file).into_iter().all(|pid| !is_alive(pid)).then_some(())
    });
}

#[test]
fn the_simulator_is_a_worker() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let words = ["--builtin", "simulate", "--sim-mean", "1", "--sim-sd", "1", "--slots", "4"];
    let _worker = manager.ready_worker(&words);
    let input: String = (0..200).map(|number| format!("{number}\n")).collect();
    let ended = manager.ask_with(&["work", "--max-attempts", "50", "-"], &*input).expect(0);
    assert_eq!(ended.text(), input);
    for words in [&["--reply"][..], &["--depth", "2"], &["--builtin", "echo", "--depth", "2"]] {
        test.run("worker", words).expect(2).said(&["is for --exec"]);
    }
    test.run("worker", &["--exec", r#"["cat"]"#, "--run", "cat"]).expect(2).said(&["--run and --exec"]);
}
