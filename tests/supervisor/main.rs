//! The guard and its children with real processes. The test program is itself the executable that becomes the guard, so it has
//! a `main` of its own: the tests one after the other, or those whose name contains the first argument.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of it is test code, and it reports like a test harness"
)]

mod guard;
mod lines;

use std::time::{Duration, Instant};

type Test = (&'static str, fn());

fn main() {
    proletariat::supervisor::guard::run_if_asked();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let tests: Vec<Test> = [guard::TESTS, lines::TESTS].concat();
    if words.iter().any(|word| word == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let exact = words.iter().any(|word| word == "--exact");
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|word| if exact { word.as_str() == name } else { name.contains(word.as_str()) })
    };
    for (name, test) in tests.into_iter().filter(|(name, _)| is_wanted(name)) {
        let began = Instant::now();
        // A panic ends the program with 101, which is what a failed test is.
        test();
        wait_until("the guard of this test is gone", || guards().is_empty());
        println!("test {name} ... ok ({:.2?})", began.elapsed());
    }
}

/// Runs a test on a runtime of its own, within a limit.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("a test ends within a minute")
    });
    runtime.shutdown_background();
}

/// Waits for a level, with a limit.
fn wait_until(what: &str, level: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !level() {
        assert!(Instant::now() < end, "after 20 s still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// State and group of a process that has not been reaped.
fn process(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

fn is_alive(pid: i32) -> bool {
    process(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

/// Living processes of a group.
fn group(pgid: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_alive(*pid) && process(*pid).is_some_and(|(_, group)| group == pgid)).collect()
}

/// The guards that we have.
fn guards() -> Vec<i32> {
    let me = std::process::id();
    let children = std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")).unwrap_or_default();
    let mut all: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    // Children belong to the thread that made them.
    for task in std::fs::read_dir(format!("/proc/{me}/task")).unwrap() {
        let children = task.unwrap().path().join("children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    all.sort_unstable();
    all.dedup();
    all.retain(|pid| is_alive(*pid));
    all
}
