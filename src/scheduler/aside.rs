//! Executions that are set aside for a pause, and the workers that an execution avoids.

use crate::deadlines::Alarm;
use crate::machine::Scheduler;
use crate::records::Place;
use crate::tables::{ExecutionKey, KindKey, PeerKey};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use proletariat_protocol::Time;

/// The first pause, in milliseconds; it doubles …
pub(crate) const PAUSE_MILLIS_MIN: u64 = 50;
/// … up to this.
pub(crate) const PAUSE_MILLIS_MAX: u64 = 2_000;

/// The pause after one of this length.
pub(crate) fn longer(pause_ms: u64) -> u64 {
    (2 * pause_ms).clamp(PAUSE_MILLIS_MIN, PAUSE_MILLIS_MAX)
}

#[derive(Debug)]
struct Parked {
    until: Time,
    ticket: u32,
    why: Why,
}

/// Why an execution is set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// It waits for workers that it does not avoid, and goes back as soon as one has room.
    Avoiding,
    /// The selector wanted none.
    Refused,
    /// Nobody who waits for it reads; it goes back when one of them does, or one who does joins.
    Unread,
}

/// Rare states of executions, apart from their records.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    parked: BTreeMap<ExecutionKey, Parked>,
    /// By kind, those that are parked because they avoid every worker that has room.
    avoiding: BTreeMap<KindKey, BTreeSet<ExecutionKey>>,
    /// Shared ones for which only clients wait that read too slowly.
    unread: BTreeSet<ExecutionKey>,
    avoids: BTreeMap<ExecutionKey, Vec<(PeerKey, Time)>>,
    /// The last pause after a selector's refusal, in milliseconds.
    refused: BTreeMap<ExecutionKey, u64>,
}

impl Aside {
    pub(crate) fn due(&self, execution: ExecutionKey, ticket: u32) -> Option<Time> {
        self.parked.get(&execution).filter(|parked| parked.ticket == ticket).map(|parked| parked.until)
    }

    #[inline]
    pub(crate) fn forget(&mut self, execution: ExecutionKey, kind: KindKey) {
        if !(self.parked.is_empty() && self.avoids.is_empty() && self.refused.is_empty()) {
            self.leave_park(execution, kind);
            self.avoids.remove(&execution);
            self.refused.remove(&execution);
        }
    }

    fn leave_park(&mut self, execution: ExecutionKey, kind: KindKey) {
        let why = self.parked.remove(&execution).map(|parked| parked.why);
        if why == Some(Why::Unread) {
            self.unread.remove(&execution);
        }
        if why == Some(Why::Avoiding)
            && let Some(list) = self.avoiding.get_mut(&kind)
        {
            list.remove(&execution);
            if list.is_empty() {
                self.avoiding.remove(&kind);
            }
        }
    }

    pub(crate) fn avoid(&mut self, execution: ExecutionKey, worker: PeerKey, until: Time) {
        let list = self.avoids.entry(execution).or_default();
        list.retain(|(other, _)| *other != worker);
        list.push((worker, until));
    }

    /// The workers that an execution avoids now.
    pub(crate) fn avoided(&mut self, now: Time, execution: ExecutionKey) -> &[(PeerKey, Time)] {
        if self.avoids.is_empty() {
            return &[];
        }
        if let Some(list) = self.avoids.get_mut(&execution) {
            list.retain(|(_, until)| *until > now);
            if list.is_empty() {
                self.avoids.remove(&execution);
            }
        }
        self.avoids.get(&execution).map_or(&[], Vec::as_slice)
    }

    /// A worker is gone: nobody avoids it any more.
    pub(crate) fn forget_worker(&mut self, worker: PeerKey) {
        self.avoids.retain(|_, list| {
            list.retain(|(other, _)| *other != worker);
            !list.is_empty()
        });
    }

    pub(crate) fn is_parked(&self, execution: ExecutionKey) -> bool {
        self.parked.contains_key(&execution)
    }

    pub(crate) fn len(&self) -> usize {
        self.parked.len()
    }
}

impl Scheduler {
    /// Nobody that has room is wanted by this execution: it waits until the first of them is no longer avoided, or another
    /// one has room.
    pub(crate) fn park_avoiding(&mut self, now: Time, execution: ExecutionKey) {
        let until = self.aside.avoided(now, execution).iter().map(|(_, until)| *until).min();
        let kind = self.work[execution].kind;
        self.aside.avoiding.entry(kind).or_default().insert(execution);
        self.park(now, execution, until.unwrap_or(now), Why::Avoiding);
    }

    /// The selector wants nobody for this execution now.
    pub(crate) fn park_refused(&mut self, now: Time, execution: ExecutionKey) {
        let pause = self.aside.refused.entry(execution).or_insert(0);
        *pause = longer(*pause);
        let until = now.plus_millis(*pause);
        self.park(now, execution, until, Why::Refused);
    }

    /// Only clients wait for it whose outboxes are full.
    pub(crate) fn park_unread(&mut self, now: Time, execution: ExecutionKey) {
        self.aside.unread.insert(execution);
        self.park(now, execution, Time::NEVER, Why::Unread);
    }

    fn park(&mut self, now: Time, execution: ExecutionKey, until: Time, why: Why) {
        let ticket = self.next_ticket();
        let row = &mut self.work[execution];
        row.set_place(Place::Parked);
        row.ticket = ticket;
        self.aside.parked.insert(execution, Parked { until, ticket, why });
        if until != Time::NEVER {
            self.deadlines.set(now, until, Alarm::Park { execution, ticket });
        }
    }

    /// Back to its line.
    pub(crate) fn unpark(&mut self, execution: ExecutionKey) {
        self.aside.leave_park(execution, self.work[execution].kind);
        self.enqueue(execution, false);
    }

    /// The priority of an execution changed: if it only avoided those who had room, others may have room for it now.
    pub(crate) fn unpark_avoiding(&mut self, execution: ExecutionKey) {
        if self.aside.parked.get(&execution).is_some_and(|parked| parked.why == Why::Avoiding) {
            self.unpark(execution);
        }
    }

    /// A job has joined an execution: if nobody read before, there may be somebody now.
    pub(crate) fn unpark_unread(&mut self, execution: ExecutionKey) {
        if self.aside.unread.contains(&execution) {
            self.unpark(execution);
        }
    }

    /// A client reads again: what nobody read may be for it.
    pub(crate) fn wake_unread(&mut self) {
        for execution in core::mem::take(&mut self.aside.unread) {
            self.unpark(execution);
        }
    }

    /// Workers of some pools have room: whoever only avoided others may try again. Tells whether there may be such.
    pub(crate) fn wake_avoiding(&mut self, pools: &[crate::tables::PoolKey]) -> bool {
        if self.aside.avoiding.is_empty() {
            return false;
        }
        let kinds: Vec<KindKey> = self.aside.avoiding.keys().copied().collect();
        for kind in kinds {
            if pools.iter().any(|pool| self.pools.pool(*pool).kinds().takes(kind)) {
                for execution in self.aside.avoiding.remove(&kind).unwrap_or_default() {
                    self.aside.parked.remove(&execution);
                    self.enqueue(execution, false);
                }
            }
        }
        true
    }
}
