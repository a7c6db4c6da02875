//! Assignments: the one place where a slot is taken, and the one where it is given back.

use crate::action::{Action, Assign, Notice, made_in_place};
use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::passing::Parcel;
use crate::records::{Assignment, Place, Run};
use crate::run_limits;
use crate::tables::{AssignmentKey, ExecutionKey, PeerKey};
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::{AssignmentId, Time};

impl Scheduler {
    /// Gives executions to a worker that has room for them; their priorities are of one range. The one place where slots are taken.
    pub(crate) fn assign_all(&mut self, now: Time, executions: &[ExecutionKey], worker: PeerKey) {
        let &[first, ..] = executions else { return };
        let Self { config, work, similar, peers, assignments, kinds, counts, actions, .. } = self;
        let peer = &mut peers[worker];
        let to = peer.id;
        let clear = peer.level == OutboxLevel::Clear;
        let offer = peer.worker.as_deref_mut().expect("the selector's answer was checked");
        let range = offer.ledger.range_of(work[first].priority);
        let begun = offer.assignments.len();
        offer.leaving.begin(assignments, clear, counts.bursts);
        // Who came together mostly has the same end.
        let mut same_end = (Time::NEVER, 0);
        for &execution in executions {
            let (run_limit, end) = run_limits::terms(work, similar, execution);
            if end != same_end.0 {
                same_end = (end, rest_millis(now, end));
            }
            let row = &mut work[execution];
            kinds.retain(row.kind);
            let serial = counts.assignments;
            counts.assignments = serial.wrapping_add(1);
            let id = |key: AssignmentKey| AssignmentId(u64::from(serial) << 32 | u64::from(key.0));
            let position = u32::try_from(offer.assignments.len()).expect("no more than slots");
            let key = assignments.insert_with(|key| Assignment {
                id: id(key),
                worker,
                slot: offer.ledger.take(range),
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
            offer.leaving.add(id);
            let attempt = u32::from(row.losses) + 1;
            made_in_place(actions, || {
                Action::Assign(Assign {
                    worker: to,
                    assignment: id,
                    attempt,
                    priority: row.priority,
                    kind: kinds.name(row.kind).cloned(),
                    run_limit_ms: run_limit,
                    rest_ms: same_end.1,
                    // Who wants data may still join a run that is shared.
                    stream: row.flags.stream || row.flags.shared,
                    payload: Parcel::of(&row.payload),
                })
            });
            if unlikely(config.notices) {
                actions.push(Action::Notice(Notice::Assign { worker: to, assignment: id, attempt }));
            }
        }
        self.took(worker, range, u32::try_from(executions.len()).expect("no more than slots"));
        self.expect_starts(now, worker, begun);
    }

    /// What the range could still take is that much less now, by its meaning; if there are others, each has to be asked.
    fn took(&mut self, worker: PeerKey, range: usize, slots: u32) {
        let Self { peers, pools, gate, .. } = self;
        let offer = peers.worker_mut(worker).expect("it has just taken them");
        if unlikely(offer.ledger.rows() > 1) {
            return self.weigh(worker);
        }
        for &(pool, spot) in &offer.posts {
            pools.took(pool, spot, range, slots);
        }
        gate.took(&mut offer.counted, slots);
    }

    /// What a worker was given last has begun, or its start will be reported.
    fn expect_starts(&mut self, now: Time, worker: PeerKey, from: usize) {
        let Some(offer) = self.peers.worker(worker) else { return };
        if self.peers[worker].abilities.reports_start {
            if offer.start_alarm == Time::NEVER {
                self.await_start(now, worker);
            }
            return;
        }
        let begun = offer.assignments[from..].to_vec();
        begun.into_iter().for_each(|key| self.begin_run(now, key));
    }

    /// The one place where a slot is given back. Tells the state in which the assignment was.
    pub(crate) fn release(&mut self, key: AssignmentKey) -> Run {
        let (worker, slot, kind, state, position) = self.assignments.take_apart(key, |row| {
            let Assignment { worker, slot, kind, state, position, .. } = row;
            (worker, slot, kind, state, position)
        });
        self.kinds.release(kind);
        if unlikely(!self.streams.is_empty()) {
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

/// What is left of a call, in milliseconds: rounded up to at least one, since 0 stands for any time.
fn rest_millis(now: Time, end: Time) -> u32 {
    if end == Time::NEVER {
        return 0;
    }
    u32::try_from(end.0.saturating_sub(now.0).div_ceil(1_000).max(1)).unwrap_or(u32::MAX)
}
