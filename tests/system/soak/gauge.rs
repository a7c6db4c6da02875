//! What is measured of the manager while it works, and what follows from it.

use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The second half of the samples is cut into so many blocks. What the memory is now depends on what it was a moment ago (it is
/// given back at most once in 5 s, and due once in 60 s), so single samples would promise a precision that they do not have.
const BLOCKS: usize = 16;
/// Student's t for 95 % and 14 degrees of freedom.
const T: f64 = 2.145;

/// The manager at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) memory: u64,
    pub(super) descriptors: usize,
    pub(super) connections: u64,
    pub(super) queued: u64,
    pub(super) running: u64,
    pub(super) slots: u64,
    pub(super) used: u64,
    /// Ranges over their limits, and sums that are not equal.
    pub(super) wrong: Vec<String>,
}

impl Sample {
    pub(super) fn of(at: Duration, memory: u64, descriptors: usize, status: &Value) -> Self {
        let number = |name: &str| status["manager"][name].as_u64().unwrap_or_default();
        let (mut slots, mut used, mut wrong) = (0, 0, Vec::new());
        for worker in status["workers"].as_array().into_iter().flatten() {
            slots += worker["slots"].as_u64().unwrap_or_default();
            for range in worker["ranges"].as_array().into_iter().flatten() {
                used += range["used"].as_u64().unwrap_or_default();
                if range["used"].as_u64() > range["limit"].as_u64() {
                    wrong.push(format!("over its limit: {worker}"));
                }
            }
        }
        let running = number("assignments");
        if used != running || used > slots {
            wrong.push(format!("{used} slots of {slots} are held for {running} assignments: {status}"));
        }
        let (connections, queued) = (number("connections"), number("queued_jobs"));
        Self { at, memory, descriptors, connections, queued, running, slots, used, wrong }
    }

    /// Descriptors that are no connections: the listener, the poll, standard streams, signals.
    pub(super) fn descriptors_of_its_own(&self) -> i64 {
        self.descriptors as i64 - self.connections as i64
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory, descriptors, queued, running, slots, used, .. } = self;
        write!(
            f,
            "{:>5} s: {} KiB, {descriptors} descriptors, slots {slots}, free {}, running {running}, queued {queued}",
            self.at.as_secs(),
            memory / 1024,
            slots.saturating_sub(*used),
        )
    }
}

/// How memory moves, in KiB an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    pub(super) per_hour: f64,
    /// Half of the interval in which the slope is with 95 %, if a straight line is what lies under it.
    pub(super) error: f64,
}

impl fmt::Display for Slope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.0} ± {:.0} KiB/h", self.per_hour, self.error)
    }
}

/// What counts of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// What was held on average: it follows the load, and how busy the machine is.
    Mean,
    /// The least that was held: what is never given back shows here, and nothing else.
    Floor,
}

/// Least squares over the blocks of the second half; `None` where there are too few samples.
pub(super) fn slope(samples: &[Sample], of: Of) -> Option<Slope> {
    let half = &samples[samples.len() / 2..];
    let size = half.len() / BLOCKS;
    if size < 2 {
        return None;
    }
    let mean =
        |block: &[Sample], of: fn(&Sample) -> f64| block.iter().map(of).sum::<f64>() / block.len() as f64;
    let blocks = half.rchunks_exact(size).take(BLOCKS);
    let points: Vec<(f64, f64)> = blocks
        .map(|block| {
            let hours = mean(block, |sample| sample.at.as_secs_f64() / 3600.0);
            let kilobytes = |sample: &Sample| sample.memory as f64 / 1024.0;
            let held = match of {
                Of::Mean => mean(block, kilobytes),
                Of::Floor => block.iter().map(kilobytes).fold(f64::INFINITY, f64::min),
            };
            (hours, held)
        })
        .collect();
    Some(line(&points))
}

fn line(points: &[(f64, f64)]) -> Slope {
    let count = points.len() as f64;
    let (x, y) =
        points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / count, sum.1 + point.1 / count));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let per_hour = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>() / spread;
    let rest: f64 = points.iter().map(|point| (point.1 - y - per_hour * (point.0 - x)).powi(2)).sum();
    Slope { per_hour, error: T * (rest / (count - 2.0) / spread).sqrt() }
}

#[test]
fn a_slope_is_found_with_its_error() {
    let sample = |second: u64, kilobytes: f64| Sample {
        at: Duration::from_secs(second),
        memory: (kilobytes * 1024.0) as u64,
        descriptors: 0,
        connections: 0,
        queued: 0,
        running: 0,
        slots: 0,
        used: 0,
        wrong: Vec::new(),
    };
    // 3,600 KiB an hour are one a second; the first half is not looked at.
    let rises = |second: u64| if second < 500 { 9e6 } else { second as f64 + (second * 7919 % 101) as f64 };
    let samples: Vec<_> = (0..1000).map(|second| sample(second, rises(second))).collect();
    for of in [Of::Mean, Of::Floor] {
        let found = slope(&samples, of).unwrap();
        assert!((found.per_hour - 3600.0).abs() <= found.error && found.error < 400.0, "{of:?} {found}");
    }
    assert!(slope(&samples[..40], Of::Mean).is_none());
    let flat: Vec<_> = (0..1000).map(|second| sample(second, (second * 7919 % 101) as f64)).collect();
    let found = slope(&flat, Of::Mean).unwrap();
    assert!(found.per_hour.abs() <= found.error, "{found}");
    // Peaks that become more are load and no leak.
    let peaks = |second: u64| if second.is_multiple_of(4) && second > 800 { 5_000.0 } else { 1_000.0 };
    let loaded: Vec<_> = (0..1000).map(|second| sample(second, peaks(second))).collect();
    assert!(slope(&loaded, Of::Mean).unwrap().per_hour > 3_600.0);
    assert!(slope(&loaded, Of::Floor).unwrap().per_hour.abs() < 1e-6);
}
