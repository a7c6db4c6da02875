//! When to dispatch: at once, or after slots have gathered (`AVAIL_THRESHOLD`, `DISTRIB_RANDMAX`).

use crate::config::Config;
use crate::selector::{Random, up_to};
use proletariat_protocol::Time;
use proletariat_protocol::hint::{likely, unlikely};

/// Counts the slots of the whole fleet and decides whether a pass may begin.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// Slots offered, by all workers together.
    pub(crate) offered: u64,
    /// Slots free.
    pub(crate) free: u64,
    /// No slot was free since the last pass.
    full: bool,
    opens_at: Option<Time>,
}

impl Gate {
    /// What a worker counts for changes.
    pub(crate) fn recount(&mut self, before: (u32, u32), after: (u32, u32)) {
        self.offered = self.offered + u64::from(after.0) - u64::from(before.0);
        self.free = self.free + u64::from(after.1) - u64::from(before.1);
        self.full |= self.free == 0;
    }

    /// A worker, counted like that, took so many slots.
    pub(crate) fn took(&mut self, counted: &mut (u32, u32), slots: u32) {
        counted.1 -= slots;
        self.free -= u64::from(slots);
        self.full |= self.free == 0;
    }

    /// Whether a pass may begin now.
    pub(crate) fn opens(&mut self, now: Time, config: &Config, random: &mut Random) -> bool {
        let threshold = u64::from(config.avail_threshold).min(self.offered / 2).max(1);
        if unlikely(self.full & (self.free < threshold)) {
            // The wait begins when there are enough: a time that has passed must not wake anybody again and again.
            self.opens_at = None;
            return false;
        }
        if likely(config.distrib_randmax.is_zero()) {
            self.full = false;
            return true;
        }
        let most = u64::try_from(config.distrib_randmax.as_micros()).unwrap_or(u64::MAX);
        let at = *self.opens_at.get_or_insert_with(|| Time(now.0 + up_to(random, most)));
        if at > now {
            return false;
        }
        self.opens_at = None;
        self.full = false;
        true
    }

    pub(crate) fn opens_at(&self) -> Option<Time> {
        self.opens_at
    }
}
