//! Time grows with the work, not with its square: tables of times, and a wide margin around a straight line.
//!
//! `cargo test --release -p proletariat-cli --test system growth -- --nocapture` prints the tables.

use crate::harness::{CLIENT, Crowd, Peer, Test, until};
use std::time::{Duration, Instant};

/// An unoptimized build is about ten times as slow; it gets a tenth of the work.
const SCALE: u64 = if cfg!(debug_assertions) { 10 } else { 1 };
const PAYLOAD: [u8; 64] = [b'x'; 64];
/// Jobs of one submit.
const PORTION: usize = 1_000;
/// A job of the largest case may take so much longer than one of the fastest case; the largest is a hundred times the smallest,
/// and a square would make this a hundred.
const FACTOR: f64 = 6.0;
/// A machine that is busy with something else gets another chance or two; the least time of each case counts.
const ROUNDS: usize = 3;

fn push(client: &mut Peer, jobs: u64) {
    let portion = [&PAYLOAD[..]; PORTION];
    for _ in 0..jobs / PORTION as u64 {
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

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn micros_per_job(time: Duration, jobs: u64) -> f64 {
    time.as_secs_f64() * 1e6 / jobs as f64
}

/// Whether the last of these is close enough to the least.
fn is_straight(per_job: &[f64]) -> bool {
    let least = per_job.iter().copied().fold(f64::MAX, f64::min);
    per_job.last().is_some_and(|last| *last <= least * FACTOR)
}

/// The least times of some rounds, a column for each case; as few rounds as it takes for straight lines.
fn measured<const CASES: usize, const TIMES: usize>(
    mut case: impl FnMut(usize) -> ([Duration; TIMES], u64),
) -> [[Duration; CASES]; TIMES] {
    let mut least = [[Duration::MAX; CASES]; TIMES];
    for round in 1..=ROUNDS {
        let mut per_job = [[0.0; CASES]; TIMES];
        for number in 0..CASES {
            let (times, jobs) = case(number);
            for (row, time) in times.into_iter().enumerate() {
                least[row][number] = least[row][number].min(time);
                per_job[row][number] = micros_per_job(least[row][number], jobs);
            }
        }
        if per_job.iter().all(|times| is_straight(times)) {
            break;
        }
        assert!(round < ROUNDS, "not a straight line: microseconds per job {per_job:?}");
    }
    least
}

fn cells(time: Duration, jobs: u64) -> String {
    format!("{:.0} ms | {:.2}", time.as_secs_f64() * 1e3, micros_per_job(time, jobs))
}

#[test]
fn with_the_jobs_that_wait() {
    let test = Test::alone();
    let cases = [10_000, 100_000, 1_000_000].map(|jobs| jobs / SCALE);
    let [pushed, drained] = measured::<3, 2>(|case| {
        let jobs = cases[case];
        let manager = test.manager(&[]);
        let mut client = manager.peer(CLIENT);
        let pushed = timed(|| {
            push(&mut client, jobs);
            client.until_accepted();
        });
        assert_eq!(manager.count("queued_jobs"), jobs);
        let mut crowd = None;
        let drained = timed(|| {
            crowd = Some(Crowd::join(&manager, 4, 25));
            answers(&mut client, jobs);
        });
        ([pushed, drained], jobs)
    });
    println!(
        "| queued jobs | pushed in | µs a job | drained in | µs a job |\n| ---: | ---: | ---: | ---: | ---: |"
    );
    for (case, jobs) in cases.into_iter().enumerate() {
        println!("| {jobs} | {} | {} |", cells(pushed[case], jobs), cells(drained[case], jobs));
    }
}

#[test]
fn with_the_workers() {
    let test = Test::alone();
    let jobs = 100_000 / SCALE;
    let cases = [10, 100, 1_000];
    let [times] = measured::<3, 1>(|case| {
        let manager = test.manager(&[]);
        let crowd = Crowd::join(&manager, cases[case], 10);
        let mut client = manager.peer(CLIENT);
        let time = timed(|| {
            push(&mut client, jobs);
            answers(&mut client, jobs);
        });
        drop(crowd);
        ([time], jobs)
    });
    println!("| workers of 10 slots | {jobs} jobs in | µs a job |\n| ---: | ---: | ---: |");
    for (case, workers) in cases.into_iter().enumerate() {
        println!("| {workers} | {} |", cells(times[case], jobs));
    }
}

#[test]
fn a_square_is_no_straight_line() {
    assert!(is_straight(&[1.0, 0.8, 3.0]));
    assert!(!is_straight(&[1.0, 10.0, 100.0]));
}

#[test]
#[cfg(target_os = "linux")]
fn memory_goes_back_wave_after_wave() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    manager.until_workers(0);
    let start = manager.process.memory();
    let bound = start + start / 10 + (16 << 20);
    let jobs = 1_000_000 / SCALE;
    for wave in 1..=3 {
        let mut client = manager.peer(CLIENT);
        push(&mut client, jobs);
        client.until_accepted();
        let held = manager.process.memory();
        assert!(
            held > bound || cfg!(debug_assertions),
            "{jobs} jobs take more than what may be kept: {held}"
        );
        let crowd = Crowd::join(&manager, 4, 25);
        answers(&mut client, jobs);
        drop((crowd, client));
        until(&format!("memory is back after wave {wave}"), || {
            (manager.process.memory() <= bound).then_some(())
        });
    }
}
