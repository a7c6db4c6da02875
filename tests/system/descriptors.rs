//! File descriptors of those that start programs: there are enough, or they say so before anybody counts on them.

use crate::harness::{Running, Test, until};
use std::process::Command;

/// One of our executables that may have so many.
fn limited(test: &Test, descriptors: u32, name: &str, arguments: &[&str]) -> Running {
    let plain = test.command(name, arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
    command.arg(plain.get_program()).args(plain.get_args());
    test.spawn(command)
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
        let worker = limited(&test, 1_024, "worker", &[&handler[..], &many].concat());
        worker.close_input().ended().expect(2).said(&["the limit is 1024", "ulimit -n", most]);
    }
    let exec = ["exec", "-x", r#"["cat"]"#, "-w", "400"];
    for server in [&["-c", "127.0.0.1"][..], &[]] {
        let client = limited(&test, 1_024, "client", &[&exec, server].concat());
        client.close_input().ended().expect(2).said(&["the limit is 1024", "or give -w 330 at most"]);
    }
    let collect = ["collect", "--workers", "400", "--", "cat"];
    let client = limited(&test, 1_024, "client", &collect);
    client.close_input().ended().expect(2).said(&["the limit is 1024", "or give --workers 165 at most"]);
}

#[test]
fn as_many_as_there_is_room_for_run_at_one_time_and_inherit_the_limit_as_it_is() {
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
