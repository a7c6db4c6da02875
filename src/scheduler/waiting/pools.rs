//! Pools: workers that take the same kinds in the same priority ranges.
//!
//! Workers of one pool differ only in their free slots, so one weight tree a range answers for all of them, and the heads
//! of the lines that the pool serves stand in one order. A pass of the dispatch looks at pools, never at workers or at kinds
//! that wait in vain.

use crate::ledger::{Admission, Ledger};
use crate::tables::{FifoKey, KindKey, NO_KIND, PeerKey, PoolKey, Slab, WeightTree};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;
use proletariat_protocol::PeerId;
use smallvec::SmallVec;

/// What a pool takes. [`NO_KIND`] is a member like any other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum KindSet {
    Only(BTreeSet<KindKey>),
    AnyBut(BTreeSet<KindKey>),
}

impl KindSet {
    pub(crate) fn takes(&self, kind: KindKey) -> bool {
        match self {
            Self::Only(kinds) => kinds.contains(&kind),
            Self::AnyBut(kinds) => !kinds.contains(&kind),
        }
    }

    /// The set without a kind.
    pub(crate) fn exclude(&mut self, kind: KindKey) {
        match self {
            Self::Only(kinds) => kinds.remove(&kind),
            Self::AnyBut(kinds) => kinds.insert(kind),
        };
    }
}

/// The first execution of a line, in the order of dispatch: the most urgent first, then the earliest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Head {
    pub(crate) priority: Reverse<u32>,
    pub(crate) sequence: u64,
    pub(crate) line: FifoKey,
}

type Class = (KindSet, Vec<u32>);

#[derive(Debug)]
pub(crate) struct Pool {
    class: Class,
    pub(crate) trees: Vec<WeightTree>,
    pub(crate) members: Vec<Option<PeerId>>,
    keys: Vec<PeerKey>,
    vacant: Vec<u32>,
    live: usize,
    pub(crate) heads: BTreeSet<Head>,
    dirty: bool,
}

impl Pool {
    pub(crate) fn kinds(&self) -> &KindSet {
        &self.class.0
    }

    /// The range of a priority here.
    pub(crate) fn range_of(&self, priority: u32) -> usize {
        self.class.1.partition_point(|bound| *bound <= priority) - 1
    }

    /// The first head that somebody here could take now.
    pub(crate) fn best(&self) -> Option<Head> {
        self.first_head(|_| true)
    }

    /// The same of all lines but one.
    pub(crate) fn best_but(&self, line: FifoKey) -> Option<Head> {
        self.first_head(|head| head.line != line)
    }

    /// A line has one head at most, so no more than one is passed over.
    fn first_head(&self, counts: impl Fn(&Head) -> bool) -> Option<Head> {
        for range in (0..self.trees.len()).rev() {
            if self.trees[range].total() == 0 {
                continue;
            }
            let top = self.class.1.get(range + 1).map_or(u32::MAX, |next| next - 1);
            let from = Head { priority: Reverse(top), sequence: 0, line: FifoKey(0) };
            let found = self.heads.range(from..).find(|head| counts(head));
            if let Some(head) = found.filter(|head| head.priority.0 >= self.class.1[range]) {
                return Some(*head);
            }
        }
        None
    }
}

/// All pools.
#[derive(Debug)]
pub(crate) struct Pools {
    rows: Slab<PoolKey, Pool>,
    by_class: BTreeMap<Class, PoolKey>,
    /// Pools of named kinds, by kind.
    named: BTreeMap<KindKey, Vec<PoolKey>>,
    /// Pools of any kind.
    any: Vec<PoolKey>,
    /// Pools in which something may be dispatched since the last pass.
    dirty: Vec<PoolKey>,
}

impl Pools {
    pub(crate) const fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_class: BTreeMap::new(),
            named: BTreeMap::new(),
            any: Vec::new(),
            dirty: Vec::new(),
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
    pub(crate) fn serving(&self, kind: KindKey) -> impl Iterator<Item = PoolKey> {
        let named = if kind == NO_KIND { None } else { self.named.get(&kind) };
        let any = self.any.iter().copied().filter(move |pool| self.rows[*pool].kinds().takes(kind));
        named.into_iter().flatten().copied().chain(any)
    }

    /// The pools that take a kind, each with its range of a priority.
    pub(crate) fn serving_in(&self, kind: KindKey, priority: u32) -> SmallVec<[(PoolKey, usize); 4]> {
        self.serving(kind).map(|pool| (pool, self.rows[pool].range_of(priority))).collect()
    }

    /// The pool of a class, made if need be; tells whether it is new.
    pub(crate) fn open(&mut self, kinds: KindSet, bounds: &[u32]) -> (PoolKey, bool) {
        let class = (kinds, bounds.to_vec());
        if let Some(&pool) = self.by_class.get(&class) {
            return (pool, false);
        }
        let pool = self.rows.insert(Pool {
            class: class.clone(),
            trees: bounds.iter().map(|_| WeightTree::default()).collect(),
            members: Vec::new(),
            keys: Vec::new(),
            vacant: Vec::new(),
            live: 0,
            heads: BTreeSet::new(),
            dirty: false,
        });
        match &class.0 {
            KindSet::Only(kinds) => {
                for kind in kinds {
                    self.named.entry(*kind).or_default().push(pool);
                }
            }
            KindSet::AnyBut(_) => self.any.push(pool),
        }
        self.by_class.insert(class, pool);
        (pool, true)
    }

    /// A worker joins a pool with no weight yet; its place there.
    pub(crate) fn enter(&mut self, pool: PoolKey, worker: PeerKey, id: PeerId) -> u32 {
        let row = &mut self.rows[pool];
        row.live += 1;
        match row.vacant.pop() {
            Some(place) => {
                row.members[place as usize] = Some(id);
                row.keys[place as usize] = worker;
                place
            }
            None => {
                row.members.push(Some(id));
                row.keys.push(worker);
                u32::try_from(row.members.len() - 1).expect("fewer workers than connections")
            }
        }
    }

    /// A worker leaves its pool; a pool without workers goes.
    pub(crate) fn leave(&mut self, pool: PoolKey, place: u32) {
        let row = &mut self.rows[pool];
        for tree in &mut row.trees {
            tree.set(place as usize, 0);
        }
        row.members[place as usize] = None;
        row.vacant.push(place);
        row.live -= 1;
        if row.live == 0 {
            let row = self.rows.remove(pool).expect("it was there a line ago");
            self.by_class.remove(&row.class);
            if let KindSet::Only(kinds) = &row.class.0 {
                for kind in kinds {
                    let list = self.named.get_mut(kind).expect("a named pool is listed by each of its kinds");
                    list.retain(|other| *other != pool);
                    if list.is_empty() {
                        self.named.remove(kind);
                    }
                }
            }
            self.any.retain(|other| *other != pool);
        }
    }

    /// What each range could still take on a worker, as its ledger stands; nothing if it is not eligible.
    pub(crate) fn weigh(
        &mut self,
        pool: PoolKey,
        place: u32,
        ledger: &Ledger,
        by: &dyn Admission,
        eligible: bool,
    ) {
        let mut more = false;
        let row = &mut self.rows[pool];
        for (range, tree) in row.trees.iter_mut().enumerate() {
            let weight = if eligible { by.free(ledger, range) } else { 0 };
            more |= weight > tree.replace(place as usize, weight);
        }
        if more {
            self.mark(pool);
        }
    }

    /// Something may be dispatched here.
    fn mark(&mut self, pool: PoolKey) {
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

    /// The pools in which something may be dispatched; they count as clean from now on.
    pub(crate) fn take_dirty(&mut self) -> Vec<PoolKey> {
        let mut dirty = core::mem::take(&mut self.dirty);
        dirty.retain(|pool| self.rows.get(*pool).is_some());
        for pool in &dirty {
            self.rows[*pool].dirty = false;
        }
        dirty
    }

    /// Who is at a place of a pool.
    pub(crate) fn key_at(&self, pool: PoolKey, place: usize) -> PeerKey {
        self.rows[pool].keys[place]
    }
}
