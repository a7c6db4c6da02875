//! `client batch`: a file of commands, sent in batches, and the sum of the answers.

use super::payloads::{Payloads, STDIN};
use super::waiting::{Progress, Watcher};
use super::{Interrupt, ManagerAt, cut_off, end_of, rest_of};
use crate::exit::{Exit, Failure};
use crate::options::value::{duration, kind};
use crate::output::{Format, Tally};
use crate::terminal::say;
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt;
use proletariat::client::{Client, Error, Group, Job, Outcome, WorkOptions as CallOptions};
use proletariat::worker::handlers::LookupCommand;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  client batch commands.txt --group 16        one job for each 16 lines ip:command
  client batch - --output json < commands.txt the summary as one JSON object

The workers: worker --builtin lookup --table table.txt --slots 32";

/// Options of `client batch`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct BatchOptions {
    /// Commands ip:command, one a line; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Commands of one job
    #[arg(long, value_name = "COUNT", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    group: u32,
    /// The type of the jobs [default: lookup]
    #[arg(long, value_parser = kind)]
    kind: Option<String>,
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
    /// Form of the summary
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
}

/// A command, and where it stands.
#[derive(Debug)]
struct Line {
    number: u64,
    text: Bytes,
}

/// What a worker answers for a batch.
#[derive(Deserialize)]
struct Answer {
    sum: i128,
    unknown: Vec<usize>,
}

/// The books. Bad lines and unknown commands do not stop the rest.
#[derive(Debug, Default, Serialize)]
struct Summary {
    sum: i128,
    seconds: f64,
    commands: u64,
    groups: u64,
    bad_lines: u64,
    unknown_commands: u64,
    failed_groups: u64,
    #[serde(skip)]
    tally: Tally,
    /// The call was over before its input.
    #[serde(skip)]
    is_cut_off: bool,
}

/// What became of the input.
struct Fed {
    bad_lines: u64,
    is_cut_off: bool,
}

/// What has been sent and not been answered, by the index of its job.
type Open = Arc<Mutex<BTreeMap<usize, Vec<Line>>>>;

pub(super) async fn run(
    options: BatchOptions,
    manager: &ManagerAt,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let called = Instant::now();
    let lines = lines_of(&options.file)?.until(end_of(options.timeout.unwrap_or_default(), called));
    let client = interrupt.or(manager.connect("client batch", options.timeout.unwrap_or_default())).await??;
    let result = interrupt.or(batch(&options, lines, manager, &client, called)).await;
    // Whatever the ending: jobs without an outcome are aborted, and the manager is told.
    client.shutdown().await;
    let summary = result??;
    summary.print(&options)?;
    if summary.is_cut_off { Err(cut_off(&name_of(&options.file))) } else { Ok(summary.exit()) }
}

/// What the input is called in sentences.
fn name_of(file: &Path) -> String {
    if file == Path::new("-") { STDIN.to_owned() } else { file.display().to_string() }
}

fn lines_of(file: &Path) -> Result<Payloads, Failure> {
    let name = name_of(file);
    if file == Path::new("-") {
        return Payloads::lines_of(io::stdin(), &name).map_err(|error| Failure::new(Exit::Failed, error));
    }
    let unreadable = |error: io::Error| Failure::usage(format!("{name}: {error}"));
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    if opened.metadata().map_err(unreadable)?.is_dir() {
        return Err(Failure::usage(format!("{name}: is a directory")));
    }
    Payloads::lines_of(opened, &name).map_err(|error| Failure::new(Exit::Failed, error))
}

async fn batch(
    options: &BatchOptions,
    lines: Payloads,
    manager: &ManagerAt,
    client: &Client,
    called: Instant,
) -> Result<Summary, Failure> {
    let failed = |error: Error| manager.failure(&error);
    let (group, mut outcomes) = client.open_group(options.for_call(called)).map_err(failed)?;
    let begun = Instant::now();
    let progress = Arc::new(Progress::default());
    let _watcher = Watcher::new(client.clone(), Some(options.kind().to_owned()), Arc::clone(&progress));
    let open = Open::default();
    let mut feeding = pin!(feed(options, lines, group, Arc::clone(&open), &progress));
    let mut fed = None;
    let mut summary = Summary::default();
    loop {
        tokio::select! {
            result = &mut feeding, if fed.is_none() => fed = Some(result?.map_err(failed)?),
            outcome = outcomes.next() => {
                let Some((index, outcome)) = outcome else { break };
                progress.sign();
                progress.answered();
                let lines = open.lock().unwrap_or_else(PoisonError::into_inner).remove(&index);
                summary.add(&options.file, &lines.unwrap_or_default(), outcome);
            }
        }
    }
    if let Some(Fed { bad_lines, is_cut_off }) = fed {
        (summary.bad_lines, summary.is_cut_off) = (bad_lines, is_cut_off);
    }
    summary.seconds = begun.elapsed().as_secs_f64();
    Ok(summary)
}

/// Hands the batches in. Where the end of the call comes before that of the input, the commands that make up no batch yet are
/// left out, too.
async fn feed(
    options: &BatchOptions,
    mut lines: Payloads,
    group: Group,
    open: Open,
    progress: &Progress,
) -> Result<Result<Fed, Error>, Failure> {
    let size = usize::try_from(options.group).unwrap_or(usize::MAX);
    let (mut number, mut bad_lines, mut jobs) = (0_u64, 0_u64, 0_usize);
    let mut batch: Vec<Line> = Vec::new();
    loop {
        let next = lines.next().await.map_err(|sentence| Failure::new(Exit::Failed, sentence))?;
        let is_last = next.is_none();
        let is_cut_off = lines.is_cut_off();
        if let Some(text) = next {
            number += 1;
            match checked(&text) {
                Ok(true) => batch.push(Line { number, text }),
                Ok(false) => {}
                Err(reason) => {
                    bad_lines += 1;
                    say(&format!("{}:{number}: {reason}: {:?}", options.file.display(), shown(&text)));
                }
            }
        }
        if batch.len() >= size || is_last && !is_cut_off && !batch.is_empty() {
            let payload = payload(&batch);
            open.lock().unwrap_or_else(PoisonError::into_inner).insert(jobs, std::mem::take(&mut batch));
            jobs += 1;
            progress.submitted();
            if let Err(error) = group.submit(Job::new(payload)).await {
                return Ok(Err(error));
            }
        }
        if is_last {
            group.close();
            return Ok(Ok(Fed { bad_lines, is_cut_off }));
        }
    }
}

/// Whether there is a command in the line; an empty one is passed over.
fn checked(line: &[u8]) -> Result<bool, String> {
    let text = std::str::from_utf8(line).map_err(|_| String::from("no UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(false);
    }
    LookupCommand::parse(text).map(|_| true)
}

/// What people see of a line.
fn shown(line: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 100;
    String::from_utf8_lossy(line).trim().chars().take(SHOWN_CHARS_MAX).collect()
}

fn payload(batch: &[Line]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(batch.iter().map(|line| line.text.len() + 1).sum());
    for line in batch {
        payload.extend_from_slice(line.text.trim_ascii());
        payload.push(b'\n');
    }
    payload
}

impl BatchOptions {
    fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("lookup")
    }

    fn for_call(&self, called: Instant) -> CallOptions {
        CallOptions {
            priority: self.priority,
            kind: Some(self.kind().to_owned()),
            timeout: rest_of(self.timeout.unwrap_or_default(), called),
            run_timeout: self.run_timeout.unwrap_or_default(),
            assign_timeout: self.assign_timeout.unwrap_or_default(),
            ..CallOptions::default()
        }
    }
}

impl Summary {
    /// One more group has its outcome; what is wrong with it is told.
    fn add(&mut self, file: &Path, lines: &[Line], outcome: Outcome) {
        let (file, numbers) = (file.display(), numbers(lines));
        self.groups += 1;
        self.commands += lines.len() as u64;
        self.tally.count(outcome.as_ref().err().map(|error| error.code));
        let result = match outcome {
            Ok(result) => result,
            Err(error) => {
                self.failed_groups += 1;
                return say(&format!("{file}:{numbers}: error {error}"));
            }
        };
        match serde_json::from_slice::<Answer>(&result) {
            Ok(answer) => {
                self.sum += answer.sum;
                for line in answer.unknown.into_iter().filter_map(|index| lines.get(index)) {
                    self.unknown_commands += 1;
                    say(&format!("{file}:{}: unknown command {:?}", line.number, shown(&line.text)));
                }
            }
            Err(_) => {
                self.failed_groups += 1;
                say(&format!(
                    "{file}:{numbers}: the worker answers {:?}: no sum (is it worker --builtin lookup?)",
                    shown(&result)
                ));
            }
        }
    }

    fn exit(&self) -> Exit {
        let faults = self.bad_lines + self.unknown_commands + self.failed_groups;
        match self.tally.exit() {
            Exit::Done if faults > 0 => Exit::Failed,
            exit => exit,
        }
    }

    fn print(&self, options: &BatchOptions) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match options.output {
            Format::Quiet => {}
            Format::Json | Format::Jsonl => {
                let json = serde_json::to_string(self).map_err(io::Error::from)?;
                writeln!(out, "{json}")?;
            }
            Format::Human => {
                let Self { sum, seconds, commands, groups, bad_lines, unknown_commands, .. } = self;
                writeln!(out, "sum: {sum}")?;
                writeln!(out, "time: {seconds:.3} s")?;
                writeln!(out, "commands: {commands} in {groups} groups of {}", options.group)?;
                writeln!(out, "bad lines: {bad_lines}")?;
                writeln!(out, "unknown commands: {unknown_commands}")?;
                if self.failed_groups > 0 {
                    writeln!(out, "failed groups: {}", self.failed_groups)?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}

/// `17-32`: the lines of a batch.
fn numbers(lines: &[Line]) -> String {
    match (lines.first(), lines.last()) {
        (Some(first), Some(last)) if first.number != last.number => {
            format!("{}-{}", first.number, last.number)
        }
        (Some(only), _) => only.number.to_string(),
        _ => String::from("?"),
    }
}
