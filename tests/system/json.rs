//! The JSON dialect with programs that nobody needs a library for: the scripts of `examples/json` as workers and clients, alone and
//! together with the executables.

use crate::harness::{Manager, Running, Test};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};

/// A language: its interpreter, and how its scripts end.
const NODE: Language = Language { interpreter: "node", suffix: "js" };
const PYTHON: Language = Language { interpreter: "python3", suffix: "py" };

#[derive(Clone, Copy, Debug)]
struct Language {
    interpreter: &'static str,
    suffix: &'static str,
}

impl Language {
    /// Whether it can be run here. A machine without it proves nothing about it, and the test says so.
    fn is_here(self) -> bool {
        let mut command = Command::new(self.interpreter);
        let found = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        let is_here = found.is_ok_and(|status| status.success());
        if !is_here {
            eprintln!("{} is not installed: its scripts were NOT run", self.interpreter);
        }
        is_here
    }

    fn script(self, test: &Test, name: &str, arguments: &[&str]) -> Running {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/json");
        let mut command = Command::new(self.interpreter);
        command.arg(folder.join(format!("{name}.{}", self.suffix))).args(arguments);
        test.spawn(command)
    }

    fn worker(self, test: &Test, manager: &Manager<'_>, slots: &str) -> Running {
        let before = manager.workers().len();
        let worker = self.script(test, "worker", &[&host(manager), slots]);
        manager.until_workers(before + 1);
        worker
    }

    fn client(self, test: &Test, manager: &Manager<'_>, jobs: &[&str]) -> Running {
        self.script(test, "client", &[&[host(manager).as_str()], jobs].concat())
    }
}

fn host(manager: &Manager<'_>) -> String {
    format!("127.0.0.1:{}", manager.port)
}

fn both_ends(worker: Language, client: Language) {
    if !worker.is_here() || !client.is_here() {
        return;
    }
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = worker.worker(&test, &manager, "3");
    let jobs: Vec<String> = (0..50).map(|n| json!({"a": n, "b": 7}).to_string()).collect();
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    let products: Vec<String> = (0..50).map(|n| (n * 7).to_string()).collect();
    assert_eq!(client.client(&test, &manager, &jobs).ended().expect(0).lines(), products);

    // What the handler refuses fails, and the rest is done.
    let ended = client.client(&test, &manager, &[r#"{"a":6,"b":7}"#, "null"]).ended().expect(1);
    assert_eq!(ended.lines(), ["42", r#"error EWORK: a job is {"a":number,"b":number}"#]);

    // The executables see numbers, messages and codes.
    let ended = manager.ask(&["work", r#"{"a":3,"b":4}"#, "not JSON"]).expect(1);
    assert_eq!(ended.lines(), ["12", r#"error EWORK: a job is {"a":number,"b":number}"#]);
    let worker = manager.workers()[0]["peer"].to_string();
    let report = manager.ask(&["sysmsg", "hello", "--to", &worker, "--output", "json"]).expect(0).json();
    assert_eq!(report, json!({"sentTo": 1, "receivedBy": 1}));
    manager.until_idle();
}

#[test]
fn a_worker_in_javascript_and_a_client_in_python() {
    both_ends(NODE, PYTHON);
}

#[test]
fn a_worker_in_python_and_a_client_in_javascript() {
    both_ends(PYTHON, NODE);
}

fn native_worker(client: Language) {
    if !client.is_here() {
        return;
    }
    let test = Test::new();
    let manager = test.manager(&[]);
    let arith = manager.ready_worker(&["--builtin", "arith"]);
    let lines =
        client.client(&test, &manager, &[r#"{"_kind":"mult","a":3,"b":4}"#]).ended().expect(0).lines();
    assert!(lines[0].replace(' ', "").starts_with(r#"{"res":12"#), "{lines:?}");
    drop(arith);
    manager.until_workers(0);
    let _echo = manager.ready_worker(&[]);
    let lines = client.client(&test, &manager, &[r#"["as it","is"]"#, "\"text\""]).ended().expect(0).lines();
    assert_eq!((lines[0].replace(", ", ",").as_str(), lines[1].as_str()), (r#"["as it","is"]"#, "\"text\""));
}

#[test]
fn scripts_use_native_workers() {
    native_worker(NODE);
    native_worker(PYTHON);
}

/// A manager is killed while jobs wait; workers and clients find the next one, and the jobs come under their old rid.
fn restart(language: Language) {
    if !language.is_here() {
        return;
    }
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port;
    let client = language.client(&test, &manager, &[r#"{"a":5,"b":5}"#, r#"{"a":6,"b":6}"#]);
    manager.until_queued(2);
    manager.kill();
    let manager = test.manager_at(port, &[]);
    manager.until_queued(2);
    let worker = language.worker(&test, &manager, "1");
    assert_eq!(client.ended().expect(0).lines(), ["25", "36"]);
    manager.kill();
    let manager = test.manager_at(port, &[]);
    manager.until_workers(1);
    assert_eq!(manager.ask(&["work", r#"{"a":7,"b":7}"#]).expect(0).lines(), ["49"]);
    drop(worker);
    manager.until_workers(0);
}

#[test]
fn scripts_outlive_their_manager() {
    restart(NODE);
    restart(PYTHON);
}

#[test]
fn the_jobs_of_a_killed_script_run_elsewhere() {
    if !NODE.is_here() {
        return;
    }
    let test = Test::new();
    let manager = test.manager(&[]);
    // A worker that takes jobs and never ends one.
    let deaf = test.file(
        "deaf.js",
        "const s = require('net').connect(process.argv[2], '127.0.0.1'); \
         const b = Buffer.from('{\"command\":\"offer\",\"slots\":2}'); \
         s.write(Buffer.concat([Buffer.from([0, 0, 0, b.length]), b])); s.resume();",
    );
    let mut command = Command::new("node");
    command.arg(deaf).arg(manager.port.to_string());
    let killed = test.spawn(command);
    manager.until_workers(1);
    let client = NODE.client(&test, &manager, &[r#"{"a":1,"b":2}"#, r#"{"a":3,"b":4}"#]);
    manager.until_assigned(2);
    let other = if PYTHON.is_here() { PYTHON } else { NODE };
    let _worker = other.worker(&test, &manager, "2");
    drop(killed);
    assert_eq!(client.ended().expect(0).lines(), ["2", "12"]);
}
