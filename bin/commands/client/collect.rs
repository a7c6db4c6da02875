//! `client collect`: copies of a program, each a job that streams its samples; when the wanted number is there, the jobs are
//! aborted, which ends the copies. Without a manager a fleet in this process runs them.

use super::waiting::{Progress, Watcher};
use super::{Interrupt, ManagerAt, rest_of};
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::options::value::duration;
use crate::options::{Layer, Sources};
use crate::output::Tally;
use clap::Args;
use futures_util::StreamExt;
use proletariat::Manager;
use proletariat::client::{Client, JobError, Update, WorkOptions as CallOptions};
use proletariat::worker::Worker;
use proletariat::worker::handlers::{Collect, CollectOrder};
use serde_json::Value;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The kind of the jobs.
const KIND: &str = "collect";
/// Copies that were told to end are waited for so long: as long as a grace, and one second.
const GONE_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks at what is stopping.
const LOOK: Duration = Duration::from_millis(10);

const EXAMPLES: &str = "\
Examples:
  client collect --workers 16 --samples 150 -- ./worker -workerId {id} -port {port}
                                              16 copies here, on free ports; needs no manager
  client collect --host 10.0.0.5 --workers 16 --samples 150
                                              the copies run on the workers of a manager:
  worker --host 10.0.0.5 --collect '[\"./worker\",\"-workerId\",\"{id}\",\"-port\",\"{port}\"]'";

/// Options of `client collect`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct CollectOptions {
    /// Copies of the program
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    workers: u32,
    /// Samples to collect
    #[arg(long, value_name = "COUNT", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    // Braces round an n would be a line break here.
    /// What each copy is asked for; n in braces stands for the number of samples
    #[arg(long, default_value = "/rnd?n={n}")]
    path: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The whole call
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// The program and its arguments; {id} and {port} are filled in. Without it the workers at --host run theirs
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

/// Everything in this process that runs the copies. Dropped, it takes them with it.
struct Fleet {
    _manager: Manager,
    _worker: Worker,
}

pub(super) async fn run(
    options: CollectOptions,
    manager: &ManagerAt,
    sources: &Sources,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    if !options.path.starts_with('/') {
        return Err(Failure::usage(format!("--path {:?} does not begin with /", options.path)));
    }
    let is_elsewhere = ["host", "port"].iter().any(|option| sources.of(option) == Layer::Flag);
    if is_elsewhere && !options.program.is_empty() {
        let sentence = "a client does not tell other hosts what to execute: start worker --collect there, and name no \
                        program here";
        return Err(Failure::usage(sentence));
    }
    let begun = Instant::now();
    let total = options.timeout.unwrap_or_default();
    let (client, _fleet) = if options.program.is_empty() {
        (interrupt.or(manager.connect("client collect", total)).await??, None)
    } else {
        let (client, fleet) = interrupt.or(here(&options)).await??;
        (client, Some(fleet))
    };
    let result = interrupt.or(collect(&options, manager, &client, begun)).await;
    // The jobs are aborted; when nothing of them stops any more, the copies are gone.
    let gone = async {
        while is_stopping(&client).await {
            tokio::time::sleep(LOOK).await;
        }
    };
    let _ = tokio::time::timeout(GONE_LIMIT, gone).await;
    client.shutdown().await;
    let (samples, errors) = result??;
    print(&options, &samples, begun.elapsed())?;
    ended(&options, &samples, &errors)
}

/// A fleet of one worker.
async fn here(options: &CollectOptions) -> Result<(Client, Fleet), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failed, error.to_string());
    descriptors::make_room("--workers", options.workers, descriptors::FOR_A_JOB)?;
    let manager = Manager::builder().port(0).start().map_err(|error| failed(&error))?;
    let address = manager.local_addr().to_string();
    let worker = Worker::builder()
        .host(&address)
        .name("client collect")
        .slots(options.workers)
        .kinds([KIND])
        .handler(Collect::new(options.program.iter().cloned()))
        .start()
        .await
        .map_err(|error| failed(&error))?;
    let client = Client::connect(address).await.map_err(|error| failed(&error))?;
    Ok((client, Fleet { _manager: manager, _worker: worker }))
}

/// The samples, as many as are wanted unless jobs fail.
async fn collect(
    options: &CollectOptions,
    manager: &ManagerAt,
    client: &Client,
    called: Instant,
) -> Result<(Vec<String>, Vec<JobError>), Failure> {
    let orders = (1..=options.workers).map(|id| {
        let order = CollectOrder { id, n: u64::from(options.samples), path: options.path.clone() };
        serde_json::to_vec(&order).expect("numbers and text are JSON")
    });
    let timeout = rest_of(options.timeout.unwrap_or_default(), called);
    let call = CallOptions { timeout, ..CallOptions::default() }.kind(KIND);
    let mut updates = client.work_updates(orders, call).map_err(|error| manager.failure(&error))?;
    let progress = Arc::new(Progress::default());
    (0..options.workers).for_each(|_| progress.submitted());
    let _watcher = Watcher::new(client.clone(), Some(KIND.to_owned()), Arc::clone(&progress));
    let wanted = usize::try_from(options.samples).unwrap_or(usize::MAX);
    let (mut samples, mut errors) = (Vec::new(), Vec::new());
    while let Some((_, update)) = updates.next().await {
        progress.sign();
        match update {
            // A sample is good whatever becomes of its copy later.
            Update::Data(data) => {
                let text = String::from_utf8_lossy(&data);
                samples.extend(text.lines().take(wanted - samples.len()).map(str::to_owned));
            }
            Update::Outcome(outcome) => {
                progress.answered();
                errors.extend(outcome.err());
            }
            Update::Restarted | Update::Progress { .. } => {}
        }
        if samples.len() == wanted {
            break;
        }
    }
    Ok((samples, errors))
}

/// Whether work that was aborted has not stopped yet.
async fn is_stopping(client: &Client) -> bool {
    let Ok(text) = client.status().await else { return false };
    let status: Value = serde_json::from_str(&text).unwrap_or_default();
    let workers = status["workers"].as_array().map_or(&[][..], Vec::as_slice);
    workers.iter().any(|worker| worker["stopping"].as_array().is_some_and(|stopping| !stopping.is_empty()))
}

fn print(options: &CollectOptions, samples: &[String], took: Duration) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let (workers, required, count) = (options.workers, options.samples, samples.len());
    let millis = took.as_secs_f64() * 1_000.0;
    if options.json {
        let samples: Vec<_> = samples.iter().map(|sample| Value::from(sample.as_str()).to_string()).collect();
        writeln!(
            out,
            r#"{{"workers":{workers},"required":{required},"samples":[{}],"count":{count},"milliseconds":{millis:.3}}}"#,
            samples.join(",")
        )?;
    } else {
        writeln!(out, "Workers count: {workers}")?;
        writeln!(out, "Sample data required: {required}")?;
        writeln!(out, "Sample collected: {}", samples.join(","))?;
        writeln!(out, "Number of samples: {count}")?;
        writeln!(out, "Start: {millis:.3}ms")?;
    }
    out.flush()?;
    Ok(())
}

/// Without all samples it has failed, and says why.
fn ended(options: &CollectOptions, samples: &[String], errors: &[JobError]) -> Result<Exit, Failure> {
    if samples.len() as u64 == u64::from(options.samples) {
        return Ok(Exit::Done);
    }
    let mut tally = Tally::default();
    errors.iter().for_each(|error| tally.count(Some(error.code)));
    let why = errors.first().map_or_else(|| String::from("the jobs are done"), ToString::to_string);
    let exit = if tally.exit() == Exit::Done { Exit::Failed } else { tally.exit() };
    Err(Failure::new(exit, format!("{} of {} samples: {why}", samples.len(), options.samples)))
}
