//! A worker dies: how long from the end of its socket until its jobs are on another.

use crate::Opts;
use crate::drv::*;
use crate::run::Run;
use std::time::{Duration, Instant};

/// A job holds its slot until its worker dies or the round is over.
const HELD: u64 = u64::MAX / 2;

/// `--jobs` at once (1 unless said), `--rounds` times.
pub fn lost(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    let jobs = o.jobs.max(1);
    r.cx.plan.hold = true;
    r.cx.slots = jobs as usize;
    r.add(o.addr, Role::Client);
    r.wait_ready(1, 0, 0);
    let mut micros: Vec<f64> = (0..o.rounds).map(|_| round(o, r, jobs)).collect();
    micros.sort_by(f64::total_cmp);
    let at = |part: f64| micros[((micros.len() as f64 * part) as usize).min(micros.len() - 1)];
    out.push(format!(
        "\"jobs\":{jobs},\"rounds\":{},\"p50\":{:.1},\"p99\":{:.1},\"max\":{:.1},\"lost\":{}",
        micros.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        r.cx.n.submitted - r.cx.n.done
    ));
}

/// One worker takes all, four others come, the one dies. Then the four answer, and go.
fn round(o: &Opts, r: &mut Run, jobs: u64) -> f64 {
    r.cx.plan.hold_ns = HELD;
    let victim = r.add(o.addr, Role::Worker(0));
    r.wait_ready(1, 1, 0);
    let first = r.cx.assigned;
    (0..jobs).for_each(|_| r.submit());
    until_assigned(r, first + jobs);
    // from here on jobs are answered as soon as the round says so
    r.cx.plan.hold_ns = 0;
    let others: Vec<ConnId> = (1..5).map(|number| r.add(o.addr, Role::Worker(number))).collect();
    r.wait_ready(1, 5, 0);
    r.settle(Duration::from_millis(20));
    let t = Instant::now();
    r.cx.close(victim);
    until_assigned(r, first + 2 * jobs);
    let micros = t.elapsed().as_secs_f64() * 1e6;
    let begin = Instant::now();
    while r.cx.n.done < r.cx.n.submitted {
        r.flush();
        r.turn();
        assert!(begin.elapsed() < Duration::from_secs(20), "jobs of a lost worker are not done");
    }
    others.into_iter().for_each(|worker| r.cx.close(worker));
    r.settle(Duration::from_millis(20));
    micros
}

fn until_assigned(r: &mut Run, count: u64) {
    let begin = Instant::now();
    while r.cx.assigned < count {
        r.flush();
        r.turn();
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "jobs do not reach a worker: {} of {count}",
            r.cx.assigned
        );
    }
}
