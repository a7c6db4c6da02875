//! Where a handler is polled for the first time.
//!
//! A task and a message back to the driver cost more than a short job. So a handler is polled once by the driver, and
//! becomes a task of its own only if it has to wait. A handler that computes for long would hold up the connection and
//! all others there, and on several cores they could compute side by side: when the first polls turn out slow, the next
//! handlers are tasks from the start, and one of many is tried again.

use core::time::Duration;
use proletariat_protocol::Time;

/// A first poll that takes longer is slow: a task would have cost a tenth of it.
const POLL_SLOW: Duration = Duration::from_micros(50);
/// First polls of one turn may take so long together; after that come tasks, so that what is done goes out.
const TURN_MAX: Duration = Duration::from_micros(500);
/// So many handlers are tasks from the start after a slow one.
const TASKS_AFTER_SLOW: u32 = 256;

#[derive(Debug, Default)]
pub(super) struct Inline {
    tasks_left: u32,
    spent: Duration,
    /// When the last first poll of this turn ended. The next one begins there: a look at the clock is a good part of a short job.
    last: Option<Time>,
}

impl Inline {
    pub(super) fn begin_turn(&mut self) {
        self.spent = Duration::ZERO;
        self.last = None;
    }

    /// Whether the next handler is polled by the driver.
    pub(super) fn is_next(&mut self) -> bool {
        if self.tasks_left > 0 {
            self.tasks_left -= 1;
            return false;
        }
        self.spent < TURN_MAX
    }

    /// When a first poll begins that follows now.
    pub(super) fn begins(&self, now: impl FnOnce() -> Time) -> Time {
        self.last.unwrap_or_else(now)
    }

    /// A first poll went on from then till now.
    pub(super) fn took(&mut self, begin: Time, now: Time) {
        let time = now - begin;
        self.last = Some(now);
        self.spent += time;
        if time > POLL_SLOW {
            self.tasks_left = TASKS_AFTER_SLOW;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_handlers_stay_and_a_slow_one_sends_the_next_away() {
        let mut inline = Inline::default();
        for _ in 0..10_000 {
            inline.begin_turn();
            assert!(inline.is_next());
            let begin = inline.begins(|| Time(7));
            assert_eq!(begin, Time(7), "the turn has just begun");
            inline.took(begin, Time(8));
            assert_eq!(inline.begins(|| Time(99)), Time(8));
        }
        inline.took(Time(0), Time(1_000));
        inline.begin_turn();
        let tasks = (0..).take_while(|_| !inline.is_next()).count();
        assert_eq!(tasks, 256);
    }

    #[test]
    fn a_turn_ends_however_many_handlers_it_starts() {
        let mut inline = Inline::default();
        inline.begin_turn();
        let mut polled = 0;
        while inline.is_next() {
            let begin = inline.begins(|| Time::ZERO);
            inline.took(begin, begin + Duration::from_micros(10));
            polled += 1;
        }
        assert_eq!(polled, 50);
        inline.begin_turn();
        assert!(inline.is_next());
    }
}
