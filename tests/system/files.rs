//! Faulty options in all three places, the port and its file.

use crate::harness::{CLIENT, Manager, Test, names, until};
use rustix::process::Signal;

#[test]
fn faults_of_a_file_name_file_and_line() {
    let cases = [
        ("manager", "port = 0\nprot = 1\n", 2, "unknown key \"prot\""),
        ("manager", "\n\nport = 'x'\n", 3, "port"),
        ("manager", "port = 0\nheartbeat = '31d'\n", 2, "30 days"),
        ("manager", "port = 0\n\nselector = 'best'\n", 3, "round-robin"),
        ("manager", "[manager]\nport = 0\n", 1, "top level"),
        ("manager", "avail-threshold = 1\n", 1, "written with _"),
        ("manager", "port = 0\nport = 1\n", 2, "duplicate"),
        ("manager", "port = = 0\n", 1, ""),
        ("manager", "config = 'other.toml'\n", 1, "config"),
        ("worker", "slots = 10\nselector = 'round-robin'\n", 2, "selector"),
        ("worker", "priority_slots = '1:30'\n", 1, "1=30"),
        ("worker", "# a comment\nkinds = ''\n", 2, "kind"),
        ("client", "timeout = '1x'\n", 1, "100ms"),
        ("client", "output = 'xml'\n", 1, "jsonl"),
    ];
    let test = Test::new();
    for (number, (name, content, line, word)) in cases.into_iter().enumerate() {
        let file = test.file(&format!("{number}.toml"), content);
        let path = file.to_str().unwrap();
        let command =
            if name == "client" { &["work", "x", "--config", path][..] } else { &["--config", path] };
        let place = format!("{path}:{line}: ");
        let ended = test.run(name, command).expect(2).said(&[&place, word]);
        assert!(ended.out.is_empty(), "{ended:?}");
    }
    test.run("manager", &["--config", "absent.toml"]).expect(2).said(&["absent.toml"]);
}

#[test]
fn faults_of_a_flag_or_a_variable_name_it() {
    let test = Test::new();
    let cases = [
        ("manager", "max_attempts", "x"),
        ("manager", "port", "65536"),
        ("manager", "max_payload", "20 MB"),
        ("manager", "heartbeat", "1.5"),
        ("manager", "selector", "best"),
        ("manager", "classic", "maybe"),
        ("worker", "slots", "-3"),
        ("worker", "priority_slots", "1=x"),
        ("worker", "kill_grace", "soon"),
        ("worker", "builtin", "cat"),
        ("client", "priority", "4294967296"),
        ("client", "run_timeout", "2592001s"),
        ("client", "assign_timeout", "-1"),
        ("client", "connect_timeout", "x"),
    ];
    for (name, option, value) in cases {
        let words = if name == "client" { vec!["work", "x"] } else { Vec::new() };
        let flag = format!("--{}", option.replace('_', "-"));
        let mut by_flag = test.command(name, &words);
        by_flag.arg(format!("{flag}={value}"));
        let ended = test.spawn(by_flag).close_input().ended().expect(2).said(&[&flag]);
        assert!(ended.out.is_empty(), "{ended:?}");
        let variable = format!("PROLETARIAT_{}", option.to_uppercase());
        let mut by_variable = test.command(name, &words);
        by_variable.env(&variable, value);
        test.spawn(by_variable).close_input().ended().expect(2).said(&[&variable]);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let test = Test::new();
    test.run("manager", &["--port", "0", "--heartbeat", "20s"]).expect(2).said(&["heartbeat"]);
    test.run("manager", &["--host", "127.0.0.1:1", "--port", "2"]).expect(2).said(&["1", "2"]);
    for (offer, word) in [
        (&["--slots", "0"][..], "0 slots"),
        (&["--slots", "65536"], "65535"),
        (&["--slots", "10", "--priority-slots", "1=8,5=3"], "range from 5"),
        (&["--priority-slots", "0=1"], "bound 0"),
        (&["--priority-slots", "1=1,1=2"], "once"),
        (
            &["--priority-slots", "1=0,2=0,3=0,4=0,5=0,6=0,7=0,8=0,9=0,10=0,11=0,12=0,13=0,14=0,15=0,16=0"],
            "16",
        ),
    ] {
        // Seen without a manager: the port is nobody's.
        test.run("worker", &[offer, &["--port", "1"]].concat()).expect(2).said(&[word]);
    }
}

#[test]
fn the_ports_variable_of_a_container_platform_is_ignored_with_one_warning() {
    let test = Test::new();
    let mut command = test.command("manager", &["--host", "127.0.0.1:0"]);
    command.env("PROLETARIAT_PORT", "tcp://10.0.0.1:1917");
    let manager = Manager::started(&test, command);
    let warnings = |text: &str| text.matches("tcp://10.0.0.1:1917").count();
    assert_eq!(warnings(&manager.process.err()), 1);
    let mut command = test.command("client", &["status", "--host", &format!("127.0.0.1:{}", manager.port)]);
    command.env("PROLETARIAT_PORT", "tcp://10.0.0.1:1917");
    let ended = test.spawn(command).close_input().ended().expect(0);
    assert_eq!(warnings(&ended.err), 1);
}

#[test]
fn the_ancestors_names_are_taken() {
    let test = Test::new();
    let words = ["--availthreshold", "3", "--distribrandmax", "0", "--holdsimilarwork", "--sacredguarantees"];
    drop(test.manager(&words).peer(CLIENT));
}

#[test]
fn the_port_file_is_there_while_the_manager_is() {
    let test = Test::new();
    let folder = test.path("run");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("manager.port");
    for signal in [Signal::TERM, Signal::INT] {
        let words = ["--port", "0", "--port-file", file.to_str().unwrap()];
        let manager = Manager::started(&test, test.command("manager", &words));
        until("the port file", || file.exists().then_some(()));
        assert_eq!(names(&folder), ["manager.port"]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{}\n", manager.port));
        manager.process.signal(signal);
        manager.process.ended().expect(0);
        assert!(names(&folder).is_empty());
    }
    let absent = folder.join("no/such/folder");
    let words = ["--port", "0", "--port-file", absent.to_str().unwrap()];
    test.run("manager", &words).expect(1).said(&["no/such/folder"]);
}

#[test]
fn a_port_in_use_is_named_and_its_owner_unharmed() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port.to_string();
    test.run("manager", &["--port", &port]).expect(1).said(&[&port, "in use"]);
    let _worker = manager.ready_worker(&[]);
    manager.ask(&["work", "x"]).expect(0);
}

#[test]
fn others_are_not_let_in_by_accident() {
    let test = Test::new();
    for host in ["0.0.0.0:0", "[::]:0"] {
        test.run("manager", &["--host", host]).expect(2).said(&["insecure"]);
    }
}

#[test]
fn help_and_version_are_data() {
    let test = Test::new();
    for name in ["manager", "worker", "client"] {
        let version = test.run(name, &["--version"]).expect(0);
        assert_eq!(
            (version.text(), version.err.as_str()),
            (format!("{name} {}\n", env!("CARGO_PKG_VERSION")), "")
        );
        let help = test.run(name, &["--help"]).expect(0);
        assert!(help.text().contains("Examples:") && help.err.is_empty());
        let wrong = test.run(name, &["--frobnicate"]).expect(2).said(&["--frobnicate"]);
        assert!(wrong.out.is_empty());
    }
}

/// The tests of options, as text.
const TESTS: [&str; 15] = [
    include_str!("batch.rs"),
    include_str!("calls.rs"),
    include_str!("collect.rs"),
    include_str!("demo.rs"),
    include_str!("encryption.rs"),
    include_str!("exec.rs"),
    include_str!("exec_network.rs"),
    include_str!("exec_worker.rs"),
    include_str!("http.rs"),
    include_str!("managers.rs"),
    include_str!("messages.rs"),
    include_str!("options.rs"),
    include_str!("planner.rs"),
    include_str!("run.rs"),
    include_str!("security.rs"),
];

#[test]
fn every_option_of_the_help_is_in_a_test() {
    let test = Test::new();
    for (name, commands) in [
        ("manager", &[&[][..]][..]),
        ("worker", &[&[][..]]),
        (
            "client",
            &[
                &[][..],
                &["work"],
                &["sysmsg"],
                &["status"],
                &["demo"],
                &["demo", "planner"],
                &["batch"],
                &["collect"],
                &["exec"],
            ],
        ),
    ] {
        for command in commands {
            let help = test.run(name, &[command, &["--help"][..]].concat()).expect(0).text();
            let options = help.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
            let options: Vec<&str> = options.filter_map(|line| line.split([' ', '[', '=']).next()).collect();
            assert!(options.len() > 5, "{help}");
            for option in options {
                let snake = option.replace('-', "_");
                let is_there = TESTS.iter().any(|text| {
                    [format!("\"{snake}\""), format!("\"--{option}\"")].iter().any(|word| text.contains(word))
                });
                assert!(is_there, "no test gives --{option} to {name} {command:?}");
            }
        }
    }
}
