//! Urgent jobs with guaranteed slots, one at a time: alone, and beside a flood whose jobs hold all other slots (W6).

use super::load::setup;
use crate::Opts;
use crate::run::{Run, cpu, pct};
use crate::stat;
use std::time::{Duration, Instant};

pub fn urgent(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    r.cx.plan.hold = true;
    r.cx.plan.hold_ns = 1_000_000;
    setup(o, r, out);
    r.timeout = 1;
    r.cx.clock();
    let mut idle = probes(o, r, 0);
    let mut alone = vec![];
    pct(&mut idle, &mut alone);
    out.push(
        alone.join(",").replace("\"p", "\"idle_p").replace("\"m", "\"idle_m").replace("\"s", "\"idle_s"),
    );
    // the flood: jobs of priority 0 that hold their slots
    let t = Instant::now();
    while r.cx.n.submitted - r.cx.n.acked.max(r.cx.n.done) > 0 || t.elapsed() < Duration::from_millis(500) {
        refill(o.outstanding, r);
        r.flush();
        r.turn();
        assert!(t.elapsed() < Duration::from_secs(30), "the flood does not come");
        if r.cx.n.submitted >= o.outstanding && t.elapsed() > Duration::from_millis(500) {
            break;
        }
    }
    let (s0, d0, n0, t0) = (stat::snap(o.pid), stat::own_cpu(), r.cx.n.done, Instant::now());
    let mut busy = probes(o, r, o.outstanding);
    let (s1, d1, secs) = (stat::snap(o.pid), stat::own_cpu(), t0.elapsed().as_secs_f64());
    let jobs = r.cx.n.done - n0;
    out.push(format!(
        "\"outstanding\":{},\"jobs\":{jobs},\"secs\":{secs:.3},\"rate\":{:.0}",
        o.outstanding,
        jobs as f64 / secs
    ));
    cpu(out, s0, s1, d0, d1, jobs, secs);
    pct(&mut busy, out);
}

fn refill(outstanding: u64, r: &mut Run) {
    let missing = outstanding.saturating_sub(r.cx.n.submitted - r.cx.n.done);
    (0..missing.min(10_000)).for_each(|_| r.submit());
}

/// Urgent jobs one after the other for the time of the workload, beside a flood of so many; their latencies.
fn probes(o: &Opts, r: &mut Run, flood: u64) -> Vec<u32> {
    let begin = Instant::now();
    let mut latencies = Vec::with_capacity(1 << 18);
    while begin.elapsed().as_secs_f64() < o.secs {
        let seq = r.cx.n.submitted;
        r.cx.plan.urgent = Some(2);
        let t = Instant::now();
        r.submit();
        r.cx.plan.urgent = None;
        r.flush();
        while !r.cx.is_done(seq) {
            r.turn();
            if r.cx.is_done(seq) {
                latencies.push(t.elapsed().as_nanos().min(u32::MAX as u128) as u32);
            }
            refill(flood, r);
            r.flush();
            assert!(t.elapsed() < Duration::from_secs(20), "an urgent job is stuck");
        }
    }
    latencies
}
