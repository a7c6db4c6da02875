//! What cannot be meant, or would do nothing, is told before anything is done.

use crate::harness::{Test, Way};

#[test]
fn options_of_a_handler_that_is_not_named() {
    let test = Test::new();
    let cases: &[(&[&str], &str)] = &[
        (&["--time-scale", "1"], "--time-scale is for --builtin arith"),
        (&["--run", "cat", "--time-scale", "0"], "--time-scale is for --builtin arith"),
        (&["--sim-mean", "5"], "--sim-mean is for --builtin simulate"),
        (&["--builtin", "echo", "--sim-sd", "5"], "--sim-sd is for --builtin simulate"),
        (&["--exec", r#"["cat"]"#, "-d", "false"], "-d is for --builtin simulate"),
    ];
    for (words, sentence) in cases {
        test.run("worker", words).expect(2).said(&[sentence]);
    }
    for way in Way::ALL {
        let command = way.command(&test, "worker", &[("builtin", "sleep"), ("time_scale", "0.5")]);
        test.spawn(command).close_input().ended().expect(2).said(&["--time-scale is for --builtin arith"]);
    }
    for (option, value) in [("--sim-mean", "5"), ("--sim-sd", "5"), ("-d", "false")] {
        let words = ["exec", "-x", r#"["cat"]"#, option, value];
        test.run("client", &words).expect(2).said(&[option, "is for the work simulator"]);
    }
}

#[test]
fn more_lines_than_an_offer_has_slots() {
    let test = Test::new();
    let sentence = "makes 102400 lines at one time, and the most is 65535: give --depth 655 at most";
    let exec = ["--exec", r#"["cat"]"#, "--slots", "100", "--depth", "1024"];
    test.run("worker", &exec).expect(2).said(&["--depth 1024 with --slots 100", sentence]);
    let simulate = ["--builtin", "simulate", "--slots", "100", "--depth", "656"];
    test.run("worker", &simulate).expect(2).said(&["65600 lines", "--depth 655 at most"]);
    let client = ["exec", "-x", r#"["cat"]"#, "-w", "100", "--depth", "1024"];
    test.run("client", &client).expect(2).said(&["--depth 1024 with -w 100", sentence]);
}

#[test]
fn a_name_that_is_too_long() {
    let test = Test::new();
    let (long, longest) = ("n".repeat(129), "n".repeat(128));
    for way in Way::ALL {
        let command = way.command(&test, "worker", &[("name", long.as_str())]);
        test.spawn(command).close_input().ended().expect(2).said(&["at most 128 bytes, this one 129"]);
    }
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&["--name", &longest]);
    assert_eq!(manager.workers()[0]["name"], longest);
}
