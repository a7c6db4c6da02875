//! Which of the workers that may take an execution gets it.

use crate::tables::{PoolKey, WeightTree};
use core::fmt;
use proletariat_protocol::PeerId;
use rand::{Rng, RngExt};
use rand_xoshiro::Xoshiro256PlusPlus;

/// The generator that the scheduler hands to selectors: seeded, so that a run can be repeated.
pub type Random = Xoshiro256PlusPlus;

/// A strategy that picks one worker for one execution.
///
/// `None` sets the execution aside for 50 ms, doubling to 2 s; later ones pass it.
///
/// ```
/// use proletariat_scheduler::selector::{Candidate, Candidates, Random, Request, Selector};
///
/// /// Always the worker with the lowest id.
/// #[derive(Debug)]
/// struct Eldest;
///
/// impl Selector for Eldest {
///     fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
///         among.iter().min_by_key(|candidate| candidate.worker)
///     }
/// }
/// ```
pub trait Selector: fmt::Debug + Send {
    /// Picks one of the candidates; there is at least one. One that is left over from an earlier call, and is none any
    /// more, counts as `None`.
    fn select(
        &mut self,
        request: &Request<'_>,
        among: &Candidates<'_>,
        random: &mut Random,
    ) -> Option<Candidate>;
}

/// What a selector may know about the execution.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its kind.
    pub kind: Option<&'a str>,
    /// Its priority.
    pub priority: u32,
    /// Size of its payload, in bytes.
    pub payload_bytes: usize,
    /// Which attempt this will be, from 1.
    pub attempt: u32,
}

/// A worker that may take the execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Who.
    pub worker: PeerId,
    /// The slots that the execution's range could still take there; at least 1.
    pub free: u32,
    /// Where it stands.
    pool: PoolKey,
    place: u32,
}

/// The workers of one pool, as seen from one priority range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a> {
    pub(crate) pool: PoolKey,
    pub(crate) tree: &'a WeightTree,
    pub(crate) members: &'a [Option<PeerId>],
}

/// The workers that may take the execution. The list can be walked; the other questions cost O(log n).
#[derive(Debug)]
pub struct Candidates<'a> {
    pub(crate) groups: smallvec::SmallVec<[Group<'a>; 4]>,
}

impl Candidates<'_> {
    /// Each of them, in an order that has no meaning but is the same each time. Costs O(workers).
    pub fn iter(&self) -> impl Iterator<Item = Candidate> {
        self.groups.iter().flat_map(|group| {
            (0..group.members.len())
                .filter(|place| group.tree.weight(*place) > 0)
                .filter_map(|place| group.candidate(place))
        })
    }

    /// The pool and the place there of a candidate, if it still is one.
    pub(crate) fn place_of(&self, candidate: &Candidate) -> Option<(PoolKey, usize)> {
        let group = self.groups.iter().find(|group| group.pool == candidate.pool)?;
        let place = candidate.place as usize;
        let still = *group.members.get(place)? == Some(candidate.worker) && group.tree.weight(place) > 0;
        still.then_some((group.pool, place))
    }

    /// The slots that all of them together could still give the range.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.groups.iter().map(|group| group.tree.total()).sum()
    }

    /// One at random, in proportion to the slots that it could still give.
    pub fn weighted(&self, random: &mut Random) -> Option<Candidate> {
        let total = self.free();
        if total == 0 {
            return None;
        }
        let mut at = random.random_range(0..total);
        for group in &self.groups {
            if at < group.tree.total() {
                return group.candidate(group.tree.at_weight(at));
            }
            at -= group.tree.total();
        }
        None
    }

    /// The one with the most slots that it could still give; the first of several.
    #[must_use]
    pub fn most_free(&self) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        for group in &self.groups {
            let found = group.tree.heaviest().and_then(|(place, _)| group.candidate(place));
            if found.is_some_and(|found| best.is_none_or(|best| found.free > best.free)) {
                best = found;
            }
        }
        best
    }

    /// The next one after a place in the round, and its place.
    fn next_after(&self, last: Option<(PoolKey, usize)>) -> Option<((PoolKey, usize), Candidate)> {
        let start = last.and_then(|(pool, _)| self.groups.iter().position(|group| group.pool == pool));
        let count = self.groups.len();
        let first = start.unwrap_or(0);
        for step in 0..=count {
            let group = &self.groups[(first + step) % count];
            let from = match last {
                Some((pool, place)) if step == 0 && pool == group.pool => place + 1,
                _ => 0,
            };
            if let Some(place) = group.tree.next_from(from) {
                return group.candidate(place).map(|candidate| ((group.pool, place), candidate));
            }
        }
        None
    }
}

impl Group<'_> {
    fn candidate(&self, place: usize) -> Option<Candidate> {
        let (pool, free) = (self.pool, self.tree.weight(place));
        let at = u32::try_from(place).expect("fewer workers than connections");
        self.members[place].map(|worker| Candidate { worker, free, pool, place: at })
    }
}

/// The default: at random, in proportion to the slots that the execution's range could still take.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomWeighted;

impl Selector for RandomWeighted {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, random: &mut Random) -> Option<Candidate> {
        among.weighted(random)
    }
}

/// The worker with the most free slots.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastLoaded;

impl Selector for LeastLoaded {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        among.most_free()
    }
}

/// The freer one of two that are drawn at random.
#[derive(Clone, Copy, Debug, Default)]
pub struct TwoChoices;

impl Selector for TwoChoices {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, random: &mut Random) -> Option<Candidate> {
        let (one, other) = (among.weighted(random)?, among.weighted(random)?);
        Some(if other.free > one.free { other } else { one })
    }
}

/// One after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    last: Option<(PoolKey, usize)>,
}

impl Selector for RoundRobin {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        let (place, candidate) = among.next_after(self.last)?;
        self.last = Some(place);
        Some(candidate)
    }
}

/// The shipped selectors by their names on the command line.
#[must_use]
pub fn by_name(name: &str) -> Option<alloc::boxed::Box<dyn Selector>> {
    use alloc::boxed::Box;
    Some(match name {
        "random-weighted" => Box::new(RandomWeighted),
        "least-loaded" => Box::new(LeastLoaded),
        "two-choices" => Box::new(TwoChoices),
        "round-robin" => Box::new(RoundRobin::default()),
        _ => return None,
    })
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 4] = ["random-weighted", "least-loaded", "two-choices", "round-robin"];

/// A random duration in microseconds up to and with `most`.
pub(crate) fn up_to(random: &mut impl Rng, most: u64) -> u64 {
    random.random_range(0..=most)
}
