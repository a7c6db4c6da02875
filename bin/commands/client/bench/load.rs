//! A number of jobs is kept under way: each answer begins the next job (W1, W1x, W1p, W2, W4, W5).
//!
//! The jobs go in streams, each an open group with one kind and one priority. Each place of a stream begins its next job in the
//! moment in which it takes an answer, and one reading of the clock is both the end of the one and the
//! beginning of the other. What is open when the time is over is waited for, and counts: no time is left out, so none of a
//! stall is omitted, not even of one that lasts beyond the end.

use super::books::{Books, Tally};
use super::fleet;
use super::report::{Report, SINCE_BEGUN};
use super::shape::{Extent, Shape};
use super::usage::Usage;
use super::{Bench, LOOK};
use crate::exit::{Exit, Failure};
use futures_util::StreamExt;
use proletariat::client::{Client, Error, Group, Outcomes, WorkOptions};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Before the measurement, when it has a duration.
const WARM_UP: Duration = Duration::from_millis(700);
/// The manager's memory is looked at when it has been at rest for so long.
pub(super) const REST: Duration = Duration::from_millis(500);

/// What the progress line shows.
#[derive(Default)]
pub(super) struct Watch {
    answered: AtomicU64,
    phase: Mutex<&'static str>,
}

impl Watch {
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn phase(&self) -> &'static str {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, phase: &'static str) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }
}

/// How far things were at one moment.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: Instant,
    answered: u64,
    usage: Option<Usage>,
}

impl Mark {
    pub(super) fn now(bench: &Bench) -> Self {
        Self { at: Instant::now(), answered: bench.watch.answered(), usage: bench.place.usage() }
    }

    /// Adds what happened since: the rate, and what the manager took for each job.
    pub(super) fn tell(&self, until: &Self, report: &mut Report) {
        let jobs = (until.answered - self.answered) as f64;
        let seconds = (until.at - self.at).as_secs_f64();
        report.add("jobs_per_s", jobs / seconds, "jobs/s");
        report.add("seconds", seconds, "s");
        if let (Some(before), Some(after)) = (self.usage, until.usage) {
            let taken = after.processor.saturating_sub(before.processor);
            report.add(
                "manager_us_per_job",
                taken.as_secs_f64() * 1e6 / jobs.max(1.0),
                "µs of processor time a job",
            );
            report.add(
                "manager_processor",
                taken.as_secs_f64() / seconds,
                "processors of the manager in use",
            );
        }
    }
}

/// When the streams of a load begin to be measured, and when no job begins any more.
pub(super) struct Ends {
    pub(super) from: Instant,
    pub(super) until: Option<Instant>,
    pub(super) left: AtomicU64,
}

impl Ends {
    fn new(extent: Extent, begin: Instant) -> Self {
        match extent {
            Extent::Time(time) => {
                let from = begin + WARM_UP;
                Self { from, until: Some(from + time), left: AtomicU64::new(u64::MAX) }
            }
            Extent::Jobs(jobs) => Self { from: begin, until: None, left: AtomicU64::new(jobs) },
        }
    }

    /// Whether one more job begins.
    fn takes_one(&self, now: Instant) -> bool {
        match self.until {
            Some(until) => now < until,
            None => self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok(),
        }
    }
}

impl Bench {
    pub(super) async fn client(&self) -> Result<Client, Failure> {
        self.place.manager.connect("client bench", Duration::ZERO).await
    }

    pub(super) fn failed(&self, error: &Error) -> Failure {
        self.place.manager.failure(error)
    }
}

impl Shape {
    /// Kind and priority of the jobs of a stream, and its share of the places.
    pub(super) fn streams(&self) -> Vec<(WorkOptions, u64)> {
        let kinds_and_priorities = u64::from(self.kinds.max(self.priorities).max(1));
        let count = kinds_and_priorities.max(self.outstanding.div_ceil(Group::WINDOW as u64));
        let share = |stream: u64| self.outstanding / count + u64::from(stream < self.outstanding % count);
        (0..count).map(|stream| (self.options(stream), share(stream))).collect()
    }

    /// Kind and priority by the number of a stream or job, and the clocks.
    pub(super) fn options(&self, number: u64) -> WorkOptions {
        let priority = (number % u64::from(self.priorities.max(1))) as u32;
        let options =
            WorkOptions { timeout: self.timeout, run_timeout: self.run_timeout, ..WorkOptions::default() };
        let options = options.priority(priority);
        if self.kinds == 0 {
            options
        } else {
            options.kind(format!("kind-{}", number % u64::from(self.kinds)))
        }
    }
}

pub(super) async fn run(bench: &Arc<Bench>) -> Result<Report, Failure> {
    let mut report = Report::new(&bench.shape);
    let client = bench.client().await?;
    let _crowd = crowd(bench, &mut report).await?;
    let _workers = fleet::workers(bench, Duration::ZERO).await?;
    bench.watch.enter("load");
    let begin = Mark::now(bench);
    let ends = Arc::new(Ends::new(bench.shape.extent, begin.at));
    let marks = async {
        let Some(until) = ends.until else { return (begin, None) };
        tokio::time::sleep_until(ends.from.into()).await;
        let from = Mark::now(bench);
        tokio::time::sleep_until(until.into()).await;
        (from, Some(Mark::now(bench)))
    };
    let (tally, (from, until)) = tokio::join!(drive(bench, &client, bench.shape.streams(), &ends), marks);
    let tally = tally?;
    let until = until.unwrap_or_else(|| Mark::now(bench));
    from.tell(&until, &mut report);
    let bytes = bench.shape.payload_bytes as f64;
    report.add("mb_per_s", report.value("jobs_per_s") * bytes / 1e6, "MB/s of payloads");
    report.latencies("", SINCE_BEGUN, &tally.latencies);
    if let Some(usage) = until.usage {
        report.add("manager_rss_bytes", usage.memory_bytes as f64, "bytes of memory of the manager");
    }
    report.tally.add(&tally);
    client.shutdown().await;
    Ok(report)
}

/// The crowd, and what each of it costs the manager in memory.
pub(super) async fn crowd(bench: &Bench, report: &mut Report) -> Result<Vec<proletariat::Worker>, Failure> {
    if bench.shape.crowd == 0 {
        return Ok(Vec::new());
    }
    bench.watch.enter("crowd");
    let before = bench.place.usage();
    let crowd = fleet::crowd(bench).await?;
    tokio::time::sleep(REST).await;
    if let (Some(before), Some(after)) = (before, bench.place.usage()) {
        let taken = after.memory_bytes as f64 - before.memory_bytes as f64;
        report.add(
            "bytes_per_idle_worker",
            taken / crowd.len() as f64,
            "bytes of the manager's memory an idle worker",
        );
    }
    Ok(crowd)
}

/// Keeps the places of all streams busy until the end, and waits for all answers.
pub(super) async fn drive(
    bench: &Arc<Bench>,
    client: &Client,
    streams: Vec<(WorkOptions, u64)>,
    ends: &Arc<Ends>,
) -> Result<Tally, Failure> {
    let mut running = JoinSet::new();
    for (number, (options, share)) in (0..).zip(streams) {
        let (group, outcomes) = client.open_group(options).map_err(|error| bench.failed(&error))?;
        let books = Books::new(number, bench.shape.payload_bytes, bench.shape.reply_bytes);
        running.spawn(stream(Arc::clone(bench), group, outcomes, books, share, Arc::clone(ends)));
    }
    let mut tally = Tally::default();
    while let Some(ended) = running.join_next().await {
        let ended =
            ended.map_err(|error| Failure::new(Exit::Failed, format!("a stream ended early: {error}")))?;
        tally.add(&ended.map_err(|error| bench.failed(&error))?);
    }
    Ok(tally)
}

async fn stream(
    bench: Arc<Bench>,
    group: Group,
    mut outcomes: Outcomes,
    mut books: Books,
    share: u64,
    ends: Arc<Ends>,
) -> Result<Tally, Error> {
    for _ in 0..share {
        let now = Instant::now();
        if ends.takes_one(now) {
            group.submit(books.begin(now)).await?;
        }
    }
    while books.is_open() {
        let Some((index, outcome)) = outcomes.next().await else { break };
        let now = Instant::now();
        if books.end(index, &outcome, now, now >= ends.from) {
            bench.watch.count();
        }
        if ends.takes_one(now) {
            group.submit(books.begin(now)).await?;
        }
    }
    group.close();
    Ok(books.tally)
}

/// So many jobs wait at the manager.
pub(super) async fn queued(bench: &Bench, client: &Client) -> Result<u64, Failure> {
    let status = client.status().await.map_err(|error| bench.failed(&error))?;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
    Ok(status["manager"]["queued_jobs"].as_u64().unwrap_or_default())
}

/// Waits until so many jobs wait at the manager, and looks every `look`.
pub(super) async fn until_queued(
    bench: &Bench,
    client: &Client,
    jobs: u64,
    look: Duration,
) -> Result<(), Failure> {
    while queued(bench, client).await? < jobs {
        tokio::time::sleep(look.min(LOOK)).await;
    }
    Ok(())
}
