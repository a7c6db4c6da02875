//! The jobs of the demo: a flood of priority 0, and beside it a steady trickle of the two that are more urgent. Every
//! answer is computed here, too, and compared.

use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proletariat::client::{Client, Error, Group, Job, Outcome, Update, Updates, WorkOptions};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Each priority, its share of the jobs in percent, and how many of it are outstanding at a time.
const PRIORITIES: [(u32, u32, usize); 3] = [(0, 80, 2_000), (1, 13, 10), (2, 7, 5)];

/// What became of the jobs of one priority.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) priority: u32,
    pub(super) jobs: u64,
    /// From the submission to the answer, one a job.
    pub(super) latencies: Vec<Duration>,
    pub(super) wrong: u64,
    pub(super) failed: u64,
}

/// The client of the demo and its three streams of jobs.
pub(super) struct Load {
    tallies: Vec<Arc<Mutex<Tally>>>,
    answered: watch::Receiver<u64>,
    total: u64,
    bar: ProgressBar,
    /// Ends its jobs when it is dropped.
    _client: Client,
    tasks: tokio::task::JoinSet<()>,
}

impl Load {
    /// Connects and begins.
    pub(super) async fn start(manager: SocketAddr, jobs: u32) -> Result<Self, Error> {
        let client = Client::connect(manager.to_string()).await?;
        let (answers, answered) = watch::channel(0);
        let answers = Arc::new(answers);
        let bar = bar(u64::from(jobs));
        let (tallies, tasks) = (Vec::new(), tokio::task::JoinSet::new());
        let mut load =
            Self { tallies, answered, total: u64::from(jobs), bar, _client: client.clone(), tasks };
        let mut left = u64::from(jobs);
        for (priority, percent, window) in PRIORITIES.into_iter().rev() {
            let share = if priority == 0 { left } else { u64::from(jobs) * u64::from(percent) / 100 };
            left -= share;
            let tally = Arc::new(Mutex::new(Tally { priority, jobs: share, ..Tally::default() }));
            load.tallies.push(Arc::clone(&tally));
            let options = WorkOptions::default().priority(priority);
            let (group, outcomes) = client.open_group_with(options, window)?;
            let (began, starts) = tokio::sync::mpsc::unbounded_channel();
            load.tasks.spawn(submit(group, priority, share, began));
            load.tasks.spawn(collect(outcomes, starts, tally, Arc::clone(&answers), load.bar.clone()));
        }
        Ok(load)
    }

    /// Waits until so many are answered.
    pub(super) async fn answered(&self, count: u64) {
        let mut answered = self.answered.clone();
        if answered.wait_for(|answers| *answers >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all are answered.
    pub(super) async fn finished(&self) {
        self.answered(self.total).await;
    }

    /// What became of them so far, the most urgent first.
    pub(super) fn tally(&self) -> Vec<Tally> {
        self.bar.finish_and_clear();
        self.tallies
            .iter()
            .map(|tally| tally.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }
}

/// Only where a person looks; otherwise it draws nothing.
fn bar(jobs: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(jobs), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} jobs  {per_sec}  {eta} left");
    bar.set_style(style.expect("the template is fixed"));
    bar
}

/// One job: made from its number, so that whoever gets the answer can tell whether it is right.
struct Task {
    kind: &'static str,
    millis: u64,
    a: u64,
    b: u64,
}

impl Task {
    fn new(priority: u32, number: u64) -> Self {
        // A fixed mixture: the demo is the same each time.
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(priority * 7);
        let kind = if mixed & 1 == 0 { "mult" } else { "add" };
        Self { kind, millis: 4 + (mixed >> 8) % 30, a: (mixed >> 16) % 1_000, b: (mixed >> 32) % 1_000 }
    }

    fn answer(&self) -> String {
        if self.kind == "mult" { self.a * self.b } else { self.a + self.b }.to_string()
    }
}

async fn submit(group: Group, priority: u32, count: u64, began: tokio::sync::mpsc::UnboundedSender<Instant>) {
    for number in 0..count {
        let Task { kind, millis, a, b } = Task::new(priority, number);
        let job = Job::new(format!("{millis} {a} {b}")).kind(kind);
        // The window may hold it back; the job begins when it is let in.
        if group.submit(job).await.is_err() || began.send(Instant::now()).is_err() {
            return;
        }
    }
    group.close();
}

async fn collect(
    mut updates: Updates,
    mut starts: tokio::sync::mpsc::UnboundedReceiver<Instant>,
    tally: Arc<Mutex<Tally>>,
    answers: Arc<watch::Sender<u64>>,
    bar: ProgressBar,
) {
    let mut began = Vec::new();
    while let Some((index, update)) = updates.next().await {
        let Update::Outcome(outcome) = update else { continue };
        let now = Instant::now();
        while began.len() <= index {
            match starts.recv().await {
                Some(start) => began.push(start),
                None => return,
            }
        }
        note(&tally, index, &outcome, now.saturating_duration_since(began[index]));
        bar.inc(1);
        answers.send_modify(|count| *count += 1);
    }
}

fn note(tally: &Mutex<Tally>, index: usize, outcome: &Outcome, latency: Duration) {
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let right = Task::new(tally.priority, index as u64).answer();
    match outcome {
        Ok(result) if result[..] == *right.as_bytes() => {}
        Ok(_) => tally.wrong += 1,
        Err(_) => tally.failed += 1,
    }
    tally.latencies.push(latency);
}
