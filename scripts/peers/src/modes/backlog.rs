//! Jobs pushed with no worker there, then drained.

use crate::Opts;
use crate::drv::*;
use crate::run::Run;
use crate::stat;
use std::time::{Duration, Instant};

/// The limit of BENCH W3 after: memory is back within a tenth and so much.
const BACK_BYTES: f64 = 16.0 * 1024.0 * 1024.0;
/// The interval of our broker's clean-up, and a little more.
const BACK_SECS: f64 = 62.0;

/// W3; with waves: again and again.
pub fn backlog(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    r.add(o.addr, Role::Client);
    r.wait_ready(1, 0, 0);
    r.settle(Duration::from_millis(300));
    let start = stat::rss(o.pid);
    let mut waves = vec![];
    for wave in 0..o.waves {
        let mut figures = vec![];
        let workers = push_and_drain(o, r, &mut figures);
        if wave == 0 {
            out.append(&mut figures);
        }
        if o.waves > 1 {
            workers.into_iter().for_each(|worker| r.cx.close(worker));
            waves.push(back(o, r, start));
        }
    }
    if !waves.is_empty() {
        out.push(format!("\"rss_start\":{start},\"waves\":[{}]", waves.join(",")));
    }
}

/// Waits until the broker's memory is back.
fn back(o: &Opts, r: &mut Run, start: u64) -> String {
    let t = Instant::now();
    let after = stat::rss(o.pid);
    loop {
        let (now, secs) = (stat::rss(o.pid), t.elapsed().as_secs_f64());
        let is_back = now as f64 <= start as f64 * 1.1 + BACK_BYTES;
        if is_back || secs > BACK_SECS {
            return format!("{{\"rss_after\":{after},\"rss\":{now},\"secs\":{secs:.2},\"back\":{is_back}}}");
        }
        r.settle(Duration::from_millis(50));
    }
}

fn push_and_drain(o: &Opts, r: &mut Run, out: &mut Vec<String>) -> Vec<ConnId> {
    let n = r.cx.n.submitted + if o.jobs > 0 { o.jobs } else { 1_000_000 };
    let first = r.cx.n.submitted;
    let (s0, d0) = (stat::snap(o.pid), stat::own_cpu());
    let enq_secs = push(o, r, n);
    let (s1, d1) = (stat::snap(o.pid), stat::own_cpu());
    let sub = r.cx.n.submitted - first;
    r.settle(Duration::from_millis(500));
    let rss1 = stat::rss(o.pid);
    out.push(format!(
        "\"jobs\":{sub},\"enq_secs\":{enq_secs:.3},\"enq_rate\":{:.0},\"enq_broker_us\":{:.3},\"enq_driver_us\":{:.3},\"rss0\":{},\"rss1\":{rss1},\"rss_per_job\":{:.1}",
        sub as f64 / enq_secs,
        (s1.run - s0.run) / sub as f64 * 1e6,
        (d1 - d0) / sub as f64 * 1e6,
        s0.rss,
        (rss1 as f64 - s0.rss as f64) / sub as f64
    ));
    let already = r.cx.n.done;
    let (s2, d2) = (stat::snap(o.pid), stat::own_cpu());
    let t = Instant::now();
    let workers: Vec<ConnId> = (0..o.workers).map(|i| r.add(o.addr, Role::Worker(i))).collect();
    let idle = drain(r);
    let secs = t.elapsed().as_secs_f64() - idle;
    let (s3, d3) = (stat::snap(o.pid), stat::own_cpu());
    let done = r.cx.n.done - already;
    out.push(format!(
        "\"drained\":{done},\"drain_secs\":{secs:.3},\"drain_rate\":{:.0},\"drain_broker_us\":{:.3},\"drain_driver_us\":{:.3},\"rss2\":{},\"lost\":{}",
        done as f64 / secs,
        (s3.run - s2.run) / done.max(1) as f64 * 1e6,
        (d3 - d2) / done.max(1) as f64 * 1e6,
        s3.rss,
        r.cx.n.submitted - r.cx.n.done
    ));
    workers
}

/// Pushes until so many jobs were submitted and confirmed; the seconds that it took.
fn push(o: &Opts, r: &mut Run, n: u64) -> f64 {
    let t = Instant::now();
    let acks = r.p.acks();
    let mut synced = false;
    let mut prog = (0u64, Instant::now());
    loop {
        while r.cx.n.submitted < n
            && (if acks {
                r.cx.n.submitted - r.cx.n.acked < o.window
            } else {
                r.cx.backpressure(0) < 1 << 20
            })
        {
            r.submit();
        }
        if r.cx.n.submitted == n && !acks && !synced {
            synced = r.p.sync(&mut r.cx);
            if !synced {
                break;
            }
        }
        r.flush();
        if r.cx.n.acked >= n {
            break;
        }
        // with nothing to wait for, do not sleep
        r.timeout = if acks || synced { 100 } else { 0 };
        r.turn();
        if r.cx.n.acked != prog.0 || r.cx.n.submitted < n {
            prog = (r.cx.n.acked, Instant::now());
        }
        assert!(prog.1.elapsed() < Duration::from_secs(60), "enqueue stalled at {} of {n}", r.cx.n.acked);
        if t.elapsed().as_secs_f64() > 150.0 {
            break;
        }
    }
    r.timeout = 100;
    t.elapsed().as_secs_f64()
}

/// Until all is done, or nothing moves any more; the seconds at the end in which nothing moved.
fn drain(r: &mut Run) -> f64 {
    let t = Instant::now();
    let mut last = (r.cx.n.done, t);
    while r.cx.n.done < r.cx.n.submitted {
        r.flush();
        r.turn();
        if r.cx.n.done != last.0 {
            last = (r.cx.n.done, Instant::now());
        } else if last.1.elapsed() > Duration::from_secs(10) {
            eprintln!("drain stalled at {} of {}", r.cx.n.done, r.cx.n.submitted);
            return last.1.elapsed().as_secs_f64();
        }
        if t.elapsed().as_secs_f64() > 120.0 {
            break;
        }
    }
    0.0
}
