//! Pools: workers that take the same kinds.
//!
//! A pass of the dispatch looks at pools, never at workers or at kinds that wait in vain. Each pool has the heads of the
//! lines that it serves in one order, so a line's new head is told to all pools that serve its kind, and a job asks them all: there must be few.
//! Where workers take the same kinds they share a pool. Where many take different sets that have a kind in common, each stands in a
//! pool of every single kind that it takes.

use super::class::{Member, Spot};
use super::kind_set::KindSet;
use super::lines::Lines;
use super::pool::{Head, Pool};
use crate::tables::{KindKey, NO_KIND, PoolKey, Slab};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use proletariat_protocol::hint::{likely, unlikely};
use smallvec::{SmallVec, smallvec};

/// So many pools may serve a kind before further sets of kinds are taken apart.
const SETS_MAX: usize = 16;

/// What a pool knew is forgotten at once if it is no more.
const DISCARD_MIN: usize = 1_024;

/// The pools that a worker stands in, with its spot in each. Nearly always it is one.
pub(crate) type Posts = SmallVec<[(PoolKey, Spot); 1]>;

/// Pools in which something may be dispatched. Mostly it is one.
pub(crate) type Dirty = SmallVec<[PoolKey; 4]>;

/// Pools that take a kind. Mostly it is one.
pub(crate) type Serving = SmallVec<[PoolKey; 4]>;

/// All pools.
#[derive(Debug)]
pub(crate) struct Pools {
    rows: Slab<PoolKey, Pool>,
    by_kinds: BTreeMap<KindSet, PoolKey>,
    /// Pools of named kinds, by kind.
    named: BTreeMap<KindKey, Vec<PoolKey>>,
    /// Pools of any kind.
    any: Vec<PoolKey>,
    /// Pools in which something may be dispatched since the last pass.
    dirty: Dirty,
    /// Pools that do not know all lines that they serve yet, by turns.
    pub(crate) learning: VecDeque<PoolKey>,
    /// What pools knew that are no more.
    discarded: Vec<BTreeSet<Head>>,
}

impl Pools {
    pub(crate) fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_kinds: BTreeMap::new(),
            named: BTreeMap::new(),
            any: Vec::new(),
            dirty: SmallVec::new(),
            learning: VecDeque::new(),
            discarded: Vec::new(),
        }
    }

    pub(crate) fn pool(&self, pool: PoolKey) -> &Pool {
        &self.rows[pool]
    }

    pub(crate) fn get(&self, pool: PoolKey) -> Option<&Pool> {
        self.rows.get(pool)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PoolKey, &Pool)> {
        self.rows.iter()
    }

    /// The pools that take a kind.
    #[inline]
    pub(crate) fn serving(&self, kind: KindKey) -> Serving {
        let mut serving = Serving::new();
        if kind != NO_KIND
            && let Some(named) = self.named.get(&kind)
        {
            serving.extend_from_slice(named);
        }
        for &pool in &self.any {
            if self.rows[pool].kinds().takes(kind) {
                serving.push(pool);
            }
        }
        serving
    }

    /// The sets of kinds under whose pools a worker goes that takes these: together they are these, and none is in two.
    fn homes(&self, kinds: KindSet) -> SmallVec<[KindSet; 1]> {
        let KindSet::Only(names) = &kinds else { return smallvec![kinds] };
        let serving = |kind: &KindKey| self.named.get(kind).map_or(0, Vec::len);
        let most = names.iter().map(serving).max().unwrap_or(0);
        // To stand in more pools than a job has to ask would be dearer than one pool more.
        if most < SETS_MAX || names.len() > most || names.len() < 2 || self.by_kinds.contains_key(&kinds) {
            return smallvec![kinds];
        }
        names.iter().map(|kind| KindSet::Only(BTreeSet::from([*kind]))).collect()
    }

    /// A worker joins the pools that it belongs to, with no weight yet.
    pub(crate) fn enter(&mut self, kinds: KindSet, bounds: &[u32], member: Member) -> Posts {
        let mut posts = Posts::new();
        for kinds in self.homes(kinds) {
            let pool = match self.by_kinds.get(&kinds) {
                Some(&pool) => pool,
                None => self.open(kinds),
            };
            posts.push((pool, self.rows[pool].workers.enter(bounds, member)));
        }
        posts
    }

    fn open(&mut self, kinds: KindSet) -> PoolKey {
        let pool = self.rows.insert(Pool::new(kinds.clone()));
        match &kinds {
            KindSet::Only(kinds) => {
                for kind in kinds {
                    self.named.entry(*kind).or_default().push(pool);
                }
            }
            KindSet::AnyBut(_) => self.any.push(pool),
        }
        self.by_kinds.insert(kinds, pool);
        self.learning.push_back(pool);
        pool
    }

    /// A worker stays in a pool, perhaps with other ranges.
    pub(crate) fn move_within(&mut self, pool: PoolKey, spot: Spot, bounds: &[u32], member: Member) -> Spot {
        let workers = &mut self.rows[pool].workers;
        if workers.has_bounds(spot, bounds) {
            return spot;
        }
        let new = workers.enter(bounds, member);
        workers.leave(spot);
        new
    }

    /// Whether some pools do not know all lines yet, or others are to be forgotten.
    pub(crate) fn are_behind(&self) -> bool {
        !(self.learning.is_empty() & self.discarded.is_empty())
    }

    /// Shows lines to a pool that does not know them all, or forgets about it if it does now; tells how many it looked at.
    pub(crate) fn learn(&mut self, pool: PoolKey, lines: &Lines, most: usize) -> usize {
        let row = &mut self.rows[pool];
        let from = row.learning.expect("who is in the list learns");
        let (looked, next) = lines.heads(&row.kinds, from, most, |head| {
            row.heads.insert(head);
        });
        row.learning = next;
        if next.is_some() {
            self.learning.push_back(pool);
        }
        looked
    }

    /// Forgets so much of what pools knew that are no more.
    pub(crate) fn discard(&mut self, most: usize) {
        for _ in 0..most {
            let Some(heads) = self.discarded.last_mut() else { return };
            if heads.pop_last().is_none() {
                self.discarded.pop();
            }
        }
    }

    /// A worker leaves a pool; a pool without workers goes.
    pub(crate) fn leave(&mut self, pool: PoolKey, spot: Spot) {
        let row = &mut self.rows[pool];
        row.workers.leave(spot);
        if !row.workers.is_empty() {
            return;
        }
        let row = self.rows.remove(pool).expect("it was there a line ago");
        self.by_kinds.remove(&row.kinds);
        if let KindSet::Only(kinds) = &row.kinds {
            for kind in kinds {
                let list = self.named.get_mut(kind).expect("a named pool is listed by each of its kinds");
                list.retain(|other| *other != pool);
                if list.is_empty() {
                    self.named.remove(kind);
                }
            }
        }
        self.any.retain(|other| *other != pool);
        if row.is_learning() {
            self.learning.retain(|other| *other != pool);
        }
        if row.heads.len() > DISCARD_MIN {
            self.discarded.push(row.heads);
        }
    }

    /// What each range could still take on a worker; tells whether that is more than before in any.
    pub(crate) fn weigh(&mut self, pool: PoolKey, spot: Spot, free: &[u32]) -> bool {
        let row = &mut self.rows[pool];
        if unlikely(row.is_learning()) {
            return false;
        }
        let more = row.workers.weigh(spot, free);
        if more {
            self.mark(pool);
        }
        more
    }

    /// A worker took so many slots for a range: so much is clear before the others are looked at.
    pub(crate) fn took(&mut self, pool: PoolKey, spot: Spot, range: usize, slots: u32) {
        let row = &mut self.rows[pool];
        if likely(!row.is_learning()) {
            row.workers.took(spot, range, slots);
        }
    }

    /// Something may be dispatched here.
    #[inline]
    pub(crate) fn mark(&mut self, pool: PoolKey) {
        let row = &mut self.rows[pool];
        if !row.dirty {
            row.dirty = true;
            self.dirty.push(pool);
        }
    }

    /// A line has a new head, or none any more; all pools that serve its kind learn of it.
    pub(crate) fn set_head(&mut self, kind: KindKey, old: Option<Head>, new: Option<Head>) {
        if kind != NO_KIND {
            let count = self.named.get(&kind).map_or(0, Vec::len);
            for at in 0..count {
                let pool = self.named[&kind][at];
                self.set_head_in(pool, old, new);
            }
        }
        for at in 0..self.any.len() {
            let pool = self.any[at];
            if self.rows[pool].kinds().takes(kind) {
                self.set_head_in(pool, old, new);
            }
        }
    }

    pub(crate) fn set_head_in(&mut self, pool: PoolKey, old: Option<Head>, new: Option<Head>) {
        let row = &mut self.rows[pool];
        if let Some(old) = old {
            row.heads.remove(&old);
        }
        if let Some(new) = new {
            row.heads.insert(new);
            self.mark(pool);
        }
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The pools in which something may be dispatched, each once; they count as clean from now on.
    pub(crate) fn take_dirty(&mut self) -> Dirty {
        if likely(self.dirty.is_empty()) {
            return Dirty::new();
        }
        let mut dirty = core::mem::take(&mut self.dirty);
        // A pool that has gone since may have left its place to another one, which is on the list itself if it is dirty.
        dirty.retain(|pool| self.rows.get_mut(*pool).is_some_and(|row| core::mem::take(&mut row.dirty)));
        dirty
    }
}
