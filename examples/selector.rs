//! A manager with a rule of its own for picking workers.
//!
//!     cargo run --release --example selector [PORT]
//!
//! Each kind of job sticks to the worker that did the last one of it, for as long as that has a free slot: good for work
//! that profits from a warm cache. Everything else about the manager is as usual.

use proletariat::Manager;
use proletariat::manager::selector::{Candidate, Candidates, Random, Request, Selector};
use proletariat::protocol::PeerId;
use std::collections::BTreeMap;

/// Remembers who did the last job of a kind.
#[derive(Debug, Default)]
struct Sticky {
    last: BTreeMap<String, PeerId>,
}

impl Selector for Sticky {
    fn select(
        &mut self,
        job: &Request<'_>,
        among: &Candidates<'_>,
        random: &mut Random,
    ) -> Option<Candidate> {
        let kind = job.kind.unwrap_or_default();
        let warm = self.last.get(kind).copied();
        let warm = among.iter().find(|candidate| Some(candidate.worker) == warm);
        let picked = warm.or_else(|| among.weighted(random))?;
        self.last.insert(kind.to_owned(), picked.worker);
        Some(picked)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(1917), |port| port.parse())?;
    let manager = Manager::builder().port(port).selector(Sticky::default()).start()?;
    eprintln!("listening on {}, each kind sticks to a worker", manager.local_addr());
    manager.ended().await;
    Ok(())
}
