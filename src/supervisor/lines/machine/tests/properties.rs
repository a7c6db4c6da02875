//! Children that do anything, in any order; every line must be over once, for a reason that there was. What is checked stands in
//! `tests/hostile/lines.rs`, where a fuzzer finds it too.

use super::config;
use crate::hostile::lines::{Op, run};
use crate::supervisor::lines::machine::Config;
use proptest::prelude::*;

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => (0..3_u8).prop_map(Op::Line),
        10 => (0..40_usize).prop_map(Op::Cancel),
        30 => (0..3_usize, prop::bool::weighted(0.9)).prop_map(|(child, works)| Op::Start(child, works)),
        40 => (0..3_usize, 1..9_usize).prop_map(|(child, bytes)| Op::Read(child, bytes)),
        40 => (0..3_usize, 1..4_usize).prop_map(|(child, lines)| Op::Answer(child, lines)),
        20 => (0..3_usize).prop_map(Op::Crash),
        20 => (0..2_000_000_u64).prop_map(Op::Wait),
    ]
}

/// What well-behaved children do not do, and what ends everything.
fn rare_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..3_usize, 0..6_usize).prop_map(|(child, which)| Op::Noise(child, which)),
        2 => (0..3_usize).prop_map(Op::Overlong),
        1 => Just(Op::Finish),
        1 => Just(Op::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_over_once(
        ops in prop::collection::vec(op(), 0..300),
        children in 1..4_u32,
        reply: bool,
        depth in prop::option::of(1..6_u32),
    ) {
        run(ops, Config { depth, ..config(children, reply) });
    }

    #[test]
    fn so_it_is_with_children_that_lie(
        ops in prop::collection::vec(prop_oneof![19 => op(), 1 => rare_op()], 0..300),
        children in 1..4_u32,
        reply: bool,
        depth in prop::option::of(1..6_u32),
    ) {
        run(ops, Config { depth, ..config(children, reply) });
    }
}
