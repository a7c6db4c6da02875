//! A machine that sleeps takes everybody on it along, and time passes for all of them alike: when it wakes, nobody has been
//! silent, and every session is still there.

use crate::options::{Faults, Options};
use crate::random::Random;
use crate::seeds::{product, run_world};
use crate::world::World;

const SEEDS: u64 = if cfg!(debug_assertions) { 20 } else { 400 };

#[test]
fn nobody_is_given_up_because_everybody_slept() {
    let mut sleeps = 0;
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut options = Options::draw(&mut random);
        options.faults = Faults { sleep: 3_000, ..Faults::default() };
        (options.connections_max, options.outbox_bytes_max) = (0, usize::MAX);
        // A quick network: what is late is late because somebody slept.
        (options.network.latency, options.network.jitter) = (500, 100);
        let report = run_world(World::with(options, random, &product, false));
        assert!(report.violation.is_none(), "seed {seed}: {:?}", report.violation);
        sleeps += report.counts.get("sleep").copied().unwrap_or(0);
        for lost in ["dropped: silent", "dropped: takes nothing", "manager silent"] {
            assert_eq!(report.counts.get(lost), None, "seed {seed}: {lost}");
        }
    }
    assert!(sleeps > SEEDS, "{sleeps} sleeps in {SEEDS} seeds");
}
