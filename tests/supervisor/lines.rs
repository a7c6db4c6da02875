//! Children that speak lines: what they do with their pipes, how they end, and that nobody stands still.

use crate::{Test, group, is_alive, run, wait_until};
use proletariat::supervisor::guard::Program;
use proletariat::supervisor::lines::machine::Event;
use proletariat::supervisor::lines::{Ends, LineEnd, LineId, Lines, Settings, State, Talker};
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = &[
    ("lines_of_any_bytes_come_back", lines_of_any_bytes_come_back),
    ("lines_may_come_in_pieces", lines_may_come_in_pieces),
    ("a_reply_without_a_line_break_is_none", a_reply_without_a_line_break_is_none),
    ("a_child_that_never_reads_holds_nobody_up", a_child_that_never_reads_holds_nobody_up),
    ("a_child_that_talks_before_it_reads_is_no_deadlock", a_child_that_talks_before_it_reads_is_no_deadlock),
    ("a_child_with_a_closed_pipe_is_started_again", a_child_with_a_closed_pipe_is_started_again),
    ("a_line_without_end_is_too_large", a_line_without_end_is_too_large),
    ("an_echo_without_end_is_a_crash", an_echo_without_end_is_a_crash),
    ("complaints_are_told_line_by_line", complaints_are_told_line_by_line),
    ("a_crash_is_charged_to_the_line_it_was_at", a_crash_is_charged_to_the_line_it_was_at),
    ("an_unwanted_line_ends_its_child_and_grandchild", an_unwanted_line_ends_its_child_and_grandchild),
    ("a_program_that_is_not_there", a_program_that_is_not_there),
    ("a_program_that_ends_at_once", a_program_that_ends_at_once),
    ("the_end_of_input_ends_children", the_end_of_input_ends_children),
    ("dropped_they_are_ended", dropped_they_are_ended),
];

fn sh(script: &str) -> Program {
    Program::new("sh").arguments(["-c", script])
}

fn settings(program: Program, reply: bool) -> Settings {
    Settings {
        program,
        children: 1,
        reply,
        depth: None,
        line_bytes_max: 8 << 20,
        kill_grace: Duration::from_secs(2),
    }
}

/// Hands in these lines, numbered from 0.
fn tell(lines: &Lines, texts: &[&[u8]]) {
    let event = |(id, text): (u64, &&[u8])| Event::Line { id: LineId(id), text: text.to_vec().into() };
    lines.tell((0..).zip(texts).map(event).collect());
}

/// Waits for the ends of so many lines.
async fn gather(ends: &mut Ends, count: usize) -> BTreeMap<u64, LineEnd> {
    let mut all = BTreeMap::new();
    while all.len() < count {
        for (id, end) in ends.recv().await.expect("the children are there") {
            assert!(all.insert(id.0, end).is_none(), "a line is over once");
        }
    }
    all
}

fn done(texts: &[&[u8]]) -> BTreeMap<u64, LineEnd> {
    (0..).zip(texts.iter().map(|text| LineEnd::Done(text.to_vec().into()))).collect()
}

async fn heard(talker: &mut Talker) -> String {
    let talk = talker.recv().await.expect("somebody talks");
    String::from_utf8(talk.lines.to_vec()).unwrap()
}

fn lines_of_any_bytes_come_back() {
    run(async {
        let large = vec![b'x'; 1 << 20];
        let texts: &[&[u8]] = &[b"a", b"", b"a\0b\0", b"\xff\xfe\x80", b"\r", &large, b"a", &large, b"last"];
        for reply in [false, true] {
            for depth in [None, Some(8)] {
                let (lines, mut ends, _talker) =
                    Lines::start(Settings { depth, ..settings(Program::new("cat"), reply) });
                tell(&lines, texts);
                assert_eq!(gather(&mut ends, texts.len()).await, done(texts));
                lines.finish().await;
            }
        }
    });
}

fn lines_may_come_in_pieces() {
    run(async {
        let script =
            "while read -r line; do printf %s \"$line\" | dd bs=1 2>/dev/null; sleep 0.01; echo; done";
        let (lines, mut ends, _talker) = Lines::start(settings(sh(script), false));
        let texts: &[&[u8]] = &[b"one by one", b"two"];
        tell(&lines, texts);
        assert_eq!(gather(&mut ends, 2).await, done(texts));
    });
}

fn a_reply_without_a_line_break_is_none() {
    run(async {
        // What a child has begun to say when it dies is no answer.
        let script = "read -r line; printf half; exit 1";
        let (lines, mut ends, _talker) = Lines::start(settings(sh(script), true));
        tell(&lines, &[b"a"]);
        let LineEnd::Crashed(how) = gather(&mut ends, 1).await.remove(&0).unwrap() else { panic!() };
        assert_eq!(how, "child 1: exit status 1");
    });
}

fn a_child_that_never_reads_holds_nobody_up() {
    run(async {
        // One of two children takes nothing at all: what is written to it fills its pipe.
        let folder = tempfile::tempdir().unwrap();
        let first = folder.path().join("first");
        let script = format!("if mkdir {}; then sleep 1000; else exec cat; fi", first.display());
        let (lines, mut ends, _talker) =
            Lines::start(Settings { children: 2, depth: Some(4), ..settings(sh(&script), false) });
        let large = vec![b'x'; 300_000];
        let texts: Vec<&[u8]> = (0..40).map(|_| &*large).collect();
        wait_until("the first one sleeps", || first.exists());
        tell(&lines, &texts);
        // All but those that the silent one has.
        let over = gather(&mut ends, 36).await;
        assert!(over.values().all(|end| matches!(end, LineEnd::Done(_))));
        // Nobody waits for the others: the silent one is ended, too.
        lines.tell((0..40).map(|id| Event::Cancelled { id: LineId(id) }).collect());
        let rest = gather(&mut ends, 4).await;
        assert!(rest.values().all(|end| *end == LineEnd::Stopped), "{rest:?}");
    });
}

fn a_child_that_talks_before_it_reads_is_no_deadlock() {
    run(async {
        let script = "seq 300000; seq 300000 >&2; exec cat";
        let (lines, mut ends, mut talker) = Lines::start(settings(sh(script), false));
        let large = vec![b'y'; 1 << 20];
        let texts: &[&[u8]] = &[b"first", &large, b"last"];
        tell(&lines, texts);
        let drain = async { while talker.recv().await.is_some() {} };
        tokio::select! {
            over = gather(&mut ends, 3) => assert_eq!(over, done(texts)),
            () = drain => panic!("the child lives on"),
        }
    });
}

fn a_child_with_a_closed_pipe_is_started_again() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        for (name, close) in [("out", "exec >&-"), ("in", "exec <&-")] {
            let mark = folder.path().join(name);
            let script = format!("if mkdir {}; then {close}; sleep 1000; else exec cat; fi", mark.display());
            let (lines, mut ends, _talker) = Lines::start(settings(sh(&script), false));
            tell(&lines, &[b"a"]);
            assert_eq!(gather(&mut ends, 1).await, done(&[b"a"]), "{name}");
        }
    });
}

fn a_line_without_end_is_too_large() {
    run(async {
        let script = "read -r line; exec cat /dev/zero";
        let (lines, mut ends, _talker) =
            Lines::start(Settings { line_bytes_max: 100_000, ..settings(sh(script), true) });
        tell(&lines, &[b"a"]);
        assert_eq!(gather(&mut ends, 1).await, BTreeMap::from([(0, LineEnd::TooLarge)]));
    });
}

fn an_echo_without_end_is_a_crash() {
    run(async {
        let script = "read -r line; exec cat /dev/zero";
        let (lines, mut ends, _talker) =
            Lines::start(Settings { line_bytes_max: 100_000, ..settings(sh(script), false) });
        tell(&lines, &[b"a"]);
        let how = "child 1: wrote a line without an end".to_owned();
        assert_eq!(gather(&mut ends, 1).await, BTreeMap::from([(0, LineEnd::Crashed(how))]));
        assert_eq!(lines.statistics().crashes, 1);
    });
}

fn complaints_are_told_line_by_line() {
    run(async {
        let script = "printf 'one\\ntwo' >&2; sleep 0.05; echo ' more' >&2; printf end >&2; exec cat 2>&-";
        let (_lines, _ends, mut talker) = Lines::start(settings(sh(script), false));
        let mut text = String::new();
        while !text.ends_with("end\n") {
            let part = heard(&mut talker).await;
            assert!(part.ends_with('\n'), "{part:?}");
            text.push_str(&part);
        }
        assert_eq!(text, "one\ntwo more\nend\n");
    });
}

fn a_crash_is_charged_to_the_line_it_was_at() {
    run(async {
        // The whole input is read at once, and the child dies over the second line.
        let script = "while read -r line; do [ \"$line\" = poison ] && exit 9; echo \"$line\"; done";
        let (lines, mut ends, _talker) =
            Lines::start(Settings { depth: Some(5), ..settings(sh(script), false) });
        let texts: &[&[u8]] = &[b"a", b"poison", b"b", b"a", b"c"];
        tell(&lines, texts);
        let over = gather(&mut ends, 5).await;
        assert_eq!(over[&1], LineEnd::Crashed("child 1: exit status 9".into()));
        for id in [0, 2, 3, 4] {
            assert_eq!(over[&id], done(texts)[&id]);
        }
        assert_eq!(lines.statistics().crashes, 1);
    });
}

fn an_unwanted_line_ends_its_child_and_grandchild() {
    run(async {
        let script = "trap '' TERM; sleep 1000 & echo $$ >&2; read -r line; echo has $line >&2; wait; wait";
        let settings = Settings { kill_grace: Duration::from_millis(100), ..settings(sh(script), true) };
        let (lines, mut ends, mut talker) = Lines::start(settings);
        let pid: i32 = heard(&mut talker).await.trim().parse().unwrap();
        tell(&lines, &[b"a"]);
        // A line that no child has yet ends nothing.
        assert_eq!(heard(&mut talker).await, "has a\n");
        lines.tell(vec![Event::Cancelled { id: LineId(0) }]);
        assert_eq!(gather(&mut ends, 1).await, BTreeMap::from([(0, LineEnd::Stopped)]));
        assert!(group(pid).is_empty(), "it is told that the work has stopped, and it runs");
    });
}

async fn failure(lines: &Lines) -> String {
    let mut state = lines.state();
    let failed = state.wait_for(|state| matches!(state, State::Failed(_))).await.unwrap().clone();
    let State::Failed(reason) = failed else { panic!() };
    reason
}

fn a_program_that_is_not_there() {
    run(async {
        for name in ["no-such-program-anywhere", "/"] {
            let (lines, mut ends, _talker) = Lines::start(settings(Program::new(name), false));
            tell(&lines, &[b"a"]);
            assert!(failure(&lines).await.contains(name));
            assert_eq!(gather(&mut ends, 1).await, BTreeMap::from([(0, LineEnd::Refused)]));
            lines.finish().await;
        }
    });
}

fn a_program_that_ends_at_once() {
    run(async {
        let (lines, mut ends, mut talker) = Lines::start(settings(sh("echo no license >&2; exit 3"), false));
        tell(&lines, &[b"a"]);
        let drain = async { while talker.recv().await.is_some() {} };
        let reason = tokio::select! {
            reason = failure(&lines) => reason,
            () = drain => panic!("the machine holds its end"),
        };
        assert_eq!(reason, "sh ends before it reads a line (exit status 3)");
        assert_eq!(gather(&mut ends, 1).await, BTreeMap::from([(0, LineEnd::Refused)]));
    });
}

fn the_end_of_input_ends_children() {
    run(async {
        let script = "echo $$ >&2; while read -r line; do echo \"$line\"; done; exit 0";
        let (lines, mut ends, mut talker) = Lines::start(settings(sh(script), false));
        let pid: i32 = heard(&mut talker).await.trim().parse().unwrap();
        tell(&lines, &[b"a"]);
        gather(&mut ends, 1).await;
        lines.finish().await;
        assert!(!is_alive(pid));
        tell(&lines, &[b"late"]);
        assert!(ends.recv().await.is_none(), "nobody is there any more");
    });
}

fn dropped_they_are_ended() {
    run(async {
        let script = "echo $$ >&2; sleep 1000 & wait";
        let (lines, ends, mut talker) = Lines::start(settings(sh(script), false));
        let pid: i32 = heard(&mut talker).await.trim().parse().unwrap();
        drop((lines, ends));
        wait_until("the group is gone", || group(pid).is_empty());
    });
}
