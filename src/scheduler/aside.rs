//! Executions that are set aside for a pause, and the workers that an execution avoids.
//!
//! Who avoids every worker that has room waits for another one to get some, and thousands may wait so. They are kept by whom they
//! avoid: those that avoid a worker with new room are passed over together, and of the others no more go back to their
//! lines than the room is for. The rest would be looked at in vain and set aside again, at each burst.

use crate::deadlines::Alarm;
use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::peers::Worker;
use crate::records::Place;
use crate::selector::Candidates;
use crate::tables::{ExecutionKey, FifoKey, JobKey, KindKey, PeerKey};
use crate::waiting::{Head, Pool, Spot};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;
use proletariat_protocol::hint::{likely, unlikely};
use proletariat_protocol::{PeerId, Time};

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
#[derive(Debug)]
enum Why {
    /// It waits for workers that it does not avoid, and goes back as soon as one has room; with whom it waits, and at which place.
    Avoiding(Avoiders, Head),
    /// The selector wanted none.
    Refused,
    /// None of these clients, who wait for it, reads; it goes back when one of them does, or one who does joins.
    Unread(BTreeSet<PeerKey>),
}

/// What executions have in common that avoid the same workers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Avoiders {
    kind: KindKey,
    /// Whom they avoid, in ascending order.
    workers: Vec<PeerId>,
}

impl Avoiders {
    fn avoid(&self, worker: PeerId) -> bool {
        self.workers.binary_search(&worker).is_ok()
    }
}

/// Executions in the order of dispatch. They are in no line, so their heads name none.
type InOrder = BTreeMap<Head, ExecutionKey>;

/// Rare states of executions, apart from their records.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    parked: BTreeMap<ExecutionKey, Parked>,
    /// Those that are parked because they avoid every worker that has room.
    avoiding: BTreeMap<Avoiders, InOrder>,
    /// Workers that have got room since those were last looked at.
    roomier: BTreeSet<PeerKey>,
    /// Clients that read too slowly, with the shared executions for which only such clients wait.
    unread: BTreeSet<(PeerKey, ExecutionKey)>,
    /// By the id of a session, which is given only once: nobody has to look here for a worker that has left.
    avoids: BTreeMap<ExecutionKey, Vec<(PeerId, Time)>>,
    /// The last pause after a selector's refusal, in milliseconds.
    refused: BTreeMap<ExecutionKey, u64>,
}

impl Aside {
    pub(crate) fn due(&self, execution: ExecutionKey, ticket: u32) -> Option<Time> {
        self.parked.get(&execution).filter(|parked| parked.ticket == ticket).map(|parked| parked.until)
    }

    #[inline]
    pub(crate) fn forget(&mut self, execution: ExecutionKey) {
        if unlikely(!(self.parked.is_empty() & self.avoids.is_empty() & self.refused.is_empty())) {
            self.leave_park(execution);
            self.avoids.remove(&execution);
            self.refused.remove(&execution);
        }
    }

    #[cold]
    fn leave_park(&mut self, execution: ExecutionKey) {
        match self.parked.remove(&execution).map(|parked| parked.why) {
            Some(Why::Avoiding(avoiders, head)) => {
                if let Some(waiting) = self.avoiding.get_mut(&avoiders) {
                    waiting.remove(&head);
                    if waiting.is_empty() {
                        self.avoiding.remove(&avoiders);
                    }
                }
            }
            Some(Why::Unread(clients)) => {
                for client in clients {
                    self.unread.remove(&(client, execution));
                }
            }
            Some(Why::Refused) | None => {}
        }
    }

    pub(crate) fn avoid(&mut self, execution: ExecutionKey, worker: PeerId, until: Time) {
        let list = self.avoids.entry(execution).or_default();
        list.retain(|(other, _)| *other != worker);
        list.push((worker, until));
    }

    /// The workers that an execution avoids now.
    pub(crate) fn avoided(&mut self, now: Time, execution: ExecutionKey) -> &[(PeerId, Time)] {
        if likely(self.avoids.is_empty()) {
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

    /// A worker could take more than before: some may have waited for that.
    #[inline]
    pub(crate) fn got_room(&mut self, worker: PeerKey) {
        if !self.avoiding.is_empty() {
            self.roomier.insert(worker);
        }
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
        let avoided = self.aside.avoided(now, execution);
        let until = avoided.iter().map(|(_, until)| *until).min();
        let mut workers: Vec<PeerId> = avoided.iter().map(|(worker, _)| *worker).collect();
        workers.sort_unstable();
        let row = &self.work[execution];
        let head = Head::new(row.priority, self.sequence(execution), FifoKey::NONE);
        let avoiders = Avoiders { kind: row.kind, workers };
        self.aside.avoiding.entry(avoiders.clone()).or_default().insert(head, execution);
        self.park(now, execution, until.unwrap_or(now), Why::Avoiding(avoiders, head));
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
        let clients: BTreeSet<PeerKey> =
            self.each_job_of(execution).map(|job| self.work[job].client).collect();
        self.aside.unread.extend(clients.iter().map(|client| (*client, execution)));
        self.park(now, execution, Time::NEVER, Why::Unread(clients));
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
        self.aside.leave_park(execution);
        self.enqueue(execution, false);
    }

    /// The priority of an execution changed: if it only avoided those who had room, others may have room for it now.
    pub(crate) fn unpark_avoiding(&mut self, execution: ExecutionKey) {
        if self.aside.parked.get(&execution).is_some_and(|parked| matches!(parked.why, Why::Avoiding(..))) {
            self.unpark(execution);
        }
    }

    /// A job has joined an execution. If nobody read before, its client does now, or is one more whose reading is waited for.
    pub(crate) fn unpark_unread(&mut self, execution: ExecutionKey, job: JobKey) {
        let client = self.work[job].client;
        let Some(Why::Unread(clients)) = self.aside.parked.get_mut(&execution).map(|parked| &mut parked.why)
        else {
            return;
        };
        if self.peers[client].level != OutboxLevel::Paused {
            self.unpark(execution);
        } else if clients.insert(client) {
            self.aside.unread.insert((client, execution));
        }
    }

    /// A client reads again: so somebody does who waits for these.
    pub(crate) fn wake_unread(&mut self, client: PeerKey) {
        let own = (client, ExecutionKey(0))..=(client, ExecutionKey::NONE);
        let woken: Vec<ExecutionKey> =
            self.aside.unread.range(own).map(|(_, execution)| *execution).collect();
        for execution in woken {
            self.unpark(execution);
        }
    }

    /// Workers may have got room: of those that only avoided others, as many go back to their lines as the room is for. Tells
    /// whether any did.
    #[inline]
    pub(crate) fn wake_avoiding(&mut self) -> bool {
        unlikely(!self.aside.roomier.is_empty()) && self.wake_some()
    }

    #[cold]
    fn wake_some(&mut self) -> bool {
        let mut woken = Vec::new();
        for (avoiders, waiting) in &self.aside.avoiding {
            self.find_woken(avoiders, waiting, &mut woken);
        }
        if woken.is_empty() {
            self.aside.roomier.clear();
            return false;
        }
        for execution in woken {
            self.unpark(execution);
        }
        true
    }

    /// Finds those for whom there is new room among some that avoid the same workers.
    fn find_woken(&self, avoiders: &Avoiders, waiting: &InOrder, woken: &mut Vec<ExecutionKey>) {
        let roomier = self.roomier(avoiders);
        if roomier.is_empty() {
            return;
        }
        let mut first = waiting.first_key_value().map(|(head, _)| *head);
        while let Some(head) = first {
            // Down to some priority all take from the same room. An execution does not get any of it if as many come before it as
            // the room is for; further down there may be more.
            let (mut room, lowest) = room_for(&roomier, head.priority());
            if room > 0 && !self.aside.refused.is_empty() {
                // Where the selector refuses some, others get the room that would have been theirs.
                room = u64::MAX;
            }
            let last = Head::new(lowest, u64::MAX, FifoKey::NONE);
            for execution in waiting.range(head..=last).map(|(_, execution)| *execution) {
                if room == 0 {
                    break;
                }
                // What nobody reads takes none.
                room -= u64::from(self.is_read(execution));
                woken.push(execution);
            }
            let mut further = waiting.range((Bound::Excluded(last), Bound::Unbounded));
            first = further.next().map(|(head, _)| *head);
        }
    }

    /// The workers that have got room and are not avoided by these, with their places in the pools that take the kind.
    fn roomier(&self, avoiders: &Avoiders) -> Vec<(&Worker, &Pool, Spot)> {
        let mut roomier = Vec::new();
        for peer in self.aside.roomier.iter().filter_map(|key| self.peers.get(*key)) {
            let Some(worker) = peer.worker.as_deref().filter(|_| !avoiders.avoid(peer.id)) else { continue };
            let places = worker.posts.iter().map(|(pool, spot)| (self.pools.pool(*pool), *spot));
            let taking = places.filter(|(pool, _)| pool.kinds().takes(avoiders.kind));
            roomier.extend(taking.map(|(pool, spot)| (worker, pool, spot)));
        }
        roomier
    }

    /// Who is set aside is known where it is looked for, and nobody who could take it has room.
    pub(crate) fn audit_aside(&self) {
        let Aside { parked, avoiding, unread, .. } = &self.aside;
        let (mut avoiders_in_all, mut clients_in_all) = (0, 0);
        for (execution, parked) in parked {
            match &parked.why {
                Why::Avoiding(avoiders, head) => {
                    avoiders_in_all += 1;
                    assert_eq!(avoiding[avoiders].get(head), Some(execution), "found by whom it avoids");
                    let row = &self.work[*execution];
                    assert_eq!((row.kind, row.priority), (avoiders.kind, head.priority()));
                    assert_eq!(self.sequence(*execution), head.sequence());
                }
                Why::Unread(clients) => {
                    clients_in_all += clients.len();
                    assert!(clients.iter().all(|client| unread.contains(&(*client, *execution))));
                    assert!(!self.is_read(*execution), "an execution is set aside for which somebody reads");
                }
                Why::Refused => {}
            }
        }
        assert_eq!(avoiding.values().map(BTreeMap::len).sum::<usize>(), avoiders_in_all);
        assert_eq!(unread.len(), clients_in_all);
        if self.draining || self.pools.is_dirty() {
            return;
        }
        for (avoiders, waiting) in avoiding {
            let serving = self.pools.serving(avoiders.kind);
            for head in waiting.keys() {
                let among = Candidates::new(&self.pools, &serving, head.priority(), 0);
                let nobody = among.iter().all(|candidate| avoiders.avoid(candidate.worker));
                assert!(nobody, "an execution is set aside that a worker could take: {head:?}");
            }
        }
    }
}

/// The room that some workers have at a priority together, and the lowest priority of which each of them takes from the same.
fn room_for(workers: &[(&Worker, &Pool, Spot)], priority: u32) -> (u64, u32) {
    let (mut room, mut lowest) = (0_u64, 0_u32);
    for (worker, pool, spot) in workers {
        room += u64::from(pool.workers.weight(priority, *spot));
        lowest = lowest.max(worker.ledger.bounds()[worker.ledger.range_of(priority)]);
    }
    (room, lowest)
}
