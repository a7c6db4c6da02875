//! A portion of jobs at a time: the next one goes out when all of the last have come back. What the broker does for them does
//! not depend on the time that anything takes, so its work can be counted.

use crate::Opts;
use crate::run::Run;
use std::time::{Duration, Instant};

use super::load::setup;

/// `--jobs` in portions of `--outstanding`.
pub fn steps(o: &Opts, r: &mut Run, out: &mut Vec<String>) {
    setup(o, r, out);
    while r.cx.n.submitted < o.jobs {
        (0..o.outstanding).for_each(|_| r.submit());
        let begin = Instant::now();
        while r.cx.n.done < r.cx.n.submitted {
            r.flush();
            r.turn();
            assert!(begin.elapsed() < Duration::from_secs(60), "stalled at {}", r.cx.n.done);
        }
    }
    out.push(format!("\"jobs\":{},\"lost\":{}", r.cx.n.done, r.cx.n.submitted - r.cx.n.done));
}
