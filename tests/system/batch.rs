//! `client batch` against `worker --builtin lookup`, and `worker --builtin arith`.

use crate::harness::{Test, nobody};
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

/// 512 commands of a second each, and their sum.
fn crowd() -> (String, String, i64) {
    let (mut commands, mut table, mut sum) = (String::new(), String::new(), 0);
    for number in 0..512_i64 {
        let response = (number * 37) % 1_001 - 300;
        writeln!(commands, "137.72.{}.{}:foo", number / 256, number % 256).unwrap();
        writeln!(table, "137.72.{}.{}:foo:{response}:1", number / 256, number % 256).unwrap();
        sum += response;
    }
    (commands, table, sum)
}

#[test]
fn five_hundred_seconds_in_little_more_than_one() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let (commands, table, sum) = crowd();
    let (commands, table) = (test.file("commands", &commands), test.file("table", &table));
    let words = ["--builtin", "lookup", "--table", table.to_str().unwrap(), "--slots", "32"];
    let _worker = manager.ready_worker(&words);
    let words = ["batch", commands.to_str().unwrap(), "--group", "16"];
    let ended = manager.ask(&words).expect(0);
    assert_eq!(ended.lines()[0], format!("sum: {sum}"));
    assert_eq!(ended.lines()[2], "commands: 512 in 32 groups of 16");
    assert!((Duration::from_secs(1)..Duration::from_millis(1_500)).contains(&ended.took), "{:?}", ended.took);
}

#[test]
fn bad_lines_and_unknown_commands_stop_nothing() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let table = test.file("table", "1.1.1.1:foo:10:0\n1.1.1.1:foo\n1.1.1.2:bar:-3:0.05\n1.1.1.3:x:y:1\n");
    let table = table.to_str().unwrap();
    let worker = manager.ready_worker(&["--builtin", "lookup", "--table", table]);
    for line in
        ["table:2: row left out: expected ip:command:response:wait", "table:4: row left out: response"]
    {
        worker.until_it_says(line);
    }
    let commands = "1.1.1.1:foo\r\n\nnonsense\n1.1.1.2:bar\n9.9.9.9:foo\n1.1.1.2:bar\n1.1.1.1:\n1.1.1.1:bar";
    let commands = test.file("commands", commands);
    let name = commands.to_str().unwrap();
    let ended = manager.ask(&["batch", name, "--group", "2", "--output", "json"]).expect(1);
    let mut summary = ended.json();
    summary.as_object_mut().unwrap().remove("seconds");
    let expected = json!({"sum": 4, "commands": 5, "groups": 3, "bad_lines": 2, "unknown_commands": 2,
        "failed_groups": 0});
    assert_eq!(summary, expected);
    ended.said(&[
        "commands:3: expected ip:command: \"nonsense\"",
        "commands:5: unknown command \"9.9.9.9:foo\"",
        "commands:7: expected ip:command: \"1.1.1.1:\"",
        "commands:8: unknown command \"1.1.1.1:bar\"",
    ]);
}

#[test]
fn a_batch_without_faults_from_standard_input() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let table = test.file("table", "1.1.1.1:foo:9223372036854775807:0\n");
    let words = ["--builtin", "lookup", "--table", table.to_str().unwrap(), "--kinds", "mine"];
    let _worker = manager.ready_worker(&words);
    let words = [
        "batch",
        "-",
        "--kind",
        "mine",
        "--priority",
        "3",
        "--timeout",
        "30s",
        "--run-timeout",
        "30s",
        "--assign-timeout",
        "30s",
    ];
    let ended = manager.ask_with(&words, "1.1.1.1:foo\n".repeat(1_000)).expect(0);
    assert_eq!(ended.lines()[0], "sum: 9223372036854775807000");
    let words = ["batch", "-", "--kind", "mine", "--output", "quiet"];
    assert_eq!(manager.ask_with(&words, "").expect(0).text(), "");
}

#[test]
fn failed_groups_are_named_by_their_lines() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let commands = test.file("commands", "1.1.1.1:foo\n1.1.1.1:foo\n1.1.1.1:foo\n");
    let name = commands.to_str().unwrap();
    let words = ["batch", name, "--group", "2", "--assign-timeout", "50ms"];
    let ended = manager.ask(&words).expect(4).said(&["commands:1-2: error EATO", "commands:3: error EATO"]);
    assert!(ended.text().contains("failed groups: 2\n"), "{}", ended.text());
    let _echo = manager.ready_worker(&[]);
    manager.ask(&["batch", name]).expect(1).said(&["commands:1-3: the worker answers", "lookup"]);
}

#[test]
fn files_that_cannot_be_are_usage_errors() {
    let test = Test::new();
    let nobody = nobody().to_string();
    let absent = test.path("absent");
    let absent = absent.to_str().unwrap();
    test.run("client", &["batch", absent, "--host", &nobody]).expect(2).said(&["absent: No such file"]);
    let folder = test.path("");
    let folder = folder.to_str().unwrap();
    test.run("client", &["batch", folder, "--host", &nobody]).expect(2).said(&["directory"]);
    test.run("client", &["batch", absent, "--group", "0"]).expect(2).said(&["--group"]);
    test.run("worker", &["--builtin", "lookup"]).expect(2).said(&["--table FILE"]);
    test.run("worker", &["--builtin", "lookup", "--table", absent]).expect(2).said(&["absent: No such file"]);
    test.run("worker", &["--table", absent]).expect(2).said(&["--builtin lookup"]);
}

#[test]
fn arithmetic_by_kind() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let worker = manager.ready_worker(&["--builtin", "arith"]);
    assert_eq!(manager.workers()[0]["kinds"], json!(["mult", "add"]));
    for (kind, result) in [("mult", 12), ("add", 7)] {
        let ended = manager.ask(&["work", "--kind", kind, r#"{"a":3,"b":4}"#]).expect(0);
        assert_eq!(ended.json(), json!({"res": result, "duration": 0}));
    }
    manager.ask(&["work", "--kind", "mult", "nonsense"]).expect(1);
    drop(worker);
    manager.until_workers(0);
    // A hundredth of 3 to 7 s.
    let _slow = manager.ready_worker(&["--builtin", "arith", "--time-scale", "0.01"]);
    let ended = manager.ask(&["work", "--kind", "add", r#"{"a":3,"b":4}"#]).expect(0);
    let millis = ended.json()["duration"].as_u64().unwrap();
    assert!(millis >= 30, "{millis}");
    test.run("worker", &["--builtin", "arith", "--time-scale", "x"]).expect(2).said(&["--time-scale"]);
}
