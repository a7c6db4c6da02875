//! Peers come and go, and workers offer.

use crate::action::{Action, Notice};
use crate::aside::longer;
use crate::deadlines::Alarm;
use crate::event::{Joined, OutboxLevel};
use crate::ledger::Ledger;
use crate::machine::{Loss, Scheduler};
use crate::outbox::Leaving;
use crate::peers::{Pause, Worker};
use crate::tables::{KindKey, PeerKey};
use crate::waiting::{KindSet, Member, Posts};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use proletariat_protocol::hint::likely;
use proletariat_protocol::limits::{KINDS_MAX, RANGES_MAX};
use proletariat_protocol::{ErrorCode, Kinds, Offer, PeerId, Time};

/// Kinds that one worker may be pausing at a time; of further ones it pauses single executions. Who offers any kind could
/// otherwise be made to remember every kind that a client invents.
const PAUSES_MAX: usize = 256;

impl Scheduler {
    /// A new session; an older one of the same instance ends first, in the same step, so that no ghost holds slots.
    pub(crate) fn joined(&mut self, now: Time, joined: Joined) {
        if let Some(old) =
            self.peers.of_instance(joined.realm, joined.instance).and_then(|id| self.peers.find(id))
        {
            let message = String::from("a new session of the same instance took over");
            self.expel(now, old, ErrorCode::DuplicateId, message);
        }
        let peer = joined.peer;
        self.peers.insert(joined);
        self.notice(|| Notice::Join { peer });
    }

    /// Ends the session of a peer that breaks the rules, as if it had left.
    #[cold]
    pub(crate) fn expel(&mut self, _now: Time, peer: PeerKey, code: ErrorCode, message: String) {
        let id = self.peers[peer].id;
        // Connections of one process may be taken in another order than they were opened: then it is the living session
        // that is taken for the old one, and it must come back.
        let retry = code == ErrorCode::DuplicateId;
        self.actions.push(Action::Disconnect { peer: id, code, message, retry });
        if let Some(peer) = self.peers.leave(id) {
            self.burst.losses.push(Loss::Session(peer));
        }
    }

    /// What a session leaves behind: executions of its worker wait again, jobs of its client are removed.
    pub(crate) fn left(&mut self, now: Time, peer: PeerKey) {
        let id = self.peers[peer].id;
        self.notice(|| Notice::Leave { peer: id });
        self.remove_worker(now, peer);
        self.leave_broadcasts(peer);
        self.peers.cease_changing(peer);
        self.peers.purging.push((peer, 0));
    }

    fn remove_worker(&mut self, now: Time, peer: PeerKey) {
        let Some(worker) = self.peers.worker_mut(peer) else {
            return;
        };
        worker.withdrawn = true;
        let assignments = worker.assignments.clone();
        self.weigh(peer);
        for key in assignments {
            match self.assignments[key].execution() {
                Some(execution) => {
                    let restarted = self.take_stream(key);
                    self.release(key);
                    self.lose(now, execution, restarted, "its worker was lost");
                }
                None => self.stop_confirmed(key),
            }
        }
        self.leave_pools(peer);
        let worker = self.peers[peer].worker.take().expect("it was there at the beginning");
        assert_eq!(worker.ledger.held_in_all(), 0, "a worker leaves no slot behind");
        self.release_kinds(&worker.offered);
        for kind in worker.not_mine.iter().chain(worker.pauses.keys()) {
            self.kinds.release(*kind);
        }
    }

    pub(crate) fn offered(&mut self, peer: PeerKey, offer: &Offer) {
        let id = self.peers[peer].id;
        if let Err(error) = offer.check() {
            return self.actions.push(Action::RefuseOffer { worker: id, message: error.to_string() });
        }
        let kinds = match &offer.kinds {
            Kinds::Any => KindSet::AnyBut(BTreeSet::new()),
            Kinds::Only(names) => KindSet::Only(self.acquire_kinds(names)),
        };
        match self.peers.worker_mut(peer) {
            None => {
                let worker = Worker {
                    ledger: Ledger::new(offer),
                    offered: kinds,
                    not_mine: BTreeSet::new(),
                    pauses: BTreeMap::new(),
                    unfit_in_row: 0,
                    unfit_pause_ms: 0,
                    leaving: Leaving::default(),
                    withdrawn: false,
                    misplaced: false,
                    unweighed: false,
                    start_alarm: Time::NEVER,
                    posts: Posts::new(),
                    assignments: Vec::new(),
                    counted: (0, 0),
                };
                self.peers[peer].worker = Some(Box::new(worker));
            }
            Some(worker) => {
                let same = worker.offered == kinds && worker.not_mine.is_empty();
                worker.ledger.offer(offer);
                worker.withdrawn = false;
                let before = core::mem::replace(&mut worker.offered, kinds);
                let not_mine = core::mem::take(&mut worker.not_mine);
                // The old pools name these kinds until the worker has left them. If it offers the same ones, it need not.
                if !same {
                    self.leave_pools(peer);
                }
                self.release_kinds(&before);
                not_mine.into_iter().for_each(|kind| self.kinds.release(kind));
            }
        }
        self.actions.push(Action::AcceptOffer { worker: id });
        self.choose_pool_later(peer);
    }

    /// Each name once, however often the offer names it.
    fn acquire_kinds(&mut self, names: &[String]) -> BTreeSet<KindKey> {
        let mut kinds = BTreeSet::new();
        for name in names {
            let kind = self.kinds.acquire(name);
            if !kinds.insert(kind) {
                self.kinds.release(kind);
            }
        }
        kinds
    }

    fn release_kinds(&mut self, kinds: &KindSet) {
        if let KindSet::Only(kinds) = kinds {
            for kind in kinds {
                self.kinds.release(*kind);
            }
        }
    }

    pub(crate) fn withdrew(&mut self, peer: PeerKey) {
        if let Some(worker) = self.peers.worker_mut(peer) {
            worker.withdrawn = true;
            self.weigh(peer);
        }
        let worker = self.peers[peer].id;
        self.actions.push(Action::ConfirmWithdrawal { worker });
    }

    fn leave_pools(&mut self, peer: PeerKey) {
        let Some(worker) = self.peers.worker_mut(peer) else {
            return;
        };
        for (pool, spot) in core::mem::take(&mut worker.posts) {
            self.pools.leave(pool, spot);
        }
    }

    /// What a worker takes has changed: before the next dispatch it goes where it belongs. A new pool has to learn of what waits
    /// for it, so a worker changes over once a burst, whatever it says in it.
    fn choose_pool_later(&mut self, peer: PeerKey) {
        if let Some(worker) = self.peers.worker_mut(peer)
            && !core::mem::replace(&mut worker.misplaced, true)
        {
            self.burst.misplaced.push(peer);
        }
    }

    /// Workers go where they belong.
    pub(crate) fn choose_pools(&mut self) {
        if likely(self.burst.misplaced.is_empty()) {
            return;
        }
        for peer in core::mem::take(&mut self.burst.misplaced) {
            // It may have left since.
            if self.peers.worker(peer).is_some() {
                self.enter_pools(peer);
            }
        }
    }

    /// Into the pools of those that take the same kinds now.
    fn enter_pools(&mut self, peer: PeerKey) {
        let id = self.peers[peer].id;
        let Some(worker) = self.peers.worker_mut(peer) else {
            return;
        };
        worker.misplaced = false;
        let mut kinds = worker.offered.clone();
        let paused = worker.pauses.iter().filter(|(_, pause)| pause.active).map(|(kind, _)| *kind);
        worker.not_mine.iter().copied().chain(paused).for_each(|kind| kinds.exclude(kind));
        let bounds = worker.ledger.bounds().to_vec();
        let member = Member { id, key: peer };
        match worker.posts[..] {
            // A pool without workers goes, with all that it knows: who only changes its slots or ranges stays.
            [(pool, spot)] if *self.pools.pool(pool).kinds() == kinds => {
                worker.posts[0].1 = self.pools.move_within(pool, spot, &bounds, member);
            }
            _ => {
                self.leave_pools(peer);
                let posts = self.pools.enter(kinds, &bounds, member);
                if let Some(worker) = self.peers.worker_mut(peer) {
                    worker.posts = posts;
                }
            }
        }
        self.weigh(peer);
    }

    /// Looks at those whose weighing was put off.
    pub(crate) fn weigh_all(&mut self) {
        let mut unweighed = core::mem::take(&mut self.burst.unweighed);
        for peer in unweighed.drain(..) {
            if let Some(worker) = self.peers.worker_mut(peer) {
                worker.unweighed = false;
                self.weigh(peer);
            }
        }
        self.burst.unweighed = unweighed;
    }

    /// Brings the pool and the gate up to date with what a worker can take.
    pub(crate) fn weigh(&mut self, key: PeerKey) {
        let Self { peers, pools, gate, admission, aside, draining, .. } = self;
        let peer = &mut peers[key];
        let Some(worker) = peer.worker.as_deref_mut() else {
            return;
        };
        let eligible = !worker.withdrawn && !*draining && peer.level != OutboxLevel::Paused;
        let mut free = [0; RANGES_MAX];
        let free = &mut free[..worker.ledger.ranges()];
        if eligible {
            admission.free_in_each(&worker.ledger, free);
        }
        let mut more = false;
        for &(pool, spot) in &worker.posts {
            more |= pools.weigh(pool, spot, free);
        }
        if more {
            aside.got_room(key);
        }
        let (slots, held) = (worker.ledger.slots(), worker.ledger.held_in_all());
        let after = if worker.withdrawn { (0, 0) } else { (slots, slots.saturating_sub(held)) };
        gate.recount(core::mem::replace(&mut worker.counted, after), after);
    }

    /// A worker takes none of a kind for a pause that doubles each time; `false` if it has too many pauses for one more.
    pub(crate) fn pause_kind(&mut self, now: Time, peer: PeerKey, kind: KindKey) -> bool {
        let id = self.peers[peer].id;
        if self.peers.worker(peer).is_some_and(|worker| worker.pauses.len() >= PAUSES_MAX) {
            self.forget_backoff(peer);
        }
        let Some(worker) = self.peers.worker_mut(peer) else {
            return true;
        };
        let known = worker.pauses.contains_key(&kind);
        if !known && worker.pauses.len() >= PAUSES_MAX {
            return false;
        }
        let pause = worker.pauses.entry(kind).or_insert(Pause { until: now, length_ms: 0, active: false });
        if pause.active && pause.until > now {
            return true;
        }
        pause.length_ms = longer(pause.length_ms);
        pause.until = now.plus_millis(pause.length_ms);
        pause.active = true;
        let until = pause.until;
        if !known {
            self.kinds.retain(kind);
        }
        self.deadlines.set(now, until, Alarm::Pause { peer: id.0 });
        self.choose_pool_later(peer);
        true
    }

    /// A worker does not do a kind: it leaves its offer until it offers again; `false` if too many have left it already.
    pub(crate) fn not_my_kind(&mut self, peer: PeerKey, kind: KindKey) -> bool {
        let Some(worker) = self.peers.worker_mut(peer) else {
            return true;
        };
        if worker.not_mine.len() >= KINDS_MAX && !worker.not_mine.contains(&kind) {
            return false;
        }
        if worker.not_mine.insert(kind) {
            self.kinds.retain(kind);
            self.choose_pool_later(peer);
        }
        true
    }

    /// When the next pause of a worker ends.
    pub(crate) fn pause_due(&self, peer: PeerId) -> Option<Time> {
        let worker = self.peers.worker(self.peers.find(peer)?)?;
        worker.pauses.values().filter(|pause| pause.active).map(|pause| pause.until).min()
    }

    pub(crate) fn pause_over(&mut self, now: Time, peer: PeerId) {
        let Some(key) = self.peers.find(peer) else { return };
        let Some(worker) = self.peers.worker_mut(key) else {
            return;
        };
        for pause in worker.pauses.values_mut().filter(|pause| pause.until <= now) {
            pause.active = false;
        }
        self.choose_pool_later(key);
        if let Some(due) = self.pause_due(peer) {
            self.deadlines.set(now, due, Alarm::Pause { peer: peer.0 });
        }
    }

    /// A worker began something: its next pauses are short again. Those under way last.
    pub(crate) fn forget_backoff(&mut self, peer: PeerKey) {
        let Some(worker) = self.peers.worker_mut(peer) else {
            return;
        };
        let over: Vec<KindKey> =
            worker.pauses.iter().filter(|(_, pause)| !pause.active).map(|(kind, _)| *kind).collect();
        for kind in &over {
            worker.pauses.remove(kind);
        }
        worker.pauses.values_mut().for_each(|pause| pause.length_ms = 0);
        over.into_iter().for_each(|kind| self.kinds.release(kind));
    }
}
