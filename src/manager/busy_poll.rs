//! Whether it pays to look for news again and again before falling asleep.
//!
//! A thread that has fallen asleep has to be woken. On a virtual machine that takes some tens of microseconds, and some of
//! them of whoever wakes it: a job that comes alone waits twice for that, and for little else. So the thread keeps looking
//! for a little while, but only as long as news have lately been coming so soon: a manager that has nothing to do, or whose
//! jobs take milliseconds, sleeps like any other.
//!
//! What looking costs depends on the machine: where being woken takes much processor time, looking takes less than sleeping
//! does, and elsewhere more. So both ways are tried now and then, and the manager keeps to the cheaper one, unless it was told
//! which one to take.

use std::time::Duration;

/// For so long a thread looks for news: about what it takes to wake one, so that what is lost by looking in vain is no more
/// than what may be won. Long enough for a worker that has to be woken itself and answers at once.
const LOOK: Duration = Duration::from_micros(50);
/// A wait that takes less is short. Half of it is for being woken: news that come while the thread looks come within
/// [`LOOK`], and the same news take so long if it sleeps.
const SHORT: Duration = Duration::from_micros(100);
/// Of the last eight waits so many have to have been short.
const SHORT_WAITS_MIN: u32 = 4;
/// So many waits are measured together.
const MEASURED_WAITS: u32 = 32;
/// After so many measurements of the cheaper way there is one of the other.
const TRIALS_APART: u32 = 32;

/// When a manager looks for news instead of falling asleep, while they come within some 50 µs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BusyPolling {
    /// Where that takes no more processor time than to fall asleep and be woken, which is tried now and then.
    #[default]
    Auto,
    /// Whatever it costs: the least latency.
    Always,
    /// Never.
    Never,
}

/// How the last few waits were.
#[derive(Debug)]
pub(super) struct BusyPoll {
    when: BusyPolling,
    /// A bit for each of the last eight waits, the youngest the lowest: whether it was short.
    short: u8,
    trials: Trials,
}

/// Which of the two ways takes less processor time.
#[derive(Debug)]
struct Trials {
    /// The cheaper one, as far as is known.
    looks: bool,
    /// Whether the other one is being tried.
    trying: bool,
    /// Measurements of the cheaper one before the next trial.
    rest: u32,
    /// What a piece of news has cost of late by sleeping and by looking; zero if it has not been measured.
    costs: [Duration; 2],
    /// Waits since the last reading of the clock; none, if no measurement has begun.
    waits: u32,
    /// News since then: who sleeps meets several at once where who looks takes each by itself.
    news: u32,
    /// That reading: processor time of the thread.
    since: Duration,
}

impl BusyPoll {
    /// Sleeps at once, until short waits have been seen.
    pub(super) fn new(when: BusyPolling) -> Self {
        Self { when, short: 0, trials: Trials::new() }
    }

    /// For how long to look before falling asleep.
    pub(super) fn time(&self) -> Duration {
        let looks = match self.when {
            BusyPolling::Auto => self.trials.looks(),
            BusyPolling::Always => true,
            BusyPolling::Never => false,
        };
        if looks & self.pays() { LOOK } else { Duration::ZERO }
    }

    /// A wait took so long, and brought news of so many sockets; the processor time of the thread is asked for now and then.
    pub(super) fn waited(&mut self, time: Duration, news: u32, processor_time: impl FnOnce() -> Duration) {
        self.short = self.short << 1 | u8::from(time < SHORT);
        if self.when == BusyPolling::Auto {
            self.trials.waited(self.pays(), news, processor_time);
        }
    }

    /// Whether news have been coming soon.
    fn pays(&self) -> bool {
        self.short.count_ones() >= SHORT_WAITS_MIN
    }
}

impl Trials {
    fn new() -> Self {
        Self {
            looks: true,
            trying: false,
            rest: 1,
            costs: [Duration::ZERO; 2],
            waits: 0,
            news: 0,
            since: Duration::ZERO,
        }
    }

    fn looks(&self) -> bool {
        self.looks != self.trying
    }

    /// One more wait; one for which the ways do not differ ends what is being measured.
    fn waited(&mut self, differ: bool, news: u32, processor_time: impl FnOnce() -> Duration) {
        if !differ {
            self.waits = 0;
            return;
        }
        self.news = self.news.saturating_add(news);
        if self.waits > 0 && self.waits < MEASURED_WAITS {
            self.waits += 1;
            return;
        }
        let now = processor_time();
        if self.waits == MEASURED_WAITS {
            self.measured(now.saturating_sub(self.since) / self.news.max(1));
        }
        (self.waits, self.news, self.since) = (1, 0, now);
    }

    fn measured(&mut self, cost: Duration) {
        let known = &mut self.costs[usize::from(self.looks != self.trying)];
        // Where it takes far longer than before, other work on the machine is the likely cause: that counts little.
        *known = match *known {
            Duration::ZERO => cost,
            before if cost < before => (before + cost) / 2,
            before => (before * 3 + cost.min(before * 3 / 2)) / 4,
        };
        if self.trying {
            (self.trying, self.rest) = (false, TRIALS_APART);
        } else {
            self.rest -= 1;
            self.trying = self.rest == 0;
        }
        let [usual, other] = [self.looks, !self.looks].map(|looks| self.costs[usize::from(looks)]);
        if !other.is_zero() && other * 17 / 16 < usual {
            self.looks = !self.looks;
            // Chance may have decided: the way that was given up is tried again soon.
            (self.trying, self.rest) = (false, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(when: BusyPolling, micros: impl IntoIterator<Item = u64>) -> Duration {
        let mut busy_poll = BusyPoll::new(when);
        let waits = micros.into_iter().map(Duration::from_micros);
        waits.for_each(|time| busy_poll.waited(time, 1, || Duration::ZERO));
        busy_poll.time()
    }

    #[test]
    fn looks_only_while_waits_are_short() {
        for when in [BusyPolling::Auto, BusyPolling::Always] {
            assert_eq!(after(when, []), Duration::ZERO);
            assert_eq!(after(when, [70; 3]), Duration::ZERO);
            assert_eq!(after(when, [70; 4]), LOOK);
            assert_eq!(after(when, [99, 1_000].repeat(4)), LOOK, "half of them");
            assert_eq!(after(when, [70; 24].into_iter().chain([100; 4])), LOOK);
            assert_eq!(after(when, [70; 24].into_iter().chain([100; 5])), Duration::ZERO);
        }
    }

    #[test]
    fn who_is_told_to_sleep_at_once_does() {
        assert_eq!(after(BusyPolling::Never, [1; 100]), Duration::ZERO);
    }

    /// The share of waits with a look, of so many short ones, where a look costs so much more or less than a sleep.
    fn looks(waits: u32, sleep: u64, look: impl Fn(u32) -> u64) -> f64 {
        looks_for(waits, sleep, look, |_| 1)
    }

    /// The same where a sleep and a look bring so many news.
    fn looks_for(waits: u32, sleep: u64, look: impl Fn(u32) -> u64, news: impl Fn(bool) -> u32) -> f64 {
        let mut busy_poll = BusyPoll::new(BusyPolling::Auto);
        let (mut cost, mut looks) = (0, 0);
        for wait in 0..waits {
            let looked = !busy_poll.time().is_zero();
            looks += u32::from(looked);
            cost += if looked { look(wait) } else { sleep };
            busy_poll.waited(Duration::from_micros(40), news(looked), || Duration::from_micros(cost));
        }
        f64::from(looks) / f64::from(waits)
    }

    #[test]
    fn the_cheaper_way_is_taken() {
        assert!(looks(100_000, 25, |_| 20) > 0.9);
        assert!(looks(100_000, 25, |_| 25) > 0.9, "where there is no difference it looks");
        assert!(looks(100_000, 25, |_| 30) < 0.1);
        assert!(looks(100_000, 25, |_| 30) > 0.01, "it is tried now and then");
    }

    #[test]
    fn what_counts_is_the_cost_of_the_news() {
        assert!(looks_for(100_000, 25, |_| 20, |looks| if looks { 1 } else { 3 }) < 0.1);
    }

    #[test]
    fn what_has_changed_is_found_out() {
        let share = looks(100_000, 25, |wait| if wait < 50_000 { 30 } else { 20 });
        assert!((0.45..0.6).contains(&share), "{share}");
    }

    #[test]
    fn a_mistake_is_corrected_soon() {
        // What is measured first is no rule.
        let share = looks(100_000, 25, |wait| if wait < 100 { 90 } else { 20 });
        assert!(share > 0.9, "{share}");
        let share = looks(100_000, 25, |wait| if wait % 1_000 < 3 { 2_000 } else { 20 });
        assert!(share > 0.8, "{share}");
    }

    #[test]
    fn waits_that_are_not_short_interrupt_a_measurement() {
        let mut busy_poll = BusyPoll::new(BusyPolling::Auto);
        let mut readings = 0;
        for wait in 0..100_000_u64 {
            // Never so many short ones in a row as are measured.
            let micros = if wait % 30 < 8 { 5_000 } else { 40 };
            busy_poll.waited(Duration::from_micros(micros), 1, || {
                readings += 1;
                Duration::from_micros(readings * 1_000)
            });
        }
        assert_eq!((busy_poll.trials.costs, busy_poll.trials.looks), ([Duration::ZERO; 2], true));
    }
}
