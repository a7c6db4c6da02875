//! Whether it pays to look for news again and again before falling asleep.
//!
//! A thread that has fallen asleep has to be woken. On a virtual machine that takes some tens of microseconds, and some of
//! them of whoever wakes it: a job that comes alone waits twice for that, and for little else. So the thread keeps looking
//! for a little while, but only as long as news have lately been coming so soon: a manager that has nothing to do, or whose
//! jobs take milliseconds, sleeps like any other.

use std::time::Duration;

/// For so long a thread looks for news: about what it takes to wake one, so that what is lost by looking in vain is no more
/// than what may be won. Long enough for a worker that has to be woken itself and answers at once.
const LOOK: Duration = Duration::from_micros(50);
/// A wait that takes less is short. Half of it is for being woken: news that come while the thread looks come within
/// [`LOOK`], and the same news take so long if it sleeps.
const SHORT: Duration = Duration::from_micros(100);
/// Of the last eight waits so many have to have been short.
const SHORT_WAITS_MIN: u32 = 4;

/// How the last few waits were.
#[derive(Debug)]
pub(super) struct BusyPoll {
    allowed: bool,
    /// A bit for each of the last eight waits, the youngest the lowest: whether it was short.
    short: u8,
}

impl BusyPoll {
    /// Sleeps at once, until short waits have been seen; always, if looking is not allowed.
    pub(super) fn new(allowed: bool) -> Self {
        Self { allowed, short: 0 }
    }

    /// For how long to look before falling asleep.
    pub(super) fn time(&self) -> Duration {
        let pays = self.short.count_ones() >= SHORT_WAITS_MIN;
        if self.allowed && pays { LOOK } else { Duration::ZERO }
    }

    /// A wait took so long.
    pub(super) fn waited(&mut self, time: Duration) {
        self.short = self.short << 1 | u8::from(time < SHORT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(allowed: bool, micros: impl IntoIterator<Item = u64>) -> Duration {
        let mut busy_poll = BusyPoll::new(allowed);
        micros.into_iter().for_each(|micros| busy_poll.waited(Duration::from_micros(micros)));
        busy_poll.time()
    }

    #[test]
    fn looks_only_while_waits_are_short() {
        assert_eq!(after(true, []), Duration::ZERO);
        assert_eq!(after(true, [70; 3]), Duration::ZERO);
        assert_eq!(after(true, [70; 4]), LOOK);
        assert_eq!(after(true, [99, 1_000].repeat(4)), LOOK, "half of them");
        assert_eq!(after(true, [70; 100].into_iter().chain([100; 4])), LOOK);
        assert_eq!(after(true, [70; 100].into_iter().chain([100; 5])), Duration::ZERO);
    }

    #[test]
    fn who_is_told_to_sleep_at_once_does() {
        assert_eq!(after(false, [1; 100]), Duration::ZERO);
    }
}
