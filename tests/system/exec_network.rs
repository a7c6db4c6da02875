//! `client exec -p` and its helpers `client exec -c`: who does what, who may come and go, and how each of them ends.

use crate::exec::{assert_same_lines, is_alive, numbers, pids, telling};
use crate::harness::{Running, Test, nobody, until, within};
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

/// A child that takes some milliseconds a line.
const SLOW: &str = "while read -r line; do sleep 0.005; echo \"$line\"; done";
const HELPER: [&str; 4] = ["exec", "-c", "127.0.0.1", "-p"];

/// A server, and the port that it serves.
fn server(test: &Test, arguments: &[&str]) -> (Running, String) {
    let server = test.start("client", &[&["exec", "-p", "0"], arguments].concat());
    let port = until("the server says where it is", || {
        let text = server.err();
        let (_, rest) = text.split_once("serves helpers at ")?;
        let (address, _) = rest.split_once('\n')?;
        Some(address.rsplit_once(':')?.1.to_owned())
    });
    (server, port)
}

fn helper(test: &Test, port: &str, arguments: &[&str]) -> Running {
    test.start("client", &[&HELPER[..], &[port], arguments].concat())
}

/// Waits until children have told their numbers.
fn until_children(file: &Path, count: usize) {
    until("the children are there", || (pids(file).len() >= count).then_some(()));
}

/// How many lines this one says to have done.
fn done_by(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_suffix(" done here")).unwrap();
    line.strip_prefix("lines: ").unwrap().parse().unwrap()
}

#[test]
fn helpers_do_the_work_and_end_with_it() {
    let test = Test::new();
    let input = numbers(3_000) + &numbers(500);
    let (server, port) = server(&test, &["-w", "0"]);
    assert!(server.err().contains("helpers of this host only"), "{}", server.err());
    let helpers = [1, 2].map(|_| helper(&test, &port, &["-x", r#"["cat"]"#, "-w", "1", "--depth", "4"]));
    helpers.iter().for_each(|helper| helper.until_it_says("exec: lends 1 child of cat"));
    let ended = server.feed(&*input).ended().expect(0).said(&["3500 read, 3500 done, 0 given up"]);
    assert_same_lines(&ended.out, input.as_bytes());
    let done = helpers.map(|helper| done_by(&helper.close_input().ended().expect(0).err));
    assert_eq!(done.iter().sum::<u64>(), 3_500, "{done:?}");
    // The server has the times of its helpers.
    let counts = ended.err.lines().filter(|line| line.starts_with("  < "));
    let counts = counts.map(|line| line.split_whitespace().nth(3).unwrap().parse::<u64>().unwrap());
    assert_eq!(counts.sum::<u64>(), 3_500, "{}", ended.err);
}

#[test]
fn a_helper_that_is_killed_loses_nothing() {
    let test = Test::new();
    let file = test.path("pids");
    let (server, port) = server(&test, &["-w", "1", "-x", &telling(&test.path("own"), SLOW)]);
    let doomed = helper(&test, &port, &["-w", "2", "-x", &telling(&file, SLOW)]);
    until_children(&file, 2);
    let input = "same\n".repeat(300) + &numbers(900);
    let server = server.feed(&*input);
    until("it gets on", || (server.out().len() > 1_000).then_some(()));
    doomed.signal(Signal::KILL);
    within(Duration::from_secs(3), "its children are gone", || {
        pids(&file).into_iter().all(|pid| !is_alive(pid)).then_some(())
    });
    let ended = server.ended().expect(0);
    assert_same_lines(&ended.out, input.as_bytes());
}

#[test]
fn a_helper_that_is_told_to_end_finishes_what_it_has() {
    let test = Test::new();
    let (server, port) = server(&test, &["-w", "0"]);
    let input = numbers(600);
    let server = server.feed(&*input);
    let script = serde_json::json!(["sh", "-c", SLOW]).to_string();
    let leaving = helper(&test, &port, &["-w", "2", "-x", &script]);
    until("it gets on", || (server.out().len() > 200).then_some(()));
    leaving.signal(Signal::TERM);
    let ended = leaving.ended().expect(0);
    assert!(done_by(&ended.err) >= 50, "{}", ended.err);
    let _other = helper(&test, &port, &["-w", "2", "-x", r#"["cat"]"#]);
    let ended = server.ended().expect(0).said(&["600 done, 0 given up", "crashes over a line: 0"]);
    assert_same_lines(&ended.out, input.as_bytes());
}

#[test]
fn a_second_signal_ends_a_helper_at_once() {
    let test = Test::new();
    let file = test.path("pids");
    let (server, port) = server(&test, &["-w", "0"]);
    let server = server.feed("a\n");
    let script = telling(&file, "read -r line; sleep 1000");
    let helper = helper(&test, &port, &["-w", "1", "-x", &script, "--drain-timeout", "20s"]);
    until_children(&file, 1);
    helper.signal(Signal::INT);
    helper.until_it_says("a second signal ends it at once");
    helper.signal(Signal::INT);
    helper.ended().expect(130);
    within(Duration::from_secs(3), "the child is gone", || (!is_alive(pids(&file)[0])).then_some(()));
    server.signal(Signal::INT);
    server.ended().expect(130);
}

#[test]
fn a_helper_survives_its_server_and_serves_the_next() {
    let test = Test::new();
    let (first, port) = server(&test, &["-w", "0"]);
    let first = first.feed("a\nb\n");
    let helper = helper(
        &test,
        &port,
        &["-w", "1", "-x", r#"["sh","-c","read -r line; echo $line; exec cat >/dev/null"]"#],
    );
    first.until_it_prints("a\n");
    first.signal(Signal::KILL);
    drop(first);
    let words = ["exec", "-p", &port, "-w", "1", "-x", r#"["cat"]"#];
    let next = test.start("client", &words).feed(numbers(50));
    let ended = next.ended().expect(0);
    assert_same_lines(&ended.out, numbers(50).as_bytes());
    drop(helper);
}

#[test]
fn without_a_server_a_helper_gives_up_in_time() {
    let test = Test::new();
    let port = nobody().port().to_string();
    let words = ["-x", r#"["cat"]"#, "--connect-timeout", "300ms"];
    let ended = helper(&test, &port, &words).close_input().ended().expect(3);
    ended.said(&["error: no server at 127.0.0.1 port", "within 300ms"]);
}

#[test]
fn a_helper_gives_up_after_so_many_attempts_and_says_why() {
    let test = Test::new();
    let limits = ["-x", r#"["cat"]"#, "-w", "1", "--connect-timeout", "0", "--max-retries", "1"];
    let ended = helper(&test, &nobody().port().to_string(), &limits).close_input().ended().expect(3);
    ended.said(&["error: no server at 127.0.0.1 port", "no connection to"]);
    let (mut server, port) = server(&test, &["-w", "0"]);
    let helper = helper(&test, &port, &limits);
    server.feed_some(b"a\n");
    server.until_it_prints("a\n");
    server.signal(Signal::KILL);
    helper.ended().expect(1).said(&["error: no connection to"]);
}

#[test]
fn a_helper_whose_program_is_not_there_says_so() {
    let test = Test::new();
    let (server, port) = server(&test, &["-w", "1", "-x", r#"["cat"]"#]);
    let ended = helper(&test, &port, &["-x", r#"["no-such-program"]"#]).close_input().ended().expect(1);
    ended.said(&["error: cannot start no-such-program"]);
    let ended = server.feed("a\n").ended().expect(0);
    assert_eq!(ended.text(), "a\n");
}

#[test]
fn helpers_that_echo_take_no_lines_that_want_a_reply() {
    let test = Test::new();
    let (mut server, port) = server(&test, &["-w", "0", "--reply"]);
    // Only lines of somebody who replies count; --reply needs a program where there are children.
    let _echo = helper(&test, &port, &["-x", r#"["cat"]"#, "-w", "1"]);
    server.feed_some(b"a\n");
    server.until_it_says("waiting: no worker offers kind exec-reply");
    let _reply = helper(&test, &port, &["-x", r#"["sed","-u","s/a/b/"]"#, "--reply", "-w", "1"]);
    server.until_it_prints("b\n");
    server.close_input().ended().expect(0);
}

#[test]
fn who_has_no_token_stays_out() {
    let test = Test::new();
    let secrets = test.path("secrets");
    test.run("manager", &["token", "new", secrets.to_str().unwrap()]).expect(0);
    let token = secrets.join("client.token");
    let token = token.to_str().unwrap();
    let (server, port) = server(&test, &["-w", "0", "--host", "127.0.0.1", "--token-file", token]);
    let stranger = helper(&test, &port, &["-x", r#"["cat"]"#, "--connect-timeout", "10s"]);
    stranger.close_input().ended().expect(5).said(&["EAUTH"]);
    let friend = helper(&test, &port, &["-x", r#"["cat"]"#, "--token-file", token]);
    let ended = server.feed(numbers(100)).ended().expect(0);
    assert_same_lines(&ended.out, numbers(100).as_bytes());
    friend.close_input().ended().expect(0);
}

#[test]
fn lines_travel_encrypted() {
    let test = Test::new();
    let folder = test.path("certificates");
    test.run("manager", &["certificate", "new", folder.to_str().unwrap(), "127.0.0.1"]).expect(0);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key, ca) = (path("manager.pem"), path("manager.key"), path("ca.pem"));
    let words = ["--tls-cert", &certificate, "--tls-key", &key, "--tls-ca", &ca, "--host", "127.0.0.1"];
    let own = [&words[..], &["-w", "1", "-x", r#"["cat"]"#]].concat();
    let (server, port) = server(&test, &own);
    let friend = helper(&test, &port, &["-x", r#"["cat"]"#, "-w", "1", "--tls-ca", &ca]);
    let ended = server.feed(numbers(100)).ended().expect(0);
    assert_same_lines(&ended.out, numbers(100).as_bytes());
    drop(friend);
    let (words, _) = words.split_at(4);
    let half = [&["exec", "-p", "0", "-x", r#"["cat"]"#][..], words].concat();
    test.run("client", &half).expect(2).said(&["--tls-ca"]);
}

/// Simulators that crash in a third of the lines, here and at helpers that are killed one after the other.
fn chaos(flags: &[&str], input: &str) -> Vec<u8> {
    const SIMULATORS: [&str; 4] = ["--sim-mean", "0", "--sim-sd", "0"];
    let test = Test::new();
    let words = [&["-w", "1"], flags, &SIMULATORS[..]].concat();
    let (server, port) = server(&test, &words);
    let new_helper = || helper(&test, &port, &[&["-w", "2"], &SIMULATORS[..]].concat());
    let mut helpers = [new_helper(), new_helper()];
    let mut server = server.feed(input);
    let (mut killed, mut seen, begun) = (0, 0, Instant::now());
    while server.is_running() {
        assert!(begun.elapsed() < Duration::from_secs(150), "{} bytes are out", server.out().len());
        if server.out().len() > seen + input.len() / 12 {
            seen = server.out().len();
            let doomed = std::mem::replace(&mut helpers[killed % 2], new_helper());
            doomed.signal(Signal::KILL);
            killed += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(killed >= 5, "only {killed} helpers were killed");
    let ended = server.ended().expect(0).said(&["20000 read, 20000 done, 0 given up"]);
    let crashes = ended.err.split_once("crashes over a line: ").unwrap().1.lines().next().unwrap();
    assert!(crashes.parse::<u64>().unwrap() > 500, "{crashes}");
    ended.out
}

/// 20,000 lines of which many are equal.
fn many_equal() -> String {
    (0..20_000_u64).map(|number| format!("v{}\n", number * number % 769)).collect()
}

#[test]
fn chaos_loses_no_line_and_makes_none() {
    let input = many_equal();
    assert_same_lines(&chaos(&[], &input), input.as_bytes());
}

#[test]
fn chaos_keeps_the_order() {
    let input = many_equal();
    assert!(chaos(&["--ordered"], &input) == input.as_bytes(), "not the input");
}
