//! The workers of the demo, each a real connection to the manager.
//!
//! Their work is arithmetic that takes a made-up time: a sleep of as many milliseconds as the job says, so that slots are
//! held as they would be by real work. One of them lives in a runtime of its own that can be torn down, which for the manager is
//! what a killed process is: a connection that closes in the middle of everything.

use proletariat::worker::{Error, Run, Worker};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Slots of each worker.
const SLOTS: u32 = 16;
/// Guarantees of each worker: lower bound of the range, slots.
const GUARANTEES: [(u32, u32); 2] = [(1, 4), (2, 2)];
/// The workers that live, and the kinds that each takes; an empty list is any.
const WORKERS: [(&str, &[&str]); 4] =
    [("general-1", &[]), ("general-2", &[]), ("multiplier", &["mult"]), ("adder", &["add"])];

/// The workers, as long as this is held.
pub(super) struct Fleet {
    workers: Vec<Worker>,
    victim: Option<Victim>,
}

/// A runtime whose worker dies with it, without a word.
struct Victim(Option<Runtime>);

impl Drop for Victim {
    fn drop(&mut self) {
        // A runtime must not be dropped where it would wait for its tasks, as an interrupted command would.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Fleet {
    /// Connects all of them.
    pub(super) async fn start(manager: SocketAddr) -> Result<Self, Error> {
        let mut workers = Vec::new();
        for (name, kinds) in WORKERS {
            workers.push(worker(manager, name, kinds).await?);
        }
        Ok(Self { workers, victim: Some(victim(manager).await?) })
    }

    /// How many there were at the beginning.
    pub(super) fn size(&self) -> usize {
        self.workers.len() + 1
    }

    /// One of them dies without a word.
    pub(super) fn kill_one(&mut self) {
        self.victim = None;
    }
}

async fn worker(manager: SocketAddr, name: &str, kinds: &[&str]) -> Result<Worker, Error> {
    let builder = Worker::builder()
        .host(manager.to_string())
        .name(name)
        .slots(SLOTS)
        .priority_slots(GUARANTEES)
        .handler(|run: Run| async move { work(&run).await });
    if kinds.is_empty() { builder.start().await } else { builder.kinds(kinds.iter().copied()).start().await }
}

/// A worker in a runtime of its own.
async fn victim(manager: SocketAddr) -> Result<Victim, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a process that runs one runtime can start a second thread");
    let handle = runtime.handle().clone();
    let victim = Victim(Some(runtime));
    let (started, start) = tokio::sync::oneshot::channel();
    handle.spawn(async move {
        let result = worker(manager, "victim", &[]).await;
        let (worker, result) = match result {
            Ok(worker) => (Some(worker), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // Nobody who no longer listens needs the answer.
        let _ = started.send(result);
        if let Some(worker) = worker {
            let _ = worker.ended().await;
        }
    });
    start.await.unwrap_or(Err(Error::Ended))?;
    Ok(victim)
}

/// `milliseconds a b`: takes so long, and answers with the sum or the product, as the kind says.
async fn work(run: &Run) -> Result<String, String> {
    let text = String::from_utf8_lossy(run.payload()).into_owned();
    let numbers: Result<Vec<u64>, _> = text.split(' ').map(str::parse).collect();
    let numbers = numbers.map_err(|error| format!("{text}: {error}"))?;
    let [millis, a, b] = numbers[..] else { return Err(format!("{text}: three numbers are needed")) };
    tokio::time::sleep(Duration::from_millis(millis)).await;
    match run.kind() {
        Some("mult") => Ok((a * b).to_string()),
        Some("add") => Ok((a + b).to_string()),
        other => Err(format!("a job of kind {other:?}")),
    }
}
