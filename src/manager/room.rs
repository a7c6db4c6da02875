//! Memory that all connections share: for what has begun to come and is not complete, and for what waits to be read.
//!
//! Each connection has bounds of its own, and there may be thousands of connections. So the sums have bounds, too. When one is
//! passed, somebody has to go, and not the one whose bytes came last: whoever has had the most for the longest, or has the most
//! to read. A peer that sends and reads at a usual pace holds little for moments.

use super::driver::Driver;
use super::session::{Connections, Session};
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{ErrorCode, Time};

/// Whoever had to go may try again after this time.
const RETRY_AFTER_MS: u32 = 1_000;

/// What one connection holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Holding {
    incomplete_bytes: u64,
    /// Since when, without a message that was completed.
    since: Time,
    pub(super) outbox_bytes: u64,
}

/// What all of them hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub(super) incomplete_bytes: u64,
    pub(super) outbox_bytes: u64,
}

impl Held {
    /// A connection is gone.
    pub(super) fn forget(&mut self, holding: Holding) {
        self.incomplete_bytes -= holding.incomplete_bytes;
        self.outbox_bytes -= holding.outbox_bytes;
    }
}

impl Driver {
    /// Counts what a connection holds of messages that are not complete.
    pub(super) fn count_incomplete(&mut self, place: u32, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        let (bytes, before) = (session.incomplete_bytes(), session.holding.incomplete_bytes);
        if likely(bytes == before) {
            return;
        }
        if before == 0 || bytes < before {
            session.holding.since = now;
        }
        session.holding.incomplete_bytes = bytes;
        let held = &mut self.connections.held;
        held.incomplete_bytes = held.incomplete_bytes - before + bytes;
        while self.connections.held.incomplete_bytes > self.config.incomplete_bytes_max {
            let weight = |holding: &Holding| {
                u128::from(holding.incomplete_bytes)
                    * u128::from(now.since(holding.since).as_micros() as u64 + 1)
            };
            let Some(heaviest) = self.connections.heaviest(weight) else { return };
            self.turn_away(heaviest, now);
        }
    }

    /// Counts what waits to be read by a peer. True if the peer is still there.
    pub(super) fn count_outbox(&mut self, place: u32, bytes: u64, now: Time) -> bool {
        let Some(session) = self.connections.at(place) else { return false };
        let before = std::mem::replace(&mut session.holding.outbox_bytes, bytes);
        let held = &mut self.connections.held;
        held.outbox_bytes = held.outbox_bytes - before + bytes;
        while unlikely(self.connections.held.outbox_bytes > self.config.outboxes_bytes_max) {
            let Some(heaviest) = self.connections.heaviest(|holding| holding.outbox_bytes.into()) else {
                break;
            };
            self.lose(heaviest, now, Some("it had the most to read when max_outboxes_bytes was reached"));
        }
        self.connections.at(place).is_some()
    }

    /// Ends a session because of what it holds, and lets go of that.
    #[cold]
    fn turn_away(&mut self, place: u32, now: Time) {
        let most = self.config.incomplete_bytes_max;
        tracing::info!(most, "max_incomplete_bytes is reached: a session that held much for long was ended");
        let word = ManagerMessage::Leaving {
            code: ErrorCode::Overload,
            message: format!(
                "it held the most of what is not complete when max_incomplete_bytes ({most}) was reached"
            ),
            retry: true,
            retry_after_ms: RETRY_AFTER_MS,
        };
        self.part(place, now);
        self.send_away(place, &word, now);
        let payload_bytes_max = self.config.scheduler.payload_bytes_max;
        let Some(session) = self.connections.at(place) else { return };
        session.forget_incomplete(payload_bytes_max);
        let bytes = std::mem::take(&mut session.holding.incomplete_bytes);
        self.connections.held.incomplete_bytes -= bytes;
        self.given_up += 1;
    }
}

impl<C: Send + 'static> Connections<C> {
    /// The place of the connection with the greatest weight, if any has one.
    fn heaviest(&self, weight: impl Fn(&Holding) -> u128) -> Option<u32> {
        let weighed =
            self.iter().map(|(place, session): (u32, &Session<C>)| (weight(&session.holding), place));
        weighed.filter(|(weight, _)| *weight > 0).max().map(|(_, place)| place)
    }
}
