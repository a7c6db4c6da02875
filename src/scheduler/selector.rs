//! Which of the workers that may take an execution gets it.

use crate::tables::{PeerKey, PoolKey};
use crate::waiting::{Holder, Pool, Pools, Spot};
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

    /// Whether it draws at random, in proportion to [`free`](Candidate::free), and heeds nothing else. If so it is not asked for
    /// each of the executions that wait one behind the other: they are drawn for in the same proportions together, and
    /// those for the same worker follow each other.
    fn draws_by_room(&self) -> bool {
        false
    }
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

/// A worker that may take the execution. Equal is who stands at the same place with as much room.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Who.
    pub worker: PeerId,
    /// The slots that the execution's range could still take there; at least 1.
    pub free: u32,
    /// Where it stands.
    pool: PoolKey,
    spot: Spot,
    key: PeerKey,
    /// The look that found it.
    look: u64,
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        let place = |one: &Self| (one.worker, one.free, one.pool, one.spot);
        place(self) == place(other)
    }
}

impl Eq for Candidate {}

/// The workers that may take the execution. The list can be walked; the other questions cost O(log n).
#[derive(Debug)]
pub struct Candidates<'a> {
    pools: &'a Pools,
    serving: &'a [PoolKey],
    priority: u32,
    /// Tells this look from all others.
    look: u64,
}

impl<'a> Candidates<'a> {
    /// The workers in these pools that have room at a priority; `look` is never used again.
    pub(crate) fn new(pools: &'a Pools, serving: &'a [PoolKey], priority: u32, look: u64) -> Self {
        Self { pools, serving, priority, look }
    }

    fn pools(&self) -> impl Iterator<Item = (PoolKey, &'a Pool)> {
        self.serving.iter().map(|pool| (*pool, self.pools.pool(*pool)))
    }

    /// Each of them, in an order that has no meaning but is the same each time. Costs O(workers).
    pub fn iter(&self) -> impl Iterator<Item = Candidate> {
        self.pools().flat_map(move |(key, pool)| {
            pool.workers.open_spots(self.priority).filter_map(move |spot| self.candidate(key, spot))
        })
    }

    /// Who a candidate is, if it still is one: one of this look is, and of any other nothing is known.
    pub(crate) fn member(&self, candidate: &Candidate) -> Option<PeerKey> {
        if candidate.look == self.look {
            return Some(candidate.key);
        }
        let pool = self.serving.contains(&candidate.pool).then(|| self.pools.get(candidate.pool))??;
        let member = pool.workers.member(candidate.spot).filter(|member| member.id == candidate.worker)?;
        (pool.workers.weight(self.priority, candidate.spot) > 0).then_some(member.key)
    }

    /// The slots that all of them together could still give the range.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.pools().map(|(_, pool)| pool.workers.total(self.priority)).sum()
    }

    /// One at random, in proportion to the slots that it could still give.
    pub fn weighted(&self, random: &mut Random) -> Option<Candidate> {
        let mut draw = |total: u64| random.random_range(0..total);
        if let [pool] = *self.serving {
            let drawn = self.pools.pool(pool).workers.draw(self.priority, draw)?;
            return Some(self.found(pool, drawn));
        }
        let total = self.free();
        let mut at = if total == 0 { return None } else { draw(total) };
        for (key, pool) in self.pools() {
            let total = pool.workers.total(self.priority);
            if at < total {
                return pool.workers.draw(self.priority, |_| at).map(|drawn| self.found(key, drawn));
            }
            at -= total;
        }
        None
    }

    /// The one with the most slots that it could still give; the first of several.
    #[must_use]
    pub fn most_free(&self) -> Option<Candidate> {
        let mut best: Option<Candidate> = None;
        for (key, pool) in self.pools() {
            let found = pool.workers.heaviest(self.priority).and_then(|(spot, _)| self.candidate(key, spot));
            if found.is_some_and(|found| best.is_none_or(|best| found.free > best.free)) {
                best = found;
            }
        }
        best
    }

    /// The next one after a place in the round, and its place.
    fn next_after(&self, last: Option<(PoolKey, Spot)>) -> Option<((PoolKey, Spot), Candidate)> {
        let start = last.and_then(|(pool, _)| self.serving.iter().position(|other| *other == pool));
        let count = self.serving.len();
        let first = start.unwrap_or(0);
        for step in 0..=count {
            let key = *self.serving.get((first + step) % count.max(1))?;
            let from = last.filter(|(pool, _)| step == 0 && *pool == key).map(|(_, spot)| spot);
            if let Some(spot) = self.pools.pool(key).workers.next_after(self.priority, from) {
                return self.candidate(key, spot).map(|candidate| ((key, spot), candidate));
            }
        }
        None
    }

    fn candidate(&self, pool: PoolKey, spot: Spot) -> Option<Candidate> {
        let workers = &self.pools.pool(pool).workers;
        let (member, weight) = (workers.member(spot)?, workers.weight(self.priority, spot));
        Some(self.found(pool, Holder { spot, member, weight, rest: 0 }))
    }

    #[inline(always)]
    fn found(&self, pool: PoolKey, holder: Holder) -> Candidate {
        let Holder { spot, member, weight, .. } = holder;
        Candidate { worker: member.id, free: weight, pool, spot, key: member.key, look: self.look }
    }
}

/// The default: at random, in proportion to the slots that the execution's range could still take.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomWeighted;

impl Selector for RandomWeighted {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, random: &mut Random) -> Option<Candidate> {
        among.weighted(random)
    }

    fn draws_by_room(&self) -> bool {
        true
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
    last: Option<(PoolKey, Spot)>,
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
