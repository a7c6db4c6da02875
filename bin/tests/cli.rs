//! The executables as a user starts them: real processes, real TCP, any free port.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes longer, on a machine that has other things to do too.
const LIMIT: Duration = Duration::from_secs(30);

fn executable(name: &str) -> Command {
    let path = match name {
        "manager" => env!("CARGO_BIN_EXE_manager"),
        "worker" => env!("CARGO_BIN_EXE_worker"),
        "client" => env!("CARGO_BIN_EXE_client"),
        _ => panic!("no executable {name}"),
    };
    let mut command = Command::new(path);
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("PROLETARIAT_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command
}

/// Looks again and again until there is an answer.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that is killed when the test ends, however it ends. What it says is kept in a file.
struct Running {
    child: Child,
    talk: PathBuf,
}

impl Running {
    fn start(name: &str, arguments: &[&str], folder: &Path) -> Self {
        let talk = folder.join(format!("{name}-{}.err", fs::read_dir(folder).unwrap().count()));
        let mut command = executable(name);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.stderr(fs::File::create(&talk).unwrap()).spawn().unwrap();
        Self { child, talk }
    }

    fn talk(&self) -> String {
        fs::read_to_string(&self.talk).unwrap()
    }

    fn until_it_says(&self, text: &str) {
        until(&format!("says {text:?}"), || self.talk().contains(text).then_some(()));
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn exit_code(&mut self) -> i32 {
        until("ends", || self.child.try_wait().unwrap()).code().expect("ended by itself, not by a signal")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A manager on a free port.
struct Fleet {
    folder: TempDir,
    manager: Running,
    port: String,
}

impl Fleet {
    fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let words = ["--port", "0", "--port-file", file.to_str().unwrap()];
        let manager = Running::start("manager", &[&words, arguments].concat(), folder.path());
        let port = until("the port file", || fs::read_to_string(&file).ok());
        Self { folder, manager, port: port.trim().to_owned() }
    }

    fn port_file(&self) -> PathBuf {
        self.folder.path().join("port")
    }

    fn worker(&self, arguments: &[&str]) -> Running {
        Running::start("worker", &[&["--port", &self.port], arguments].concat(), self.folder.path())
    }

    fn client(&self, arguments: &[&str]) -> Output {
        self.client_with(arguments, b"")
    }

    fn client_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        run("client", &[arguments, &["--port", &self.port]].concat(), input)
    }
}

/// Runs to the end, with this on standard input.
fn run(name: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = executable(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read all.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    let pid = child.id().to_string();
    let (done, output) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    output
        .recv_timeout(LIMIT)
        .unwrap_or_else(|_| {
            let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
            panic!("{name} {arguments:?} did not end")
        })
        .unwrap()
}

fn assert_ended(output: &Output, code: i32, said: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{talk}");
    for text in said {
        assert!(talk.contains(text), "{text:?} is not in {talk:?}");
    }
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn version_is_one_line_and_help_is_data() {
    for name in ["manager", "worker", "client"] {
        let version = run(name, &["--version"], b"");
        assert_eq!(printed(&version), format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
        let help = run(name, &["--help"], b"");
        assert_ended(&help, 0, &[]);
        assert!(printed(&help).contains("Examples:") && help.stderr.is_empty());
        assert!(!printed(&help).contains('\x1b'), "colour although it is no terminal");
        let wrong = run(name, &["--frobnicate"], b"");
        assert_ended(&wrong, 2, &["--frobnicate"]);
        assert!(wrong.stdout.is_empty());
    }
}

#[test]
fn colour_is_there_when_asked_for() {
    let wrong = run("manager", &["--color=always", "--frobnicate"], b"");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("\x1b["));
}

#[test]
fn a_closed_pipe_is_no_words_worth() {
    let mut child = executable("manager");
    let mut child = child.arg("--help").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut talk = String::new();
    child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert_eq!((talk.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn a_manager_ends_in_order_and_takes_its_port_file_along() {
    for signal in ["TERM", "INT"] {
        let mut fleet = Fleet::new(&[]);
        assert!(fleet.port.parse::<u16>().unwrap() > 0);
        fleet.manager.until_it_says(&format!("127.0.0.1:{}", fleet.port));
        fleet.manager.signal(signal);
        assert_eq!(fleet.manager.exit_code(), 0, "{}", fleet.manager.talk());
        assert!(!fleet.port_file().exists());
        let mut data = String::new();
        fleet.manager.child.stdout.take().unwrap().read_to_string(&mut data).unwrap();
        assert_eq!(data, "", "standard output is data");
    }
}

#[test]
fn a_manager_that_cannot_listen_says_why() {
    let fleet = Fleet::new(&[]);
    let second = run("manager", &["--port", &fleet.port], b"");
    assert_ended(&second, 1, &[&fleet.port, "in use"]);
    let open = run("manager", &["--host", "0.0.0.0:0"], b"");
    assert_ended(&open, 2, &["insecure"]);
    let wrong = run("manager", &["--port", "0", "--heartbeat", "20s"], b"");
    assert_ended(&wrong, 2, &["heartbeat"]);
    let absent = run("manager", &["--port", "0", "--config", "absent.toml"], b"");
    assert_ended(&absent, 2, &["absent.toml"]);
}

#[test]
fn a_file_sets_the_port_and_its_faults_name_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    let port_file = folder.path().join("port");
    fs::write(&good, format!("host = '127.0.0.1'\nport = 0\nport_file = '{}'\n", port_file.display()))
        .unwrap();
    let _manager = Running::start("manager", &["--config", good.to_str().unwrap()], folder.path());
    until("the port file", || port_file.exists().then_some(()));
    fs::write(&bad, "port = 0\nprot = 1\n").unwrap();
    let wrong = run("manager", &["--config", bad.to_str().unwrap()], b"");
    assert_ended(&wrong, 2, &[&format!("{}:2: unknown key \"prot\"", bad.display())]);
}

#[test]
fn nobody_there_is_told_with_the_address() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    for arguments in [&["work", "x"][..], &["status"], &["sysmsg", "x"]] {
        let arguments = [arguments, &["--host", &address, "--connect-timeout", "300ms"]].concat();
        assert_ended(&run("client", &arguments, b""), 3, &[&address]);
    }
    let start = Instant::now();
    let output = run("client", &["work", "x", "--host", &address, "--timeout", "200ms"], b"");
    assert_ended(&output, 3, &[&address]);
    assert!(start.elapsed() < Duration::from_secs(5), "the timeout holds while connecting too");
}

#[test]
fn a_containers_service_address_is_ignored_with_a_word() {
    let mut command = executable("client");
    let command = command.args(["status", "--connect-timeout", "100ms", "--host", "127.0.0.1:1"]);
    let output = command.env("PROLETARIAT_PORT", "tcp://10.0.0.9:1917").output().unwrap();
    assert_ended(&output, 3, &["warning: PROLETARIAT_PORT=tcp://10.0.0.9:1917 ignored", "127.0.0.1:1"]);
}

#[test]
fn a_call_says_why_it_waits_and_ends_in_time() {
    let fleet = Fleet::new(&[]);
    let output = fleet.client(&["work", "--kind", "mult", "--timeout", "3s", "x"]);
    assert_ended(&output, 4, &["waiting: no worker is connected"]);
    assert!(printed(&output).starts_with("error ECSTO: "), "{}", printed(&output));
    let output = fleet.client(&["work", "--assign-timeout", "100", "--output", "jsonl", "x"]);
    assert_ended(&output, 4, &[]);
    assert!(
        printed(&output).starts_with(r#"{"index":0,"error":{"code":"EATO","message":""#),
        "{}",
        printed(&output)
    );
    let output = fleet.client(&["work", "--no-wait", "--output", "json", "x", "y"]);
    assert_ended(&output, 1, &[]);
    assert_eq!(printed(&output).matches("ENOWORKER").count(), 2);
}

#[test]
fn an_interrupted_call_aborts_its_jobs() {
    let fleet = Fleet::new(&[]);
    let mut call = Running::start("client", &["work", "x", "--port", &fleet.port], fleet.folder.path());
    let queued = || printed(&fleet.client(&["status"])).contains("queues: 1 queued").then_some(());
    until("the job is queued", queued);
    call.signal("INT");
    assert_eq!(call.exit_code(), 130);
    assert_eq!(call.talk(), "");
    until("it is gone", || printed(&fleet.client(&["status"])).contains("queues: 0 queued").then_some(()));
}

#[test]
fn messages_reach_who_listens() {
    let fleet = Fleet::new(&[]);
    let folder = fleet.folder.path();
    let alone = fleet.client(&["sysmsg", "x", "--to", "MANAGER"]);
    assert_eq!(printed(&alone), "sentTo 1, receivedBy 1\n");
    let mut listener =
        Running::start("client", &["sysmsg", "--listen", "--output", "jsonl", "--port", &fleet.port], folder);
    listener.until_it_says("listening as peer ");
    let told = fleet.client(&["sysmsg", r#"{"do": "something"}"#, "--output", "json"]);
    assert_eq!(printed(&told), "{\"sentTo\":1,\"receivedBy\":1}\n");
    let nobody = fleet.client(&["sysmsg", "x", "--to", "999999999"]);
    assert_eq!(printed(&nobody), "sentTo 0, receivedBy 0\n");
    listener.signal("TERM");
    assert_eq!(listener.exit_code(), 130);
    let mut heard = String::new();
    listener.child.stdout.take().unwrap().read_to_string(&mut heard).unwrap();
    assert!(heard.ends_with(",\"content\":{\"do\":\"something\"}}\n"), "{heard}");
    assert_eq!(heard.lines().count(), 1, "{heard}");
}

#[test]
fn jobs_come_back_in_order_and_unchanged() {
    let fleet = Fleet::new(&[]);
    let worker = fleet.worker(&["--slots", "4"]);
    worker.until_it_says("echoes");
    let output = fleet.client(&["work", r#"{"some":"work"}"#, "-", "last"]);
    assert_ended(&output, 0, &[]);
    assert_eq!(printed(&output), "{\"some\":\"work\"}\nlast\n");
    let lines: String = (0..5_000).map(|n| format!("{n} \u{e9}\t\"'\\ {{}}\n")).collect();
    let output = fleet.client_with(&["work", "-"], lines.as_bytes());
    assert_ended(&output, 0, &[]);
    assert!(printed(&output) == lines, "5,000 lines, in order");
    let output = fleet.client_with(&["work", "--output", "jsonl", "-"], b"\xff\n7 \n");
    assert_eq!(
        printed(&output),
        "{\"index\":0,\"result\":{\"base64\":\"/w==\"}}\n{\"index\":1,\"result\":7}\n"
    );
    let output = fleet.client(&["work", "--output", "quiet", "x"]);
    assert_ended(&output, 0, &[]);
    assert!(output.stdout.is_empty());
}

#[test]
fn individual_ones_come_as_they_end() {
    let fleet = Fleet::new(&[]);
    let _worker = fleet.worker(&["--builtin", "sleep"]);
    let output = fleet.client(&["work", "--individual", "600ms", "1ms"]);
    assert_eq!(printed(&output), "1ms\n600ms\n");
    let output = fleet.client(&["work", "200ms", "1ms"]);
    assert_eq!(printed(&output), "200ms\n1ms\n");
    let output = fleet.client(&["work", "--run-timeout", "100ms", "1ms", "1h", "frobnicate"]);
    assert_ended(&output, 1, &[]);
    let lines: Vec<_> = printed(&output).lines().collect();
    assert!(
        lines[0] == "1ms" && lines[1].starts_with("error ETO: ") && lines[2].starts_with("error EWORK: "),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_closed_pipe_ends_the_call() {
    let fleet = Fleet::new(&[]);
    let _worker = fleet.worker(&[]);
    let mut command = executable("client");
    command.args(["work", "--individual", "--port", &fleet.port, "-"]).stdin(Stdio::piped());
    let mut call = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = call.stdin.take().unwrap();
    // Endless input: only the closed pipe can end this.
    std::thread::spawn(move || while stdin.write_all(b"again and again\n").is_ok() {});
    let mut first = [0; 16];
    call.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"again and again\n");
    until("ends", || call.try_wait().unwrap());
    let mut talk = String::new();
    call.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    assert_eq!(talk, "");
}

#[test]
fn a_worker_offers_what_it_is_told_to() {
    let fleet = Fleet::new(&[]);
    let _worker = fleet.worker(&["--priority-slots", "1=30,2=20", "--kinds", "mult,add", "--name", "carol"]);
    let shown = until("the worker is there", || {
        let shown = printed(&fleet.client(&["status"])).to_owned();
        shown.contains("workers: 1").then_some(shown)
    });
    assert!(shown.contains("carol") && shown.contains("add,mult") || shown.contains("mult,add"), "{shown}");
    let state = fleet.client(&["status", "--output", "json"]);
    let state: serde_json::Value = serde_json::from_slice(&state.stdout).unwrap();
    let limits: Vec<_> =
        state["workers"][0]["ranges"].as_array().unwrap().iter().map(|range| &range["limit"]).collect();
    assert_eq!(limits, [50, 80, 100]);
    for (words, culprit) in [
        (&["--slots", "0"][..], "0 slots"),
        (&["--slots", "65536"], "65536"),
        (&["--slots", "10", "--priority-slots", "1=8,5=3"], "range from 5"),
    ] {
        assert_ended(
            &run("worker", &[words, &["--port", &fleet.port]].concat(), b""),
            2,
            &["EINVSLOTNR", culprit],
        );
    }
}

#[test]
fn a_worker_that_drains_finishes_what_it_has() {
    let fleet = Fleet::new(&[]);
    let mut worker = fleet.worker(&["--builtin", "sleep", "--slots", "1"]);
    let mut call = Running::start("client", &["work", "700ms", "--port", &fleet.port], fleet.folder.path());
    let running = || {
        let state = fleet.client(&["status", "--output", "json"]);
        let state: serde_json::Value = serde_json::from_slice(&state.stdout).unwrap();
        (state["workers"][0]["running"] == 1).then_some(())
    };
    until("the job runs", running);
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0, "{}", worker.talk());
    assert_eq!(call.exit_code(), 0, "{}", call.talk());
}

#[test]
fn a_second_signal_ends_at_once() {
    let fleet = Fleet::new(&[]);
    let mut worker = fleet.worker(&["--builtin", "sleep", "--slots", "1"]);
    let _call = Running::start("client", &["work", "1h", "--port", &fleet.port], fleet.folder.path());
    let state = || {
        serde_json::from_slice::<serde_json::Value>(&fleet.client(&["status", "--output", "json"]).stdout)
            .unwrap()
    };
    until("the job runs", || (state()["workers"][0]["running"] == 1).then_some(()));
    worker.signal("INT");
    worker.until_it_says("draining");
    worker.signal("INT");
    assert_eq!(worker.exit_code(), 130);
}

#[test]
fn a_worker_waits_for_its_manager() {
    let folder = tempfile::tempdir().unwrap();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port().to_string();
    drop(gone);
    let worker = Running::start("worker", &["--port", &port, "--con-retrytime", "50ms"], folder.path());
    worker.until_it_says("no manager");
    assert!(worker.talk().contains(&port), "{}", worker.talk());
    let _manager = Running::start("manager", &["--port", &port], folder.path());
    let output = run("client", &["work", "x", "--port", &port], b"");
    assert_eq!(printed(&output), "x\n");
}
