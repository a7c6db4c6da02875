//! Which classes of workers have room at a priority, when there are many classes.
//!
//! Each range of a class is an interval of priorities with a weight. The intervals lie in a segment tree: a node holds
//! those that cover its stretch of priorities and not that of its parent. All that cover one priority are at the nodes from its leaf
//! up to the root, and a changed weight is written to as many nodes, twice at most: O(log n) each, however the ranges differ.

use super::class::Class;
use crate::tables::WeightTree;
use alloc::vec::Vec;

/// A place at a node: the node, and the place in its tree.
pub(super) type Post = (u32, u32);

/// The ranges that cover the stretch of a node.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// A weight for each of them.
    pub(super) tree: WeightTree,
    /// Whose they are, in ascending order.
    classes: Vec<u32>,
    /// There is weight here or further down.
    open: bool,
}

impl Node {
    /// The class at a place.
    pub(super) fn class_at(&self, place: usize) -> u32 {
        self.classes[place]
    }

    /// The first class from `class` on that has weight.
    pub(super) fn next_from(&self, class: u32) -> Option<u32> {
        let from = self.classes.partition_point(|other| *other < class);
        self.tree.next_from(from).map(|place| self.classes[place])
    }
}

/// The segment tree over priorities.
#[derive(Debug)]
pub(super) struct Index {
    /// Where the elementary stretches begin, from 0 upwards.
    bounds: Vec<u32>,
    /// The root is 1, the leaves are the last half.
    nodes: Vec<Node>,
}

impl Index {
    /// An index of these classes, in ascending order of their numbers; each range is told its posts.
    pub(super) fn build<'a>(classes: impl Iterator<Item = (u32, &'a mut Class)>) -> Self {
        let mut classes: Vec<(u32, &mut Class)> = classes.collect();
        let mut bounds: Vec<u32> =
            classes.iter().flat_map(|(_, class)| class.bounds.iter().copied()).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let leaves = bounds.len().next_power_of_two();
        let mut index = Self { bounds, nodes: Vec::new() };
        index.nodes.resize_with(2 * leaves, Node::default);
        for (number, class) in &mut classes {
            for range in 0..class.bounds.len() {
                let low = index.leaf_of(class.bounds[range]);
                let high =
                    class.bounds.get(range + 1).map_or(index.bounds.len(), |next| index.leaf_of(*next));
                let row = &mut class.ranges[range];
                row.posts = index.take_posts(low, high, *number);
            }
        }
        for (_, class) in classes {
            for range in &class.ranges {
                index.write(&range.posts, &range.tree);
            }
        }
        index
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    fn leaf_of(&self, priority: u32) -> usize {
        self.bounds.partition_point(|bound| *bound <= priority) - 1
    }

    /// A place for a class at each node that together make up the leaves from `low` up to and without `high`.
    fn take_posts(&mut self, low: usize, high: usize, class: u32) -> Vec<Post> {
        let (mut low, mut high) = (low + self.leaves(), high + self.leaves());
        let mut posts = Vec::new();
        let mut take = |node: usize| {
            let classes = &mut self.nodes[node].classes;
            let place = u32::try_from(classes.len()).expect("fewer classes than workers");
            classes.push(class);
            posts.push((u32::try_from(node).expect("fewer nodes than bounds"), place));
        };
        while low < high {
            if low % 2 == 1 {
                take(low);
                low += 1;
            }
            if high % 2 == 1 {
                high -= 1;
                take(high);
            }
            low /= 2;
            high /= 2;
        }
        posts
    }

    /// The weights of a range have changed.
    pub(super) fn write(&mut self, posts: &[Post], weights: &WeightTree) {
        for &(node, place) in posts {
            let mut at = node as usize;
            self.nodes[at].tree.put(place as usize, weights.root());
            loop {
                let below = at < self.leaves() && (self.nodes[2 * at].open || self.nodes[2 * at + 1].open);
                let open = below || self.nodes[at].tree.total() > 0;
                if core::mem::replace(&mut self.nodes[at].open, open) == open || at == 1 {
                    break;
                }
                at /= 2;
            }
        }
    }

    /// The nodes with weight for a priority.
    pub(super) fn covering(&self, priority: u32) -> impl Iterator<Item = &Node> {
        let leaf = self.leaves() + self.leaf_of(priority);
        core::iter::successors(Some(leaf), |node| (*node > 1).then_some(node / 2))
            .map(|node| &self.nodes[node])
            .filter(|node| node.tree.total() > 0)
    }

    /// The highest priority up to this one for which there is weight.
    pub(super) fn open_up_to(&self, priority: u32) -> Option<u32> {
        if self.covering(priority).next().is_some() {
            return Some(priority);
        }
        // Nothing covers the leaf, so what is open lies in a subtree to the left of the way up.
        let mut node = self.leaves() + self.leaf_of(priority);
        while !(node % 2 == 1 && self.nodes[node - 1].open) {
            if node <= 1 {
                return None;
            }
            node /= 2;
        }
        node -= 1;
        let mut covered = false;
        while node < self.leaves() {
            covered |= self.nodes[node].tree.total() > 0;
            let right = 2 * node + 1;
            node = if covered || self.nodes[right].open { right } else { 2 * node };
        }
        Some(self.bounds[node - self.leaves() + 1] - 1)
    }
}
