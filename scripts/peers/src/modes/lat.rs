//! One job at a time.

use crate::Opts;
use crate::run::{Run, cpu, pct};
use crate::stat;
use std::time::{Duration, Instant};

use super::load::setup;
/// W2.
pub fn lat(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    setup(o, r, out);
    r.cx.precise = true;
    let one = |r: &mut Run| {
        r.submit();
        r.flush();
        let want = r.cx.n.submitted;
        let t = Instant::now();
        while r.cx.n.done < want {
            r.turn();
            r.flush();
            assert!(t.elapsed() < Duration::from_secs(20), "stalled");
        }
    };
    let t = Instant::now();
    let mut w = 0;
    while w < 500 && t.elapsed().as_secs_f64() < 1.0 {
        one(r);
        w += 1;
    }
    r.cx.lat = Some(Vec::with_capacity(1 << 20));
    let (s0, d0, n0) = (stat::snap(o.pid), stat::own_cpu(), r.cx.n.done);
    let t = Instant::now();
    let max = if o.jobs > 0 { o.jobs } else { 50_000 };
    while r.cx.n.done - n0 < max && t.elapsed().as_secs_f64() < o.secs {
        one(r);
    }
    let secs = t.elapsed().as_secs_f64();
    let (s1, d1, n1) = (stat::snap(o.pid), stat::own_cpu(), r.cx.n.done);
    let jobs = n1 - n0;
    out.push(format!(
        "\"spin\":{},\"jobs\":{jobs},\"secs\":{secs:.3},\"rate\":{:.0}",
        o.spin,
        jobs as f64 / secs
    ));
    cpu(out, s0, s1, d0, d1, jobs, secs);
    out.push(format!("\"total\":{n1}"));
    let mut l = r.cx.lat.take().unwrap();
    pct(&mut l, out);
}
