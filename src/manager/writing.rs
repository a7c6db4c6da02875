//! What goes out: actions of the scheduler become messages, and each connection that got some is written once a turn.

#[cfg(test)]
use super::boundary::faults;
use super::boundary::{contain, vital};
use super::driver::Driver;
use super::liveness::Phase;
use super::outgoing::Flushed;
use super::translate::{self, Word};
use crate::net::Order;
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{Payload, PeerId, Time};
use proletariat_scheduler::{Action, Event, MANAGER, OutboxLevel, Parcel, Scheduler};
use std::mem;
use std::task::{Context, Poll};

/// Why a peer that does not read is lost.
const OVERFULL: &str = "more waited for it than max_outbox_bytes";

impl Driver {
    /// Does what the scheduler wants.
    #[inline]
    pub(super) fn act(&mut self, action: &Action<Parcel>, now: Time) {
        match action {
            Action::Assign(assign) => {
                let Some((place, session)) = self.connections.of(assign.worker) else { return };
                if unlikely(session.json.is_some()) {
                    return self.assign_json(place, assign, now);
                }
                let bytes = shown(&self.scheduler, assign.payload);
                let execution = translate::execution(assign, bytes);
                let payload = || given(&self.scheduler, assign.payload);
                session.outgoing.push_execution(&execution, bytes, payload, &mut self.pool);
                if !mem::replace(&mut session.touched, true) {
                    self.touched.push(place);
                }
            }
            &Action::Deliver { client, job, ref outcome } => {
                let Some((place, session)) = self.connections.of(client) else { return };
                if unlikely(session.json.is_some()) {
                    return self.deliver_json(place, job, outcome);
                }
                let parcel = *outcome.payload();
                let bytes = shown(&self.scheduler, parcel);
                #[cfg(test)]
                faults::say(bytes);
                let outcome = translate::outcome(job, outcome, bytes);
                let payload = || given(&self.scheduler, parcel);
                session.outgoing.push_outcome(outcome, bytes, payload, &mut self.pool);
                if !mem::replace(&mut session.touched, true) {
                    self.touched.push(place);
                }
            }
            Action::Notice(notice) => vital(|| {
                if !self.notices.send(notice.clone()) {
                    self.scheduler.want_notices(false);
                }
            }),
            Action::ReleaseMemory => vital(|| self.release_memory()),
            &Action::Disconnect { peer, code, ref message, retry } => {
                let Some(place) = self.connections.find(peer) else { return };
                if self.acceptor.may_log(now) {
                    tracing::info!(%peer, %code, message, "a session was ended");
                }
                let message = message.clone();
                let word = ManagerMessage::Leaving { code, message, retry, retry_after_ms: 0 };
                self.send_away(place, &word, now);
            }
            &Action::SystemReport { to: MANAGER, id, sent_to, received_by } => {
                if let Some(report) = self.reports.remove(&id) {
                    // Who asked may have stopped waiting.
                    let _ = report.send((sent_to, received_by));
                }
            }
            other => {
                if let Some(word) = translate::say(other) {
                    self.say(&word);
                }
            }
        }
    }

    fn say(&mut self, word: &Word) {
        let Some((place, session)) = self.connections.of(word.to) else { return };
        let payloads = word.payload.as_slice();
        session.say(&word.message, payloads, word.order, &mut self.pool);
        self.touch(place);
    }

    /// A message of the driver's own for a session that may be over by now.
    pub(super) fn send(&mut self, peer: PeerId, message: ManagerMessage, payload: Payload) {
        self.say(&Word { to: peer, message, payload: Some(payload), order: Order::Free });
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self, place: u32) {
        let Some(session) = self.connections.at(place).filter(|session| session.speaker.is_some()) else {
            // Nobody knows yet what it speaks.
            return;
        };
        session.say(&ManagerMessage::Ping, &[], Order::Free, &mut self.pool);
        self.touch(place);
    }

    /// Has a connection flushed in this turn. One that speaks JSON only at the end of it: its answers tell what became of jobs in
    /// this step, and that is known when all has been said.
    pub(super) fn touch(&mut self, place: u32) {
        if let Some(session) = self.connections.at(place)
            && !session.touched
        {
            session.touched = true;
            if unlikely(session.json.is_some()) {
                self.touched_later.push(place);
            } else {
                self.touched.push(place);
            }
        }
    }

    /// Writes each connection that got something once.
    pub(super) fn flush_touched(&mut self, now: Time) {
        let mut touched = mem::take(&mut self.touched);
        // The last first: a turn assigns after it has delivered, and slots are empty until a worker hears of it. Whoever wakes
        // from that finds what comes to others as well.
        for place in touched.drain(..).rev() {
            self.flush(place, now);
        }
        // What a loss during the flush has touched waits for the next turn, which follows at once then.
        mem::swap(&mut self.touched, &mut touched);
        self.touched.append(&mut touched);
    }

    /// Ends those for whom more waits than their bound, before all of this turn is said.
    #[cold]
    pub(super) fn lose_the_overfull(&mut self, now: Time) {
        let most = self.config.outbox_bytes_max;
        let touched = [self.touched.clone(), self.touched_later.clone()].concat();
        for place in touched {
            let waiting = self.connections.at(place).map_or(0, |session| session.outgoing.bytes() as u64);
            if waiting > most {
                self.lose(place, now, Some(OVERFULL));
            }
        }
    }

    fn flush(&mut self, place: u32, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        session.touched = false;
        let waited = session.level != OutboxLevel::Clear;
        let flushed = contain(|| {
            #[cfg(test)]
            faults::write();
            session.seal(&mut self.pool);
            let mut cx = Context::from_waker(&session.waker);
            session.outgoing.flush(&mut session.stream, &mut cx)
        });
        let (flushed, took) = match flushed {
            Ok(flushed) => flushed,
            Err(panic) => return self.broke(place, &panic, now),
        };
        if took || !waited {
            session.liveness.taken(now);
        }
        match flushed {
            Flushed::All if likely(!matches!(session.liveness.phase, Phase::Closing(_))) => {}
            Flushed::All => return self.shut(place, now),
            Flushed::Lost(error) => {
                tracing::debug!(%error, "a write failed");
                return self.lose(place, now, None);
            }
            Flushed::More if !session.unfinished => {
                session.unfinished = true;
                self.unfinished.push(place);
            }
            Flushed::Blocked | Flushed::More => {}
        }
        let waiting = session.outgoing.bytes() as u64;
        if unlikely(waiting > self.config.outbox_bytes_max) {
            return self.lose(place, now, Some(OVERFULL));
        }
        if self.count_outbox(place, waiting, now) {
            self.tell_level(place, waiting, now);
        }
    }

    /// All has been written to a connection that is closing: no more is sent, and what still comes is read and dropped,
    /// so that the system does not cut off what the peer has not read yet.
    #[cold]
    fn shut(&mut self, place: u32, now: Time) {
        let Some(session) = self.connections.at(place) else { return };
        if session.shut {
            return;
        }
        let mut cx = Context::from_waker(&session.waker);
        match session.stream.poll_shutdown(&mut cx) {
            Poll::Ready(Ok(())) if !session.ended => session.shut = true,
            Poll::Ready(_) => self.lose(place, now, None),
            Poll::Pending => session.outgoing.hold_back(),
        }
    }

    /// Tells the scheduler how full an outbox is, when that has changed; so many bytes were left by the last write.
    pub(super) fn tell_level(&mut self, place: u32, waiting: u64, now: Time) {
        let pause = self.config.outbox_pause_bytes;
        let Some(session) = self.connections.at(place) else { return };
        let passed = if likely(waiting == 0) { 0 } else { session.passed_bytes(now) };
        let counted = waiting.saturating_sub(passed);
        let level = match session.level {
            _ if likely(waiting == 0) => OutboxLevel::Clear,
            OutboxLevel::Paused if counted > pause / 2 => OutboxLevel::Paused,
            _ if counted > pause => OutboxLevel::Paused,
            _ => OutboxLevel::Waiting,
        };
        let before = mem::replace(&mut session.level, level);
        if unlikely(passed > 0 && waiting > pause) {
            // If it takes no more, there may be nothing that is written to it, and nothing else to find that out.
            let until = session.liveness.taking_until();
            self.connections.look_at(place, until);
        }
        if likely(level == before) {
            return;
        }
        let stalls = now + self.clocks.outbox_stall;
        if let Some(speaker) = self.connections.at(place).and_then(|session| session.speaker) {
            self.tell(now, Event::Outbox { peer: speaker.peer, level });
        }
        if level != OutboxLevel::Clear {
            self.connections.look_at(place, stalls);
        }
    }
}

/// The bytes that an action names. They are the scheduler's: if it cannot show them, nothing else it says can be trusted.
#[inline]
fn shown(scheduler: &Scheduler, parcel: Parcel) -> &[u8] {
    vital(|| {
        let bytes = scheduler.bytes(parcel);
        #[cfg(test)]
        faults::show(bytes);
        bytes
    })
}

/// The same with a buffer of their own.
pub(super) fn given(scheduler: &Scheduler, parcel: Parcel) -> Payload {
    vital(|| {
        let payload = scheduler.payload(parcel);
        #[cfg(test)]
        faults::give(&payload);
        payload
    })
}
