//! When a worker gives back the memory of a crowd of jobs: after so many of them or after a time, and only while none runs.

use core::time::Duration;
use proletariat_protocol::Time;

/// Not more often than this.
const APART: Duration = Duration::from_secs(5);

/// Counts runs, and tells when giving memory back is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct CleanUp {
    requests: u64,
    interval: Duration,
    last: Time,
    ended: u64,
}

impl CleanUp {
    pub(super) fn new(requests: u64, interval: Duration) -> Self {
        Self { requests, interval, last: Time::ZERO, ended: 0 }
    }

    /// A run ended.
    pub(super) fn ended(&mut self) {
        self.ended += 1;
    }

    /// When it will be due if nothing more happens. `idle`: no run is under way.
    pub(super) fn due(&self, idle: bool) -> Option<Time> {
        if !idle || self.ended == 0 {
            return None;
        }
        let wait = if self.ended >= self.requests { APART } else { self.interval.max(APART) };
        Some(self.last + wait)
    }

    /// It has been done.
    pub(super) fn done(&mut self, now: Time) {
        self.last = now;
        self.ended = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_after_many_runs_or_a_long_time_and_never_while_something_runs() {
        let mut clean_up = CleanUp::new(3, Duration::from_secs(60));
        assert_eq!(clean_up.due(true), None, "nothing has happened");
        clean_up.ended();
        assert_eq!(clean_up.due(true), Some(Time::from_millis(60_000)));
        assert_eq!(clean_up.due(false), None);
        clean_up.ended();
        clean_up.ended();
        assert_eq!(clean_up.due(true), Some(Time::from_millis(5_000)));
        clean_up.done(Time::from_millis(5_000));
        assert_eq!(clean_up.due(true), None);
    }
}
