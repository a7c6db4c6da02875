//! How many lines a child is given ahead of its answers.
//!
//! What a line costs beside its work is mostly waking somebody up. With many lines on the way that is paid once for all of them;
//! but lines that wait in a slow child's pipe could have gone to another one. So a child has one line at first, and twice as many
//! each time a round of answers took less than a millisecond a line.

use super::Config;
use core::time::Duration;

/// Over this nothing is won: the costs of a wake-up are spread thinly enough.
pub(super) const DEPTH_MAX: u32 = 1_024;
/// Answers that take less than this on average let the depth double.
const QUICK: Duration = Duration::from_millis(1);
/// Answers that take longer than this on average halve it.
const SLOW: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Depth {
    now: u32,
    least: u32,
    most: u32,
    /// Answers since the last look, and the time they took together.
    answers: u64,
    latency: Duration,
    /// A child had more than half of what it may have since then.
    used: bool,
}

impl Depth {
    pub(super) fn new(config: &Config) -> Self {
        let (least, most) = match config.depth {
            Some(depth) => (depth.max(1), depth.max(1)),
            None if config.reply => (1, 1),
            None => (1, DEPTH_MAX),
        };
        // No offer has more slots than this.
        let most = most.min((proletariat_protocol::limits::SLOTS_MAX / config.children.max(1)).max(1));
        let least = least.min(most);
        Self { now: least, least, most, answers: 0, latency: Duration::ZERO, used: false }
    }

    pub(super) fn now(&self) -> u32 {
        self.now
    }

    /// A child has more than half of the lines that it may have.
    pub(super) fn is_used(&mut self) {
        self.used = true;
    }

    /// Whether it is another depth after these answers.
    pub(super) fn answered(&mut self, answers: u64, latency: Duration, children: usize) -> bool {
        self.answers += answers;
        self.latency += latency;
        if self.answers < u64::from(self.now) * children.max(1) as u64 {
            return false;
        }
        let average = self.latency / u32::try_from(self.answers).unwrap_or(u32::MAX);
        let before = self.now;
        if average < QUICK && self.used {
            self.now = (self.now * 2).min(self.most);
        } else if average > SLOW {
            self.now = (self.now / 2).max(self.least);
        }
        self.answers = 0;
        self.latency = Duration::ZERO;
        self.used = false;
        self.now != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(fixed: Option<u32>, reply: bool, children: u32) -> Depth {
        Depth::new(&Config { children, reply, depth: fixed, kill_grace: Duration::ZERO })
    }

    /// A round of answers that took so many microseconds each.
    fn round(depth: &mut Depth, micros: u64) {
        depth.is_used();
        let answers = u64::from(depth.now());
        depth.answered(answers, Duration::from_micros(micros) * depth.now(), 1);
    }

    #[test]
    fn doubles_while_answers_are_quick_and_halves_when_they_are_slow() {
        let mut depth = depth(None, false, 1);
        for power in 0..=12 {
            assert_eq!(depth.now(), (1 << power).min(1_024));
            round(&mut depth, 900);
        }
        round(&mut depth, 5_000);
        assert_eq!(depth.now(), 1_024, "neither quick nor slow");
        for _ in 0..12 {
            round(&mut depth, 30_000);
        }
        assert_eq!(depth.now(), 1);
        depth.answered(100, Duration::from_micros(100), 1);
        assert_eq!(depth.now(), 1, "more is not given where less was not used");
    }

    #[test]
    fn what_the_owner_says_holds() {
        for (mut depth, fixed) in [(depth(Some(7), false, 2), 7), (depth(None, true, 2), 1)] {
            for micros in [10, 100_000] {
                round(&mut depth, micros);
                assert_eq!(depth.now(), fixed);
            }
        }
        let mut many = depth(None, false, 1_000);
        (0..20).for_each(|_| round(&mut many, 1));
        assert_eq!(many.now(), 65, "an offer has at most 65,535 slots");
    }
}
