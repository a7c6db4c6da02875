//! `worker`: offers slots to a manager and runs jobs in them.

mod handler;

use super::secrets::PeerSecrets;
use super::{CommonOptions, DrainOptions, begin, block_on};
use crate::exit::{Exit, Failure};
use crate::options::value::{Guarantees, KindNames, duration, guarantees, kinds, name};
use crate::options::{Surroundings, parse};
use crate::signals::Signals;
use crate::terminal::ended;
use clap::{Args, Parser};
use handler::{Chosen, HandlerOptions};
pub(super) use handler::{Words, check_depth, processors, words};
use proletariat::worker::handlers::{ExecError, Execution};
use proletariat::worker::{Builder, Error, Worker};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder as Runtime;

const EXAMPLES: &str = "\
Examples:
  worker                                      100 slots for a manager on this host; echoes each payload
  worker --slots 8 --host 10.0.0.5            for a manager elsewhere
  worker --kinds mult,add --slots 100 --priority-slots 1=30,2=20
                                              of 100 slots, 30 for priorities from 1 up, 20 from 2 up
  worker --builtin sleep --kinds sleep        jobs like 100ms or 2s take that long
  worker --builtin arith                      multiplies and adds: {\"a\":3,\"b\":4} of kind mult or add
  worker --builtin lookup --table table.txt --slots 32
                                              answers batches of ip:command, see client batch
  worker --http http://127.0.0.1:8080 --kinds mult,add --slots 1
                                              posts jobs to a service: /mult and /add
  worker --run 'convert {} png:-' --slots 4   a process per job, at most four at a time
  worker --exec '[\"./prog\",\"arg\"]' --slots 4  four children that live on, a line a job, each echoed when it is done
  worker --exec '[\"sed\",\"-u\",\"s/a/b/\"]' --reply --kinds ab
                                              the child's line is the result
  worker --collect '[\"./prog\",\"-workerId\",\"{id}\",\"-port\",\"{port}\"]'
                                              copies of a program for client collect --host";

/// A worker: offers slots to a manager and runs jobs in them.
#[derive(Parser, Debug)]
#[command(name = "worker", version, after_help = format!("{EXAMPLES}\n\n{}", super::OPTIONS_NOTE))]
pub struct WorkerOptions {
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    secrets: PeerSecrets,
    /// Jobs at one time; with --exec and simulate children, of which each may have several lines [default: 100; of --exec and simulate the processors]
    #[arg(long, value_name = "COUNT")]
    slots: Option<u32>,
    /// Slots guaranteed to priority ranges: lower bound = slots, comma-separated
    #[arg(long, value_name = "BOUND=SLOTS", value_parser = guarantees)]
    priority_slots: Option<Guarantees>,
    /// Kinds of jobs to take [default: any; of arith mult,add; of lookup lookup; of --collect collect]
    #[arg(long, value_name = "KIND,…", value_parser = kinds)]
    kinds: Option<KindNames>,
    #[command(flatten)]
    handler: HandlerOptions,
    /// Name of the worker in the manager's status
    #[arg(long, default_value = "worker", value_parser = name)]
    name: String,
    /// After a cancelled job is told to stop, its slot is given up after so long
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    kill_grace: Duration,
    /// Answers gathered before they are sent
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    answer_threshold: u32,
    /// First wait before connecting again, by chance up to this; then doubling
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    con_retrytime: Duration,
    /// Connect again after so long without a byte from the manager
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    manager_timeout: Duration,
    #[command(flatten)]
    cleanup: WorkerCleanupOptions,
    #[command(flatten)]
    drain: DrainOptions,
}

/// When memory is given back.
#[derive(Args, Debug)]
struct WorkerCleanupOptions {
    /// Give memory back while idle after so many jobs
    #[arg(long, value_name = "JOBS", default_value_t = 1000)]
    cleanup_reqs: u64,
    /// Give memory back while idle after this time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    cleanup_checkint: Duration,
}

/// The executable `worker`.
#[must_use]
pub fn main() -> ExitCode {
    ended(run(&Surroundings::of_this_process()))
}

fn run(surroundings: &Surroundings) -> Result<Exit, Failure> {
    let parsed = parse::<WorkerOptions>(surroundings)?;
    let _log = begin(&parsed.options.common, &parsed.warnings, "info");
    let address = parsed.options.common.address(&parsed.sources)?;
    let drain_timeout = parsed.options.drain.drain_timeout;
    let handler = parsed.options.handler.clone();
    let chosen = handler.chosen(&parsed.sources, parsed.options.kill_grace)?;
    let slots = parsed.options.slots.unwrap_or_else(|| chosen.slots());
    let token = parsed.options.secrets.token()?;
    let tls = parsed.options.secrets.tls()?;
    let mut builder = builder(parsed.options, &chosen).slots(slots).host(&address.host).port(address.port);
    if let Some(token) = token {
        builder = builder.token(token);
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    block_on(Runtime::new_current_thread(), async {
        let signals = Signals::new()?;
        builder.check().map_err(|error| failure(&error))?;
        handler.make_room(slots, &chosen)?;
        let (builder, children) = chosen.install(builder)?;
        let worker = builder.start_lazy().map_err(|error| failure(&error))?;
        tracing::info!("offers its slots to the manager at {address}");
        let Some((execution, _talk)) = children else {
            return until_told(&worker, signals, drain_timeout).await;
        };
        until_told_or_failed(&worker, &execution, signals, drain_timeout).await
    })
}

/// Works until a signal comes, then drains; a second signal ends it at once.
async fn until_told(worker: &Worker, mut signals: Signals, drain_timeout: Duration) -> Result<Exit, Failure> {
    tokio::select! {
        () = signals.next() => {}
        end = worker.ended() => return end.map(|()| Exit::Done).map_err(|error| failure(&error)),
    }
    tracing::info!(?drain_timeout, "draining; a second signal ends it at once");
    tokio::select! {
        end = worker.drain(drain_timeout) => end.map(|()| Exit::Done).map_err(|error| failure(&error)),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

/// The same with children, which end with it.
pub(super) async fn until_told_or_failed(
    worker: &Worker,
    execution: &Execution,
    signals: Signals,
    drain_timeout: Duration,
) -> Result<Exit, Failure> {
    let told = until_told(worker, signals, drain_timeout);
    let failed = async {
        match execution.mind(worker).await {
            Err(ExecError::Program(reason)) => reason,
            // How the worker ended is told by the other half.
            _ => std::future::pending().await,
        }
    };
    let exit = tokio::select! {
        exit = told => exit?,
        reason = failed => {
            // The lines go elsewhere.
            let _ = worker.drain(Duration::ZERO).await;
            return Err(Failure::new(Exit::Failed, reason));
        }
    };
    if exit == Exit::Done {
        execution.finish().await;
    }
    Ok(exit)
}

fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::Offer(_) => Exit::Usage,
        Error::OfferRefused { .. } => Exit::Refused,
        Error::Link(error) if error.code().is_some() => Exit::Refused,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

fn builder(options: WorkerOptions, chosen: &Chosen) -> Builder {
    let mut builder = Worker::builder()
        .name(options.name)
        .kill_grace(options.kill_grace)
        .answer_threshold(options.answer_threshold)
        .cleanup(options.cleanup.cleanup_reqs, options.cleanup.cleanup_checkint)
        .retry_time(options.con_retrytime)
        .manager_timeout(options.manager_timeout);
    if let Some(Guarantees(guarantees)) = options.priority_slots {
        builder = builder.priority_slots(guarantees.into_iter().map(|one| (one.bound, one.slots)));
    }
    match options.kinds {
        Some(KindNames(kinds)) => builder = builder.kinds(kinds),
        None if chosen.kinds().is_empty() => {}
        None => builder = builder.kinds(chosen.kinds().iter().copied()),
    }
    builder
}
