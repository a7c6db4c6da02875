//! Jobs are pushed while no worker is there, and then drained (W3): how fast each, what a job that waits takes of the manager's
//! memory, and when that is given back.

use super::Bench;
use super::books::Books;
use super::fleet;
use super::load::{REST, crowd, until_queued};
use super::report::Report;
use super::shape::Extent;
use crate::exit::Failure;
use futures_util::StreamExt;
use proletariat::client::Job;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks at whether all jobs are there.
const LOOK: Duration = Duration::from_millis(2);
/// Memory counts as given back within a tenth and so many bytes of what it was.
const BACK_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// The manager gives memory back at the next idle moment, at most once in 5 s.
const BACK_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(bench: &Arc<Bench>) -> Result<Report, Failure> {
    let shape = &bench.shape;
    let mut report = Report::new(shape);
    let client = bench.client().await?;
    let _crowd = crowd(bench, &mut report).await?;
    let Extent::Jobs(count) = shape.extent else { return Err(Failure::usage("W3 needs a number of jobs")) };
    let mut books = Books::new(0, shape.payload_bytes, shape.reply_bytes);
    let begin = Instant::now();
    let jobs: Vec<Job> = (0..count)
        .map(|number| {
            let options = shape.options(number);
            let job = Job::new(books.begin(begin));
            let job = if options.priority == 0 { job } else { job.priority(options.priority) };
            if let Some(kind) = options.kind { job.kind(kind) } else { job }
        })
        .collect();
    tokio::time::sleep(REST).await;
    bench.watch.enter("push");
    let (before, begin) = (bench.place.usage(), Instant::now());
    let options = proletariat::client::WorkOptions { kind: None, ..shape.options(0) };
    let mut outcomes = client.work_individual(jobs, options).map_err(|error| bench.failed(&error))?;
    until_queued(bench, &client, count, LOOK).await?;
    let push_s = begin.elapsed().as_secs_f64();
    report.add("push_per_s", count as f64 / push_s, "jobs/s pushed");
    let pushed = bench.place.usage();
    tokio::time::sleep(REST).await;
    if let (Some(before), Some(pushed), Some(full)) = (before, pushed, bench.place.usage()) {
        let taken = (pushed.processor - before.processor).as_secs_f64() * 1e6;
        report.add("push_manager_us_per_job", taken / count as f64, "µs of processor time a push");
        let bytes = full.memory_bytes as f64 - before.memory_bytes as f64;
        report.add("bytes_per_job", bytes / count as f64, "bytes of the manager's memory a job that waits");
    }
    bench.watch.enter("drain");
    let (full, begin) = (bench.place.usage(), Instant::now());
    books.begin_again(begin);
    let workers = fleet::workers(bench, Duration::ZERO).await?;
    while let Some((index, outcome)) = outcomes.next().await {
        if books.end(index, &outcome, Instant::now(), true) {
            bench.watch.count();
        }
    }
    let (drain_s, right) = (begin.elapsed().as_secs_f64(), books.tally.right as f64);
    report.add("drain_per_s", right / drain_s, "jobs/s drained");
    report.add("jobs_per_s", right / (push_s + drain_s), "jobs/s pushed and drained");
    report.latencies(
        "",
        "µs from the moment in which workers came to the answer of a job",
        &books.tally.latencies,
    );
    if let (Some(full), Some(empty)) = (full, bench.place.usage()) {
        let taken = (empty.processor - full.processor).as_secs_f64() * 1e6;
        report.add("manager_us_per_job", taken / count as f64, "µs of processor time a job drained");
    }
    if let Some(before) = before {
        bench.watch.enter("waiting for the manager's memory");
        memory_back(bench, before.memory_bytes as f64, &mut report).await;
    }
    report.tally.add(&books.tally);
    drop(workers);
    client.shutdown().await;
    Ok(report)
}

/// Waits until the manager has given back what the jobs took.
async fn memory_back(bench: &Bench, before: f64, report: &mut Report) {
    let begin = Instant::now();
    loop {
        let Some(usage) = bench.place.usage() else { return };
        let now = usage.memory_bytes as f64;
        let is_back = now <= before * 1.1 + BACK_BYTES;
        if is_back || begin.elapsed() > BACK_LIMIT {
            report.add("manager_rss_before_bytes", before, "bytes of the manager's memory before");
            report.add("manager_rss_bytes", now, "bytes of it afterwards");
            if is_back {
                report.add("memory_back_s", begin.elapsed().as_secs_f64(), "s until it was given back");
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
