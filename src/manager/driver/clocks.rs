//! The clocks of a turn: whether they have to wait for what is unread, and what becomes of a connection when one of its own is due.
//!
//! They only fire when nothing that was received before is left unread: when one is due, the sockets are looked at once
//! more first, and after a stall of the manager so often until nothing is ready.

use super::Driver;
use crate::manager::liveness::{Cause, Verdict};
use proletariat_protocol::Time;
use proletariat_scheduler::OutboxLevel;
use std::hint::cold_path;

/// A clock that is due for so long when it is looked at tells that the manager was stopped.
const STALL_MICROS: u64 = 1_000_000;
/// Turns that clocks wait for unread input after a stall. Each brings the news of [`TURN_SOCKETS`](super::TURN_SOCKETS).
const CATCH_UP_TURNS: u32 = 32;

impl Driver {
    /// Whether a clock is due while there may be something unread that came before.
    pub(super) fn clocks_have_to_wait(&mut self, now: Time, input: bool) -> bool {
        // The scheduler uses the beginning of time for work that is left over.
        let scheduler = self.scheduler.next_deadline().filter(|due| *due > Time::ZERO);
        let due = Time::earliest([scheduler, self.connections.agenda.next()]);
        let Some(due) = due.filter(|due| *due <= now) else {
            self.waited = 0;
            return false;
        };
        cold_path();
        let stalled = now.0 - due.0 > STALL_MICROS;
        if stalled {
            self.floor = now;
        }
        let most = if stalled || self.waited > 1 { CATCH_UP_TURNS } else { 1 };
        let wait = self.waited < most && (input || self.waited == 0);
        self.waited = if wait { self.waited + 1 } else { 0 };
        wait
    }

    /// Looks at the connections whose appointment is due.
    pub(super) fn look_at_connections(&mut self, now: Time) {
        while let Some(place) = self.connections.pop_due(now) {
            self.look_at_connection(place, now);
        }
    }

    #[cold]
    fn look_at_connection(&mut self, place: u32, now: Time) {
        self.detoured = true;
        self.look_at_silence(place, now);
        let Some(session) = self.connections.at(place) else { return };
        // Of what this turn has put there nothing has been written yet: what the last write has left is what waits.
        let waiting = session.level != OutboxLevel::Clear;
        let incomplete = session.incomplete();
        let mut clocks = session.json.as_ref().map_or(self.clocks, |json| json.clocks(&self.clocks));
        clocks.silence_allowed = session.may_speak_json;
        let verdict = session.liveness.look(now, self.floor, &clocks, incomplete, waiting);
        let left = session.holding.outbox_bytes;
        match verdict {
            Verdict::Fine(next) => self.connections.look_at(place, next),
            Verdict::Ping(next) => {
                self.connections.look_at(place, next);
                self.ping(place);
            }
            Verdict::Over(cause) => return self.over(place, cause, now),
        }
        if waiting {
            self.tell_level(place, left, now);
        }
    }

    fn over(&mut self, place: u32, cause: Cause, now: Time) {
        let why = match cause {
            Cause::Closed => return self.lose(place, now, None),
            Cause::Handshake => return self.refuse_silently(place, now),
            Cause::Silent => "it was silent for longer than heartbeat_timeout",
            Cause::Frame => "what it began to send did not get on within frame_timeout",
            Cause::Stall => "it took nothing for longer than outbox_stall",
        };
        self.lose(place, now, Some(why));
    }
}
