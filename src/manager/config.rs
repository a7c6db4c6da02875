//! Everything that the owner of a manager decides, and every bound that a peer may meet.

use super::accept::REFUSALS_AT_A_TIME;
use super::busy_poll::BusyPolling;
use super::error::Error;
use crate::security::{ServerTls, Tokens};
use proletariat_protocol::limits;
use std::time::Duration;

/// Descriptors for everything but connections: streams, the event queue, the listener, signals, files that are read again.
const DESCRIPTORS_RESERVED: u64 = 24;
/// Longer than any manager runs; stands for no limit.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// Settings of a [`Manager`](super::Manager). For all bounds from `connections_max` on, and those of the scheduler, 0
/// means none.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name or address to listen on.
    pub host: String,
    /// Port to listen on; 0: any free one.
    pub port: u16,
    /// How jobs are given to workers, and how many may wait.
    pub scheduler: proletariat_scheduler::Config,
    /// A native peer that was silent for so long is pinged (a JSON peer after 30 s).
    pub heartbeat: Duration,
    /// A native peer that was silent for so long is given up (a JSON peer after 45 s).
    pub heartbeat_timeout: Duration,
    /// Refuse the JSON dialect, which is refused with tokens and with TLS in any case. Peers then have to speak from the start, see [`handshake_timeout`](Self::handshake_timeout).
    pub no_json: bool,
    /// Whether to look for news for up to 50 µs before falling asleep, while they have been coming so soon: what wakes a
    /// sleeping thread takes longer than all that the manager does for a job.
    pub busy_poll: BusyPolling,
    /// Who may come in; `None`: everybody. With tokens the JSON dialect, which has none, is refused.
    pub tokens: Option<Tokens>,
    /// Speak TLS and nothing else; `None`: no TLS.
    pub tls: Option<ServerTls>,
    /// Allow an address that others than this machine can reach, also without tokens and TLS.
    pub insecure: bool,
    /// Most connections at a time.
    pub connections_max: u32,
    /// Most connections at a time from one address.
    pub connections_per_address_max: u32,
    /// A handshake is complete so long after its first byte (with `no_json`: after the connection was accepted).
    pub handshake_timeout: Duration,
    /// What has begun to come makes progress within this time, and comes at 16 KiB/s or faster after it.
    pub frame_timeout: Duration,
    /// With so many bytes waiting for a peer, nothing new is begun for it.
    pub outbox_pause_bytes: u64,
    /// A peer for which bytes wait and that takes none for so long is dropped.
    pub outbox_stall: Duration,
    /// A peer for which more bytes wait is dropped.
    pub outbox_bytes_max: u64,
    /// When more bytes wait for all peers together, the one for which the most wait is dropped.
    pub outboxes_bytes_max: u64,
    /// When all peers together have begun messages of more bytes, the one that has held the most for the longest is sent away.
    pub incomplete_bytes_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: limits::PORT,
            scheduler: proletariat_scheduler::Config::default(),
            heartbeat: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(15),
            no_json: false,
            busy_poll: BusyPolling::Auto,
            tokens: None,
            tls: None,
            insecure: false,
            connections_max: 16_384,
            connections_per_address_max: 0,
            handshake_timeout: Duration::from_secs(5),
            frame_timeout: Duration::from_secs(30),
            outbox_pause_bytes: 8 << 20,
            outbox_stall: Duration::from_secs(30),
            outbox_bytes_max: 1 << 30,
            outboxes_bytes_max: 4 << 30,
            incomplete_bytes_max: 1 << 30,
        }
    }
}

impl Config {
    /// Whether the settings can be kept.
    pub(super) fn check(&self) -> Result<(), Error> {
        let wrong = |why: &str| Err(Error::Setting(why.into()));
        if self.heartbeat.is_zero() || self.heartbeat_timeout <= self.heartbeat {
            return wrong("heartbeat_timeout must be longer than heartbeat, and heartbeat not zero");
        }
        if self.outbox_bytes_max != 0 && self.outbox_bytes_max < self.outbox_pause_bytes {
            return wrong("max_outbox_bytes must not be below outbox_pause_bytes");
        }
        if self.scheduler.payload_bytes_max > u64::from(u32::MAX) {
            return wrong("max_payload must be below 4 GiB");
        }
        Ok(())
    }

    /// The same within so many file descriptors: each connection is one, and running out of them would keep newcomers waiting
    /// without a word.
    pub(super) fn within(mut self, descriptors: Option<u64>) -> Self {
        let Some(descriptors) = descriptors else { return self };
        let rest = descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        let places = rest - (rest / 4).min(REFUSALS_AT_A_TIME as u64);
        let places = u32::try_from(places).unwrap_or(u32::MAX).max(1);
        if self.connections_max == 0 || self.connections_max > places {
            tracing::warn!(
                descriptors,
                "max_connections is {places}: the limit of file descriptors allows no more"
            );
            self.connections_max = places;
        }
        self
    }

    /// The same as it is kept: what is 0 in here becomes the largest there is, and what one setting takes along is set.
    pub(super) fn in_numbers(mut self) -> Self {
        let time = |bound: &mut Duration| {
            if bound.is_zero() {
                *bound = FOREVER;
            }
        };
        // Whoever has to show something has no reason to be silent.
        self.no_json |= self.tokens.is_some();
        time(&mut self.handshake_timeout);
        time(&mut self.frame_timeout);
        time(&mut self.outbox_stall);
        let count = |bound: &mut u32| *bound = if *bound == 0 { u32::MAX } else { *bound };
        count(&mut self.connections_max);
        count(&mut self.connections_per_address_max);
        let bytes = |bound: &mut u64, most: u64| *bound = if *bound == 0 { most } else { *bound };
        bytes(&mut self.outbox_pause_bytes, u64::MAX);
        bytes(&mut self.outbox_bytes_max, u64::MAX);
        bytes(&mut self.outboxes_bytes_max, u64::MAX);
        bytes(&mut self.incomplete_bytes_max, u64::MAX);
        bytes(&mut self.scheduler.payload_bytes_max, u64::from(u32::MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_kept_is_refused() {
        assert!(Config::default().check().is_ok());
        let short = Config { heartbeat_timeout: Duration::from_secs(5), ..Config::default() };
        assert!(short.check().is_err());
        let small = Config { outbox_bytes_max: 1, ..Config::default() };
        assert!(small.check().is_err());
    }

    #[test]
    fn connections_fit_into_the_descriptors() {
        let within = |connections_max, descriptors| {
            Config { connections_max, ..Config::default() }.within(descriptors).connections_max
        };
        assert_eq!(within(16_384, Some(20_000)), 16_384);
        assert_eq!(within(16_384, Some(1_024)), 936, "64 are for those who are told that there is no place");
        assert_eq!(within(100, Some(64)), 30);
        assert_eq!(within(0, Some(1_024)), 936, "no bound is no more than there are");
        assert_eq!((within(7, Some(4)), within(7, None)), (1, 7));
    }

    #[test]
    fn zero_is_no_bound() {
        let none = Config {
            connections_max: 0,
            outbox_bytes_max: 0,
            outbox_stall: Duration::ZERO,
            ..Config::default()
        };
        assert!(none.check().is_ok());
        let none = none.in_numbers();
        assert_eq!((none.connections_max, none.outbox_bytes_max), (u32::MAX, u64::MAX));
        assert!(none.outbox_stall > Duration::from_secs(1_000_000));
        assert_eq!(none.outbox_pause_bytes, Config::default().outbox_pause_bytes);
    }
}
