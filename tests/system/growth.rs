//! Time grows with the work, not with its square: a table of times, and a wide margin around a straight line.
//!
//! `cargo test --release -p proletariat-cli --test system growth -- --nocapture` prints the tables.

use crate::harness::{CLIENT, Crowd, Manager, Peer, Test};
use std::time::{Duration, Instant};

/// An unoptimized build is about ten times as slow; it gets a tenth of the work.
const SCALE: u64 = if cfg!(debug_assertions) { 10 } else { 1 };
const PAYLOAD: [u8; 64] = [b'x'; 64];
/// Jobs of one submit.
const PORTION: u64 = 1_000;
/// The time of a job may differ by this factor between the smallest and the largest case, each a hundred times the other. A
/// square would make it a hundred.
const FACTOR: f64 = 6.0;

fn push(client: &mut Peer, jobs: u64) {
    let portion = [&PAYLOAD[..]; PORTION as usize];
    for _ in 0..jobs / PORTION {
        client.submit(&portion);
    }
}

fn answers(client: &mut Peer, jobs: u64) {
    let mut answered = 0;
    while answered < jobs {
        let outcomes = client.outcomes_at_least(1);
        answered += outcomes.len() as u64;
        assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    }
    assert_eq!(answered, jobs);
}

fn micros_per_job(time: Duration, jobs: u64) -> f64 {
    time.as_secs_f64() * 1e6 / jobs as f64
}

#[track_caller]
fn assert_straight(what: &str, per_job: &[f64]) {
    // Small cases may be slow for all sorts of reasons; large ones may not.
    let least = per_job.iter().copied().fold(f64::MAX, f64::min);
    let last = per_job.last().copied().unwrap();
    assert!(last <= least * FACTOR, "{what}: microseconds per job {per_job:?}");
}

#[test]
fn with_the_jobs_that_wait() {
    let test = Test::alone();
    println!(
        "| queued jobs | pushed in | µs a job | drained in | µs a job |\n| ---: | ---: | ---: | ---: | ---: |"
    );
    let (mut pushes, mut drains) = (Vec::new(), Vec::new());
    for jobs in [10_000 / SCALE, 100_000 / SCALE, 1_000_000 / SCALE] {
        let manager = test.manager(&[]);
        let mut client = manager.peer(CLIENT);
        let begun = Instant::now();
        push(&mut client, jobs);
        client.until_accepted();
        let pushed = begun.elapsed();
        assert_eq!(manager.count("queued_jobs"), jobs);
        let begun = Instant::now();
        let crowd = Crowd::join(&manager, 4, 25);
        answers(&mut client, jobs);
        let drained = begun.elapsed();
        drop(crowd);
        pushes.push(micros_per_job(pushed, jobs));
        drains.push(micros_per_job(drained, jobs));
        println!(
            "| {jobs} | {:.0} ms | {:.2} | {:.0} ms | {:.2} |",
            pushed.as_secs_f64() * 1e3,
            pushes[pushes.len() - 1],
            drained.as_secs_f64() * 1e3,
            drains[drains.len() - 1],
        );
    }
    assert_straight("push", &pushes);
    assert_straight("drain", &drains);
}

#[test]
fn with_the_workers() {
    let test = Test::alone();
    let jobs = 100_000 / SCALE;
    println!("| workers of 10 slots | {jobs} jobs in | µs a job |\n| ---: | ---: | ---: |");
    let mut times = Vec::new();
    for workers in [10, 100, 1_000] {
        let manager: Manager<'_> = test.manager(&[]);
        let crowd = Crowd::join(&manager, workers, 10);
        let mut client = manager.peer(CLIENT);
        let begun = Instant::now();
        push(&mut client, jobs);
        answers(&mut client, jobs);
        let took = begun.elapsed();
        drop(crowd);
        times.push(micros_per_job(took, jobs));
        println!("| {workers} | {:.0} ms | {:.2} |", took.as_secs_f64() * 1e3, times[times.len() - 1]);
    }
    assert_straight("workers", &times);
}
