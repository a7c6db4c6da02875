//! What the manager's owner decides.

use core::time::Duration;

/// Settings of a [`Scheduler`](crate::Scheduler). The defaults are those of the product; [`Config::classic`] gives the
/// ancestor's.
#[derive(Clone, Debug)]
pub struct Config {
    /// After having been full, wait for this many free slots (at most half of all) before dispatching.
    pub avail_threshold: u32,
    /// The longest wait before dispatching, to gather free slots; the wait is random up to this.
    pub distrib_randmax: Duration,
    /// Giving memory back is due after so many ended jobs …
    pub cleanup_reqs: u64,
    /// … or after this time.
    pub cleanup_checkint: Duration,
    /// A higher range borrows only from range 0 instead of from every lower one.
    pub sacred_guarantees: bool,
    /// Jobs with equal kind and key share one execution.
    pub hold_similar_work: bool,
    /// Lost workers that end a job with `ECRASH`; 0: no limit.
    pub max_attempts: u16,
    /// Largest payload and result, in bytes.
    pub payload_bytes_max: u64,
    /// Most jobs that are queued; 0: no limit.
    pub queued_jobs_max: u64,
    /// Most jobs of one client that are queued; 0: no limit.
    pub queued_jobs_per_client_max: u64,
    /// Most bytes of jobs that are queued (payloads, kinds, shared keys); 0: no limit.
    pub queued_bytes_max: u64,
    /// Most jobs that have no answer yet, waiting or running; 0: no limit.
    pub open_jobs_max: u64,
    /// Most bytes of their payloads; 0: no limit.
    pub open_bytes_max: u64,
    /// Most jobs that a client takes back in a second, over ten seconds; 0: no limit.
    pub aborts_per_second_max: u64,
    /// Whether [`Action::Notice`](crate::Action::Notice) is wanted.
    pub notices: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            avail_threshold: 1,
            distrib_randmax: Duration::ZERO,
            cleanup_reqs: 1_000,
            cleanup_checkint: Duration::from_secs(60),
            sacred_guarantees: false,
            hold_similar_work: false,
            max_attempts: 5,
            payload_bytes_max: proletariat_protocol::limits::PAYLOAD_BYTES_DEFAULT as u64,
            queued_jobs_max: 10_000_000,
            queued_jobs_per_client_max: 0,
            queued_bytes_max: 4 << 30,
            open_jobs_max: 20_000_000,
            open_bytes_max: 8 << 30,
            aborts_per_second_max: 100_000,
            notices: false,
        }
    }
}

impl Config {
    /// The ancestor's own defaults for gathering slots: a threshold of 50, up to 100 ms.
    #[must_use]
    pub fn classic() -> Self {
        Self { avail_threshold: 50, distrib_randmax: Duration::from_millis(100), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ancestor_gathers_fifty_slots_for_up_to_a_tenth_of_a_second() {
        let classic = Config::classic();
        assert_eq!((classic.avail_threshold, classic.distrib_randmax), (50, Duration::from_millis(100)));
        assert!(Config::default().distrib_randmax.is_zero(), "by itself nothing waits for more slots");
    }
}
