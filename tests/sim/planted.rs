//! A simulator that misses planted bugs proves nothing: each double must be found, and soon.

use crate::brain::Brain;
use crate::doubles::{BUGS, Bug, Double};
use crate::options::Options;
use crate::seeds::run;
use std::collections::BTreeMap;

/// Seeds within which each is found, a few times as many as it took.
const WITHIN: u64 = 400;

fn brain(bug: Bug) -> impl Fn(&Options, u64) -> Box<dyn Brain> {
    move |options, seed| Box::new(Double::new(bug, options, seed))
}

/// The first seed that finds a bug, and by which rule.
fn find(bug: Bug) -> Option<(u64, &'static str)> {
    let make = brain(bug);
    (0..WITHIN).find_map(|seed| run(seed, &make, false).violation.map(|violation| (seed, violation.rule)))
}

#[test]
fn every_planted_bug_is_found() {
    for bug in BUGS {
        let found = find(bug);
        println!("{bug:?}: {found:?}");
        assert!(found.is_some(), "{bug:?} is not found within {WITHIN} seeds");
    }
}

/// The double without its mistake is as good as the product: what finds the others is the mistake.
#[test]
fn a_double_that_makes_no_mistake_is_not_found() {
    for seed in 0..60 {
        let harmless =
            |options: &Options, seed| -> Box<dyn Brain> { Box::new(Double::without_mistake(options, seed)) };
        let report = run(seed, &harmless, false);
        assert!(report.violation.is_none(), "seed {seed}: {:?}", report.violation);
    }
}

/// `SIM_PLANTED=n` counts, for the table in tests/README.md, how many of the first n seeds find each bug, and by what.
#[test]
fn measure_the_planted_bugs() {
    let count: u64 = std::env::var("SIM_PLANTED").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    for bug in BUGS {
        let make = brain(bug);
        let mut rules: BTreeMap<&str, u64> = BTreeMap::new();
        let mut first = None;
        for seed in 0..count {
            if let Some(violation) = run(seed, &make, false).violation {
                first.get_or_insert(seed);
                *rules.entry(violation.rule).or_default() += 1;
            }
        }
        println!(
            "{bug:?}: {} of {count} seeds, the first is {first:?}: {rules:?}",
            rules.values().sum::<u64>()
        );
        assert!(count < 400 || first.is_some(), "{bug:?} is not found");
    }
}
