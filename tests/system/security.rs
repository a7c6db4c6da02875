//! Tokens: who comes in, who stays out, and what a change of them does to those who are in.

use crate::harness::{Ended, Manager, Test, Way, until};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Files as `manager token new` makes them.
fn secrets(test: &Test) -> PathBuf {
    let folder = test.path("secrets");
    let made = test.run("manager", &["token", "new", folder.to_str().unwrap()]).expect(0).text();
    assert_eq!(made.lines().count(), 4, "{made}");
    for path in made.lines() {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600, "{path}");
    }
    folder
}

fn guarded<'a>(test: &'a Test, secrets: &std::path::Path, more: &[&str]) -> Manager<'a> {
    test.manager(&[&["--token-file", secrets.join("tokens").to_str().unwrap()], more].concat())
}

/// `client` with the token of this role.
fn client(test: &Test, manager: &Manager<'_>, token: &std::path::Path, words: &[&str]) -> Ended {
    let port = manager.port.to_string();
    let own = ["--port", &port, "--token-file", token.to_str().unwrap()];
    test.run("client", &[words, &own].concat())
}

#[test]
fn each_role_has_its_token() {
    let test = Test::new();
    let secrets = secrets(&test);
    let manager = guarded(&test, &secrets, &[]);
    let token = |role: &str| secrets.join(format!("{role}.token"));
    let port = manager.port.to_string();
    for way in Way::ALL {
        let options = [("port", port.as_str()), ("token_file", token("worker").to_str().unwrap())]
            .map(|(name, value)| (name, value.to_owned()));
        let options: Vec<(&str, &str)> =
            options.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let worker = test.spawn(way.command(&test, "worker", &options));
        assert_eq!(client(&test, &manager, &token("client"), &["work", "x"]).expect(0).text(), "x\n");
        assert_eq!(client(&test, &manager, &token("admin"), &["work", "y"]).expect(0).text(), "y\n");
        worker.signal(Signal::TERM);
        worker.ended().expect(0);
    }
    manager.ask(&["work", "x"]).expect(5).said(&["EAUTH", "--token-file"]);
    client(&test, &manager, &token("worker"), &["work", "x"]).expect(5).said(&["EAUTH", "role worker"]);
    let words = ["--port", &port, "--token-file", token("client").to_str().unwrap()].map(str::to_owned);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    test.run("worker", &words).expect(5).said(&["EAUTH", "role client"]);
}

#[test]
fn only_an_administrator_sees_the_others() {
    let test = Test::new();
    let secrets = secrets(&test);
    let manager = guarded(&test, &secrets, &[]);
    let waiting = manager.client(&[
        "work",
        "--kind",
        "absent",
        "x",
        "--token-file",
        secrets.join("client.token").to_str().unwrap(),
    ]);
    let status = |role: &str| {
        let token = secrets.join(format!("{role}.token"));
        let text = client(&test, &manager, &token, &["status", "--output", "json"]).expect(0).text();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()
    };
    until("the job waits", || (status("admin")["queues"][0]["queued"] == 1).then_some(()));
    waiting.until_it_says("waiting: no worker is connected");
    let seen = status("client");
    assert_eq!((&seen["queues"], &seen["peers"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(seen["limits"]["max_payload"].is_number());
}

#[test]
fn files_that_others_can_read_or_that_hold_no_token_are_usage_errors() {
    let test = Test::new();
    let secrets = secrets(&test);
    let table = secrets.join("tokens");
    let path = table.to_str().unwrap();
    test.run("manager", &["token", "new", secrets.to_str().unwrap()]).expect(1).said(&["tokens"]);
    test.run("worker", &["--token-file", path]).expect(2).said(&["64 digits"]);
    fs::set_permissions(&table, fs::Permissions::from_mode(0o644)).unwrap();
    test.run("manager", &["--port", "0", "--token-file", path]).expect(2).said(&["chmod 600", path]);
    test.run("client", &["work", "x", "--token-file", "absent"]).expect(2).said(&["absent"]);
}

#[test]
fn tokens_are_read_again_on_sighup() {
    let test = Test::new();
    let (old, new) = (secrets(&test), test.path("new"));
    test.run("manager", &["token", "new", new.to_str().unwrap()]).expect(0);
    let manager = guarded(&test, &old, &[]);
    let port = manager.port.to_string();
    let worker_token = old.join("worker.token");
    let words = ["--port", &port, "--con-retrytime", "50ms", "--token-file", worker_token.to_str().unwrap()];
    let mut worker = test.start("worker", &words);
    client(&test, &manager, &old.join("client.token"), &["work", "x"]).expect(0);

    let (table, kept) = (old.join("tokens"), fs::read_to_string(old.join("tokens")).unwrap());
    fs::write(&table, "client nonsense\n").unwrap();
    manager.process.signal(Signal::HUP);
    until("the fault is told", || manager.process.err().contains("stay as they were").then_some(()));
    client(&test, &manager, &old.join("client.token"), &["work", "x"]).expect(0);

    fs::write(&table, fs::read_to_string(new.join("tokens")).unwrap()).unwrap();
    manager.process.signal(Signal::HUP);
    until("the worker is out", || manager.process.err().contains("sessions_ended=1").then_some(()));
    client(&test, &manager, &old.join("client.token"), &["work", "x"]).expect(5).said(&["EAUTH"]);
    let nobody = ["work", "--no-wait", "x"];
    client(&test, &manager, &new.join("client.token"), &nobody)
        .expect(1)
        .text()
        .contains("ENOWORKER")
        .then_some(())
        .unwrap();

    // A worker that was in keeps trying: the files of a fleet do not change in one moment.
    fs::write(&table, kept).unwrap();
    manager.process.signal(Signal::HUP);
    client(&test, &manager, &old.join("client.token"), &["work", "x", "--timeout", "20s"]).expect(0);
    assert!(worker.is_running());
}

#[test]
fn tokens_open_other_addresses() {
    let test = Test::new();
    let secrets = secrets(&test);
    let manager = guarded(&test, &secrets, &["--host", "0.0.0.0"]);
    until("the log warns", || manager.process.err().contains("unencrypted").then_some(()));
    client(&test, &manager, &secrets.join("admin.token"), &["status"]).expect(0);
}
