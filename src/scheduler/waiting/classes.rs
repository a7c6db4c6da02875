//! The workers of a pool, in classes. A few classes are looked at one by one; many are looked up in an index.

use super::class::{Class, Holder, Member, Shares, Spot, spot};
use super::index::{Index, Node};
use crate::draws;
use crate::selector::Random;
use crate::tables::WeightTree;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use proletariat_protocol::limits::RANGES_MAX;

/// So many classes are looked at one by one.
const LOOSE_MAX: usize = 16;

/// Where there is weight for a priority: a class that is loose, or a node of the index.
#[derive(Clone, Copy)]
enum Part<'a> {
    Loose(u32, &'a WeightTree),
    Indexed(&'a Node),
}

impl Part<'_> {
    fn tree(&self) -> &WeightTree {
        match self {
            Part::Loose(_, tree) => tree,
            Part::Indexed(node) => &node.tree,
        }
    }

    fn class_at(&self, place: usize) -> u32 {
        match self {
            Part::Loose(class, _) => *class,
            Part::Indexed(node) => node.class_at(place),
        }
    }
}

/// All classes of a pool.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    rows: Vec<Option<Class>>,
    vacant: Vec<u32>,
    by_bounds: BTreeMap<Vec<u32>, u32>,
    /// Those that the index does not know.
    loose: Vec<u32>,
    index: Option<Index>,
    /// Classes that the index knows and that are no more.
    void: usize,
}

impl Classes {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_bounds.is_empty()
    }

    fn class(&self, class: u32) -> &Class {
        self.rows[class as usize].as_ref().expect("a class lives as long as its workers")
    }

    /// A worker joins with no weight yet.
    pub(crate) fn enter(&mut self, bounds: &[u32], member: Member) -> Spot {
        let class = match self.by_bounds.get(bounds) {
            Some(&class) => class,
            None => self.open(bounds),
        };
        let row = self.rows[class as usize].as_mut().expect("found or made a line ago");
        let place = row.vacant.pop().unwrap_or_else(|| {
            row.members.push(None);
            u32::try_from(row.members.len() - 1).expect("fewer workers than connections")
        });
        row.members[place as usize] = Some(member);
        Spot { class, place }
    }

    fn open(&mut self, bounds: &[u32]) -> u32 {
        let class = self.vacant.pop().unwrap_or_else(|| {
            self.rows.push(None);
            u32::try_from(self.rows.len() - 1).expect("no more classes than workers")
        });
        self.rows[class as usize] = Some(Class::new(bounds));
        self.by_bounds.insert(bounds.to_vec(), class);
        self.loose.push(class);
        if self.loose.len() > LOOSE_MAX {
            self.index_all();
        }
        class
    }

    /// A worker leaves; a class without workers goes.
    pub(crate) fn leave(&mut self, spot: Spot) {
        self.weigh(spot, &[0; RANGES_MAX]);
        let row = self.rows[spot.class as usize].as_mut().expect("its worker was here a line ago");
        row.members[spot.place as usize] = None;
        row.vacant.push(spot.place);
        if row.is_empty() {
            self.close(spot.class);
        }
    }

    fn close(&mut self, class: u32) {
        let row = self.rows[class as usize].take().expect("closed once");
        self.by_bounds.remove(&row.bounds);
        self.vacant.push(class);
        let loose = self.loose.len();
        self.loose.retain(|other| *other != class);
        self.void += usize::from(self.loose.len() == loose);
        if self.void > LOOSE_MAX.max(self.by_bounds.len()) {
            self.index_all();
        }
    }

    /// Makes the index anew; few classes need none.
    fn index_all(&mut self) {
        self.void = 0;
        self.loose.clear();
        if self.by_bounds.len() <= LOOSE_MAX {
            self.index = None;
            self.loose.extend(self.by_bounds.values());
            let ranges = self.rows.iter_mut().flatten().flat_map(|class| &mut class.ranges);
            ranges.for_each(|range| range.posts = Vec::new());
        } else {
            let rows = (0_u32..).zip(&mut self.rows);
            self.index = Some(Index::build(rows.filter_map(|(class, row)| Some((class, row.as_mut()?)))));
        }
    }

    /// What a worker could still take in each of its ranges; tells whether that is more than before in any.
    #[inline]
    pub(crate) fn weigh(&mut self, spot: Spot, weights: &[u32]) -> bool {
        let class = self.rows[spot.class as usize].as_mut().expect("a class lives as long as its workers");
        let mut more = false;
        for (range, &weight) in class.ranges.iter_mut().zip(weights) {
            let before = range.tree.replace(spot.place as usize, weight);
            more |= weight > before;
            if before != weight {
                range.show(self.index.as_mut());
            }
        }
        more
    }

    /// A worker took some of what it could still take in a range.
    pub(crate) fn took(&mut self, spot: Spot, range: usize, slots: u32) {
        let class = self.rows[spot.class as usize].as_mut().expect("a class lives as long as its workers");
        let range = &mut class.ranges[range];
        range.tree.take(spot.place as usize, slots);
        range.show(self.index.as_mut());
    }

    /// Whether the worker at a spot has these ranges.
    pub(crate) fn has_bounds(&self, spot: Spot, bounds: &[u32]) -> bool {
        self.class(spot.class).bounds == bounds
    }

    /// All workers.
    pub(crate) fn members(&self) -> impl Iterator<Item = Member> {
        self.rows.iter().flatten().flat_map(|class| class.members.iter().copied().flatten())
    }

    /// Who stands at a spot.
    pub(crate) fn member(&self, spot: Spot) -> Option<Member> {
        *self.rows.get(spot.class as usize)?.as_ref()?.members.get(spot.place as usize)?
    }

    /// What the worker at a spot could still take at a priority.
    pub(crate) fn weight(&self, priority: u32, spot: Spot) -> u32 {
        self.class(spot.class).tree(priority).weight(spot.place as usize)
    }

    fn parts(&self, priority: u32) -> impl Iterator<Item = Part<'_>> {
        let loose =
            self.loose.iter().map(move |class| Part::Loose(*class, self.class(*class).tree(priority)));
        let indexed = self.index.iter().flat_map(move |index| index.covering(priority));
        loose.chain(indexed.map(Part::Indexed))
    }

    /// Whether what anybody takes for one of two priorities is taken from the room for the other too, and nothing else changes that.
    pub(crate) fn is_one_range(&self, one: u32, other: u32) -> bool {
        match (&self.loose[..], &self.index) {
            _ if one == other => true,
            (&[class], None) => self.class(class).range_of(one) == self.class(class).range_of(other),
            _ => false,
        }
    }

    /// What all of them could still take at a priority.
    #[inline]
    pub(crate) fn total(&self, priority: u32) -> u64 {
        if let (&[class], None) = (&self.loose[..], &self.index) {
            return self.class(class).tree(priority).total();
        }
        self.parts(priority).map(|part| part.tree().total()).sum()
    }

    /// The highest priority up to this one at which somebody could take something.
    pub(crate) fn open_up_to(&self, priority: u32) -> Option<u32> {
        let loose = self.loose.iter().filter_map(|class| self.class(*class).open_up_to(priority));
        loose.chain(self.index.iter().filter_map(|index| index.open_up_to(priority))).max()
    }

    /// Who has the unit of weight that `draw` picks, below the total; with all the weight there. `None` if nobody has any.
    #[inline(always)]
    pub(crate) fn draw(&self, priority: u32, draw: impl FnOnce(u64) -> u64) -> Option<Holder> {
        // Nearly always there is one class.
        if let (&[class], None) = (&self.loose[..], &self.index) {
            let row = self.class(class);
            let tree = row.tree(priority);
            let total = tree.total();
            return (total > 0).then(|| row.holder(class, tree, draw(total)));
        }
        let total = self.total(priority);
        let mut at = if total == 0 { return None } else { draw(total) };
        for part in self.parts(priority) {
            let total = part.tree().total();
            if at < total {
                let (place, rest) = part.tree().at_weight(at);
                let class = part.class_at(place);
                let row = self.class(class);
                let at = if matches!(part, Part::Loose(..)) { at } else { rest };
                return Some(row.holder(class, row.tree(priority), at));
            }
            at -= total;
        }
        None
    }

    /// Draws so many units of the weight at a priority, of which there are no fewer: who has them, and how many of them.
    pub(crate) fn share(&self, priority: u32, draws: usize, random: &mut Random) -> Shares {
        if let (&[class], None) = (&self.loose[..], &self.index)
            && let Some(shares) = self.class(class).share(priority, draws, random)
        {
            return shares;
        }
        let units = draws::different(random, draws, self.total(priority));
        let (mut shares, mut units) = (Shares::new(), &units[..]);
        while let Some(&unit) = units.first() {
            let holder = self.draw(priority, |_| unit).expect("a unit below the total");
            let end = unit - holder.rest + u64::from(holder.weight);
            let count = units.iter().take_while(|unit| **unit < end).count();
            shares.push((holder.member.key, count));
            units = &units[count..];
        }
        shares
    }

    /// A spot that has the largest weight, and that weight.
    pub(crate) fn heaviest(&self, priority: u32) -> Option<(Spot, u32)> {
        let found = self.parts(priority).filter_map(|part| {
            let (place, weight) = part.tree().heaviest()?;
            Some((weight, part.class_at(place)))
        });
        // The first of several.
        let (_, class) = found.reduce(|best, other| if other.0 > best.0 { other } else { best })?;
        let (place, weight) = self.class(class).tree(priority).heaviest()?;
        Some((spot(class, place), weight))
    }

    /// The first spot after this one that has weight.
    pub(crate) fn next_after(&self, priority: u32, last: Option<Spot>) -> Option<Spot> {
        let own = last.filter(|last| self.rows.get(last.class as usize).is_some_and(Option::is_some));
        if let Some(last) = own
            && let Some(place) = self.class(last.class).tree(priority).next_from(last.place as usize + 1)
        {
            return Some(spot(last.class, place));
        }
        let from = last.map_or(0, |last| last.class + 1);
        let next = self.parts(priority).filter_map(|part| match part {
            Part::Loose(class, tree) => Some(class).filter(|class| *class >= from && tree.total() > 0),
            Part::Indexed(node) => node.next_from(from),
        });
        let class = next.min()?;
        let place = self.class(class).tree(priority).next_from(0)?;
        Some(spot(class, place))
    }

    /// All spots that have weight at a priority, in the order of the round.
    pub(crate) fn open_spots(&self, priority: u32) -> impl Iterator<Item = Spot> {
        let classes = (0_u32..).zip(&self.rows).filter_map(|(class, row)| Some((class, row.as_ref()?)));
        classes.flat_map(move |(class, row)| {
            let tree = row.tree(priority);
            (0..row.members.len())
                .filter(|place| tree.weight(*place) > 0)
                .map(move |place| spot(class, place))
        })
    }

    /// The sum of the weights in the trees that answer for a priority, and that of the workers one by one: for the audit.
    pub(crate) fn totals(&self, priority: u32) -> (u64, u64) {
        let one_by_one = self.open_spots(priority).map(|spot| u64::from(self.weight(priority, spot))).sum();
        (self.total(priority), one_by_one)
    }

    /// The bounds of all classes.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = u32> {
        self.by_bounds.keys().flatten().copied()
    }
}

#[cfg(test)]
mod tests;
