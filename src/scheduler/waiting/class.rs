//! Workers with the same priority ranges: they differ only in their free slots, so one weight tree a range answers for all of them.

use super::index::{Index, Post};
use crate::draws;
use crate::ledger::range_of;
use crate::selector::Random;
use crate::tables::{PeerKey, WeightTree};
use alloc::vec::Vec;
use proletariat_protocol::PeerId;
use smallvec::SmallVec;

/// Where a worker stands in its pool.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Spot {
    pub(super) class: u32,
    pub(super) place: u32,
}

/// A worker, as its pool knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) id: PeerId,
    pub(crate) key: PeerKey,
}

/// Who has units of weight that were drawn, and how many of them.
pub(crate) type Shares = SmallVec<[(PeerKey, usize); 8]>;

/// Who has a unit of weight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) spot: Spot,
    pub(crate) member: Member,
    /// Units that it has.
    pub(crate) weight: u32,
    /// How many of them come before this one.
    pub(crate) rest: u64,
}

/// One priority range of a class.
#[derive(Debug, Default)]
pub(super) struct Range {
    /// What each worker could still take.
    pub(super) tree: WeightTree,
    /// Where the index knows it; nowhere while the class is loose.
    pub(super) posts: Vec<Post>,
}

impl Range {
    /// Weights have changed: the index learns of it, if it knows the range.
    pub(super) fn show(&self, index: Option<&mut Index>) {
        if !self.posts.is_empty()
            && let Some(index) = index
        {
            index.write(&self.posts, &self.tree);
        }
    }
}

/// Workers with the same ranges.
#[derive(Debug)]
pub(super) struct Class {
    /// The lower bounds of the ranges, from 0 upwards.
    pub(super) bounds: Vec<u32>,
    pub(super) ranges: Vec<Range>,
    pub(super) members: Vec<Option<Member>>,
    pub(super) vacant: Vec<u32>,
}

impl Class {
    pub(super) fn new(bounds: &[u32]) -> Self {
        Self {
            bounds: bounds.to_vec(),
            ranges: bounds.iter().map(|_| Range::default()).collect(),
            members: Vec::new(),
            vacant: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.vacant.len() == self.members.len()
    }

    pub(super) fn range_of(&self, priority: u32) -> usize {
        range_of(&self.bounds, priority)
    }

    pub(super) fn tree(&self, priority: u32) -> &WeightTree {
        &self.ranges[self.range_of(priority)].tree
    }

    /// Who has a unit of weight in a range of this class.
    #[inline(always)]
    pub(super) fn holder(&self, class: u32, tree: &WeightTree, at: u64) -> Holder {
        let (place, rest) = tree.at_weight(at);
        let member = self.members[place].expect("who has weight is here");
        Holder { spot: spot(class, place), member, weight: tree.weight(place), rest }
    }

    /// Draws units of weight if there are few workers.
    pub(super) fn share(&self, priority: u32, draws: usize, random: &mut Random) -> Option<Shares> {
        let tree = self.tree(priority);
        u32::try_from(tree.total()).ok()?;
        match self.members.len() {
            0..=4 => Some(self.share_among::<4>(tree, draws, random)),
            5..=16 => Some(self.share_among::<16>(tree, draws, random)),
            _ => None,
        }
    }

    fn share_among<const N: usize>(&self, tree: &WeightTree, draws: usize, random: &mut Random) -> Shares {
        let draws = u32::try_from(draws).expect("no more than the weight");
        let shares = draws::shares::<N>(core::array::from_fn(|place| tree.weight(place)), draws, random);
        let shared = self.members.iter().zip(shares).filter(|(_, share)| *share > 0);
        shared.map(|(member, share)| (member.expect("who has weight is here").key, share as usize)).collect()
    }

    /// The highest priority up to this one for which there is weight.
    pub(super) fn open_up_to(&self, priority: u32) -> Option<u32> {
        let own = self.range_of(priority);
        let range = (0..=own).rev().find(|range| self.ranges[*range].tree.total() > 0)?;
        Some(if range == own { priority } else { self.bounds[range + 1] - 1 })
    }
}

pub(super) fn spot(class: u32, place: usize) -> Spot {
    Spot { class, place: u32::try_from(place).expect("fewer workers than connections") }
}
