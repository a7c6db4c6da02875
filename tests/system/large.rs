//! A payload of 16 MiB is under way, and a small job of the same client on the same worker is hardly slower for it: there and back.

#![allow(clippy::print_stdout, reason = "the figures are the point")]

use crate::harness::Test;
use proletariat::client::{Client, WorkOptions};
use proletariat::worker::{Run, Worker};
use proletariat_protocol::Payload;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

const LARGE_BYTES: usize = 16 << 20;
/// What a small job may take longer while a large one is under way.
const DELAY_MAX: Duration = Duration::from_millis(20);
/// Large ones, one after the other.
const LARGE_JOBS: usize = 8;
/// A machine that is busy with something else gets another chance.
const ROUNDS: usize = 6;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A worker on a thread of its own, until the sender is dropped.
fn worker(port: u16) -> (oneshot::Sender<()>, thread::JoinHandle<()>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        runtime().block_on(async {
            let large = Payload::from(vec![b'l'; LARGE_BYTES]);
            let handler = move |run: Run| {
                let large = large.clone();
                async move {
                    Ok::<_, String>(match run.kind() {
                        Some("there") => Payload::from(run.payload().len().to_string()),
                        Some("back") => large,
                        _ => run.payload().clone(),
                    })
                }
            };
            let builder = Worker::builder().port(port).slots(10).handler(handler);
            let _worker = builder.start().await.unwrap();
            ready.send(()).unwrap();
            // An error says that the sender is gone, which is what is waited for.
            let _ = stopped.await;
        });
    });
    is_ready.recv().unwrap();
    (stop, thread)
}

/// The longest of the small jobs that run, one after the other, until `until` is ready.
async fn longest_small(client: &Client, until: impl Future<Output = ()>) -> (Duration, usize) {
    let mut until = std::pin::pin!(until);
    let (mut longest, mut count) = (Duration::ZERO, 0);
    loop {
        let begin = Instant::now();
        let small = client.work(["small"], WorkOptions::default());
        let outcomes = tokio::select! {
            biased;
            outcomes = small => outcomes.unwrap(),
            () = &mut until => return (longest, count),
        };
        assert_eq!(outcomes[0].as_deref().unwrap(), b"small");
        longest = longest.max(begin.elapsed());
        count += 1;
    }
}

/// Large jobs of this kind, one after the other, each answered with so many bytes.
async fn large_ones(client: &Client, kind: &str, payload: Payload, answer_bytes: usize) {
    for _ in 0..LARGE_JOBS {
        let options = WorkOptions::default().kind(kind);
        let outcomes = client.work([payload.clone()], options).await.unwrap();
        assert_eq!(outcomes[0].as_ref().unwrap().len(), answer_bytes);
    }
}

/// How much longer the longest small job takes beside large ones than the longest one alone.
async fn delay(port: u16, kind: &str, payload: &Payload, answer_bytes: usize) -> Duration {
    let client = Client::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let (alone, _) = longest_small(&client, tokio::time::sleep(Duration::from_millis(50))).await;
    let large = large_ones(&client, kind, payload.clone(), answer_bytes);
    let (beside, count) = longest_small(&client, large).await;
    client.shutdown().await;
    println!("{kind}: {count} small ones, the longest {beside:?}, alone {alone:?}");
    assert!(count >= LARGE_JOBS, "{count} small ones in the time of {LARGE_JOBS} large ones");
    beside.saturating_sub(alone)
}

fn assert_small_ones_pass(kind: &str, payload: &Payload, answer_bytes: usize) {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let (stop, thread) = worker(manager.port);
    let mut delays = Vec::new();
    while delays.len() < ROUNDS && delays.iter().all(|delay| *delay > DELAY_MAX) {
        delays.push(runtime().block_on(delay(manager.port, kind, payload, answer_bytes)));
    }
    drop(stop);
    thread.join().unwrap();
    assert!(delays.iter().any(|delay| *delay <= DELAY_MAX), "{kind}: delayed by {delays:?}");
}

#[test]
fn a_small_job_passes_a_large_payload() {
    assert_small_ones_pass("there", &Payload::from(vec![b'l'; LARGE_BYTES]), LARGE_BYTES.to_string().len());
}

#[test]
fn a_small_job_passes_a_large_answer() {
    assert_small_ones_pass("back", &Payload::from_static(b"give"), LARGE_BYTES);
}
