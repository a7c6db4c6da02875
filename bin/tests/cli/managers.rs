//! `manager` by its options, its ports and its ends.

use crate::fleet::{Fleet, Running, assert_ended, run, until};
use std::fs;
use std::io::Read;

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
