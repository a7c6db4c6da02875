//! The scheduler against the model, over many seeds; a failing list of happenings is cut down before it is shown.

use crate::drive::{ops, run};
use crate::op::Op;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn seeds() -> u64 {
    let usual = if cfg!(debug_assertions) { 400 } else { 20_000 };
    std::env::var("PROPS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn attempt(seed: u64, ops: &[Op], trace: Option<&RefCell<Vec<String>>>) -> Result<(), String> {
    let told = catch_unwind(AssertUnwindSafe(|| run(seed, ops, trace)));
    told.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Leaves away whatever is not needed for a failure, halves first.
fn cut_down(seed: u64, mut ops: Vec<Op>) -> Vec<Op> {
    let mut size = ops.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < ops.len() {
            let end = (at + size).min(ops.len());
            let fewer: Vec<Op> = ops[..at].iter().chain(&ops[end..]).cloned().collect();
            if attempt(seed, &fewer, None).is_err() {
                ops = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    ops
}

/// `PROPS_SEED=n` runs one seed, `PROPS_SEEDS=n` so many.
#[test]
fn the_scheduler_says_what_the_model_says() {
    let one = std::env::var("PROPS_SEED").ok().and_then(|text| text.parse().ok());
    let range = one.map_or(0..seeds(), |seed: u64| seed..seed + 1);
    for seed in range {
        if attempt(seed, &ops(seed), None).is_ok() {
            continue;
        }
        let few = cut_down(seed, ops(seed));
        let trace = RefCell::default();
        let why = attempt(seed, &few, Some(&trace)).expect_err("it failed a moment ago");
        panic!("PROPS_SEED={seed}\n{}\n{why}", trace.into_inner().join("\n"));
    }
}
