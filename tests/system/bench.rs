//! `client bench`: every workload in small, each answer checked, and nothing left of the manager that it starts.

use crate::harness::{Test, let_time_pass, until};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("no number {name} in {report}"))
}

/// All jobs have their answers, and the manager's own time is told.
fn assert_complete(report: &Value) {
    assert!(number(report, "jobs") > 0.0 && report["answers"] == report["jobs"], "{report}");
    for none in ["wrong", "twice", "failed", "missing"] {
        assert_eq!(report[none], 0, "{report}");
    }
    assert!(number(report, "manager_us_per_job") > 0.0, "{report}");
}

#[test]
fn every_load_runs_and_is_checked() {
    let test = Test::new();
    let lines: [&[&str]; 7] = [
        &["W1", "--jobs", "3000"],
        &["W3", "--jobs", "20000", "--crowd", "10", "--kinds", "2000"],
        &["w1x", "--duration", "200ms"],
        &["W1p", "--jobs", "3000", "--kinds", "5"],
        &["W2", "--jobs", "200"],
        &["W4", "--jobs", "1000", "--crowd", "30"],
        &["W5", "--jobs", "100", "--payload", "100KiB"],
    ];
    for line in lines {
        let report = test.run("client", &[&["bench", "--output", "json"], line].concat()).expect(0).json();
        assert_complete(&report);
        assert!(number(&report, "jobs_per_s") > 0.0, "{report}");
        assert!(number(&report, "p50_us") <= number(&report, "p999_us"), "{report}");
        assert!(number(&report, "manager_rss_bytes") > 1e6, "{report}");
    }
}

#[test]
fn a_backlog_and_urgent_jobs_run_too() {
    let test = Test::new();
    let report = test.run("client", &["bench", "W3", "--jobs", "20000", "--output", "json"]).expect(0).json();
    assert_complete(&report);
    assert!(number(&report, "push_per_s") > 0.0 && number(&report, "drain_per_s") > 0.0, "{report}");
    assert!(number(&report, "bytes_per_job") > 0.0, "{report}");
    let more: [&[&str]; 2] =
        [&[], &["--kinds", "7", "--priorities", "2", "--crowd", "5", "--run-timeout", "20s"]];
    for more in more {
        let line = ["bench", "W6", "--duration", "300ms", "--outstanding", "20000", "--output", "json"];
        let report = test.run("client", &[&line, more].concat()).expect(0).json();
        assert_complete(&report);
        assert!(number(&report, "idle_p99_us") > 0.0 && number(&report, "p99_us") > 0.0, "{report}");
    }
}

/// A manager that stands still when the time is over and a second longer: the jobs that felt it are those that are open then.
#[test]
fn a_stall_that_lasts_beyond_the_end_is_felt() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let bench = manager.client(&["bench", "--duration", "500ms", "--output", "json"]);
    let_time_pass(Duration::from_millis(900));
    manager.process.signal(Signal::STOP);
    let_time_pass(Duration::from_millis(2_500));
    manager.process.signal(Signal::CONT);
    let report = bench.ended().expect(0).json();
    assert!(number(&report, "max_us") > 1e6, "{report}");
}

#[test]
fn what_failed_is_neither_fast_nor_counted() {
    let test = Test::new();
    let line =
        ["bench", "--jobs", "2000", "--timeout", "1ms", "--slots", "1", "--workers", "1", "--output", "json"];
    let report = test.run("client", &line).expect(1).json();
    let (jobs, failed, seconds) =
        (number(&report, "jobs"), number(&report, "failed"), number(&report, "seconds"));
    assert!(failed > 0.0 && jobs == 2_000.0, "{report}");
    let right = number(&report, "jobs_per_s") * seconds;
    assert!((right - (jobs - failed)).abs() < 1.0, "{report}");
}

#[test]
fn another_manager_is_measured_where_it_is_named() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let text = manager.ask(&["bench", "--jobs", "1000"]).expect(0).text();
    assert!(text.contains("jobs per s") && !text.contains("manager us per job"), "{text}");
    let status = manager.status();
    assert_eq!(status["manager"]["finished"], 1_000, "the jobs went there: {status}");
}

#[test]
fn interrupted_or_killed_it_leaves_no_manager() {
    for signal in [Signal::INT, Signal::KILL] {
        let test = Test::new();
        let bench = test.start("client", &["bench", "W1", "--duration", "1min"]);
        let of_manager = until("the bench has its manager", || manager_of(&test));
        bench.signal(signal);
        let ended = bench.ended();
        if signal == Signal::INT {
            ended.expect(130);
        }
        until("the manager is gone", || (!std::path::Path::new(&of_manager).exists()).then_some(()));
    }
}

/// The folder in /proc of the manager that a bench of this test has started: its scratch folder is in its environment.
fn manager_of(test: &Test) -> Option<String> {
    let scratch = format!("TMPDIR={}", test.path("tmp").display());
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let folder = process.path();
        let words = std::fs::read(folder.join("cmdline")).ok()?;
        let variables = std::fs::read(folder.join("environ")).ok()?;
        let has =
            |bytes: &[u8], word: &str| bytes.split(|byte| *byte == 0).any(|part| part == word.as_bytes());
        let is_ours = has(&words, "bench-manager") && has(&variables, &scratch);
        is_ours.then(|| folder.display().to_string())
    })
}
