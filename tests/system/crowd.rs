//! A thousand workers and a hundred thousand jobs of one call.

use crate::harness::{Crowd, Test};
use proletariat::client::{Client, WorkOptions};
use std::time::{Duration, Instant};

const WORKERS: usize = 1_000;
const JOBS: u64 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
/// Each of these takes a second or two on a quiet machine; anything quadratic takes minutes.
const TIME: Duration = Duration::from_secs(20);

#[test]
fn one_command_pushes_a_hundred_thousand_jobs_to_a_thousand_workers() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let crowd = Crowd::join(&manager, WORKERS, 10);
    assert_eq!(manager.workers().len(), WORKERS);
    let lines: String = (0..JOBS).map(|job| format!("job {job}\n")).collect();
    let ended = manager.ask_with(&["work", "-"], lines.clone()).expect(0);
    assert!(ended.text() == lines, "{} bytes for {}", ended.out.len(), lines.len());
    assert!(ended.took < TIME, "{:?}", ended.took);
    assert_eq!(crowd.answered().iter().sum::<u64>(), JOBS, "each ran once");
    println!("{JOBS} lines of `client work -` to {WORKERS} workers: {:?}", ended.took);
    manager.until_idle();
}

#[test]
fn one_call_of_the_library_pushes_a_hundred_thousand_jobs_to_a_thousand_workers() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let crowd = Crowd::join(&manager, WORKERS, 10);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(manager.address().to_string()).await.unwrap();
        let begun = Instant::now();
        let jobs: Vec<String> = (0..JOBS).map(|job| job.to_string()).collect();
        let outcomes = client.work(jobs, WorkOptions::default()).await.unwrap();
        let took = begun.elapsed();
        assert_eq!(outcomes.len() as u64, JOBS);
        for (job, outcome) in outcomes.into_iter().enumerate() {
            assert_eq!(outcome.unwrap(), job.to_string().as_bytes());
        }
        assert!(took < TIME, "{took:?}");
        println!("{JOBS} jobs of one work() to {WORKERS} workers: {took:?}");
        client.shutdown().await;
    });
    assert_eq!(crowd.answered().iter().sum::<u64>(), JOBS, "each ran once");
}
