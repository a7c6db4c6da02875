//! `client work`: jobs in, outcomes out.

use super::ahead::Ahead;
use super::in_order::InOrder;
use super::payloads::{Payloads, STDIN};
use super::waiting::{Progress, Watcher};
use super::{Interrupt, ManagerAt, cut_off, end_of, rest_of};
use crate::exit::{Exit, Failure};
use crate::options::value::{duration, kind};
use crate::output::{Format, OutcomeWriter, Tally, one_line};
use crate::terminal::say;
use clap::Args;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use proletariat::client::{Client, Error, Group, Job, Outcome, Update, WorkOptions as CallOptions};
use std::ffi::OsString;
use std::io::{self, BufWriter, Stdout};
use std::os::unix::ffi::OsStringExt;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;
use tokio_util::task::AbortOnDropHandle;

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
    /// The whole call, connecting included; what is not answered then ends with ECSTO, what is not read is left out
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

/// Outcomes that are printed together before the next look at anything else.
const PRINTED_TOGETHER_MAX: usize = 1_024;

pub(super) async fn run(
    options: WorkOptions,
    manager: &ManagerAt,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let called = Instant::now();
    let client = interrupt.or(manager.connect("client work", options.timeout.unwrap_or_default())).await??;
    let prints = options.output != Format::Quiet;
    let working = work(options, manager.clone(), client.clone(), called);
    let result = if prints {
        interrupt.or(working).await
    } else {
        // On the library's thread, which spares a switch of threads for each answer; where much is printed, two threads do more.
        let working = interrupt.or(AbortOnDropHandle::new(tokio::spawn(working))).await;
        working.map(|ended| ended.unwrap_or_else(|error| resume_unwind(error.into_panic())))
    };
    // Whatever the ending: jobs without an outcome are aborted, and the manager is told.
    client.shutdown().await;
    result?
}

async fn work(
    options: WorkOptions,
    manager: ManagerAt,
    client: Client,
    called: Instant,
) -> Result<Exit, Failure> {
    let failed = |error| manager.failure(&error);
    let call = options.for_call(called);
    let (group, mut updates) = open(&client, call, options.stream).map_err(failed)?;
    let progress = Arc::new(Progress::default());
    let _watcher = Watcher::new(client.clone(), options.kind.clone(), Arc::clone(&progress));
    let mut printer = Printer::new(&options, &manager, Arc::clone(&progress));
    let ahead = Arc::clone(&printer.ahead);
    let end = end_of(options.timeout.unwrap_or_default(), called);
    let mut feeding = pin!(feed(Payloads::new(options.payloads).until(end), group, &ahead, &progress));
    let mut is_cut_off = None;
    loop {
        tokio::select! {
            fed = &mut feeding, if is_cut_off.is_none() => is_cut_off = Some(fed?.map_err(failed)?),
            update = updates.next() => {
                let Some(update) = update else { break };
                printer.take(update)?;
                // Everything that is there already goes out with one write.
                for _ in 0..PRINTED_TOGETHER_MAX {
                    let Some(Some(update)) = updates.next().now_or_never() else { break };
                    printer.take(update)?;
                }
                printer.out.flush()?;
            }
        }
    }
    printer.out.finish()?;
    if is_cut_off == Some(true) { Err(cut_off(STDIN)) } else { Ok(printer.tally.exit()) }
}

/// A group, and what comes back from it; without `stream` outcomes alone.
fn open(
    client: &Client,
    call: CallOptions,
    stream: bool,
) -> Result<(Group, BoxStream<'static, (usize, Update)>), Error> {
    if stream {
        let (group, updates) = client.open_group_with(call, Group::WINDOW)?;
        return Ok((group, updates.boxed()));
    }
    let (group, outcomes) = client.open_group(call)?;
    Ok((group, outcomes.map(|(index, outcome)| (index, Update::Outcome(outcome))).boxed()))
}

/// Hands payloads in, as fast as the group and the printer take them; whether the end of the call came before that of the input.
async fn feed(
    mut payloads: Payloads,
    group: Group,
    ahead: &Ahead,
    progress: &Progress,
) -> Result<Result<bool, Error>, Failure> {
    let unreadable = |sentence| Failure::new(Exit::Failed, sentence);
    while let Some(payload) = payloads.next().await.map_err(unreadable)? {
        ahead.enter(payload.len()).await;
        progress.submitted();
        if let Err(error) = group.submit(Job::new(payload)).await {
            return Ok(Err(error));
        }
    }
    group.close();
    Ok(Ok(payloads.is_cut_off()))
}

/// Prints what comes back, in order or as it comes.
struct Printer {
    out: OutcomeWriter<BufWriter<Stdout>>,
    tally: Tally,
    /// Outcomes that wait for earlier ones; `None`: they do not.
    in_order: Option<InOrder<Outcome>>,
    stream: bool,
    people: bool,
    quiet: bool,
    ahead: Arc<Ahead>,
    progress: Arc<Progress>,
}

impl Printer {
    fn new(options: &WorkOptions, manager: &ManagerAt, progress: Arc<Progress>) -> Self {
        let out = BufWriter::new(io::stdout());
        Self {
            out: OutcomeWriter::new(out, options.output, manager.color.on_stdout()),
            tally: Tally::default(),
            in_order: (!options.individual).then(InOrder::new),
            stream: options.stream,
            people: options.output == Format::Human,
            quiet: options.output == Format::Quiet,
            ahead: Arc::default(),
            progress,
        }
    }

    fn take(&mut self, (index, update): (usize, Update)) -> io::Result<()> {
        self.progress.sign();
        let index = index as u64;
        match update {
            Update::Outcome(outcome) => {
                self.progress.answered();
                self.ahead.answered(index, bytes_of(&outcome));
                self.outcome(index, outcome)
            }
            Update::Data(data) if self.stream => self.out.data(index, &data),
            Update::Restarted if self.stream => {
                if self.people {
                    say(&format!("job {index} starts anew: the data so far does not count"));
                }
                self.out.restarted(index)
            }
            Update::Data(_) | Update::Restarted | Update::Progress { .. } => Ok(()),
        }
    }

    fn outcome(&mut self, index: u64, outcome: Outcome) -> io::Result<()> {
        let Some(in_order) = &mut self.in_order else { return self.print(index, &outcome) };
        in_order.push(index, outcome);
        while let Some((index, outcome)) = self.in_order.as_mut().and_then(InOrder::pop) {
            self.print(index, &outcome)?;
        }
        Ok(())
    }

    fn print(&mut self, index: u64, outcome: &Outcome) -> io::Result<()> {
        self.ahead.printed(bytes_of(outcome));
        self.tally.count(outcome.as_ref().err().map(|error| error.code));
        match outcome {
            Ok(result) => self.out.result(index, result),
            Err(error) if self.quiet => {
                // Errors are all that it tells, and its standard output has no lines that could match the jobs.
                let sentence = format!("error: job {index}: {}: {}", error.code, one_line(&error.message));
                // It may stand still, and the session must not.
                block_in_place(|| say(&sentence));
                Ok(())
            }
            Err(error) => self.out.error(index, error.code, &error.message),
        }
    }
}

fn bytes_of(outcome: &Outcome) -> usize {
    outcome.as_ref().map_or_else(|error| error.message.len(), |result| result.len())
}

impl WorkOptions {
    /// What the library is told; of the total timeout, what connecting has left.
    fn for_call(&self, called: Instant) -> CallOptions {
        CallOptions {
            priority: self.priority,
            kind: self.kind.clone(),
            key: self.key.clone().map(OsString::into_vec),
            timeout: rest_of(self.timeout.unwrap_or_default(), called),
            run_timeout: self.run_timeout.unwrap_or_default(),
            assign_timeout: self.assign_timeout.unwrap_or_default(),
            max_attempts: self.max_attempts,
            no_wait: self.no_wait,
        }
    }
}
