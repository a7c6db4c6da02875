//! What long runs are told from outside: for how long, and from which seed.

use std::time::{Duration, SystemTime};

/// A small generator: the same seed gives the same faults.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// From the seed in this variable, else from the clock; the seed is printed.
    pub(crate) fn of(variable: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = number_of(variable).unwrap_or(now.as_nanos() as u64 % 1_000_000);
        println!("{variable}={seed}");
        // An odd number is never zero, which this generator could not leave.
        Self(seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The time in this variable, in seconds, or so many.
pub(crate) fn time_of(variable: &str, seconds: u64) -> Duration {
    Duration::from_secs(number_of(variable).unwrap_or(seconds))
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
