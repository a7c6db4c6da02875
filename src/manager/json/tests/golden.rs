//! Recorded conversations: every message of the dialect, both ways.
//!
//! A line is `name > what a peer says`, `name < what it is told`, or `* something that happens`: `wait MILLISECONDS`, `leave NAME`,
//! `ping NAME`, `drain`, `native NAME`, `submit NAME JOB`, `too-large NAME BYTES`, and at the beginning options of the manager. After each
//! line the scheduler decides. `GOLDEN=write` records what is said now; whoever does that reads the difference.

use super::house::House;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Payload};
use proletariat_scheduler::{Config, Event};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manager/json/tests/golden")
}

/// Plays what is said to the manager and records what it says.
fn play(script: &str) -> String {
    let (mut config, mut house, mut record) = (Config::default(), None, String::new());
    for line in script.lines() {
        if let Some(option) = line.strip_prefix("* option ") {
            set(&mut config, option);
            writeln!(record, "{line}").unwrap();
            continue;
        }
        if line.contains(" < ") && !line.starts_with(['#', '*']) && line.split(' ').nth(1) == Some("<") {
            continue;
        }
        writeln!(record, "{line}").unwrap();
        if line.starts_with('#') {
            continue;
        }
        let house = house.get_or_insert_with(|| House::new(config.clone()));
        if let Some(happening) = line.strip_prefix("* ") {
            happens(house, happening);
        } else if let Some((name, text)) = line.split_once(" > ") {
            house.hear(name, text.as_bytes());
        } else {
            continue;
        }
        for (name, text) in house.turn() {
            writeln!(record, "{name} < {text}").unwrap();
        }
        for (job, text) in house.native.drain(..) {
            writeln!(record, "# a native client is told of its job {job}: {text}").unwrap();
        }
    }
    record
}

fn set(config: &mut Config, option: &str) {
    match option.split_once(' ').unwrap_or((option, "")) {
        ("hold-similar-work", _) => config.hold_similar_work = true,
        ("sacred-guarantees", _) => config.sacred_guarantees = true,
        ("max-queued-jobs", most) => config.queued_jobs_max = most.parse().unwrap(),
        ("max-payload", most) => config.payload_bytes_max = most.parse().unwrap(),
        ("max-attempts", most) => config.max_attempts = most.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn happens(house: &mut House, happening: &str) {
    let words: Vec<&str> = happening.splitn(3, ' ').collect();
    match words[..] {
        ["wait", millis] => house.wait(Duration::from_millis(millis.parse().unwrap())),
        ["leave", name] => house.leave(name),
        ["ping", name] => house.say(name, &ManagerMessage::Ping),
        ["drain"] => house.tell(Event::Draining),
        ["bye", name] => {
            let message = "the manager is stopping".into();
            let word = ManagerMessage::Leaving {
                code: ErrorCode::Shutdown,
                message,
                retry: true,
                retry_after_ms: 500,
            };
            house.say(name, &word);
        }
        ["native", name] => {
            house.native_peer(name);
        }
        ["submit", name, job] => {
            let (client, payloads) = (
                house.native_peer(name),
                std::iter::once(Payload::copy_from_slice(job.as_bytes())).collect(),
            );
            house.tell(Event::Submitted {
                client,
                first: JobId(0),
                options: &JobOptions::default(),
                payloads,
            });
        }
        ["too-large", name, bytes] => house.too_large(name, bytes.parse().unwrap()),
        _ => panic!("{happening}"),
    }
}

#[test]
fn recorded_conversations_come_out_the_same() {
    let mut files: Vec<PathBuf> = folder().read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let recorded = std::fs::read_to_string(&file).unwrap();
        let script: String = recorded
            .lines()
            .filter(|line| !line.starts_with("# a native client is told"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let said = play(&script);
        if std::env::var_os("GOLDEN").is_some_and(|what| what == "write") {
            std::fs::write(&file, &said).unwrap();
            continue;
        }
        let differs = said.lines().zip(recorded.lines()).position(|(said, recorded)| said != recorded);
        assert_eq!(said, recorded, "{} differs, first in line {differs:?}", file.display());
    }
}

/// The table of `ANCESTOR-WIRE`: each of these has to be said somewhere, by a peer (`>`) and by the manager (`<`).
#[test]
fn every_message_is_in_a_recorded_conversation() {
    let all: String = folder()
        .read_dir()
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let from_peers = [
        "offer", "push", "done", "abort", "mystatus", "status", "sysmsg", "ping", "cleanup", "gc", "dumpall",
        "answer",
    ];
    for command in from_peers {
        assert!(all.contains(&format!("> {{\"command\":\"{command}\"")), "nobody says {command}");
    }
    for command in ["push", "done", "abort", "sysmsg", "ping"] {
        assert!(all.contains(&format!("< {{\"command\":\"{command}\"")), "the manager never says {command}");
    }
    for to in
        ["offer", "push", "done", "abort", "mystatus", "status", "sysmsg", "ping", "cleanup", "gc", "dumpall"]
    {
        let is_answer = |line: &str| {
            line.contains(" < {")
                && line.contains(r#""command":"answer""#)
                && line.contains(&format!(r#""to":"{to}""#))
        };
        assert!(all.lines().any(is_answer), "the manager never answers {to}");
    }
    for code in [
        "EINVSLOTNR",
        "EINVCMDSTAT1",
        "EINVCMDSTAT2",
        "EINVSTAT1",
        "EINVWORKL",
        "ENORID",
        "EDUPRID",
        "EPROTO",
        "ELARGEMSG",
        "EOVERLOAD",
        "EABINVINP",
        "EABRNOFO",
        "EINVWLI",
        "EUNKNCMD",
        "EUNKNANDT",
        "EATO",
        "ETO",
        "EWORK",
        "ECRASH",
        "ESHUTDOWN",
    ] {
        assert!(all.contains(&format!(r#""code":"{code}""#)), "no conversation has {code}");
    }
}
