//! `client demo planner`: a list of tasks for HTTP services that come while it runs, some for all tasks, some for one type.

use super::services::Service;
use crate::commands::client::{Interrupt, ManagerAt};
use crate::exit::{Exit, Failure};
use crate::options::{Layer, Sources};
use crate::output::Format;
use futures_util::StreamExt;
use proletariat::Manager;
use proletariat::client::{Client, Job, Outcome, WorkOptions};
use proletariat::worker::Worker;
use proletariat::worker::handlers::{Http, HttpTarget, Operation};
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The types of workers: what they are called, and what they do.
const TYPES: [(&str, &[Operation]); 3] = [
    ("generalist", &[Operation::Mult, Operation::Add]),
    ("multiplier", &[Operation::Mult]),
    ("adder", &[Operation::Add]),
];

const EXAMPLES: &str = "\
Examples:
  client demo planner --tasks 100 --workers 10,10,10
                                              as its ancestor: 3 to 12 s a task, half a minute in all
  client demo planner --tasks 100 --workers 10,10,10 --time-scale 0.1
                                              ten times as fast
  client demo planner --host 10.0.0.5 --tasks 100
                                              for the workers of a manager, of kinds mult and add";

/// What the planner can be told.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlannerOptions {
    /// How many tasks
    #[arg(long, value_name = "COUNT", env = "TASKS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: u32,
    /// How many services that multiply and add, that multiply, that add
    #[arg(long = "workers", value_name = "ALL,MULT,ADD", default_value = "10,10,10", value_parser = counts)]
    planner_workers: Counts,
    /// 1: a service takes 3 to 12 s for mult, 3 to 7 s for add; 0.1: a tenth of that
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = crate::options::value::time_scale)]
    time_scale: f64,
    /// human: each result, and the time; json: one object; quiet: nothing
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
}

/// Workers of each type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counts([u16; 3]);

fn counts(text: &str) -> Result<Counts, String> {
    let numbers: Option<Vec<u16>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    let numbers = numbers.filter(|numbers: &[u16; 3]| numbers.iter().all(|number| *number <= 1_000));
    numbers.map(Counts).ok_or_else(|| "expected three numbers up to 1000, like 10,10,10".into())
}

/// A task, made from its number: the list is the same each time.
struct Task {
    operation: Operation,
    a: u64,
    b: u64,
}

impl Task {
    fn new(number: u64) -> Self {
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let operation = if (mixed >> 61) & 1 == 0 { Operation::Mult } else { Operation::Add };
        Self { operation, a: (mixed >> 16) % 100, b: (mixed >> 32) % 100 }
    }

    fn job(&self) -> Job {
        Job::new(format!(r#"{{"a":{},"b":{}}}"#, self.a, self.b)).kind(self.operation.kind())
    }

    fn result(&self) -> u64 {
        match self.operation {
            Operation::Mult => self.a * self.b,
            Operation::Add => self.a + self.b,
        }
    }

    fn sign(&self) -> char {
        match self.operation {
            Operation::Mult => '*',
            Operation::Add => '+',
        }
    }
}

/// The books.
#[derive(Default)]
struct Report {
    results: Vec<Value>,
    right: u64,
}

fn failed(error: impl Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

pub(super) async fn run(
    options: PlannerOptions,
    manager: &ManagerAt,
    sources: &Sources,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let is_elsewhere = ["host", "port"].iter().any(|option| sources.of(option) == Layer::Flag);
    let embedded =
        if is_elsewhere { None } else { Some(Manager::builder().port(0).start().map_err(failed)?) };
    let address = embedded.as_ref().map(Manager::local_addr);
    let client = match address {
        Some(address) => Client::connect(address.to_string()).await.map_err(failed)?,
        None => interrupt.or(manager.connect("client demo planner", Duration::ZERO)).await??,
    };
    let begun = Instant::now();
    let result = interrupt
        .or(async {
            let mut work = Box::pin(plan(&options, &client));
            let Some(address) = address else { return work.await };
            // The workers come while the planner runs.
            let fleet = tokio::select! {
                fleet = fleet(&options, address) => fleet?,
                report = &mut work => return report,
            };
            let report = work.await;
            drop(fleet);
            report
        })
        .await;
    client.shutdown().await;
    let report = result??;
    report.print(&options, begun.elapsed(), is_elsewhere)?;
    Ok(if report.right == u64::from(options.tasks) { Exit::Done } else { Exit::Failed })
}

/// Services, and a worker for each.
async fn fleet(options: &PlannerOptions, manager: SocketAddr) -> Result<Vec<(Service, Worker)>, Failure> {
    let mut fleet = Vec::new();
    for ((name, operations), count) in TYPES.into_iter().zip(options.planner_workers.0) {
        for number in 1..=count {
            let service = Service::start(operations, options.time_scale).await.map_err(failed)?;
            let target = HttpTarget::parse(&format!("http://{}", service.address)).map_err(failed)?;
            let worker = Worker::builder()
                .host(manager.to_string())
                .name(format!("{name}-{number}"))
                .slots(1)
                .kinds(operations.iter().map(|operation| operation.kind()))
                .handler(Http::new(target))
                .start()
                .await
                .map_err(failed)?;
            fleet.push((service, worker));
        }
    }
    Ok(fleet)
}

/// Hands all tasks in and prints each result as it comes.
async fn plan(options: &PlannerOptions, client: &Client) -> Result<Report, Failure> {
    let jobs = (0..options.tasks).map(|number| Task::new(u64::from(number)).job());
    let mut outcomes = client.work_individual(jobs, WorkOptions::default()).map_err(failed)?;
    let mut report = Report::default();
    while let Some((index, outcome)) = outcomes.next().await {
        report.add(options, index as u64, &outcome)?;
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, options: &PlannerOptions, number: u64, outcome: &Outcome) -> io::Result<()> {
        let task = Task::new(number);
        let (kind, a, b, sign) = (task.operation.kind(), task.a, task.b, task.sign());
        let answer = outcome.as_ref().map_err(ToString::to_string);
        let answer = answer.and_then(|answer| {
            serde_json::from_slice::<Value>(answer).map_err(|_| String::from("an answer that is no JSON"))
        });
        let (line, result) = match answer {
            Ok(answer) => {
                let is_right = answer["res"] == task.result();
                self.right += u64::from(is_right);
                let remark = if is_right { "" } else { "  WRONG" };
                let (res, millis) = (&answer["res"], &answer["duration"]);
                let line =
                    format!("{:>5}  {kind:<4}  {a} {sign} {b} = {res}  ({millis} ms){remark}", number + 1);
                (line, json!({"task": number + 1, "type": kind, "a": a, "b": b, "answer": answer}))
            }
            Err(error) => {
                let line = format!("{:>5}  {kind:<4}  {a} {sign} {b}: {error}", number + 1);
                (line, json!({"task": number + 1, "type": kind, "a": a, "b": b, "error": error}))
            }
        };
        match options.output {
            Format::Human => writeln!(io::stdout().lock(), "{line}")?,
            Format::Json | Format::Jsonl => self.results.push(result),
            Format::Quiet => {}
        }
        Ok(())
    }

    fn print(&self, options: &PlannerOptions, took: Duration, is_elsewhere: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (tasks, right, seconds) = (options.tasks, self.right, took.as_secs_f64());
        let workers: u32 = options.planner_workers.0.iter().map(|count| u32::from(*count)).sum();
        match options.output {
            Format::Human if is_elsewhere => {
                writeln!(out, "{right} of {tasks} tasks right in {seconds:.3} s")?
            }
            Format::Human => {
                writeln!(out, "{right} of {tasks} tasks right in {seconds:.3} s by {workers} workers")?;
            }
            Format::Json | Format::Jsonl => {
                let summary =
                    json!({"tasks": tasks, "right": right, "seconds": seconds, "results": self.results});
                writeln!(out, "{summary}")?;
            }
            Format::Quiet => {}
        }
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_counts() {
        assert_eq!(counts("10, 0,7"), Ok(Counts([10, 0, 7])));
        for text in ["", "10", "1,2", "1,2,3,4", "1,2,-3", "1,2,1001"] {
            counts(text).unwrap_err();
        }
    }

    #[test]
    fn tasks_are_of_both_types() {
        let mults = (0..100).filter(|number| Task::new(*number).operation == Operation::Mult).count();
        assert!((30..70).contains(&mults), "{mults}");
    }
}
