//! `worker` beside a manager, and without one.

use crate::fleet::{Fleet, Running, assert_ended, printed, run, until};

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
