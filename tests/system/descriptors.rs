//! File descriptors of those that start programs: there are enough, or they say so before anybody counts on them; and the
//! programs have the limit that we were started with, whatever we need ourselves.

use crate::harness::{Running, Test, until};
use serde_json::json;
use std::fs::File;
use std::process::Command;

/// What a program says of its own limits.
const LIMITS: &str = "echo $(ulimit -Sn) $(ulimit -Hn)";

/// One of our executables under limits that a shell sets.
fn under(test: &Test, limits: &str, name: &str, arguments: &[&str]) -> Running {
    let plain = test.command(name, arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]);
    command.arg(plain.get_program()).args(plain.get_args());
    test.spawn(command)
}

/// One that may have so many.
fn limited(test: &Test, descriptors: u32, name: &str, arguments: &[&str]) -> Running {
    under(test, &format!("ulimit -n {descriptors}"), name, arguments)
}

/// One that has so few at first, and may have more.
fn limited_at_first(test: &Test, [soft, hard]: [u32; 2], name: &str, arguments: &[&str]) -> Running {
    under(test, &format!("ulimit -Sn {soft}; ulimit -Hn {hard}"), name, arguments)
}

#[test]
fn more_processes_than_there_is_room_for_are_refused_with_the_way_out() {
    let test = Test::new();
    let many = ["--slots", "400", "--con-retrytime", "50ms"];
    for (handler, most) in [
        (["--run", "cat"], "or give --slots 165 at most"),
        (["--collect", r#"["cat"]"#], "or give --slots 165 at most"),
        (["--exec", r#"["cat"]"#], "or give --slots 330 at most"),
        (["--builtin", "simulate"], "or give --slots 330 at most"),
    ] {
        let worker = limited_at_first(&test, [256, 1_024], "worker", &[&handler[..], &many].concat());
        worker.close_input().ended().expect(2).said(&["the limit is 1024", "ulimit -n", most]);
    }
    let exec = ["exec", "-x", r#"["cat"]"#, "-w", "400"];
    for server in [&["-c", "127.0.0.1"][..], &[]] {
        let client = limited(&test, 1_024, "client", &[&exec, server].concat());
        client.close_input().ended().expect(2).said(&["the limit is 1024", "or give -w 330 at most"]);
    }
    let collect = ["collect", "--workers", "400", "--", "cat"];
    let client = limited(&test, 1_024, "client", &collect);
    let ended = client.close_input().ended().expect(2);
    ended.said(&["the limit is 1024", "or give --workers 165 at most"]);
}

#[test]
fn as_many_as_there_is_room_for_run_at_one_time() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port.to_string();
    let program = "sh -c 'sleep 0.3; cat > /dev/null; ulimit -n'";
    let run = ["--run", program, "--kinds", "run", "--slots", "20", "--port", &port];
    let _run = limited(&test, 32 + 20 * 6, "worker", &run);
    manager.until_workers(1);
    // With the guard there, all of the others begin in one burst. Their payloads are more than a pipe takes.
    manager.ask(&["work", "--kind", "run", "x"]).expect(0);
    let payloads = format!("{}\n", "x".repeat(100_000)).repeat(20);
    let once = ["work", "--kind", "run", "--max-attempts", "1", "-"];
    let ended = manager.ask_with(&once, payloads).expect(0);
    assert_eq!(ended.lines(), ["152"; 20]);

    let exec = ["--exec", r#"["cat"]"#, "--kinds", "exec", "--slots", "20", "--port", &port];
    let worker = limited(&test, 32 + 20 * 3, "worker", &exec);
    let children = || test.processes().iter().filter(|process| process.ends_with(" cat ")).count();
    until("all children are there", || (children() == 20).then_some(()));
    let input: String = (0..100).map(|number| format!("{number}\n")).collect();
    assert_eq!(manager.ask_with(&["work", "--kind", "exec", "-"], &*input).expect(0).text(), input);
    assert!(!worker.err().contains("cannot start"), "{}", worker.err());
}

/// The worker raises its limit, and so does the guard for what it holds of each child: more of them run than the limit of the
/// children has numbers.
#[test]
fn more_run_at_one_time_than_the_soft_limit_has_numbers() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port.to_string();
    let gate = test.path("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let program = format!("sh -c ': < {}; ulimit -Sn'", gate.display());
    let run = ["--run", &program, "--kinds", "run", "--slots", "200", "--port", &port];
    let worker = limited_at_first(&test, [128, 4_096], "worker", &run);
    manager.until_workers(1);
    let once = ["work", "--kind", "run", "--max-attempts", "1", "-"];
    let client = manager.client(&once).feed("x\n".repeat(200));
    let running = || test.processes().iter().filter(|process| process.ends_with("; ulimit -Sn ")).count();
    until("all of them run", || (running() == 200).then_some(()));
    // Opening it waits for one who reads; while it is open nobody else waits.
    let open = File::options().write(true).open(&gate).unwrap();
    assert_eq!(client.ended().expect(0).lines(), ["128"; 200]);
    drop(open);
    assert!(!worker.err().contains("handed back"), "{}", worker.err());
    drop(worker);

    let exec = ["--exec", r#"["cat"]"#, "--kinds", "exec", "--slots", "200", "--port", &port];
    let worker = limited_at_first(&test, [128, 4_096], "worker", &exec);
    let children = || test.processes().iter().filter(|process| process.ends_with(" cat ")).count();
    until("all children are there", || (children() == 200).then_some(()));
    let input: String = (0..1_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(manager.ask_with(&["work", "--kind", "exec", "-"], &*input).expect(0).text(), input);
    assert!(!worker.err().contains("cannot start"), "{}", worker.err());
}

#[test]
fn programs_have_the_limits_that_we_were_started_with() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port.to_string();
    let few = [256, 4_096];
    let once = format!("sh -c '{LIMITS}'");
    let filter = json!(["sh", "-c", format!("while read -r line; do {LIMITS}; done")]).to_string();
    let run = ["--run", &once, "--kinds", "run", "--port", &port];
    let _run = limited_at_first(&test, few, "worker", &run);
    let exec = ["--exec", &filter, "--reply", "--kinds", "exec", "--slots", "1", "--port", &port];
    let _exec = limited_at_first(&test, few, "worker", &exec);
    manager.until_workers(2);
    for kind in ["run", "exec"] {
        assert_eq!(manager.ask(&["work", "--kind", kind, "x"]).expect(0).lines(), ["256 4096"], "{kind}");
    }

    // These have a manager in the same process, which needs many for its connections.
    let exec = ["exec", "--reply", "-w", "1", "-x", &filter];
    let ended = limited_at_first(&test, few, "client", &exec).feed("x\n").ended().expect(0);
    assert_eq!(ended.lines(), ["256 4096"]);
    let told = test.path("told");
    let copy = format!("{LIMITS} >> {}; exit 1", told.display());
    let collect = ["collect", "--workers", "1", "--samples", "1", "--", "sh", "-c", &copy];
    limited_at_first(&test, few, "client", &collect).close_input().ended().expect(1);
    let told = std::fs::read_to_string(&told).unwrap();
    assert!(!told.is_empty() && told.lines().all(|line| line == "256 4096"), "{told}");
}
