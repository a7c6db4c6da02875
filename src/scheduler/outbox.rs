//! How full the outboxes of the peers are, and when the last byte of an assignment has left.
//!
//! A worker's outbox is told to be clear or not, and only when that changes: the bytes of an assignment that was sent through
//! a clear one are gone unless the next word, before another burst ends, is that something waits. So a worker
//! remembers which assignments its last burst brought, and, while something waits, all that have not left yet. The moment is
//! written into the assignment once: how the outbox fares later is of no matter to it.

use crate::deadlines::Alarm;
use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::records::{Assignment, Run};
use crate::tables::{AssignmentKey, PeerKey, Slab};
use alloc::vec::Vec;
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::{AssignmentId, PeerId, Time};

/// A start that is not reported for so long after the last byte left is not believed in any more, in milliseconds.
pub(crate) const START_MILLIS_MAX: u64 = 30_000;
/// So many that may be gone are worth no look.
const SIFT_MIN: usize = 64;

/// Assignments of a worker that may still be on their way out.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// The burst that brought the first of them.
    burst: u64,
    ids: Vec<AssignmentId>,
    sift_at: usize,
}

impl Leaving {
    /// Assignments are about to be given to the worker, in this burst. What can be gone already is forgotten now and then.
    pub(crate) fn begin(&mut self, assignments: &Slab<AssignmentKey, Assignment>, clear: bool, burst: u64) {
        if clear && self.burst != burst {
            self.ids.clear();
            self.burst = burst;
        }
        if unlikely(self.ids.len() >= self.sift_at) {
            self.ids.retain(|id| assignments.get(key_of(*id)).is_some_and(|row| row.id == *id));
            self.sift_at = (2 * self.ids.len()).max(SIFT_MIN);
        }
    }

    /// One of them has been given.
    pub(crate) fn add(&mut self, id: AssignmentId) {
        self.ids.push(id);
    }
}

fn key_of(id: AssignmentId) -> AssignmentKey {
    AssignmentKey((id.0 & u64::from(u32::MAX)) as u32)
}

impl Scheduler {
    pub(crate) fn outbox(&mut self, now: Time, peer: PeerKey, level: OutboxLevel) {
        let before = core::mem::replace(&mut self.peers[peer].level, level);
        let clear = level == OutboxLevel::Clear;
        if clear || before == OutboxLevel::Clear {
            self.leave(now, peer, clear);
        }
        let paused = level == OutboxLevel::Paused;
        if paused != (before == OutboxLevel::Paused) {
            self.weigh(peer);
            self.go_round_lines(peer);
            self.pause_streams(peer, paused);
            if !paused {
                self.wake_unread(peer);
            }
        }
    }

    /// Everything has left, or the last burst has not.
    fn leave(&mut self, now: Time, peer: PeerKey, clear: bool) {
        let Self { peers, assignments, counts, .. } = self;
        let Some(worker) = peers.worker_mut(peer) else { return };
        let leaving = &mut worker.leaving;
        if clear || leaving.burst == counts.bursts {
            for id in &leaving.ids {
                if let Some(row) = assignments.get_mut(key_of(*id)).filter(|row| row.id == *id) {
                    row.left_at = if clear { row.left_at.min(now) } else { Time::NEVER };
                }
            }
        } else {
            leaving.ids.clear();
        }
        if clear {
            leaving.ids.clear();
        }
    }

    /// An assignment was given to a worker that reports starts, and no look at it is due. One look a worker is enough: it is due no later
    /// than the first of its assignments, and the next one is set then.
    pub(crate) fn await_start(&mut self, now: Time, worker: PeerKey) {
        let id = self.peers[worker].id;
        let Some(row) = self.peers.worker_mut(worker) else { return };
        row.start_alarm = now.plus_millis(START_MILLIS_MAX);
        self.deadlines.set(now, row.start_alarm, Alarm::Start { worker: id });
    }

    /// When starts of a worker have to be looked for.
    pub(crate) fn start_alarm(&self, worker: PeerId) -> Option<Time> {
        let row = self.peers.worker(self.peers.find(worker)?)?;
        Some(row.start_alarm).filter(|due| *due != Time::NEVER)
    }

    /// Takes back what is overdue, and looks again when the next one will be.
    pub(crate) fn look_at_starts(&mut self, now: Time, id: PeerId) {
        let Some(worker) = self.peers.find(id) else { return };
        let Some(row) = self.peers.worker(worker) else { return };
        let (mut overdue, mut next) = (Vec::new(), Time::NEVER);
        for &key in &row.assignments {
            match self.start_due(now, key) {
                Some(due) if due <= now => overdue.push(key),
                Some(due) => next = next.min(due),
                None => {}
            }
        }
        if let Some(row) = self.peers.worker_mut(worker) {
            row.start_alarm = next;
        }
        if next != Time::NEVER {
            self.deadlines.set(now, next, Alarm::Start { worker: id });
        }
        for key in overdue {
            self.start_overdue(now, key);
        }
    }

    fn start_due(&self, now: Time, key: AssignmentKey) -> Option<Time> {
        let row = self.assignments.get(key)?;
        if !matches!(row.state, Run::Sent(_)) {
            return None;
        }
        // What has not left yet cannot be due before so long from now.
        let from = if row.left_at == Time::NEVER { now } else { row.left_at };
        Some(from.plus_millis(START_MILLIS_MAX))
    }
}
