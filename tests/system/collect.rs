//! `client collect`, here and on the workers of a manager, with the stand-in of the examples.

use crate::harness::{CLIENT, Ended, Test, let_time_pass, until, within};
use proletariat_protocol::JobOptions;
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use rustix::process::Signal;
use serde_json::json;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Listens on a port (first argument), answers once with so many lines (second) of 100 bytes, and ends. Its starts and ends are
/// lines of two files (third, fourth).
const ONE_ANSWER: &str = r#"
use std::fs::File;
use std::io::{BufRead, BufReader, Write};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let note = |file: &str| writeln!(File::options().create(true).append(true).open(file).unwrap(), "x").unwrap();
    note(&words[3]);
    let listener = std::net::TcpListener::bind(("127.0.0.1", words[1].parse().unwrap())).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    for line in BufReader::new(&stream).lines() {
        if line.unwrap().is_empty() {
            break;
        }
    }
    let mut answer = String::from("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    for number in 0..words[2].parse::<u32>().unwrap() {
        answer += &format!("{number:099}\n");
    }
    stream.write_all(answer.as_bytes()).unwrap();
    note(&words[4]);
}
"#;

/// The stand-in, built into the folder of the test, so that its processes are known by their path.
fn stand_in(test: &Test) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    build(test, &root.join("examples/samples.rs"), "samples")
}

fn build(test: &Test, source: &Path, name: &str) -> PathBuf {
    let program = test.path(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2024", "-O", "-o"])
        .arg(&program)
        .arg(source)
        .current_dir(test.path(""))
        .status();
    assert!(built.unwrap().success());
    program
}

/// The processes that run this program.
fn copies(program: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let runs = |entry: &std::fs::DirEntry| {
        std::fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program)
    };
    processes.filter(runs).count()
}

fn words<'a>(program: &'a Path, options: &[&'a str], flags: &[&'a str]) -> Vec<&'a str> {
    let copy = ["--", program.to_str().unwrap(), "-workerId", "{id}", "-port", "{port}"];
    [&["collect"], options, &copy, flags].concat()
}

#[track_caller]
fn assert_collected(ended: &Ended, workers: usize, samples: usize) {
    let lines = ended.lines();
    assert_eq!(lines[0], format!("Workers count: {workers}"));
    assert_eq!(lines[1], format!("Sample data required: {samples}"));
    let collected = lines[2].strip_prefix("Sample collected: ").unwrap();
    assert_eq!(collected.split(',').filter(|sample| sample.starts_with("rnd=")).count(), samples);
    assert_eq!(lines[3], format!("Number of samples: {samples}"));
    assert!(lines[4].starts_with("Start: ") && lines[4].ends_with("ms"), "{lines:?}");
}

#[test]
fn a_hundred_and_fifty_samples_within_ten_seconds() {
    let test = Test::new();
    let program = stand_in(&test);
    let plain = test.start("client", &words(&program, &["--workers", "16", "--samples", "150"], &[]));
    let ended = plain.close_input().ended().expect(0);
    assert_collected(&ended, 16, 150);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    assert_eq!(copies(&program), 0, "copies are left");
}

#[test]
fn copies_that_crash_are_replaced_and_their_samples_kept() {
    let test = Test::new();
    let program = stand_in(&test);
    let options = ["--workers", "16", "--samples", "150"];
    let ended = test.run("client", &words(&program, &options, &["-crash", "0.3"])).expect(0);
    assert_collected(&ended, 16, 150);
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
    assert_eq!(copies(&program), 0, "copies are left");
}

#[test]
fn the_copies_run_on_the_workers_of_a_manager() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let program = stand_in(&test);
    let copy = json!([program, "-workerId", "{id}", "-port", "{port}"]).to_string();
    let _one = manager.ready_worker(&["--slots", "2", "--collect", &copy]);
    let _two = manager.ready_worker(&["--slots", "2", "--collect", &copy]);
    assert_eq!(manager.workers()[0]["kinds"], json!(["collect"]));
    let ended = manager.ask(&["collect", "--workers", "4", "--samples", "10"]).expect(0);
    assert_collected(&ended, 4, 10);
    assert_eq!(copies(&program), 0, "copies are left");
}

#[test]
fn a_client_does_not_tell_other_hosts_what_to_execute() {
    let test = Test::new();
    let program = Path::new("/bin/true");
    let ended = test.run("client", &words(program, &["--host", "127.0.0.1"], &[])).expect(2);
    ended.said(&["worker --collect"]);
}

#[test]
fn json_path_and_the_ancestors_file() {
    let test = Test::new();
    let program = stand_in(&test);
    let file = test.file("config.json", "{ \"numberOfWorkers\": 3 }");
    let file = file.to_str().unwrap();
    let options = ["--config", file, "--samples", "5", "--path", "/rnd?n={n}", "--json", "--timeout", "30s"];
    let document = test.run("client", &words(&program, &options, &[])).expect(0).json();
    assert_eq!((&document["workers"], &document["required"]), (&json!(3), &json!(5)));
    assert_eq!(document["samples"].as_array().unwrap().len(), 5);
    let options = ["--config", file, "--workers", "2", "--samples", "2"];
    assert_collected(&test.run("client", &words(&program, &options, &[])).expect(0), 2, 2);
    let options = ["--workers", "1", "--samples", "2", "--path", "/wrong"];
    let ended = test.run("client", &words(&program, &options, &[])).expect(1);
    ended.said(&["0 of 2 samples", "GET /wrong: 404"]);
    assert_eq!(copies(&program), 0, "copies are left");
}

#[test]
fn what_cannot_be_is_an_error_and_no_loop() {
    let test = Test::new();
    let ended = test.run("client", &words(Path::new("no-such-program"), &["--workers", "2"], &[])).expect(1);
    ended.said(&["0 of 150 samples", "no-such-program"]);
    let ended = test.run("client", &words(Path::new("/bin/false"), &["--workers", "2"], &[])).expect(1);
    ended.said(&["0 of 150 samples", "/bin/false: 6 copies without a sample", "exit status: 1"]);
    test.run("client", &["collect", "--path", "x", "--", "prog"]).expect(2).said(&["--path"]);
    test.run("worker", &["--collect", "prog"]).expect(2).said(&["--collect", "JSON"]);
    test.run("worker", &["--collect", "[]"]).expect(2).said(&["--collect", "JSON"]);
}

/// A port that leads one connection to this address, but not before this time has passed.
fn slow_way_to(address: SocketAddr, time: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        let_time_pass(time);
        let far = TcpStream::connect(address).unwrap();
        let (mut back, mut forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut back, &mut forth);
            let _ = forth.shutdown(Shutdown::Both);
        });
        let _ = std::io::copy(&mut &near, &mut &far);
    });
    port
}

#[test]
fn the_timeout_is_that_of_the_whole_call() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = slow_way_to(manager.address(), Duration::from_secs(2)).to_string();
    let words = ["collect", "--workers", "1", "--samples", "1", "--timeout", "3s", "--port", &port];
    let ended = test.run("client", &words).expect(4);
    assert!((3_000..4_800).contains(&ended.took.as_millis()), "{:?}", ended.took);
    ended.said(&["0 of 1 samples: ECSTO"]);
}

#[test]
fn no_copy_outlives_any_ending() {
    let test = Test::new();
    let program = stand_in(&test);
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(130)), (Signal::KILL, None)] {
        let client = test.start("client", &words(&program, &["--workers", "5", "--samples", "1000"], &[]));
        until("all copies run", || (copies(&program) == 5).then_some(()));
        client.signal(signal);
        assert_eq!(client.ended().code, code);
        within(Duration::from_secs(3), "the copies are gone", || (copies(&program) == 0).then_some(()));
    }
}

#[test]
fn who_keeps_the_pipes_of_a_copy_open_holds_nobody_up() {
    let test = Test::new();
    let (program, gate) = (stand_in(&test), test.path("gate"));
    // It has left the group of the copy, so it is nobody's to end; it has the copy's pipes.
    let helper = format!("setsid sh -c 'until [ -e {} ]; do sleep 0.05; done' &", gate.display());
    let crashes = format!("{helper} echo lost >&2; exit 1");
    let words = ["collect", "--workers", "1", "--samples", "1", "--", "sh", "-c", &crashes];
    let ended = test.run("client", &words).expect(1);
    ended.said(&["sh: 6 copies without a sample", "exit status: 1: lost"]);
    let manager = test.manager(&[]);
    let stays = format!("{helper} exec {} -port {{port}}", program.display());
    let _worker = manager.ready_worker(&["--collect", &json!(["sh", "-c", stays]).to_string()]);
    assert_collected(&manager.ask(&["collect", "--workers", "1", "--samples", "1"]).expect(0), 1, 1);
    manager.until_idle();
    assert_eq!(copies(&program), 0, "copies are left");
    std::fs::write(&gate, "").unwrap();
}

#[test]
fn what_a_copy_gave_before_it_ended_counts_however_slowly_it_is_taken() {
    const SAMPLES: u32 = 20_000;
    let test = Test::new();
    let manager = test.manager(&[]);
    let program = build(&test, &test.file("one_answer.rs", ONE_ANSWER), "one_answer");
    let (starts, ends) = (test.path("starts"), test.path("ends"));
    let copy = json!([program, "{port}", SAMPLES.to_string(), starts, ends]).to_string();
    let _worker = manager.ready_worker(&["--slots", "1", "--collect", &copy]);
    let mut client = manager.peer(CLIENT);
    let order = json!({"id": 0, "n": SAMPLES, "path": "/"}).to_string();
    let options = JobOptions { kind: Some("collect".into()), stream: true, ..JobOptions::default() };
    client.submit_with(options, &[order.as_bytes()]);
    let (mut samples, mut credited, mut has_waited) = (0, 0, false);
    loop {
        match client.hear() {
            (ManagerMessage::Data { job, bytes }, payloads) => {
                assert_eq!(payloads[0], format!("{samples:099}\n"));
                samples += 1;
                if !has_waited && ends.exists() {
                    // Twice as long as anybody waits for last words.
                    let_time_pass(Duration::from_secs(1));
                    has_waited = true;
                }
                let taken = u64::from(samples * bytes);
                if taken - credited > 100_000 {
                    client.say(&PeerMessage::Credit { job, bytes: taken - credited }, &[]);
                    credited = taken;
                }
            }
            (ManagerMessage::Outcomes { .. }, _) => break,
            (ManagerMessage::Accepted { .. } | ManagerMessage::Restarted { .. }, _) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(samples, SAMPLES);
    let copies = std::fs::read_to_string(&starts).unwrap().lines().count();
    assert_eq!(copies, 1, "copies for the samples of one");
}
