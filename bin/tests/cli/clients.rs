//! `client` beside a manager, and without one.

use crate::fleet::{Fleet, Running, assert_ended, executable, printed, run, until};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

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
