//! Many seeds, on as many threads as there are; the first that fails is shown with its options, and can be replayed.

use crate::books::Violation;
use crate::brain::Brain;
use crate::options::Options;
use crate::random::Random;
use crate::world::World;
use proletariat_scheduler::{Scheduler, selector};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The product's own brain.
pub fn product(options: &Options, seed: u64) -> Box<dyn Brain> {
    let selector = selector::by_name(options.selector).expect("one of its own names");
    Box::new(Scheduler::new(options.scheduler.clone(), selector, seed))
}

/// What must have happened in many seeds.
const HAPPEN: [&str; 11] = [
    "dropped: silent",
    "dropped: no handshake",
    "dropped: takes nothing",
    "dropped: max_outbox_bytes",
    "refused: full",
    "refused: stopping",
    "manager drains",
    "slow reader",
    "sleep",
    "partition",
    "healed late",
];

/// What came of a seed.
pub struct Report {
    pub violation: Option<Violation>,
    pub hash: u64,
    pub happened: u64,
    pub jobs: usize,
    pub counts: BTreeMap<&'static str, u64>,
    pub lines: Vec<String>,
}

/// Runs one seed.
pub fn run(seed: u64, make_brain: &dyn Fn(&Options, u64) -> Box<dyn Brain>, tracing: bool) -> Report {
    run_world(World::new(seed, make_brain, tracing))
}

/// Runs one world.
pub fn run_world(mut world: World<'_>) -> Report {
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    if let Err(panic) = ended {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.env.books.violate("an audit, or a panic", || text.unwrap_or_default());
    }
    Report {
        violation: world.env.books.violation.take(),
        hash: world.env.trace.hash,
        happened: world.env.happened,
        jobs: world.env.jobs.list.len(),
        counts: std::mem::take(&mut world.env.counts),
        lines: world.env.trace.lines.take().unwrap_or_default(),
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[allow(clippy::print_stdout, reason = "whoever asked for one seed wants to see it")]
fn show(seed: u64) {
    let report = run(seed, &product, true);
    let options = Options::draw(&mut Random::new(seed));
    for line in &report.lines {
        println!("{line}");
    }
    println!("{options:#?}");
    if let Some(violation) = &report.violation {
        panic!("SIM_SEED={seed}\nrule {}: {}", violation.rule, violation.text);
    }
    println!(
        "SIM_SEED={seed}: {} happenings, {} jobs, trace {:016x}",
        report.happened, report.jobs, report.hash
    );
}

/// `SIM_SEED=n` replays one with its trace, `SIM_SEEDS=n` runs so many, `SIM_FROM=n` from there on.
#[test]
fn every_promise_comes_true_in_every_world() {
    if let Some(seed) = from_environment("SIM_SEED") {
        return show(seed);
    }
    let usual = if cfg!(debug_assertions) { 100 } else { 4_000 };
    let count = from_environment("SIM_SEEDS").unwrap_or(usual);
    let from = from_environment("SIM_FROM").unwrap_or(0);
    let (next, happened, jobs) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0));
    let counts: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let failed: Mutex<Vec<(u64, Violation)>> = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let stop = seed >= from + count
                        || !failed.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                    if stop {
                        break;
                    }
                    let report = run(seed, &product, false);
                    happened.fetch_add(report.happened, Ordering::Relaxed);
                    jobs.fetch_add(report.jobs as u64, Ordering::Relaxed);
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    for (what, times) in report.counts {
                        *counts.entry(what).or_default() += times;
                    }
                    if let Some(violation) = report.violation {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push((seed, violation));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{count} seeds, {} happenings, {} jobs", happened.into_inner(), jobs.into_inner());
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{counts:?}");
    // What never happens proves nothing.
    let missing = HAPPEN.iter().find(|what| count >= 1_000 && !counts.contains_key(*what));
    assert!(missing.is_none(), "in {count} seeds there was no {missing:?}");
    if let Some((seed, violation)) = failed.first() {
        let options = Options::draw(&mut Random::new(*seed));
        panic!("SIM_SEED={seed}\n{options:#?}\nrule {}: {}", violation.rule, violation.text);
    }
}

/// Invariant 17.
#[test]
fn the_same_seed_has_the_same_trace() {
    for seed in 0..40 {
        let (one, two) = (run(seed, &product, false), run(seed, &product, true));
        assert_eq!((one.hash, one.happened), (two.hash, two.happened), "seed {seed}");
    }
    let traces: std::collections::BTreeSet<u64> =
        (0..40).map(|seed| run(seed, &product, false).hash).collect();
    assert_eq!(traces.len(), 40, "another seed has another trace");
}
