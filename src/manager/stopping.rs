//! How a manager ends.
//!
//! ```text
//!   open ── drain ──▶ draining ── nothing runs, or time is up ──▶ leaving ── all have gone, or time is up ──▶ the end
//!     └────────────────────────── stop ───────────────────────────▶┘
//! ```

use super::driver::Driver;
use proletariat_protocol::handshake::Refusal;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{ErrorCode, Time};
use proletariat_scheduler::Event;
use std::time::Duration;

/// Peers may take what still waits for them for so long.
const LEAVING_TIME: Duration = Duration::from_secs(5);
/// When peers may look for a manager again: about the time that a restart takes.
const RETRY_AFTER_MS: u32 = 500;

/// Where a manager stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Open,
    /// What runs may finish.
    Draining {
        until: Time,
    },
    /// Everybody has been told.
    Leaving {
        until: Time,
    },
}

impl Stage {
    /// When it goes on by itself.
    pub(super) fn until(&self) -> Option<Time> {
        match self {
            Self::Open => None,
            Self::Draining { until } | Self::Leaving { until } => Some(*until),
        }
    }

    /// What a new peer is told.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        let refusal = || Refusal {
            code: ErrorCode::Shutdown,
            message: "the manager is stopping".into(),
            retry: true,
            retry_after_ms: RETRY_AFTER_MS,
        };
        (*self != Self::Open).then(refusal)
    }
}

impl Driver {
    /// Takes no new work, lets what runs finish, then leaves. A second call changes nothing.
    pub(super) fn drain(&mut self, time: Duration, now: Time) {
        if self.stage == Stage::Open {
            tracing::info!(?time, "draining");
            self.stage = Stage::Draining { until: now + time };
            self.tell(now, Event::Draining);
        }
    }

    /// Ends in this turn; what the peers take at once still reaches them.
    pub(super) fn stop(&mut self, now: Time) {
        self.leave(now, Duration::ZERO);
    }

    /// The next step of the way out, if it is time for it.
    pub(super) fn go_on_stopping(&mut self, now: Time) {
        if let Stage::Draining { until } = self.stage
            && (now >= until || self.scheduler.assigned() == 0)
        {
            self.leave(now, LEAVING_TIME);
        }
    }

    /// Whether the manager has ended.
    pub(super) fn has_ended(&self, now: Time) -> bool {
        matches!(self.stage, Stage::Leaving { until } if now >= until || self.connections.count() == 0)
    }

    #[cold]
    fn leave(&mut self, now: Time, time: Duration) {
        self.acceptor.close();
        let word = ManagerMessage::Leaving {
            code: ErrorCode::Shutdown,
            message: "the manager is stopping".into(),
            retry: true,
            retry_after_ms: RETRY_AFTER_MS,
        };
        for place in self.connections.all() {
            let Some(session) = self.connections.at(place) else { continue };
            match session.speaker {
                Some(_) => self.see_off(place, &word, time, now),
                None if session.outgoing.bytes() == 0 => self.lose(place, now, None),
                None => {}
            }
        }
        self.stage = Stage::Leaving { until: now + time };
    }
}
