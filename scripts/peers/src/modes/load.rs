//! A number of jobs is kept under way.

use crate::Opts;
use crate::drv::*;
use crate::run::{Run, cpu, pct};
use crate::stat;
use std::time::{Duration, Instant};

/// W1, W1x, W4, W5.
pub fn load(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    setup(o, r, out);
    r.cx.clock();
    fill(o, r);
    r.cx.lat = (o.outstanding <= RING as u64 / 2).then(Vec::new);
    let run_for = |r: &mut Run, secs: f64| -> f64 {
        let t = Instant::now();
        let mut last = (r.cx.n.done, t);
        loop {
            while r.cx.n.submitted - r.cx.n.done < o.outstanding {
                r.submit();
            }
            r.flush();
            r.turn();
            let el = t.elapsed();
            if el.as_secs_f64() >= secs {
                return el.as_secs_f64();
            }
            if r.cx.n.done != last.0 {
                last = (r.cx.n.done, Instant::now());
            } else if last.1.elapsed() > Duration::from_secs(20) {
                panic!("stalled: {} of {} jobs done", r.cx.n.done, r.cx.n.submitted);
            }
        }
    };
    run_for(r, o.warm);
    r.cx.lat = r.cx.lat.is_some().then(|| Vec::with_capacity(8 << 20));
    let (s0, d0, n0) = (stat::snap(o.pid), stat::own_cpu(), r.cx.n.done);
    let (rd0, wr0, wt0) = (r.cx.reads, r.cx.writes, r.cx.waits);
    let secs = run_for(r, o.secs);
    let (s1, d1, n1) = (stat::snap(o.pid), stat::own_cpu(), r.cx.n.done);
    let jobs = n1 - n0;
    out.push(format!(
        "\"outstanding\":{},\"jobs\":{jobs},\"secs\":{secs:.3},\"rate\":{:.0},\"mb_s\":{:.1}",
        o.outstanding,
        jobs as f64 / secs,
        jobs as f64 * o.req as f64 / secs / 1e6
    ));
    out.push(format!(
        "\"drv_reads_per_job\":{:.4},\"drv_writes_per_job\":{:.4},\"drv_waits_per_job\":{:.4}",
        (r.cx.reads - rd0) as f64 / jobs.max(1) as f64,
        (r.cx.writes - wr0) as f64 / jobs.max(1) as f64,
        (r.cx.waits - wt0) as f64 / jobs.max(1) as f64
    ));
    cpu(out, s0, s1, d0, d1, jobs, secs);
    // let the rest come home, so that "every job came back once" is checked, and that a stall beyond the end is seen
    let end = Instant::now() + Duration::from_secs(20);
    while r.cx.n.done < r.cx.n.submitted && Instant::now() < end {
        r.flush();
        r.turn();
    }
    pct(&mut r.cx.lat.take().unwrap_or_default(), out);
    out.push(format!("\"total\":{},\"lost\":{}", r.cx.n.done, r.cx.n.submitted - r.cx.n.done));
}

/// Brings the jobs of a deep queue there in portions: what waits at the driver itself is not measured.
fn fill(o: &Opts, r: &mut Run) {
    while r.cx.n.submitted - r.cx.n.done < o.outstanding {
        let missing = o.outstanding - (r.cx.n.submitted - r.cx.n.done);
        if r.cx.backpressure(0) < 1 << 20 {
            (0..missing.min(10_000)).for_each(|_| r.submit());
        }
        r.flush();
        r.cx.turn(&mut *r.p, if missing > 10_000 { 1 } else { 0 });
    }
}

/// The client, the idle workers, the workers.
pub fn setup(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    r.add(o.addr, Role::Client);
    r.wait_ready(1, 0, 0);
    if o.idle > 0 {
        r.settle(Duration::from_millis(200));
        let before = stat::rss(o.pid);
        for i in 0..o.idle {
            r.add(o.addr, Role::Idle(i));
            if i % 50 == 49 {
                r.wait_ready(1, 0, i + 1);
            }
        }
        r.wait_ready(1, 0, o.idle);
        r.settle(Duration::from_millis(700));
        let after = stat::rss(o.pid);
        out.push(format!(
            "\"idle\":{},\"idle_parts\":{},\"rss_before\":{before},\"rss_idle\":{after},\"rss_per_idle\":{:.0}",
            o.idle,
            r.p.parts(Role::Idle(0)),
            (after as f64 - before as f64) / o.idle as f64
        ));
    }
    for i in 0..o.workers {
        r.add(o.addr, Role::Worker(i));
    }
    r.wait_ready(1, o.workers, o.idle);
    r.settle(Duration::from_millis(300));
}
