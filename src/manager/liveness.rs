//! Whether a connection is still worth its place.
//!
//! ```text
//!   silent ── first byte ──▶ greeting ── handshake ──▶ open ── leaves, is refused or breaks the rules ──▶ closing
//! ```
//!
//! Where JSON is spoken, silence is legal: such a connection becomes a session of that dialect (`dialect`) and has its clocks.
//!
//! Receiving and sending write down a time and nothing else. Each connection stands in the `agenda` once, and when it is
//! due it is looked at: that look finds out what has become of it, and when the next look is due. So a connection costs
//! a few looks a heartbeat, however many messages it carries.
//!
//! A manager that was stopped for a while (a debugger, a suspended machine) has heard nobody in that time, and that is
//! nobody's fault: all clocks in here start anew after it (`floor`).

use crate::net::inbox::Incomplete;
use proletariat_protocol::Time;
use std::time::Duration;

/// What comes slower than this, once `frame_timeout` has passed, is not worth waiting for.
const FRAME_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// A peer that took something within this time is not one that has stopped reading. What goes to it in the meantime is little; slow
/// networks take a piece of some tens of KiB with long pauses.
const TAKING: Duration = Duration::from_secs(1);

/// The clocks of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) heartbeat: Duration,
    pub(super) heartbeat_timeout: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) frame_timeout: Duration,
    pub(super) outbox_stall: Duration,
    /// Whether a connection may be silent until it speaks.
    pub(super) silence_allowed: bool,
}

impl Clocks {
    /// An open session is looked at this often at least: that is how exactly `frame_timeout` is kept.
    pub(super) fn between_looks(&self) -> Duration {
        self.heartbeat.min(self.frame_timeout / 4)
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nothing came yet.
    Silent,
    /// Something came; the handshake is not complete.
    Greeting,
    /// A session.
    Open,
    /// All has been said; closed at this time at the latest.
    Closing(Time),
}

/// What the clocks of one connection need to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liveness {
    pub(super) phase: Phase,
    /// When the phase began.
    since: Time,
    heard: Time,
    pinged: bool,
    /// When the peer last took bytes, or when bytes began to wait.
    taken: Time,
    /// The number of complete frames, and when it was first seen with an incomplete one behind it.
    stuck: Option<(u64, Time)>,
    /// The same for a message in fragments: how many of those were complete, all bytes received by then, and when.
    stuck_message: Option<(u64, u64, Time)>,
}

/// What a look found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing to do until then.
    Fine(Time),
    /// Ask for a sign of life; look again then.
    Ping(Time),
    /// Over.
    Over(Cause),
}

/// Why a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    /// It has been said why already.
    Closed,
    /// No handshake in time.
    Handshake,
    /// Silent for too long.
    Silent,
    /// What has begun to come does not get on.
    Frame,
    /// It takes nothing.
    Stall,
}

impl Liveness {
    pub(super) fn new(now: Time) -> Self {
        Self {
            phase: Phase::Silent,
            since: now,
            heard: now,
            pinged: false,
            taken: now,
            stuck: None,
            stuck_message: None,
        }
    }

    /// When the phase began.
    pub(super) fn since(&self) -> Time {
        self.since
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, now: Time) {
        self.heard = now;
        self.pinged = false;
    }

    /// The peer took bytes, or bytes began to wait for it.
    pub(super) fn taken(&mut self, now: Time) {
        self.taken = now;
    }

    /// Until when the peer is one that reads: it took bytes a moment ago, or only now has bytes to take.
    pub(super) fn taking_until(&self) -> Time {
        self.taken + TAKING
    }

    /// Whether it has said nothing for so long.
    pub(super) fn is_silent_since(&self, floor: Time, now: Time, time: Duration) -> bool {
        self.phase == Phase::Silent && now >= self.since.max(floor) + time
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Time) {
        self.phase = phase;
        self.since = now;
    }

    /// How it stands with a connection that has this incomplete and so many bytes waiting for it. Nothing before
    /// `floor` counts against it.
    pub(super) fn look(
        &mut self,
        now: Time,
        floor: Time,
        clocks: &Clocks,
        incomplete: Option<Incomplete>,
        waiting: bool,
    ) -> Verdict {
        let since = self.since.max(floor);
        match self.phase {
            // Silence is a JSON peer's way to listen.
            Phase::Silent if clocks.silence_allowed => {
                self.look_at_session(now, floor, clocks, incomplete, waiting)
            }
            Phase::Silent | Phase::Greeting => due(now, since + clocks.handshake_timeout, Cause::Handshake),
            Phase::Closing(until) => due(now, until, Cause::Closed),
            Phase::Open => self.look_at_session(now, floor, clocks, incomplete, waiting),
        }
    }

    fn look_at_session(
        &mut self,
        now: Time,
        floor: Time,
        clocks: &Clocks,
        incomplete: Option<Incomplete>,
        waiting: bool,
    ) -> Verdict {
        let mut next = now + clocks.between_looks();
        if waiting {
            let stalled = self.taken.max(floor) + clocks.outbox_stall;
            if now >= stalled {
                return Verdict::Over(Cause::Stall);
            }
            next = next.min(stalled);
        }
        let message = incomplete.and_then(|incomplete| incomplete.fragmented);
        if self.stuck(now, floor, clocks, incomplete) || self.stuck_message(now, floor, clocks, message) {
            return Verdict::Over(Cause::Frame);
        }
        let heard = self.heard.max(floor);
        if now >= heard + clocks.heartbeat_timeout {
            return Verdict::Over(Cause::Silent);
        }
        if now < heard + clocks.heartbeat {
            return Verdict::Fine(next.min(heard + clocks.heartbeat));
        }
        next = next.min(heard + clocks.heartbeat_timeout);
        if self.pinged {
            return Verdict::Fine(next);
        }
        self.pinged = true;
        Verdict::Ping(next)
    }

    /// Whether a frame or a message in fragments has begun and does not get on. Looks are rare, so it is given up to one
    /// look more than its time.
    fn stuck(&mut self, now: Time, floor: Time, clocks: &Clocks, incomplete: Option<Incomplete>) -> bool {
        let Some(incomplete) = incomplete else {
            self.stuck = None;
            return false;
        };
        let since = match self.stuck {
            Some((frames, since)) if frames == incomplete.frames => since.max(floor),
            _ => {
                self.stuck = Some((incomplete.frames, now));
                now
            }
        };
        is_too_slow(now.since(since), incomplete.bytes as u64, clocks)
    }

    /// Whether a message in fragments is under way while too little is received, whatever it is. Each `frame_timeout` is
    /// counted for itself: who was fast at first has earned no rest.
    fn stuck_message(
        &mut self,
        now: Time,
        floor: Time,
        clocks: &Clocks,
        message: Option<(u64, u64)>,
    ) -> bool {
        let Some((complete, received)) = message else {
            self.stuck_message = None;
            return false;
        };
        let (since, before) = match self.stuck_message {
            // A stall of the manager forgives what came before it, so the bytes are counted anew, too.
            Some((known, before, since)) if known == complete && since >= floor => (since, before),
            _ => {
                self.stuck_message = Some((complete, received, now));
                (now, received)
            }
        };
        let too_slow = is_too_slow(now.since(since), received - before, clocks);
        if now.since(since) >= clocks.frame_timeout {
            self.stuck_message = Some((complete, received, now));
        }
        too_slow
    }
}

fn is_too_slow(waited: Duration, bytes: u64, clocks: &Clocks) -> bool {
    let due_bytes = waited.as_secs().saturating_mul(FRAME_BYTES_PER_SECOND_MIN);
    waited >= clocks.frame_timeout && bytes < due_bytes.max(1)
}

fn due(now: Time, at: Time, cause: Cause) -> Verdict {
    if now >= at { Verdict::Over(cause) } else { Verdict::Fine(at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS: Clocks = Clocks {
        heartbeat: Duration::from_secs(5),
        heartbeat_timeout: Duration::from_secs(15),
        handshake_timeout: Duration::from_secs(5),
        frame_timeout: Duration::from_secs(30),
        outbox_stall: Duration::from_secs(30),
        silence_allowed: true,
    };

    fn seconds(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn open() -> Liveness {
        let mut liveness = Liveness::new(Time::ZERO);
        liveness.enter(Phase::Open, Time::ZERO);
        liveness
    }

    fn look(liveness: &mut Liveness, at: u64, incomplete: Option<Incomplete>, waiting: bool) -> Verdict {
        liveness.look(seconds(at), Time::ZERO, &CLOCKS, incomplete, waiting)
    }

    #[test]
    fn a_silent_session_is_asked_once_and_then_given_up() {
        let mut session = open();
        assert_eq!(look(&mut session, 4, None, false), Verdict::Fine(seconds(5)));
        assert_eq!(look(&mut session, 5, None, false), Verdict::Ping(seconds(10)));
        assert_eq!(look(&mut session, 10, None, false), Verdict::Fine(seconds(15)));
        assert_eq!(look(&mut session, 15, None, false), Verdict::Over(Cause::Silent));
        session.heard(seconds(14));
        assert_eq!(look(&mut session, 15, None, false), Verdict::Fine(seconds(19)));
        assert_eq!(look(&mut session, 19, None, false), Verdict::Ping(seconds(24)));
    }

    #[test]
    fn a_stall_of_the_manager_is_nobodys_fault() {
        let mut session = open();
        let woken = seconds(25);
        let verdict = session.look(woken, woken, &CLOCKS, None, true);
        assert_eq!(verdict, Verdict::Fine(seconds(30)));
        assert_eq!(session.look(seconds(40), woken, &CLOCKS, None, false), Verdict::Over(Cause::Silent));
    }

    #[test]
    fn handshakes_have_a_clock_from_the_first_byte_or_from_the_start() {
        let mut fresh = Liveness::new(Time::ZERO);
        assert_eq!(look(&mut fresh, 4, None, false), Verdict::Fine(seconds(5)), "it is a JSON peer, perhaps");
        assert!(!fresh.is_silent_since(Time::ZERO, seconds(1), Duration::from_secs(2)));
        assert!(fresh.is_silent_since(Time::ZERO, seconds(2), Duration::from_secs(2)));
        assert!(!fresh.is_silent_since(seconds(9), seconds(10), Duration::from_secs(2)), "after a stall");
        let strict = Clocks { silence_allowed: false, ..CLOCKS };
        let verdict = fresh.look(seconds(5), Time::ZERO, &strict, None, false);
        assert_eq!(verdict, Verdict::Over(Cause::Handshake));
        fresh.enter(Phase::Greeting, seconds(1_000));
        assert_eq!(look(&mut fresh, 1_004, None, false), Verdict::Fine(seconds(1_005)));
        assert_eq!(look(&mut fresh, 1_005, None, false), Verdict::Over(Cause::Handshake));
    }

    #[test]
    fn who_takes_nothing_is_dropped() {
        let mut session = open();
        session.heard(seconds(29));
        assert_eq!(look(&mut session, 29, None, true), Verdict::Fine(seconds(30)));
        session.taken(seconds(29));
        session.heard(seconds(58));
        assert_eq!(look(&mut session, 58, None, true), Verdict::Fine(seconds(59)));
        assert_eq!(look(&mut session, 59, None, true), Verdict::Over(Cause::Stall));
    }

    #[test]
    fn a_frame_gets_on_or_its_sender_goes() {
        let mut session = open();
        let incomplete = |frames, bytes| Some(Incomplete { frames, bytes, fragmented: None });
        for at in 0..30 {
            session.heard(seconds(at));
            assert!(matches!(look(&mut session, at, incomplete(1, 1), false), Verdict::Fine(_)));
        }
        session.heard(seconds(30));
        assert!(matches!(look(&mut session, 30, incomplete(1, 30 * 16 * 1024), false), Verdict::Fine(_)));
        assert!(matches!(look(&mut session, 30, incomplete(2, 1), false), Verdict::Fine(_)), "progress");
        session.heard(seconds(60));
        assert_eq!(look(&mut session, 60, incomplete(2, 1_000), false), Verdict::Over(Cause::Frame));
    }

    #[test]
    fn a_message_in_fragments_gets_on_whatever_its_frames_are() {
        let mut session = open();
        let drip = |frames, complete, received| {
            Some(Incomplete { frames, bytes: 0, fragmented: Some((complete, received)) })
        };
        for at in 0..30 {
            session.heard(seconds(at));
            assert!(matches!(look(&mut session, at, drip(at, 1, at), false), Verdict::Fine(_)));
        }
        session.heard(seconds(30));
        let fast = 30 * FRAME_BYTES_PER_SECOND_MIN;
        assert!(matches!(look(&mut session, 30, drip(30, 1, fast), false), Verdict::Fine(_)), "it gets on");
        assert!(
            matches!(look(&mut session, 30, drip(30, 2, 30), false), Verdict::Fine(_)),
            "one is complete"
        );
        session.heard(seconds(60));
        assert_eq!(look(&mut session, 60, drip(60, 2, 60), false), Verdict::Over(Cause::Frame));
    }

    #[test]
    fn who_was_fast_at_first_has_earned_no_rest() {
        let mut session = open();
        let most = 80 * 1024 * 1024;
        let drip = |frames, received| Some(Incomplete { frames, bytes: 0, fragmented: Some((1, received)) });
        assert!(matches!(look(&mut session, 0, drip(0, 0), false), Verdict::Fine(_)));
        for at in 1..30 {
            session.heard(seconds(at));
            assert!(matches!(look(&mut session, at, drip(at, most), false), Verdict::Fine(_)));
        }
        session.heard(seconds(30));
        assert!(matches!(look(&mut session, 30, drip(30, most), false), Verdict::Fine(_)), "it was fast");
        session.heard(seconds(60));
        assert_eq!(look(&mut session, 60, drip(60, most + 1_000), false), Verdict::Over(Cause::Frame));
    }
}
