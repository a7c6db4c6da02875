//! `client bench`: how fast is it? Workloads by name, driven by the real client and worker library over TCP, and what they cost
//! the manager.
//!
//! The manager is a process of its own, so that its time and memory are its alone: ours, ended with us by the guard of
//! child processes, or the one at `--host`. Client and workers share one thread here: that is what one core of a user's can
//! do, and no figure depends on which thread woke which.

mod backlog;
mod books;
mod fleet;
mod load;
mod place;
mod report;
mod shape;
mod urgency;
mod usage;

use super::{Interrupt, ManagerAt};
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::options::Sources;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use load::Watch;
use place::Place;
pub(super) use place::serve;
use report::Report;
pub(super) use shape::BenchOptions;
use shape::{Course, Shape};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder as Runtime;
use tokio::sync::oneshot;

/// Between two looks of the progress line.
const LOOK: Duration = Duration::from_millis(100);

/// What a measurement needs.
struct Bench {
    shape: Shape,
    place: Place,
    watch: Watch,
}

pub(super) async fn run(
    options: BenchOptions,
    manager: ManagerAt,
    sources: &Sources,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let format = options.output;
    let shape = Shape::new(&options)?;
    // A crowd needs a descriptor each. What cannot be raised shows when a worker cannot connect.
    descriptors::raise();
    let place = interrupt.or(Place::new(&options, manager, sources)).await??;
    let bench = Arc::new(Bench { shape, place, watch: Watch::default() });
    let (done, mut result) = oneshot::channel();
    let measured = Arc::clone(&bench);
    std::thread::Builder::new()
        .name("bench".into())
        .spawn(move || drop(done.send(measure(&measured))))
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot start a thread: {error}")))?;
    let bar = bar();
    let report = loop {
        let wait = interrupt.or(tokio::time::timeout(LOOK, &mut result)).await?;
        match wait {
            Ok(report) => {
                break report.unwrap_or_else(|_| Err(Failure::new(Exit::Failed, "the bench ended early")))?;
            }
            Err(_) => {
                bar.set_message(bench.watch.phase());
                bar.set_position(bench.watch.answered());
            }
        }
    };
    bar.finish_and_clear();
    report.print(format)?;
    Ok(if report.is_right() { Exit::Done } else { Exit::Failed })
}

/// On a thread of its own, which does nothing else.
fn measure(bench: &Arc<Bench>) -> Result<Report, Failure> {
    let runtime = Runtime::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match bench.shape.course {
            Course::Load => load::run(bench).await,
            Course::Backlog => backlog::run(bench).await,
            Course::Urgency => urgency::run(bench).await,
        }
    })
}

/// Only where a person looks; otherwise it draws nothing.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {msg}  {pos} answers  {per_sec}  {elapsed}");
    bar.set_style(style.expect("the template is fixed"));
    bar
}
