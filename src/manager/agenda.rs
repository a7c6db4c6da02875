//! When which connection is to be looked at: each has one appointment that counts.

use super::liveness::Clocks;
use proletariat_protocol::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Looks are gathered, so that thousands of idle connections wake the manager a few times a second.
const TICK_MICROS_MAX: u64 = 100_000;

/// When which connection is to be looked at.
#[derive(Debug)]
pub(super) struct Agenda {
    entries: BinaryHeap<Reverse<(Time, u64, u32)>>,
    tick_micros: u64,
}

/// One connection's place in the agenda: only the entry with this time counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appointment(Time);

impl Appointment {
    pub(super) const NONE: Self = Self(Time::NEVER);
}

impl Agenda {
    pub(super) fn new(clocks: &Clocks) -> Self {
        let shortest =
            clocks.heartbeat.min(clocks.handshake_timeout).min(clocks.frame_timeout).min(clocks.outbox_stall);
        let tick = u64::try_from(shortest.as_micros() / 8).unwrap_or(TICK_MICROS_MAX);
        Self { entries: BinaryHeap::new(), tick_micros: tick.clamp(1_000, TICK_MICROS_MAX) }
    }

    /// Looks at a connection at this time, unless an earlier look is due anyway.
    pub(super) fn at_latest(&mut self, time: Time, place: u32, serial: u64, appointment: &mut Appointment) {
        if time < appointment.0 {
            let time = Time(time.0.div_ceil(self.tick_micros).saturating_mul(self.tick_micros));
            *appointment = Appointment(time);
            self.entries.push(Reverse((time, serial, place)));
        }
    }

    /// The next connection that is due, with the time of its entry; see [`Self::keeps`].
    pub(super) fn pop_due(&mut self, now: Time) -> Option<(Time, u64, u32)> {
        let due = self.entries.peek().is_some_and(|Reverse((time, ..))| *time <= now);
        if due { self.entries.pop().map(|Reverse(entry)| entry) } else { None }
    }

    /// Whether an entry is the connection's latest appointment; if so, it has none from now on.
    pub(super) fn keeps(time: Time, appointment: &mut Appointment) -> bool {
        let keeps = appointment.0 == time;
        if keeps {
            *appointment = Appointment::NONE;
        }
        keeps
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.entries.peek().map(|Reverse((time, ..))| *time)
    }

    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to(self.entries.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[test]
    fn only_the_last_appointment_counts() {
        let mut agenda = Agenda::new(&CLOCKS);
        let mut appointment = Appointment::NONE;
        agenda.at_latest(seconds(9), 1, 7, &mut appointment);
        agenda.at_latest(seconds(12), 1, 7, &mut appointment);
        agenda.at_latest(seconds(3), 1, 7, &mut appointment);
        assert_eq!(agenda.pop_due(seconds(2)), None);
        let (time, serial, place) = agenda.pop_due(seconds(3)).unwrap();
        assert_eq!((serial, place), (7, 1));
        assert!(Agenda::keeps(time, &mut appointment));
        let (stale, ..) = agenda.pop_due(seconds(20)).unwrap();
        assert!(!Agenda::keeps(stale, &mut appointment));
        assert_eq!(agenda.next(), None);
    }
}
