//! Monotonic time as the machines see it: an argument, never something they read.

use core::ops::{Add, Sub};
use core::time::Duration;

/// Microseconds since the owner of the clock started. Monotonic; knows nothing of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The earliest of several times, of which some may not be.
    #[must_use]
    pub fn earliest<const N: usize>(times: [Option<Self>; N]) -> Option<Self> {
        let earliest =
            times.iter().fold(Self::NEVER, |earliest, time| time.unwrap_or(Self::NEVER).min(earliest));
        (earliest != Self::NEVER).then_some(earliest)
    }

    /// The beginning.
    pub const ZERO: Self = Self(0);
    /// Later than everything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// A time so many milliseconds after the beginning.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// So long before this (saturating).
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// This time plus so many milliseconds (saturating).
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000)))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub for Time {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_microseconds_that_stop_at_both_ends() {
        let time = Time::from_millis(3);
        assert_eq!(time, Time(3_000));
        assert_eq!(time + Duration::from_micros(5), Time(3_005));
        assert_eq!(time.plus_millis(2), Time(5_000));
        assert_eq!(time.before(Duration::from_millis(1)), Time(2_000));
        assert_eq!(time - Time(1_000), Duration::from_millis(2));
        assert_eq!(time.before(Duration::MAX), Time::ZERO);
        assert_eq!(Time(1_000) - time, Duration::ZERO, "not after it");
        assert_eq!(time + Duration::MAX, Time::NEVER);
        assert_eq!(time.plus_millis(u64::MAX), Time::NEVER);
    }
}
