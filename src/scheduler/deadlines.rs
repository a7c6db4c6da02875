//! What falls due, and when.
//!
//! Most jobs are answered long before any of their clocks ends. So an alarm first waits in a young list, in the order in which
//! it was set; most are void when their turn comes and just drop off its front. What is still wanted after 50 ms
//! moves to a heap. Nothing is ever cancelled: an alarm says what it is for, and whoever takes it looks whether that still
//! stands. A heap that has doubled is sifted: the void go, and of those that are for the same thing the earliest stays
//! (what goes back and forth between its line and a worker sets one each time). So memory follows the living.

use crate::tables::{ExecutionKey, JobKey};
use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::Reverse;
use proletariat_protocol::{JobId, PeerId, Time};

/// How long an alarm stays young, in milliseconds: longer than nearly every short job lives.
const YOUNG_MILLIS: u64 = 50;
/// A heap below this size is not worth sifting.
const SIFT_MIN: usize = 1_024;
/// How long a young alarm that stands is not asked again whether it does, in milliseconds.
const STANDING_MILLIS: u64 = 1;

/// What an alarm is for. The order is that in which several ends of one moment count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Alarm {
    /// The run of a job's execution is over its limit.
    Run { job: JobKey, sequence: u64 },
    /// A run is over for a job, and its worker goes on for the sake of others: the backstop is not waited for.
    Overdue { job: JobKey, sequence: u64 },
    /// A job that came back from a lost worker has waited too long for the next one.
    Assign { job: JobKey, sequence: u64 },
    /// Some of the jobs that were submitted together have waited too long for a worker.
    Assigns { client: PeerId, first: JobId, count: u32 },
    /// The whole call of jobs that were submitted together is over.
    Totals { client: PeerId, first: JobId, count: u32 },
    /// A worker may have assignments whose start was not reported.
    Start { worker: PeerId },
    /// A pause of a worker may be over.
    Pause { peer: u64 },
    /// A parked execution goes back to its waiting line.
    Park { execution: ExecutionKey, ticket: u32 },
    /// A system message has waited long enough for its recipients.
    Broadcast { id: u64 },
}

impl Alarm {
    /// Whether another one is for the jobs of a client that follow those of this; this one is for them as well then.
    fn goes_on_with(&mut self, other: Self) -> bool {
        let (count, sum) = match (self, other) {
            (
                Self::Totals { client, first, count },
                Self::Totals { client: other, first: next, count: more },
            )
            | (
                Self::Assigns { client, first, count },
                Self::Assigns { client: other, first: next, count: more },
            ) if *client == other && first.plus(u64::from(*count)) == next => {
                let sum = count.checked_add(more);
                (count, sum)
            }
            _ => return false,
        };
        *count = sum.unwrap_or(*count);
        sum.is_some()
    }
}

#[derive(Debug)]
struct Young {
    set: Time,
    due: Time,
    alarm: Alarm,
}

/// Alarms that are set.
#[derive(Debug)]
pub(crate) struct Deadlines {
    young: VecDeque<Young>,
    heap: BinaryHeap<Reverse<(Time, Alarm)>>,
    sift_at: usize,
    /// Until then the first young alarm is taken to stand.
    stands_until: Time,
}

impl Deadlines {
    pub(crate) const fn new() -> Self {
        Self { young: VecDeque::new(), heap: BinaryHeap::new(), sift_at: SIFT_MIN, stands_until: Time::ZERO }
    }

    pub(crate) fn set(&mut self, now: Time, due: Time, alarm: Alarm) {
        if due <= now.plus_millis(YOUNG_MILLIS) {
            self.heap.push(Reverse((due, alarm)));
            return;
        }
        let last = self.young.back_mut().filter(|last| (last.set, last.due) == (now, due));
        if !last.is_some_and(|last| last.alarm.goes_on_with(alarm)) {
            self.young.push_back(Young { set: now, due, alarm });
        }
    }

    /// Drops void alarms from the front of the young list and moves the grown ones to the heap. `stands` tells whether an
    /// alarm may still ring.
    pub(crate) fn tidy(&mut self, now: Time, stands: impl Fn(Alarm) -> bool) {
        while let Some(front) = self.young.front().filter(|_| now >= self.stands_until) {
            if stands(front.alarm) {
                let grown = front.set.plus_millis(YOUNG_MILLIS);
                if now < grown {
                    self.stands_until = grown.min(now.plus_millis(STANDING_MILLIS));
                    break;
                }
                self.heap.push(Reverse((front.due, front.alarm)));
            }
            self.young.pop_front();
        }
        if self.young.is_empty() && self.young.capacity() > SIFT_MIN {
            self.young.shrink_to(SIFT_MIN);
        }
        if self.heap.len() >= self.sift_at {
            self.sift(stands);
        }
    }

    /// Keeps what stands, of alarms for the same thing the earliest, and no more room than that needs.
    pub(crate) fn sift(&mut self, stands: impl Fn(Alarm) -> bool) {
        let mut standing = core::mem::take(&mut self.heap).into_vec();
        standing.retain(|Reverse((_, alarm))| stands(*alarm));
        standing.sort_unstable_by_key(|Reverse((due, alarm))| (*alarm, *due));
        standing.dedup_by_key(|Reverse((_, alarm))| *alarm);
        self.heap = BinaryHeap::from(standing);
        self.sift_at = (2 * self.heap.len()).max(SIFT_MIN);
        self.heap.shrink_to(self.sift_at);
    }

    /// The next alarm that is due.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, Alarm)> {
        if self.heap.peek()?.0.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Whether there is nothing to tidy and nothing is due.
    pub(crate) fn are_quiet(&self, now: Time) -> bool {
        let young = self.young.is_empty() || now < self.stands_until;
        young && self.heap.len() < self.sift_at && self.heap.peek().is_none_or(|first| first.0.0 > now)
    }

    /// When to look again: not later than the first alarm.
    pub(crate) fn next(&self) -> Option<Time> {
        let heap = self.heap.peek().map(|Reverse((due, _))| *due);
        let young = self.young.front().map(|front| front.set.plus_millis(YOUNG_MILLIS));
        Time::earliest([heap, young])
    }

    /// All alarms, void ones too: for the audit.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Time, Alarm)> {
        let young = self.young.iter().map(|young| (young.due, young.alarm));
        young.chain(self.heap.iter().map(|Reverse(entry)| *entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(n: u32) -> Alarm {
        Alarm::Assign { job: JobKey(n), sequence: u64::from(n) }
    }

    #[test]
    fn void_alarms_cost_nothing_for_long() {
        let mut deadlines = Deadlines::new();
        for n in 0..1_000_000_u32 {
            let now = Time(u64::from(n));
            deadlines.set(now, now.plus_millis(60_000), alarm(n));
            deadlines.tidy(now, |_| false);
            assert!(deadlines.young.len() <= 1);
        }
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn one_that_stands_is_asked_once_in_a_millisecond_and_is_gone_soon_after_it_no_longer_does() {
        let mut deadlines = Deadlines::new();
        let (asked, standing) = (core::cell::Cell::new(0), core::cell::Cell::new(true));
        let stands = |_| {
            asked.set(asked.get() + 1);
            standing.get()
        };
        deadlines.set(Time::ZERO, Time::from_millis(60_000), alarm(1));
        for micros in 0..20_000 {
            let was_quiet = deadlines.are_quiet(Time(micros));
            let before = asked.get();
            deadlines.tidy(Time(micros), stands);
            assert_eq!(was_quiet, asked.get() == before, "at {micros} µs");
        }
        assert_eq!(asked.get(), 20);
        standing.set(false);
        assert!(!deadlines.are_quiet(Time(20_000)));
        deadlines.tidy(Time(20_000), stands);
        assert_eq!(deadlines.iter().count(), 0);
        assert!(deadlines.are_quiet(Time(20_000)));
    }

    #[test]
    fn jobs_that_follow_each_other_share_an_alarm() {
        let alarm =
            |client, first, count| Alarm::Totals { client: PeerId(client), first: JobId(first), count };
        let (now, due) = (Time(7), Time::from_millis(60_000));
        let mut deadlines = Deadlines::new();
        let mut set = |now, due, alarm| {
            deadlines.set(now, due, alarm);
            deadlines.iter().map(|(_, alarm)| alarm).last()
        };
        set(now, due, alarm(1, 0, 5));
        assert_eq!(set(now, due, alarm(1, 5, 2)), Some(alarm(1, 0, 7)));
        assert_eq!(set(now, due, alarm(1, 7, u32::MAX)), Some(alarm(1, 7, u32::MAX)), "too many");
        for (now, due, other) in [
            (now, due, alarm(2, 0, 1)),
            (now, due, alarm(2, 2, 1)),
            (now, Time(due.0 + 1), alarm(2, 3, 1)),
            (Time(8), Time(due.0 + 1), alarm(2, 4, 1)),
            (Time(8), Time(due.0 + 1), Alarm::Assigns { client: PeerId(2), first: JobId(5), count: 1 }),
        ] {
            assert_eq!(
                set(now, due, other),
                Some(other),
                "another client, a gap, another end, time or clock"
            );
        }
        let last =
            set(Time(8), Time(due.0 + 1), Alarm::Assigns { client: PeerId(2), first: JobId(6), count: 4 });
        assert_eq!(last, Some(Alarm::Assigns { client: PeerId(2), first: JobId(5), count: 5 }));
        assert_eq!(deadlines.iter().count(), 7);
    }

    #[test]
    fn a_standing_alarm_rings_at_its_time() {
        let mut deadlines = Deadlines::new();
        let due = Time::from_millis(60_000);
        deadlines.set(Time::ZERO, due, alarm(1));
        deadlines.set(Time::ZERO, Time::from_millis(20), alarm(2));
        assert_eq!(deadlines.next(), Some(Time::from_millis(20)));
        assert_eq!(deadlines.pop(Time::from_millis(20)), Some((Time::from_millis(20), alarm(2))));
        let look = deadlines.next().expect("the other one");
        assert_eq!(look, Time::from_millis(50));
        deadlines.tidy(look, |_| true);
        assert_eq!(deadlines.next(), Some(due));
        assert_eq!(deadlines.pop(look), None);
        assert_eq!(deadlines.pop(due), Some((due, alarm(1))));
    }

    #[test]
    fn of_alarms_for_the_same_thing_the_earliest_stays() {
        let mut deadlines = Deadlines::new();
        let due = |n: u64| Time::from_millis(30_000 - n);
        for n in 0..20_000_u64 {
            let now = Time::from_millis(60 * n);
            deadlines.tidy(now, |_| true);
            deadlines.set(Time::ZERO, due(n % 7), alarm(1));
            deadlines.set(Time::ZERO, due(n % 11), alarm(2));
        }
        assert!(deadlines.iter().count() <= SIFT_MIN + 2);
        assert_eq!(deadlines.pop(Time::NEVER), Some((due(10), alarm(2))));
    }

    #[test]
    fn a_heap_of_void_alarms_is_sifted() {
        let mut deadlines = Deadlines::new();
        for n in 0..100_000_u32 {
            deadlines.set(Time::ZERO, Time::from_millis(30), alarm(n));
            deadlines.tidy(Time::ZERO, |_| false);
        }
        assert!(deadlines.heap.len() <= SIFT_MIN);
    }
}
