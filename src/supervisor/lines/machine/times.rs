//! How long lines take, as a histogram that needs no memory.

use core::time::Duration;

/// One for each power of two in microseconds: up to half an hour, and one for what is above.
const BUCKETS: usize = 32;

/// A histogram over powers of two.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Times {
    buckets: [u64; BUCKETS],
    sum_micros: u64,
}

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }

    /// Those of another one, too.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_micros = self.sum_micros.saturating_add(other.sum_micros);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The average.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_micros(self.sum_micros.checked_div(self.count()).unwrap_or(0))
    }

    /// From the first to the last that is not empty: the bound below which its times are, and how many there are.
    #[must_use]
    pub fn rows(&self) -> Vec<(Duration, u64)> {
        let filled = |count: &u64| *count > 0;
        let first = self.buckets.iter().position(filled).unwrap_or(0);
        let last = self.buckets.iter().rposition(filled).map_or(0, |last| last + 1);
        (first..last).map(|bucket| (Duration::from_micros(1 << bucket), self.buckets[bucket])).collect()
    }

    /// As numbers, to be sent to somebody else.
    #[must_use]
    pub fn to_numbers(&self) -> Vec<u64> {
        self.buckets.iter().copied().chain([self.sum_micros]).collect()
    }

    /// What [`to_numbers`](Self::to_numbers) made.
    #[must_use]
    pub fn from_numbers(numbers: &[u64]) -> Option<Self> {
        let (buckets, [sum_micros]) = numbers.split_first_chunk::<BUCKETS>()? else { return None };
        Some(Self { buckets: *buckets, sum_micros: *sum_micros })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_below_its_bound_and_not_below_the_one_before() {
        let mut times = Times::default();
        for micros in [0, 1, 3, 4, 1_000, u64::MAX] {
            times.add(Duration::from_micros(micros));
        }
        assert_eq!(times.count(), 6);
        let rows = times.rows();
        let bounds = [1, 2, 4, 8].map(Duration::from_micros);
        assert_eq!(rows.iter().map(|(bound, _)| *bound).take(4).collect::<Vec<_>>(), bounds);
        assert_eq!(rows.iter().map(|(_, count)| *count).take(4).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!(rows.contains(&(Duration::from_micros(1_024), 1)));
        assert_eq!(Times::from_numbers(&times.to_numbers()), Some(times.clone()));
        let mut twice = times.clone();
        twice.merge(&times);
        assert_eq!(twice.count(), 12);
        assert!(Times::default().rows().is_empty());
        assert!(Times::from_numbers(&[1, 2]).is_none());
    }
}
