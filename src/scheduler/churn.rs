//! How many of its jobs a client takes back.
//!
//! A job that is pushed and aborted at once costs its client two short words, and everybody else a place in line, a dispatch, a
//! start and a stop at a worker. An abort is always done; but who takes back more than its share over some seconds is told to
//! wait with its next jobs. What is owed melts away with time, so nothing has to be done at any time.

use crate::submission::OVERLOAD_RETRY;
use core::time::Duration;
use proletariat_protocol::Time;
use proletariat_protocol::hint::likely;

/// A client may take back what it may in so many seconds at once: a large call that is given up is no churn.
const BURST_SECONDS: u64 = 10;
const MICROS: u64 = 1_000_000;

/// What a client has taken back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Churn {
    /// In millionths of a job: nothing is lost by rounding, however often it is counted.
    owed: u64,
    at: Time,
}

impl Churn {
    /// So many jobs were taken back.
    pub(crate) fn count(&mut self, now: Time, jobs: u64, per_second: u64) {
        if per_second > 0 {
            self.owed = self.left(now, per_second).saturating_add(jobs.saturating_mul(MICROS));
            self.at = now;
        }
    }

    /// How long the client has to wait with its next jobs.
    pub(crate) fn wait(&self, now: Time, per_second: u64) -> Option<Duration> {
        if likely(self.owed == 0) {
            return None;
        }
        let free = BURST_SECONDS.saturating_mul(MICROS).saturating_mul(per_second);
        let over = self.left(now, per_second).checked_sub(free).filter(|_| per_second > 0)?;
        Some(Duration::from_micros(over.div_ceil(per_second)).max(OVERLOAD_RETRY))
    }

    fn left(&self, now: Time, per_second: u64) -> u64 {
        self.owed.saturating_sub(now.0.saturating_sub(self.at.0).saturating_mul(per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn ten_seconds_worth_may_be_taken_back_at_once_and_more_melts_away() {
        let mut churn = Churn::default();
        churn.count(Time::ZERO, 999, 100);
        assert_eq!(churn.wait(Time::ZERO, 100), None);
        churn.count(Time::ZERO, 101, 100);
        assert_eq!(churn.wait(Time::ZERO, 100), Some(Duration::from_secs(1)));
        assert_eq!(churn.wait(after(500), 100), Some(Duration::from_millis(500)));
        assert_eq!(churn.wait(after(900), 100), Some(OVERLOAD_RETRY), "never shorter than that");
        assert_eq!(churn.wait(after(1_010), 100), None);
        // All has melted away: it is as at first.
        churn.count(after(12_000), 999, 100);
        assert_eq!(churn.wait(after(12_000), 100), None);
        churn.count(after(12_000), 1, 100);
        assert!(churn.wait(after(12_000), 100).is_some());
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let mut churn = Churn::default();
        churn.count(Time::ZERO, 1_000_000, 0);
        assert_eq!(churn.wait(Time::ZERO, 0), None);
        assert_eq!(churn.wait(Time::ZERO, 1), None, "nothing was counted");
    }
}
