//! `client demo`: a whole fleet in one process. An embedded manager, real workers over TCP, jobs of three priorities and two
//! kinds, one worker that dies on the way; and the books at the end.

mod fleet;
mod load;
mod planner;
mod report;
mod services;

use super::{Interrupt, ManagerAt};
use crate::exit::{Exit, Failure};
use crate::options::Sources;
use crate::output::Format;
use fleet::Fleet;
use load::Load;
use proletariat::Manager;
use report::Report;
use std::time::{Duration, Instant};

/// A demo that does not end by itself is ended, and what is missing is reported as lost.
const TIME_LIMIT: Duration = Duration::from_secs(14);

/// What the demo can be told.
#[derive(clap::Args, Debug)]
pub(super) struct DemoOptions {
    /// How many jobs
    #[arg(long, value_name = "COUNT", default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    jobs: u32,
    /// human: a table; json: one object; quiet: nothing
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
    #[command(subcommand)]
    other: Option<OtherDemo>,
}

/// Another demo.
#[derive(clap::Subcommand, Debug)]
enum OtherDemo {
    /// Tasks for HTTP services, some for all tasks and some for one type
    Planner(planner::PlannerOptions),
}

/// Runs the demo. Needs nothing else running.
pub(super) async fn run(
    options: DemoOptions,
    manager: &ManagerAt,
    sources: &Sources,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    if let Some(OtherDemo::Planner(planner)) = options.other {
        return planner::run(planner, manager, sources, interrupt).await;
    }
    let report = interrupt.or(demo(options.jobs)).await??;
    report.print(options.output)?;
    Ok(if report.is_complete() { Exit::Done } else { Exit::Failed })
}

async fn demo(jobs: u32) -> Result<Report, Failure> {
    let failed = |what: &str, error: String| Failure::new(Exit::Failed, format!("{what}: {error}"));
    let manager = Manager::builder()
        .port(0)
        .start()
        .map_err(|error| failed("the embedded manager cannot start", error.to_string()))?;
    let address = manager.local_addr();
    let mut fleet =
        Fleet::start(address).await.map_err(|error| failed("a worker cannot start", error.to_string()))?;
    let began = Instant::now();
    let load = Load::start(address, jobs)
        .await
        .map_err(|error| failed("the client cannot connect", error.to_string()))?;
    let killed = async {
        load.answered(u64::from(jobs) * 2 / 5).await;
        fleet.kill_one();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = load.finished() => {}
        () = tokio::time::sleep(TIME_LIMIT) => {}
        () = killed => {}
    }
    let elapsed = began.elapsed();
    let status = manager.status().await.map_err(|error| failed("the manager ended", error.to_string()))?;
    Ok(Report::new(load.tally(), elapsed, &status, fleet.size()))
}
