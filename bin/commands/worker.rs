//! `worker`: offers slots to a manager and runs jobs in them.

use super::{CommonOptions, DrainOptions};
use crate::options::value::{Guarantees, KindNames, duration, guarantees, kinds};
use clap::{Args, Parser, ValueEnum};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  worker                                      100 slots for a manager on this host; echoes each payload
  worker --slots 8 --host 10.0.0.5            for a manager elsewhere
  worker --kinds mult,add --slots 100 --priority-slots 1=30,2=20
                                              of 100 slots, 30 for priorities from 1 up, 20 from 2 up
  worker --builtin sleep --kinds sleep        jobs like 100ms or 2s take that long";

/// A worker: offers slots to a manager and runs jobs in them.
#[derive(Parser, Debug)]
#[command(name = "worker", version, after_help = format!("{EXAMPLES}\n\n{}", super::OPTIONS_NOTE))]
pub struct WorkerOptions {
    #[command(flatten)]
    common: CommonOptions,
    /// Jobs at one time
    #[arg(long, default_value_t = 100)]
    slots: u32,
    /// Slots guaranteed to priority ranges: lower bound = slots, comma-separated
    #[arg(long, value_name = "BOUND=SLOTS", value_parser = guarantees)]
    priority_slots: Option<Guarantees>,
    /// Kinds of jobs to take [default: any]
    #[arg(long, value_name = "KIND,…", value_parser = kinds)]
    kinds: Option<KindNames>,
    /// A handler that comes with the worker
    #[arg(long, default_value = "echo")]
    builtin: Builtin,
    /// Name of the worker in the manager's status
    #[arg(long, default_value = "worker")]
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

/// A worker keeps nothing between jobs that it could give back; the ancestor's command lines and files work all the same.
#[derive(Args, Debug)]
struct WorkerCleanupOptions {
    /// Taken for the ancestor's sake: this worker keeps nothing between jobs that it could give back
    #[arg(long, value_name = "JOBS", default_value_t = 1000)]
    cleanup_reqs: u64,
    /// As --cleanup-reqs
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    cleanup_checkint: Duration,
}

/// Handlers that come with the worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Builtin {
    /// The result is the payload
    Echo,
    /// The payload is a duration; the result is the payload, after that time
    Sleep,
}
