//! `client`: pushes jobs and gets the answers back; asks the manager; tells the others.

mod ahead;
mod batch;
mod bench;
mod collect;
mod demo;
mod exec;
mod in_order;
mod interrupt;
mod payloads;
mod status;
mod sysmsg;
mod waiting;
mod work;

use super::secrets::PeerSecrets;
use super::{CommonOptions, begin, block_on};
use crate::exit::{Exit, Failure};
use crate::options::value::duration;
use crate::options::{Address, Surroundings, parse};
use crate::terminal::{ColorChoice, ended};
use clap::{Args, Parser, Subcommand};
use interrupt::Interrupt;
use proletariat::client::{Client, Error};
use proletariat::security::{ClientTls, ServerTls};
use proletariat_protocol::limits::CLOCK_MILLIS_MAX;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::Builder as Runtime;

const EXAMPLES: &str = "\
Examples:
  client work '{\"some\":\"work\"}'             one job, its result on standard output
  client work --kind mult --timeout 60s - < jobs.txt
                                              a job a line, the results in the same order
  client work --individual --output jsonl a b c
                                              results as they come, as JSON
  seq 1000 | client exec -x '[\"./prog\"]'     lines through children that are started again when they crash
  client batch commands.txt --group 16        a file of commands in batches, and the sum of the answers
  client collect --samples 150 -- ./worker -workerId {id} -port {port}
                                              copies of a program on free ports, their samples merged
  client sysmsg '{\"do\":\"something\"}'        tells everybody else
  client status --watch                       workers, queues and peers, again and again
  client demo                                 a whole fleet in one process; needs nothing else
  client bench W1                             jobs/s, latency, and what the manager takes for a job
  client demo planner --tasks 100 --time-scale 0.1
                                              tasks for thirty HTTP services

Exit codes: 0 done, 1 some job failed, 2 usage, 3 no manager, 4 timed out, 5 refused, 130 interrupted.";

/// The client: pushes jobs to a manager and gets the answers back.
#[derive(Parser, Debug)]
#[command(name = "client", version, after_help = format!("{EXAMPLES}\n\n{}", super::OPTIONS_NOTE))]
pub struct ClientOptions {
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    secrets: PeerSecrets,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(subcommand)]
    command: ClientCommand,
}

/// How to reach the manager.
#[derive(Clone, Args, Debug)]
struct ConnectionOptions {
    /// Give up if the first connection takes longer
    #[arg(long, global = true, help_heading = "Common options", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    connect_timeout: Duration,
    /// Give up after so many failed attempts in a row to connect again [default: no limit]
    #[arg(long, global = true, help_heading = "Common options", value_name = "COUNT")]
    max_retries: Option<u32>,
    /// Connect again after so long without a byte from the manager
    #[arg(long, global = true, help_heading = "Common options", value_name = "DURATION", default_value = "30s", value_parser = duration)]
    manager_timeout: Duration,
}

#[derive(Subcommand, Debug)]
enum ClientCommand {
    /// Pushes jobs and prints how each ended
    Work(work::WorkOptions),
    /// Takes lines through children that do them, here and elsewhere
    Exec(exec::ExecOptions),
    /// Sends a file of commands in batches and sums the answers
    Batch(batch::BatchOptions),
    /// Runs copies of a program and merges their streams of samples
    Collect(collect::CollectOptions),
    /// Sends a message to other peers, or prints those that come
    Sysmsg(sysmsg::SysmsgOptions),
    /// Shows the manager's state
    Status(status::StatusOptions),
    /// Runs a whole fleet in this process and shows that nothing is lost
    Demo(demo::DemoOptions),
    /// Measures jobs/s, latency, and what a manager takes for a job
    Bench(bench::BenchOptions),
    /// The manager of a bench, in a process of its own
    #[command(hide = true)]
    BenchManager,
}

/// The executable `client`.
#[must_use]
pub fn main() -> ExitCode {
    ended(run(&Surroundings::of_this_process()))
}

fn run(surroundings: &Surroundings) -> Result<Exit, Failure> {
    let parsed = parse::<ClientOptions>(surroundings)?;
    let ClientOptions { common, secrets, connection, command } = parsed.options;
    let is_exec = matches!(command, ClientCommand::Exec(_));
    // What becomes of children and helpers is told.
    let level = if is_exec { "warn" } else { "error" };
    let _log = begin(&common, &parsed.warnings, level);
    let address = common.address(&parsed.sources)?;
    let (token, tls) = (secrets.token()?, secrets.tls()?);
    let own_tls = if is_exec { secrets.own_tls()? } else { None };
    let manager = ManagerAt { address, token, tls, own_tls, connection, color: common.color };
    // The library's task has a thread of its own: where standard output is a pager that nobody scrolls, this thread
    // stands still, and the session must not.
    let mut runtime = Runtime::new_multi_thread();
    runtime.worker_threads(1);
    block_on(runtime, async {
        // A helper of `exec` ends in another way than the others.
        let interrupt = Interrupt::new;
        match command {
            ClientCommand::Exec(options) => exec::run(options, manager, &parsed.sources).await,
            ClientCommand::Work(options) => work::run(options, &manager, interrupt()?).await,
            ClientCommand::Batch(options) => batch::run(options, &manager, interrupt()?).await,
            ClientCommand::Collect(options) => {
                collect::run(options, &manager, &parsed.sources, interrupt()?).await
            }
            ClientCommand::Sysmsg(options) => {
                sysmsg::run(options, &manager, &parsed.sources, interrupt()?).await
            }
            ClientCommand::Status(options) => status::run(&options, &manager, interrupt()?).await,
            ClientCommand::Demo(options) => demo::run(options, &manager, &parsed.sources, interrupt()?).await,
            ClientCommand::Bench(options) => {
                bench::run(options, manager, &parsed.sources, interrupt()?).await
            }
            ClientCommand::BenchManager => bench::serve(interrupt()?).await,
        }
    })
}

/// What is left of the time for a whole call; zero is none.
fn rest_of(total: Duration, called: Instant) -> Duration {
    if total.is_zero() {
        return total;
    }
    // At least a millisecond, because zero would be no limit.
    total.saturating_sub(called.elapsed()).max(Duration::from_millis(1))
}

/// When a whole call is over; a total of zero is none.
fn end_of(total: Duration, called: Instant) -> Option<tokio::time::Instant> {
    (!total.is_zero()).then(|| (called + total).into())
}

/// What a call comes to that was over before its input.
fn cut_off(input: &str) -> Failure {
    Failure::new(Exit::TimedOut, format!("the timeout came before the end of {input}: the rest is left out"))
}

/// The manager that the commands talk to, and how.
#[derive(Clone)]
struct ManagerAt {
    address: Address,
    token: Option<String>,
    tls: Option<ClientTls>,
    /// For those that connect to us.
    own_tls: Option<ServerTls>,
    connection: ConnectionOptions,
    color: ColorChoice,
}

impl ManagerAt {
    /// Connects, within `--connect-timeout` and what the whole call may take (zero: no limit).
    async fn connect(&self, name: &str, total: Duration) -> Result<Client, Failure> {
        let ConnectionOptions { connect_timeout, max_retries, manager_timeout } = self.connection;
        let limits = [connect_timeout, total].into_iter().filter(|limit| !limit.is_zero());
        let limit = limits.min().unwrap_or(Duration::from_millis(u64::from(CLOCK_MILLIS_MAX)));
        let mut builder = Client::builder()
            .host(self.address.to_string())
            .name(name)
            .connect_timeout(limit)
            .manager_timeout(manager_timeout);
        if let Some(token) = &self.token {
            builder = builder.token(token.as_str());
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(tls.clone());
        }
        if let Some(retries) = max_retries {
            builder = builder.max_retries(retries);
        }
        builder.connect().await.map_err(|error| self.failure(&error))
    }

    /// What an error of the library means for the command.
    fn failure(&self, error: &Error) -> Failure {
        let exit = match error {
            Error::InvalidOption(_) => Exit::Usage,
            Error::Unanswered(error) => {
                let mut tally = crate::output::Tally::default();
                tally.count(Some(error.code));
                tally.exit()
            }
            Error::Link(_) | Error::ConnectTimeout { .. } if error.code().is_some() => Exit::Refused,
            Error::Link(_) | Error::ConnectTimeout { .. } => Exit::Unreachable,
            _ => Exit::Failed,
        };
        match exit {
            Exit::Unreachable => Failure::new(exit, format!("no manager at {}: {error}", self.address)),
            _ => Failure::new(exit, error.to_string()),
        }
    }
}
