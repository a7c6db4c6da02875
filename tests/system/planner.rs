//! `client demo planner`: tasks for HTTP services; and the image, where there is somebody to build it.

use crate::harness::{Test, within};
use rustix::process::Signal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_hundred_tasks_over_thirty_services() {
    let test = Test::alone();
    let words = ["demo", "planner", "--tasks", "100", "--workers", "10,10,10", "--time-scale", "0.02"];
    let ended = test.run("client", &words).expect(0);
    let lines = ended.lines();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines.iter().filter(|line| line.contains(" = ") && line.ends_with(" ms)")).count(), 100);
    assert!(lines[100].starts_with("100 of 100 tasks right in "), "{}", lines[100]);
    assert!(lines[100].ends_with(" s by 30 workers"), "{}", lines[100]);
    assert!(ended.took < Duration::from_secs(4), "{:?}", ended.took);
}

#[test]
fn the_number_of_tasks_may_stand_in_the_environment() {
    let test = Test::new();
    let words = ["demo", "planner", "--workers", "2,1,1", "--time-scale", "0", "--output", "json"];
    let mut command = test.command("client", &words);
    command.env("TASKS", "7");
    let document = test.spawn(command).close_input().ended().expect(0).json();
    assert_eq!((&document["tasks"], &document["right"]), (&7.into(), &7.into()));
    assert_eq!(document["results"].as_array().unwrap().len(), 7);
    let ended = test.run("client", &[&words[..], &["--tasks", "x"]].concat()).expect(2);
    ended.said(&["--tasks"]);
    test.run("client", &["demo", "planner", "--workers", "1,2"]).expect(2).said(&["--workers", "10,10,10"]);
}

#[test]
fn the_workers_of_a_manager_do_the_tasks_too() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _one = manager.ready_worker(&["--builtin", "arith", "--kinds", "mult"]);
    let _other = manager.ready_worker(&["--builtin", "arith", "--kinds", "add"]);
    let ended = manager.ask(&["demo", "planner", "--tasks", "50"]).expect(0);
    assert!(ended.lines()[50].starts_with("50 of 50 tasks right in "), "{}", ended.text());
}

#[test]
fn an_interrupted_one_leaves_nothing() {
    let test = Test::new();
    let planner = test.start("client", &["demo", "planner", "--tasks", "1000", "--time-scale", "0.01"]);
    planner.until_it_prints(" = ");
    planner.signal(Signal::INT);
    planner.ended().expect(130);
}

fn has_docker() -> bool {
    let answer = Command::new("docker").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
    answer.is_ok_and(|status| status.success())
}

/// Where no daemon runs, there is nobody to build the image: the test then shows that the two files name what exists.
#[test]
fn the_image_and_the_composition() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let image = std::fs::read_to_string(root.join("Dockerfile")).unwrap();
    let composition = std::fs::read_to_string(root.join("compose.yaml")).unwrap();
    for name in ["manager", "worker", "client"] {
        assert!(image.contains(&format!("/out/{name}")), "the image has no {name}");
        assert!(composition.contains(&format!("/{name}")), "the composition has no {name}");
    }
    if !has_docker() {
        return;
    }
    let test = Test::alone();
    let tag = "proletariat-test";
    let built =
        Command::new("docker").args(["build", "-q", "-t", tag, "."]).current_dir(root).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let words = ["run", "--rm", tag, "/client", "demo", "planner", "--tasks", "10", "--time-scale", "0"];
    let ran = Command::new("docker").args(words).output().unwrap();
    let removed = Command::new("docker").args(["rmi", "-f", tag]).stdout(Stdio::null()).status();
    assert!(String::from_utf8_lossy(&ran.stdout).contains("10 of 10 tasks right"), "{ran:?}");
    assert!(removed.unwrap().success());
    within(Duration::from_secs(3), "the image is gone", || {
        let left = Command::new("docker").args(["images", "-q", tag]).output().unwrap();
        left.stdout.is_empty().then_some(())
    });
    drop(test);
}
