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
/// What nine in ten of them may.
const USUAL_DELAY_MAX: Duration = Duration::from_millis(12);
/// Large ones, one after the other.
const LARGE_JOBS: usize = 8;
/// All small jobs keep to it in one of so many rounds: a machine that is busy with something else gets another chance.
const ROUNDS: usize = 3;

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

/// How long small jobs take that run, one after the other, until `until` is ready; the shortest first.
async fn small_ones(client: &Client, until: impl Future<Output = ()>) -> Vec<Duration> {
    let mut until = std::pin::pin!(until);
    let mut times = Vec::new();
    let mut is_over = false;
    while !is_over {
        let begin = Instant::now();
        let mut small = std::pin::pin!(client.work(["small"], WorkOptions::default()));
        let outcomes = tokio::select! {
            biased;
            outcomes = &mut small => outcomes,
            () = &mut until => {
                // The one under way counts: it may be the longest.
                is_over = true;
                small.await
            }
        };
        assert_eq!(outcomes.unwrap()[0].as_deref().unwrap(), b"small");
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    times
}

/// Large jobs of this kind, one after the other, each answered with so many bytes.
async fn large_ones(client: &Client, kind: &str, payload: Payload, answer_bytes: usize) {
    for _ in 0..LARGE_JOBS {
        let options = WorkOptions::default().kind(kind);
        let outcomes = client.work([payload.clone()], options).await.unwrap();
        assert_eq!(outcomes[0].as_ref().unwrap().len(), answer_bytes);
    }
}

/// How much longer nine in ten small jobs, and the longest, take beside large ones than the longest one alone.
async fn delay(port: u16, kind: &str, payload: &Payload, answer_bytes: usize) -> (Duration, Duration) {
    let client = Client::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let alone = small_ones(&client, tokio::time::sleep(Duration::from_millis(50))).await;
    let alone = *alone.last().expect("there is time for some");
    let large = large_ones(&client, kind, payload.clone(), answer_bytes);
    let beside = small_ones(&client, large).await;
    client.shutdown().await;
    let count = beside.len();
    let of = |part: f64| beside[((count - 1) as f64 * part) as usize];
    println!(
        "{kind}: {count} small ones, half take {:?}, nine in ten {:?}, the longest {:?}; alone {alone:?}",
        of(0.5),
        of(0.9),
        of(1.0)
    );
    assert!(count >= LARGE_JOBS, "{count} small ones in the time of {LARGE_JOBS} large ones");
    (of(0.9).saturating_sub(alone), of(1.0).saturating_sub(alone))
}

fn assert_small_ones_pass(kind: &str, payload: &Payload, answer_bytes: usize) {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let (stop, thread) = worker(manager.port);
    let mut delays = Vec::new();
    let is_good = |&(usual, longest): &(Duration, Duration)| usual <= USUAL_DELAY_MAX && longest <= DELAY_MAX;
    while delays.len() < ROUNDS && !delays.iter().any(is_good) {
        delays.push(runtime().block_on(delay(manager.port, kind, payload, answer_bytes)));
    }
    drop(stop);
    thread.join().unwrap();
    assert!(delays.iter().any(is_good), "{kind}: nine in ten and the longest were delayed by {delays:?}");
}

#[test]
fn a_small_job_passes_a_large_payload() {
    assert_small_ones_pass("there", &Payload::from(vec![b'l'; LARGE_BYTES]), LARGE_BYTES.to_string().len());
}

#[test]
fn a_small_job_passes_a_large_answer() {
    assert_small_ones_pass("back", &Payload::from_static(b"give"), LARGE_BYTES);
}
