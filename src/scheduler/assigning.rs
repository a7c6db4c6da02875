//! Assignments: the one place where a slot is taken, and the one where it is given back.

use crate::action::{Action, Assign, Notice, made_in_place};
use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::passing::Parcel;
use crate::records::{Assignment, Place, Run};
use crate::tables::{AssignmentKey, ExecutionKey, PeerKey};
use core::time::Duration;
use proletariat_protocol::{AssignmentId, Time};

impl Scheduler {
    /// Gives an execution to a worker that has room for it, and tells the size of its payload. The one place where a slot is taken.
    pub(crate) fn assign(&mut self, now: Time, execution: ExecutionKey, worker: PeerKey) -> usize {
        let (run_limit, end) = self.terms(execution);
        let Self { work, peers, assignments, kinds, counts, actions, pools, gate, burst, .. } = self;
        let row = &mut work[execution];
        let peer = &mut peers[worker];
        let clear = peer.level == OutboxLevel::Clear;
        let offer = peer.worker.as_deref_mut().expect("the selector's answer was checked");
        kinds.retain(row.kind);
        let serial = counts.assignments;
        counts.assignments = serial.wrapping_add(1);
        let range = offer.ledger.range_of(row.priority);
        let slot = offer.ledger.take(range);
        let position = u32::try_from(offer.assignments.len()).expect("no more than slots");
        let id = |key: AssignmentKey| AssignmentId(u64::from(serial) << 32 | u64::from(key.0));
        let key = assignments.insert_with(|key| Assignment {
            id: id(key),
            worker,
            slot,
            kind: row.kind,
            sent_at: now,
            left_at: if clear { now } else { Time::NEVER },
            state: Run::Sent(execution),
            told_limit_ms: run_limit,
            limit_moved: false,
            position,
        });
        let id = id(key);
        row.set_place(Place::Assigned(key));
        offer.assignments.push(key);
        offer.leaving.add(assignments, id, clear, counts.bursts);
        let (to, attempt, payload_bytes) = (peer.id, u32::from(row.losses) + 1, row.payload.len());
        made_in_place(actions, || {
            Action::Assign(Assign {
                worker: to,
                assignment: id,
                attempt,
                priority: row.priority,
                kind: kinds.name(row.kind).cloned(),
                run_limit: (run_limit > 0).then(|| Duration::from_millis(u64::from(run_limit))),
                rest: (end != Time::NEVER).then(|| end.since(now)),
                // Who wants data may still join a run that is shared.
                stream: row.flags.stream || row.flags.shared,
                payload: Parcel::of(&row.payload),
            })
        });
        let (reports_start, looks) = (peer.abilities.reports_start, offer.start_alarm != Time::NEVER);
        // What the range could still take is one less now, by its meaning; if there are others, each has to be asked before
        // anybody looks for a worker for them.
        for &(pool, spot) in &offer.posts {
            pools.took(pool, spot, range);
        }
        if offer.ledger.rows() == 1 {
            gate.took(&mut offer.counted);
        } else {
            burst.weighed_from = burst.weighed_from.max(offer.ledger.bounds()[range]);
            burst.put_off_weighing(worker, offer);
        }
        self.notice(|| Notice::Assign { worker: to, assignment: id, attempt });
        if !reports_start {
            self.begin_run(now, key);
        } else if !looks {
            self.await_start(now, worker);
        }
        payload_bytes
    }

    /// The one place where a slot is given back. Tells the state in which the assignment was.
    pub(crate) fn release(&mut self, key: AssignmentKey) -> Run {
        let (worker, slot, kind, state, position) = self.assignments.take_apart(key, |row| {
            let Assignment { worker, slot, kind, state, position, .. } = row;
            (worker, slot, kind, state, position)
        });
        self.kinds.release(kind);
        if !self.streams.is_empty() {
            self.streams.remove(&key);
        }
        let row = self.peers.worker_mut(worker).expect("a worker outlives its assignments");
        row.assignments.swap_remove(position as usize);
        if let Some(&moved) = row.assignments.get(position as usize) {
            self.assignments[moved].position = position;
        }
        row.ledger.give_back(slot);
        self.burst.put_off_weighing(worker, row);
        state
    }

    /// Finds what a worker speaks of, with its execution unless that is no longer wanted. Late words, and words about what is
    /// another's, find nothing.
    pub(crate) fn find_assignment(
        &self,
        worker: PeerKey,
        id: AssignmentId,
    ) -> Option<(AssignmentKey, Option<ExecutionKey>)> {
        let key = AssignmentKey((id.0 & u64::from(u32::MAX)) as u32);
        let row = self.assignments.get(key).filter(|row| row.id == id && row.worker == worker)?;
        Some((key, row.execution()))
    }
}
