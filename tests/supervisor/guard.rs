//! The guard: starting, streams, endings.

use crate::{Test, group, guards, is_alive, run, wait_until};
use proletariat::supervisor::guard::{Child, Error, Guard, Program};
use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) const TESTS: &[Test] = &[
    ("streams_are_the_childs_own", streams_are_the_childs_own),
    ("what_a_child_is_fed_with_is_there_at_once", what_a_child_is_fed_with_is_there_at_once),
    ("a_brief_child_is_told_of_once", a_brief_child_is_told_of_once),
    ("status_of_the_end", status_of_the_end),
    ("faults_of_the_program", faults_of_the_program),
    ("large_arguments", large_arguments),
    ("environment_and_descriptors", environment_and_descriptors),
    ("a_stubborn_group_is_killed_after_the_grace", a_stubborn_group_is_killed_after_the_grace),
    ("a_group_has_its_grace_after_the_leader", a_group_has_its_grace_after_the_leader),
    ("what_a_child_leaves_in_its_group_ends_with_it", what_a_child_leaves_in_its_group_ends_with_it),
    ("a_stopped_child_ends", a_stopped_child_ends),
    ("a_dropped_child_ends", a_dropped_child_ends),
    ("a_dropped_spawn_leaves_nothing", a_dropped_spawn_leaves_nothing),
    ("many_at_once", many_at_once),
    ("signals_do_not_end_the_guard", signals_do_not_end_the_guard),
    ("a_killed_guard_takes_its_children_and_is_replaced", a_killed_guard_takes_its_children_and_is_replaced),
    (
        "a_killed_guard_takes_children_of_which_nobody_knows",
        a_killed_guard_takes_children_of_which_nobody_knows,
    ),
    ("a_runtime_that_ends_leaves_nothing", a_runtime_that_ends_leaves_nothing),
    ("the_guard_ends_with_the_last_of_us", the_guard_ends_with_the_last_of_us),
];

fn sh(script: &str) -> Program {
    Program::new("sh").arguments(["-c", script])
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

async fn output(child: &mut Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
    text
}

/// Reads one line without taking the stream away.
async fn line(child: &mut Child) -> String {
    let mut text = Vec::new();
    let stdout = child.stdout.as_mut().unwrap();
    loop {
        match stdout.read_u8().await.expect("a line") {
            b'\n' => return String::from_utf8(text).unwrap(),
            byte => text.push(byte),
        }
    }
}

fn streams_are_the_childs_own() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&sh("cat; echo sorry >&2")).await.unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"a\0b\n\xff").await.unwrap();
        drop(stdin);
        let mut bytes = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"a\0b\n\xff");
        bytes.clear();
        child.stderr.take().unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"sorry\n");
        assert!(child.wait().await.unwrap().success());
        assert!(child.wait().await.unwrap().success(), "may be asked again");
        let mut child = guard.spawn(&Program::new("cat").without_input()).await.unwrap();
        assert!(child.stdin.is_none() && output(&mut child).await.is_empty());
    });
}

fn what_a_child_is_fed_with_is_there_at_once() {
    run(async {
        let guard = Guard::new();
        for brief in [false, true] {
            let cat = |input: Vec<u8>| {
                let program = Program::new("cat").fed(input);
                if brief { program.brief() } else { program }
            };
            for input in ["", "a few words"] {
                let mut child = guard.spawn(&cat(input.into())).await.unwrap();
                assert!(child.stdin.is_none() && child.unfed.is_empty(), "it ends there");
                assert_eq!(output(&mut child).await, input);
                assert!(child.wait().await.unwrap().success());
            }
            // More than a pipe takes: the rest is ours to write.
            let input = vec![b'x'; 300_000];
            let mut child = guard.spawn(&cat(input.clone())).await.unwrap();
            let (mut stdin, rest) = (child.stdin.take().unwrap(), child.unfed.clone());
            assert!(!rest.is_empty() && rest.len() < input.len());
            let write = async move { stdin.write_all(&rest).await.unwrap() };
            let (text, ()) = tokio::join!(output(&mut child), write);
            assert_eq!(text.len(), input.len());
            assert!(child.wait().await.unwrap().success());
        }
    });
}

fn a_brief_child_is_told_of_once() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&sh("echo out; echo err >&2; exit 3").brief()).await.unwrap();
        assert!(child.pid() > 1);
        assert_eq!(child.wait().await.unwrap().code(), Some(3));
        assert_eq!(output(&mut child).await, "out\n");
        // One that is not brief after all is there soon, and can be ended.
        let begin = Instant::now();
        let mut child = guard.spawn(&Program::new("sleep").argument("1000").brief()).await.unwrap();
        assert!(begin.elapsed() < Duration::from_secs(5), "not at its end");
        assert_eq!(group(child.pid()), [child.pid()]);
        child.terminate();
        assert_eq!(child.wait().await.unwrap().signal(), Some(15));
    });
}

fn status_of_the_end() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&sh("exit 7")).await.unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(7));
        let mut child = guard.spawn(&sh("kill -9 $$")).await.unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
        let program = sh("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
        let mut child = guard.spawn(&program).await.unwrap();
        assert_eq!(line(&mut child).await, "ready");
        child.terminate();
        assert_eq!(child.wait().await.unwrap().code(), Some(5));
    });
}

fn faults_of_the_program() {
    run(async {
        let guard = Guard::new();
        let error = guard.spawn(&Program::new("no-such-program-anywhere")).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program-anywhere"), "{error}");
        let Error::Start { source, .. } = error else { panic!("{error}") };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
        let kind = |error| match error {
            Error::Start { source, .. } => source.kind(),
            other => panic!("{other}"),
        };
        let error = guard.spawn(&Program::new("/")).await.unwrap_err();
        assert_eq!(kind(error), io::ErrorKind::PermissionDenied);
        let error = guard.spawn(&Program::new("true").argument("a\0b")).await.unwrap_err();
        assert_eq!(kind(error), io::ErrorKind::InvalidInput);
        for bytes in [200_000, 20_000_000] {
            let long = "x".repeat(bytes);
            let error = guard.spawn(&Program::new("true").argument(long)).await.unwrap_err();
            assert_eq!(kind(error), io::ErrorKind::ArgumentListTooLong, "{bytes}");
        }
        let error = guard.spawn(&Program::new("true").folder("/no/such/folder")).await.unwrap_err();
        assert_eq!(kind(error), io::ErrorKind::NotFound);
        assert!(guard.spawn(&Program::new("true")).await.unwrap().wait().await.unwrap().success());
    });
}

fn large_arguments() {
    run(async {
        let guard = Guard::new();
        let arguments: Vec<String> = (0..10).map(|n| n.to_string().repeat(100_000)).collect();
        let program = sh("printf %s \"$*\" | wc -c").arguments(["sh"]).arguments(arguments);
        let mut child = guard.spawn(&program).await.unwrap();
        assert_eq!(output(&mut child).await.trim(), "1000009");
    });
}

fn environment_and_descriptors() {
    run(async {
        let guard = Guard::new();
        let program = sh("env; echo in $PWD; ls /proc/self/fd").variable("GREETING", "hello").folder("/usr");
        let mut child = guard.spawn(&program).await.unwrap();
        let text = output(&mut child).await;
        assert!(!text.contains("PROLETARIAT_"), "{text}");
        assert!(text.contains("GREETING=hello") && text.contains("in /usr"), "{text}");
        // Whoever started the tests may have left descriptors open for all; none of ours may join them.
        let plain = std::process::Command::new("sh").args(["-c", "ls /proc/self/fd"]).output().unwrap();
        let plain = String::from_utf8(plain.stdout).unwrap();
        assert_eq!(text.split_once("in /usr\n").unwrap().1, plain);
    });
}

fn a_stubborn_group_is_killed_after_the_grace() {
    run(async {
        let guard = Guard::new();
        let script = "trap '' TERM; sleep 1000 & echo ready; wait; wait";
        let mut child = guard.spawn(&sh(script).kill_grace(Duration::from_millis(300))).await.unwrap();
        assert_eq!(line(&mut child).await, "ready");
        let began = Instant::now();
        child.terminate();
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
        assert!(began.elapsed() >= Duration::from_millis(300), "the grace is kept");
        assert!(group(child.pid()).is_empty());
    });
}

fn a_group_has_its_grace_after_the_leader() {
    run(async {
        let guard = Guard::new();
        // The leader ends at once by TERM; the other one needs a while to say good-bye.
        let script =
            "(trap 'sleep 0.2; echo bye; exit' TERM; echo ready; while :; do sleep 0.01; done) & wait";
        let mut child = guard.spawn(&sh(script)).await.unwrap();
        assert_eq!(line(&mut child).await, "ready");
        child.terminate();
        assert_eq!(child.wait().await.unwrap().signal(), Some(15));
        assert!(group(child.pid()).is_empty());
        assert_eq!(output(&mut child).await, "bye\n");
    });
}

fn what_a_child_leaves_in_its_group_ends_with_it() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&sh("sleep 1000 >/dev/null 2>&1 & exit 0")).await.unwrap();
        assert!(child.wait().await.unwrap().success());
        let pid = child.pid();
        wait_until("the rest of the group is gone", || group(pid).is_empty());
    });
}

fn a_stopped_child_ends() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&Program::new("cat")).await.unwrap();
        kill(child.pid(), Signal::STOP);
        child.terminate();
        assert_eq!(child.wait().await.unwrap().signal(), Some(15));
    });
}

fn a_dropped_child_ends() {
    run(async {
        let guard = Guard::new();
        let child = guard.spawn(&sh("sleep 1000 & wait")).await.unwrap();
        let pid = child.pid();
        drop(child);
        wait_until("the group is gone", || group(pid).is_empty());
    });
}

/// How many processes sleep for this time.
fn sleeps(time: &str) -> usize {
    let start = format!("sleep\0{time}");
    let entries = std::fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
    lines.filter(|line| line.starts_with(start.as_bytes())).count()
}

fn a_dropped_spawn_leaves_nothing() {
    run(async {
        let guard = Guard::new();
        let mut first = guard.spawn(&Program::new("cat")).await.unwrap();
        let mark = "86399.25";
        let program = Program::new("sleep").argument(mark);
        for _ in 0..20 {
            let spawn = guard.spawn(&program);
            tokio::select! {
                biased;
                _ = spawn => panic!("not before anybody was asked"),
                () = tokio::task::yield_now() => {}
            }
        }
        // Later than all those: their fate is sealed when this one is there.
        guard.spawn(&Program::new("true")).await.unwrap().wait().await.unwrap();
        wait_until("none of them is left", || sleeps(mark) == 0);
        first.terminate();
        first.wait().await.unwrap();
    });
}

fn many_at_once() {
    run(async {
        let guard = Guard::new();
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let guard = guard.clone();
                tokio::spawn(async move {
                    let program = Program::new("echo").argument(number.to_string());
                    let mut child = guard.spawn(&program).await.unwrap();
                    assert_eq!(output(&mut child).await, format!("{number}\n"));
                    assert!(child.wait().await.unwrap().success());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(guards().len(), 1, "one guard for all");
    });
}

fn signals_do_not_end_the_guard() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&Program::new("cat")).await.unwrap();
        let pid = guards()[0];
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
            kill(pid, signal);
        }
        assert!(guard.spawn(&Program::new("true")).await.unwrap().wait().await.unwrap().success());
        assert_eq!(guards(), [pid]);
        drop(child.stdin.take());
        assert!(child.wait().await.unwrap().success());
    });
}

fn a_killed_guard_takes_its_children_and_is_replaced() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&sh("sleep 1000 & wait")).await.unwrap();
        kill(guards()[0], Signal::KILL);
        assert!(matches!(child.wait().await, Err(Error::Gone)));
        let pid = child.pid();
        wait_until("the group is gone", || group(pid).is_empty());
        assert!(guard.spawn(&Program::new("true")).await.unwrap().wait().await.unwrap().success());
    });
}

fn a_killed_guard_takes_children_of_which_nobody_knows() {
    run(async {
        let guard = Guard::new();
        let program = Program::new("sleep").argument("86398.25").brief();
        // Killed before, while and after the child begins: its start is told two milliseconds late.
        for round in 0..24 {
            guard.spawn(&Program::new("true")).await.unwrap().wait().await.unwrap();
            let pid = guards()[0];
            let spawn = tokio::spawn({
                let (guard, program) = (guard.clone(), program.clone());
                async move { guard.spawn(&program).await }
            });
            tokio::task::yield_now().await;
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_micros(150 * round) {
                tokio::task::yield_now().await;
            }
            kill(pid, Signal::KILL);
            drop(spawn.await.unwrap());
            wait_until("it is gone, or never was", || sleeps("86398.25") == 0);
        }
    });
}

fn a_runtime_that_ends_leaves_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (child, guard) = runtime.block_on(async {
        let guard = Guard::new();
        let child = guard.spawn(&sh("sleep 1000 & wait")).await.unwrap();
        (child.pid(), guards()[0])
    });
    runtime.shutdown_background();
    wait_until("child and guard are gone", || group(child).is_empty() && !is_alive(guard));
}

fn the_guard_ends_with_the_last_of_us() {
    run(async {
        let guard = Guard::new();
        let mut child = guard.spawn(&Program::new("cat")).await.unwrap();
        drop(guard);
        let pid = guards()[0];
        drop(child.stdin.take());
        assert!(child.wait().await.unwrap().success(), "the child holds its guard");
        drop(child);
        wait_until("the guard is gone", || !is_alive(pid));
    });
}
