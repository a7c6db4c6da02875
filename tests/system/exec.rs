//! `client exec`: lines through children, here. Each test ends with a look that no child and no guard is left.

use crate::harness::{Ended, Test, until, within};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// A child that dies over the line `poison`, and tells its process id in a file.
const FRAGILE: &str =
    r#"["sh","-c","while read -r line; do [ \"$line\" = poison ] && exit 9; echo \"$line\"; done"]"#;

fn exec(test: &Test, arguments: &[&str], input: impl Into<Vec<u8>>) -> Ended {
    test.start("client", &[&["exec"], arguments].concat()).feed(input).ended()
}

/// The numbers from 1 on, as lines.
pub(crate) fn numbers(count: u64) -> String {
    (1..=count).map(|number| format!("{number}\n")).collect()
}

/// Each line as often in one as in the other.
#[track_caller]
pub(crate) fn assert_same_lines(out: &[u8], input: &[u8]) {
    let count = |bytes: &[u8]| {
        let mut counts = BTreeMap::<Vec<u8>, i64>::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            *counts.entry(line.to_vec()).or_default() += 1;
        }
        counts
    };
    let (out, input) = (count(out), count(input));
    let lines = |counts: &BTreeMap<Vec<u8>, i64>| counts.values().sum::<i64>();
    let wrong = input.iter().find(|(line, count)| out.get(*line) != Some(*count));
    let wrong = wrong.map(|(line, _)| String::from_utf8_lossy(line).into_owned());
    assert!(out == input, "{} lines for {}; look at {wrong:?}", lines(&out), lines(&input));
}

/// Process ids that children wrote into a file, one a line.
pub(crate) fn pids(file: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// A shell as a child: it tells its process id, and then this happens.
pub(crate) fn telling(file: &Path, script: &str) -> String {
    serde_json::json!(["sh", "-c", format!("echo $$ >> {}; {script}", file.display())]).to_string()
}

#[test]
fn every_line_comes_out_once_and_is_counted() {
    let test = Test::new();
    let input = numbers(3_000) + "same\nsame\n\nlast";
    let ended = exec(&test, &["-x", r#"["cat"]"#, "-w", "3"], &*input).expect(0);
    assert_same_lines(&ended.out, format!("{input}\n").as_bytes());
    let ended = ended.said(&["exec: 3 children of cat", "lines: 3004 read, 3004 done, 0 given up"]);
    let histogram: Vec<_> = ended.err.lines().filter(|line| line.starts_with("  < ")).collect();
    let counts = histogram.iter().map(|line| line.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), 3_004, "{}", ended.err);
    let silent = exec(&test, &["-x", r#"["cat"]"#, "-b", "false"], "").expect(0).said(&["lines: 0 read"]);
    assert!(silent.out.is_empty() && !silent.err.contains("children of"));
}

#[test]
fn lines_are_bytes() {
    let test = Test::new();
    let mut input = b"\0\n\xff\xfe\n\r\n a b \n\n".to_vec();
    for length in [1 << 20, 70_000, 65_536] {
        input.extend(vec![b'x'; length]);
        input.push(b'\n');
    }
    for flags in [&["--ordered"][..], &["--ordered", "--reply"], &["--ordered", "--depth", "16"]] {
        let ended = exec(&test, &[&["-x", r#"["cat"]"#][..], flags].concat(), &*input).expect(0);
        assert!(ended.out == input, "{flags:?}: {} bytes for {}", ended.out.len(), input.len());
    }
}

#[test]
fn standard_input_may_be_a_file() {
    let test = Test::new();
    let file = test.file("input", &numbers(1_000));
    let client = test.command("client", &[]);
    let mut command = Command::new("sh");
    let script = format!("exec {} exec -x '[\"cat\"]' < {}", client.get_program().display(), file.display());
    command.args(["-c", &script]);
    let ended = test.spawn(command).close_input().ended().expect(0);
    assert_same_lines(&ended.out, numbers(1_000).as_bytes());
}

#[test]
fn a_filter_replies() {
    let test = Test::new();
    let words = ["--reply", "--ordered", "-w", "2", "-x", r#"["sed","-u","s/^/x/"]"#];
    let ended = exec(&test, &words, numbers(500)).expect(0);
    let expected: String = (1..=500).map(|number| format!("x{number}\n")).collect();
    assert_eq!(ended.text(), expected);
}

#[test]
fn an_answer_comes_as_soon_as_it_is_there() {
    let test = Test::new();
    let mut running = test.start("client", &["exec", "-x", r#"["cat"]"#, "-w", "1"]);
    for line in ["one\n", "two\n"] {
        running.feed_some(line.as_bytes());
        running.until_it_prints(line);
    }
    running.close_input().ended().expect(0);
}

#[test]
fn a_filter_that_keeps_its_lines_is_wondered_at() {
    let test = Test::new();
    let mut running = test.start("client", &["exec", "--reply", "-x", r#"["sed","s/^/x/"]"#, "-w", "1"]);
    running.feed_some(b"one\n");
    running.until_it_says("sed -u, python3 -u");
    running.until_it_says("stdbuf -oL");
    running.signal(Signal::INT);
    running.ended().expect(130);
}

#[test]
fn a_line_that_always_kills_is_given_up_and_the_others_are_done() {
    let test = Test::new();
    let input = numbers(200) + "poison\n" + &numbers(200);
    let words = ["-x", FRAGILE, "-w", "2", "--max-attempts", "7"];
    let ended = exec(&test, &words, &*input).expect(1);
    assert_same_lines(&ended.out, (numbers(200) + &numbers(200)).as_bytes());
    let ended = ended.said(&["error ECRASH: line 201: ", "exit status 9", "400 done, 1 given up"]);
    ended.said(&["crashes over a line: 7\n"]);
    // With the default it is 50 times.
    let ended = exec(&test, &["-x", FRAGILE, "-w", "1"], "a\npoison\nb\n").expect(1);
    assert_same_lines(&ended.out, b"a\nb\n");
    ended.said(&["error ECRASH: line 2: ", "crashes over a line: 50\n"]);
}

#[test]
fn a_first_line_that_always_kills_takes_no_other_line_along() {
    let test = Test::new();
    let ended = exec(&test, &["-x", FRAGILE, "-w", "1"], "poison\nb\n").expect(1);
    assert_eq!(ended.text(), "b\n");
    ended.said(&["error ECRASH: line 1: ", "1 done, 1 given up", "crashes over a line: 50\n"]);
}

#[test]
fn a_line_that_always_kills_does_not_end_a_child_at_its_first_line() {
    let test = Test::new();
    // That is longer than 50 crashes take.
    let slow =
        r#"["sh","-c","while read -r line; do [ $line = poison ] && exit 9; sleep 8; echo $line; done"]"#;
    let ended = exec(&test, &["-x", slow, "-w", "2"], "poison\nb\n").expect(1);
    assert_eq!(ended.text(), "b\n");
    ended.said(&["error ECRASH: line 1: ", "1 done, 1 given up", "crashes over a line: 50\n"]);
}

#[test]
fn children_that_cannot_be_are_an_error_and_no_loop() {
    let test = Test::new();
    let ended = exec(&test, &["-x", r#"["no-such-program-anywhere"]"#], numbers(10)).expect(1);
    ended.said(&["error: cannot start no-such-program-anywhere"]);
    let mute = r#"["sh","-c","echo no license >&2; exit 3"]"#;
    let ended = exec(&test, &["-x", mute, "-w", "2"], numbers(10)).expect(1);
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
    ended.said(&[
        "[1] no license",
        "[2] no license",
        "error: sh ends before it reads a line (exit status 3)",
    ]);
    let deadly = r#"["sh","-c","read -r line; exit 4"]"#;
    let ended = exec(&test, &["-x", deadly, "-w", "2"], numbers(100)).expect(1);
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
    ended.said(&["error: sh ends each time before it has answered a line (exit status 4)"]);
    // Nobody can tell whether it is the line or the program.
    let ended = exec(&test, &["-x", deadly, "-w", "2"], "a\n").expect(1);
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
    ended.said(&["error ECRASH: line 1: ", "exit status 4", "0 done, 1 given up"]);
}

#[test]
fn what_is_no_answer_is_told_and_what_children_complain() {
    let test = Test::new();
    let script = r#"["sh","-c","while read -r line; do echo noise; echo about $line >&2; echo $line; done"]"#;
    let ended = exec(&test, &["-x", script, "-w", "1"], "a\nb\n").expect(0);
    assert_eq!(ended.text(), "a\nb\n");
    ended.said(&["[1] about a\n", "[1] about b\n", "not the line that was expected", "line=noise"]);
}

#[test]
fn without_a_program_it_simulates() {
    let test = Test::new();
    let words = ["--sim-mean", "2", "--sim-sd", "1", "-w", "4"];
    let ended = exec(&test, &words, numbers(300)).expect(0).said(&["4 children of the work simulator"]);
    assert_same_lines(&ended.out, numbers(300).as_bytes());
    assert!(!ended.err.contains("crashes over a line: 0"), "{}", ended.err);
    let words = ["--simulate", "true", "--sim-mean", "1", "--sim-sd", "0", "-d", "false"];
    let ended = exec(&test, &words, numbers(100)).expect(0).said(&["crashes over a line: 0"]);
    assert_same_lines(&ended.out, numbers(100).as_bytes());
}

#[test]
fn a_long_input_needs_little_memory() {
    let test = Test::alone();
    let line = "x".repeat(200);
    let input: String = (0..1_000_000).map(|number| format!("{number} {line}\n")).collect();
    let mut running =
        test.start("client", &["exec", "-x", r#"["cat"]"#, "-w", "2", "--ordered"]).feed(&*input);
    let mut most = 0;
    while running.is_running() {
        most = most.max(running.memory());
        std::thread::yield_now();
    }
    let ended = running.ended().expect(0).said(&["1000000 done"]);
    assert!(ended.out == input.as_bytes(), "{} bytes for {}", ended.out.len(), input.len());
    assert!(most > 0 && most < 150 << 20, "{} MiB for {} MiB", most >> 20, input.len() >> 20);
}

#[test]
fn nobody_reads_on_when_nothing_gets_on() {
    let test = Test::new();
    let file = test.path("pids");
    // 400 MB of lines for a child that takes none of them.
    let words = ["exec", "-w", "1", "-x", &telling(&file, "exec sleep 1000")];
    let running =
        test.start("client", &words).feed(vec![b"0123456789abcde\n".as_slice(); 25_000_000].concat());
    until("the child is there", || (pids(&file).len() == 1).then_some(()));
    let mut last = (0, Instant::now());
    within(Duration::from_secs(20), "its memory grows no more", || {
        let memory = running.memory();
        if memory != last.0 {
            last = (memory, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(300)).then_some(())
    });
    assert!(running.memory() < 150 << 20, "{} MiB", running.memory() >> 20);
    running.signal(Signal::TERM);
    running.ended().expect(130);
}

#[test]
fn signals_end_children_too() {
    let test = Test::new();
    for (number, signals) in
        [&[Signal::INT][..], &[Signal::TERM], &[Signal::INT, Signal::INT]].iter().enumerate()
    {
        let file = test.path(&format!("pids-{number}"));
        // Child and grandchild do not listen to TERM.
        let script = "trap '' TERM; (echo $$; sleep 1000; sleep 1000) & read -r line; wait; wait";
        let words = ["exec", "-w", "2", "-x", &telling(&file, script), "--kill-grace", "300ms"];
        let mut running = test.start("client", &words);
        running.feed_some(b"a\nb\nc\n");
        until("the children are there", || (pids(&file).len() == 2).then_some(()));
        signals.iter().for_each(|signal| running.signal(*signal));
        let ended = running.ended().expect(130);
        assert!(ended.out.is_empty(), "{}", ended.text());
        within(Duration::from_secs(3), "they are gone", || {
            pids(&file).into_iter().all(|pid| !is_alive(pid)).then_some(())
        });
    }
}

#[test]
fn nothing_outlives_a_client_that_is_killed() {
    let test = Test::new();
    let file = test.path("pids");
    let script = "sleep 1000 & read -r line; sleep 1000";
    let mut running = test.start("client", &["exec", "-w", "2", "-x", &telling(&file, script)]);
    running.feed_some(b"a\nb\n");
    until("the children are there", || (pids(&file).len() == 2).then_some(()));
    running.signal(Signal::KILL);
    within(Duration::from_secs(3), "they are gone", || test.processes().is_empty().then_some(()));
}

#[test]
fn children_that_are_killed_or_stopped_cost_nothing_but_time() {
    let test = Test::new();
    let file = test.path("pids");
    let script = "while read -r line; do sleep 0.002; echo $line; done";
    let words = ["exec", "-w", "2", "--depth", "4", "-x", &telling(&file, script)];
    let input = numbers(1_500);
    let running = test.start("client", &words).feed(&*input);
    let mut killed = 0;
    for part in 1..=5 {
        until("it gets on", || (running.out().len() > part * 800).then_some(()));
        let pid = *pids(&file).last().unwrap();
        let process = Pid::from_raw(pid).unwrap();
        if part % 2 == 0 {
            kill_process(process, Signal::STOP).unwrap();
            kill_process(process, Signal::CONT).unwrap();
        } else {
            // It may have been one that was killed before, and its number nobody's.
            killed += i32::from(kill_process(process, Signal::KILL).is_ok());
        }
    }
    let ended = running.ended().expect(0);
    assert_same_lines(&ended.out, input.as_bytes());
    assert!(killed > 0 && pids(&file).len() > 2, "nobody was killed");
}

#[test]
fn a_closed_standard_output_ends_it_quietly() {
    let test = Test::new();
    let client = test.command("client", &[]);
    let mut command = Command::new("bash");
    let script = format!(
        "yes | {} exec -b false -x '[\"cat\"]' 2> {} | head -3; echo ${{PIPESTATUS[1]}}",
        client.get_program().display(),
        test.path("err").display()
    );
    command.args(["-c", &script]);
    let ended = test.spawn(command).close_input().ended().expect(0);
    assert_eq!(ended.text(), "y\ny\ny\n0\n");
    assert_eq!(std::fs::read_to_string(test.path("err")).unwrap(), "");
}

#[test]
fn what_cannot_be_meant_is_a_usage_error() {
    let test = Test::new();
    let cases: &[(&[&str], &str)] = &[
        (&["-x", "cat"], "expected a program as JSON"),
        (&["-x", "[]"], "expected a program as JSON"),
        (&["-x", r#"["cat"]"#, "--simulate", "true"], "-x and --simulate"),
        (&["--reply"], "--reply needs -x"),
        (&["-w", "0"], "-w 0 needs -p"),
        (&["-w", "0", "-c", "localhost"], "-w 0 and -c"),
        (&["-c", "localhost:1", "-p", "2"], "which one?"),
        (&["-d", "perhaps"], "perhaps"),
        (&["--sim-mean=-1"], "expected milliseconds"),
        (&["--depth", "0"], "--depth"),
    ];
    for (words, sentence) in cases {
        let ended = exec(&test, words, "").expect(2).said(&[sentence]);
        assert!(ended.out.is_empty(), "{words:?}");
    }
}
