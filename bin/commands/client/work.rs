//! `client work`: jobs in, outcomes out.

use crate::options::value::{duration, kind};
use crate::output::Format;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  client work '{\"some\":\"work\"}'
  client work --kind mult --priority 2 --timeout 60s '{\"a\":3,\"b\":4}' '{\"a\":5,\"b\":6}'
  seq 1000000 | client work --individual -
  client work --run-timeout 10s --assign-timeout 5s --output jsonl --stream x";

/// Options of `client work`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct WorkOptions {
    /// Payloads, one job each; - reads them from standard input, one a line
    #[arg(required = true, value_name = "PAYLOAD", allow_negative_numbers = true)]
    payloads: Vec<OsString>,
    /// The type of the jobs
    #[arg(long, value_parser = kind)]
    kind: Option<String>,
    /// Jobs of equal kind and key share one execution where the manager holds similar work
    #[arg(long)]
    key: Option<OsString>,
    /// Larger is more urgent
    #[arg(long, default_value_t = 0)]
    priority: u32,
    /// The whole call, connecting included; what is not answered then ends with ECSTO
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// The run of a job; ETO
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    run_timeout: Option<Duration>,
    /// The wait of a job for a worker; EATO
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    assign_timeout: Option<Duration>,
    /// A job that has lost its worker so often ends with ECRASH; 1: it runs at most once; 0: no limit [default: the manager's]
    #[arg(long, value_name = "COUNT")]
    max_attempts: Option<u16>,
    /// Fail at once instead of waiting for a worker
    #[arg(long)]
    no_wait: bool,
    /// Print outcomes as they come instead of in order
    #[arg(long)]
    individual: bool,
    /// Print partial results too
    #[arg(long)]
    stream: bool,
    /// Form of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
}
