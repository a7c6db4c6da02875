//! Weights of workers in a tree: pick one in proportion, pick the heaviest, walk round; each in O(log n).
//!
//! The selector must not cost O(workers) per job, and the weights change with each slot that is taken or given back.

use alloc::vec::Vec;

/// What some places have together: a place of its own, a part of a tree, or a whole one.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Weights {
    sum: u64,
    heaviest: u32,
}

impl Weights {
    fn with(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, heaviest: self.heaviest.max(other.heaviest) }
    }
}

/// A weight for each place 0 … n.
#[derive(Debug, Default)]
pub(crate) struct WeightTree {
    /// A complete binary tree: the root is 1, the leaves are the last half.
    nodes: Vec<Weights>,
}

impl WeightTree {
    /// The sum of all weights.
    pub(crate) fn total(&self) -> u64 {
        self.root().sum
    }

    /// What all places have together.
    pub(crate) fn root(&self) -> Weights {
        self.nodes.get(1).copied().unwrap_or_default()
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    /// The nodes by twos: the pair of a node's number are its children.
    fn pairs(&self) -> &[[Weights; 2]] {
        self.nodes.as_chunks().0
    }

    /// The weight of a place; the heaviest of them, if it has those of a tree.
    pub(crate) fn weight(&self, place: usize) -> u32 {
        if place < self.leaves() { self.nodes[self.leaves() + place].heaviest } else { 0 }
    }

    /// Gives a place its weight, and tells the one that it had.
    pub(crate) fn replace(&mut self, place: usize, weight: u32) -> u32 {
        let at = self.leaves() + place;
        let Some(before) = self.nodes.get(at).map(|node| node.heaviest) else {
            self.set(place, weight);
            return 0;
        };
        if before != weight {
            self.write(at, Weights { sum: u64::from(weight), heaviest: weight });
        }
        before
    }

    /// So much less at a place that has it.
    pub(crate) fn take(&mut self, place: usize, weight: u32) {
        let at = self.leaves() + place;
        let Weights { sum, heaviest } = self.nodes[at];
        let sum = sum.strict_sub(u64::from(weight));
        self.write(at, Weights { sum, heaviest: heaviest.strict_sub(weight) });
    }

    /// Writes a leaf and what lies above it. A node goes up from hand to hand, it is not read where it was just written.
    fn write(&mut self, mut at: usize, mut node: Weights) {
        let pairs: &mut [[Weights; 2]] = self.nodes.as_chunks_mut().0;
        loop {
            let pair = &mut pairs[at / 2];
            pair[at % 2] = node;
            if at <= 1 {
                return;
            }
            node = node.with(pair[1 - at % 2]);
            at /= 2;
        }
    }

    /// Gives a place its weight; the tree grows as needed.
    pub(crate) fn set(&mut self, place: usize, weight: u32) {
        self.put(place, Weights { sum: u64::from(weight), heaviest: weight });
    }

    /// Gives a place the weights of a whole tree: it is picked by their sum, and ranked by the heaviest of them.
    pub(crate) fn put(&mut self, place: usize, weights: Weights) {
        if place >= self.leaves() {
            if weights.sum == 0 {
                return;
            }
            self.grow(place + 1);
        }
        self.write(self.leaves() + place, weights);
    }

    fn grow(&mut self, places: usize) {
        let old = self.nodes.split_off(self.leaves());
        self.nodes = alloc::vec![Weights::default(); 2 * places.next_power_of_two()];
        for (place, weights) in old.into_iter().enumerate().filter(|(_, weights)| weights.sum > 0) {
            self.put(place, weights);
        }
    }

    /// The place in which the `at`-th unit of weight lies (`at` below [`total`](Self::total)), and which one it is there.
    pub(crate) fn at_weight(&self, mut at: u64) -> (usize, u64) {
        assert!(at < self.total(), "a point beyond the total weight");
        let mut node = 1;
        let leaves = self.leaves();
        while node < leaves {
            let left = self.pairs()[node][0].sum;
            node *= 2;
            if at >= left {
                at -= left;
                node += 1;
            }
        }
        (node - self.leaves(), at)
    }

    /// The first place that has the largest weight, with that weight; `None` if all are 0.
    pub(crate) fn heaviest(&self) -> Option<(usize, u32)> {
        let largest = self.nodes.get(1).map_or(0, |root| root.heaviest);
        if largest == 0 {
            return None;
        }
        let mut node = 1;
        while node < self.leaves() {
            node *= 2;
            if self.nodes[node].heaviest < largest {
                node += 1;
            }
        }
        Some((node - self.leaves(), largest))
    }

    /// The first place from `from` on that has a weight.
    pub(crate) fn next_from(&self, from: usize) -> Option<usize> {
        let before: u64 = self.sum_before(from);
        if before < self.total() { Some(self.at_weight(before).0) } else { None }
    }

    fn sum_before(&self, place: usize) -> u64 {
        if place >= self.leaves() {
            return self.total();
        }
        let (mut node, mut sum) = (self.leaves() + place, 0);
        while node > 1 {
            if node % 2 == 1 {
                sum += self.nodes[node - 1].sum;
            }
            node /= 2;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(changes in proptest::collection::vec((0_usize..70, 0_u32..20), 1..200)) {
            let (mut tree, mut list) = (WeightTree::default(), alloc::vec![0_u32; 70]);
            for (place, weight) in changes {
                tree.set(place, weight);
                list[place] = weight;
                if weight > 10 {
                    tree.take(place, weight / 4);
                    list[place] -= weight / 4;
                }
                let total: u64 = list.iter().map(|w| u64::from(*w)).sum();
                prop_assert_eq!(tree.total(), total);
                let largest = list.iter().copied().max().filter(|w| *w > 0);
                prop_assert_eq!(tree.heaviest().map(|(_, w)| w), largest);
                prop_assert_eq!(tree.heaviest().map(|(p, _)| p), largest.and_then(|w| list.iter().position(|x| *x == w)));
                for from in [0, place, place + 1, 69] {
                    let next = (from..70).find(|p| list[*p] > 0);
                    prop_assert_eq!(tree.next_from(from), next);
                }
                let mut at = 0;
                for (place, weight) in list.iter().enumerate().filter(|(_, w)| **w > 0) {
                    prop_assert_eq!(tree.at_weight(at), (place, 0));
                    let last = u64::from(*weight) - 1;
                    prop_assert_eq!(tree.at_weight(at + last), (place, last));
                    at += u64::from(*weight);
                }
            }
        }
    }
}
