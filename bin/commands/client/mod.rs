//! `client`: pushes jobs and gets the answers back; asks the manager; tells the others.

mod status;
mod sysmsg;
mod work;

use super::CommonOptions;
use crate::options::value::duration;
use clap::{Args, Parser, Subcommand};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  client work '{\"some\":\"work\"}'             one job, its result on standard output
  client work --kind mult --timeout 60s - < jobs.txt
                                              a job a line, the results in the same order
  client work --individual --output jsonl a b c
                                              results as they come, as JSON
  client sysmsg '{\"do\":\"something\"}'        tells everybody else
  client status --watch                       workers, queues and peers, again and again

Exit codes: 0 done, 1 some job failed, 2 usage, 3 no manager, 4 timed out, 5 refused, 130 interrupted.";

/// The client: pushes jobs to a manager and gets the answers back.
#[derive(Parser, Debug)]
#[command(name = "client", version, after_help = format!("{EXAMPLES}\n\n{}", super::OPTIONS_NOTE))]
pub struct ClientOptions {
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    connection: ConnectionOptions,
    #[command(subcommand)]
    command: ClientCommand,
}

/// How to reach the manager.
#[derive(Args, Debug)]
struct ConnectionOptions {
    /// Give up if the first connection takes longer
    #[arg(long, global = true, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    connect_timeout: Duration,
    /// Give up after so many failed attempts in a row to connect again [default: no limit]
    #[arg(long, global = true, value_name = "COUNT")]
    max_retries: Option<u32>,
    /// Connect again after so long without a byte from the manager
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    manager_timeout: Duration,
}

#[derive(Subcommand, Debug)]
enum ClientCommand {
    /// Pushes jobs and prints how each ended
    Work(work::WorkOptions),
    /// Sends a message to other peers, or prints those that come
    Sysmsg(sysmsg::SysmsgOptions),
    /// Shows the manager's state
    Status(status::StatusOptions),
}
