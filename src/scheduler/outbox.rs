//! How full the outboxes of the peers are, and when the last byte of an assignment has left.
//!
//! A worker's outbox is told to be clear or not, and only when that changes: the bytes of an assignment that was sent through
//! a clear one are gone unless the next word, before another burst ends, is that something waits. So a worker
//! remembers which assignments its last burst brought, and, while something waits, all that have not left yet. The moment is
//! written into the assignment once: how the outbox fares later is of no matter to it.

use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::records::Run;
use crate::tables::{AssignmentKey, PeerKey};
use alloc::vec::Vec;
use proletariat_protocol::{AssignmentId, Time};

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
}

fn key_of(id: AssignmentId) -> AssignmentKey {
    AssignmentKey((id.0 & u64::from(u32::MAX)) as u32)
}

impl Scheduler {
    /// An assignment has been given to a worker.
    pub(crate) fn sets_out(&mut self, now: Time, worker: PeerKey, key: AssignmentKey) {
        let Self { peers, assignments, counts, .. } = self;
        let clear = peers[worker].level == OutboxLevel::Clear;
        let row = peers.worker_mut(worker).expect("it has just got an assignment");
        let (leaving, held) = (&mut row.leaving, row.assignments.len());
        if clear && leaving.burst != counts.bursts {
            leaving.ids.clear();
            leaving.burst = counts.bursts;
        }
        if leaving.ids.len() >= SIFT_MIN.max(held.saturating_mul(2)) {
            leaving.ids.retain(|id| assignments.get(key_of(*id)).is_some_and(|row| row.id == *id));
        }
        let row = &mut assignments[key];
        leaving.ids.push(row.id);
        row.left_at = if clear { now } else { Time::NEVER };
    }

    pub(crate) fn outbox(&mut self, now: Time, peer: PeerKey, level: OutboxLevel) {
        let before = core::mem::replace(&mut self.peers[peer].level, level);
        let clear = level == OutboxLevel::Clear;
        if clear || before == OutboxLevel::Clear {
            self.leave(now, peer, clear);
        }
        let paused = level == OutboxLevel::Paused;
        if paused != (before == OutboxLevel::Paused) {
            self.weigh(peer);
            self.detach_lines(peer, paused);
            self.pause_streams(peer, paused);
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

    pub(crate) fn start_due(&self, now: Time, key: AssignmentKey, id: AssignmentId) -> Option<Time> {
        let row = self.assignments.get(key).filter(|row| row.id == id)?;
        if !matches!(row.state, Run::Sent(_)) {
            return None;
        }
        // What has not left yet cannot be due before so long from now.
        let from = if row.left_at == Time::NEVER { now } else { row.left_at };
        Some(from.plus_millis(START_MILLIS_MAX))
    }
}
