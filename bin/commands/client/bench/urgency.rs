//! Urgent jobs with guaranteed slots, one at a time: on an idle system, and then while a flood of others waits and all other
//! slots are busy (W6).

use super::Bench;
use super::books::Tally;
use super::fleet;
use super::load::{Ends, Mark, crowd, drive, until_queued};
use super::report::{Report, SINCE_BEGUN};
use super::shape::{Extent, URGENT};
use crate::exit::Failure;
use proletariat::client::Client;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// A job of the flood holds its slot for so long.
const BUSY: Duration = Duration::from_millis(1);
/// Between two looks at whether the flood is there.
const LOOK: Duration = Duration::from_millis(20);

pub(super) async fn run(bench: &Arc<Bench>) -> Result<Report, Failure> {
    let mut report = Report::new(&bench.shape);
    let Extent::Time(time) = bench.shape.extent else { return Err(Failure::usage("W6 needs a duration")) };
    let client = bench.client().await?;
    let _crowd = crowd(bench, &mut report).await?;
    let _workers = fleet::workers(bench, BUSY).await?;
    bench.watch.enter("urgent jobs alone");
    let idle = probe(bench, &client, time).await?;
    report.latencies("idle_", SINCE_BEGUN, &idle.latencies);
    bench.watch.enter("flood");
    let flood = bench.client().await?;
    let far = Instant::now() + Duration::from_secs(3_600);
    let ends = Arc::new(Ends { from: far, until: Some(far), left: AtomicU64::new(0) });
    let urgent = async {
        until_queued(bench, &client, bench.shape.waiting(), LOOK).await?;
        bench.watch.enter("urgent jobs in the flood");
        let from = Mark::now(bench);
        let tally = probe(bench, &client, time).await?;
        Ok::<_, Failure>((tally, from, Mark::now(bench)))
    };
    let (urgent, from, until) = tokio::select! {
        urgent = urgent => urgent?,
        // It never ends by itself.
        flood = drive(bench, &flood, bench.shape.streams(), &ends) => {
            return Err(flood.err().unwrap_or_else(|| Failure::new(crate::exit::Exit::Failed, "the flood has ended")));
        }
    };
    from.tell(&until, &mut report);
    report.latencies("", SINCE_BEGUN, &urgent.latencies);
    report.tally.add(&idle);
    report.tally.add(&urgent);
    tokio::join!(flood.shutdown(), client.shutdown());
    Ok(report)
}

/// Urgent jobs one at a time, for so long.
async fn probe(bench: &Arc<Bench>, client: &Client, time: Duration) -> Result<Tally, Failure> {
    let from = Instant::now();
    let ends = Arc::new(Ends { from, until: Some(from + time), left: AtomicU64::new(0) });
    drive(bench, client, vec![(bench.shape.options(0).priority(URGENT), 1)], &ends).await
}
