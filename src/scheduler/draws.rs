//! Draws for several executions at once. Each takes a slot, so that the next has one less to choose from.

use crate::selector::Random;
use rand::{Rng, RngExt};
use smallvec::SmallVec;

/// How many of the drawn units fall to each of a few places that have so many; no more than all of them are drawn. Every place is
/// looked at for each draw, without a branch.
pub(crate) fn shares<const N: usize>(units: [u32; N], draws: u32, random: &mut Random) -> [u32; N] {
    // Where the units of a place end. A draw takes the last one from the place that it meets, and so moves its end and all after it.
    let mut total = 0;
    let mut ends = units.map(|units| {
        total += units;
        total
    });
    for drawn in 0..draws {
        let unit = below(random, total - drawn);
        for end in &mut ends {
            *end -= u32::from(unit < *end);
        }
    }
    let mut begin = 0;
    core::array::from_fn(|place| {
        let left = ends[place] - begin;
        begin = ends[place];
        units[place] - left
    })
}

/// A number below this one; none is likelier than another by more than one in 2^32.
fn below(random: &mut Random, end: u32) -> u32 {
    ((u128::from(random.next_u64()) * u128::from(end)) >> 64) as u32
}

/// So many different numbers below `total`, each choice of them as likely as any other; in order.
pub(crate) fn different(random: &mut Random, count: usize, total: u64) -> SmallVec<[u64; 64]> {
    let mut numbers = SmallVec::new();
    // Floyd's way: each is drawn from one number more than the one before, and that one number stands in for what is there already.
    for last in total - count as u64..total {
        let number = random.random_range(0..=last);
        numbers.push(if numbers.contains(&number) { last } else { number });
    }
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use rand::SeedableRng;

    /// How often each outcome came, in so many trials.
    fn outcomes<T: Ord>(trials: u64, mut draw: impl FnMut(&mut Random) -> T) -> Vec<(T, u64)> {
        let mut seen = BTreeMap::new();
        for seed in 0..trials {
            *seen.entry(draw(&mut Random::seed_from_u64(seed))).or_insert(0) += 1;
        }
        seen.into_iter().collect()
    }

    #[test]
    fn each_choice_of_numbers_is_as_likely_as_any_other() {
        for (count, choices) in [(1, 5), (2, 10), (3, 10), (4, 5), (5, 1)] {
            let seen = outcomes(20_000, |random| different(random, count, 5));
            assert_eq!(seen.len(), choices, "of {count}");
            for (numbers, times) in seen {
                assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
                let expected = 20_000 / choices as u64;
                assert!(times.abs_diff(expected) < expected / 10 + 1, "{numbers:?}: {times} times of 20,000");
            }
        }
    }

    #[test]
    fn shares_are_those_of_drawing_unit_by_unit() {
        let mut units = [0; 16];
        (units[0], units[2], units[15]) = (1, 2, 3);
        // Of six units, by place: 6 choose 3 are 20.
        let expected =
            [([0, 0, 3], 1), ([0, 1, 2], 6), ([0, 2, 1], 3), ([1, 0, 2], 3), ([1, 1, 1], 6), ([1, 2, 0], 1)];
        let seen = outcomes(40_000, |random| {
            let shares = shares(units, 3, random);
            assert_eq!(shares.iter().sum::<u32>(), 3);
            [shares[0], shares[2], shares[15]]
        });
        assert_eq!(seen.len(), expected.len());
        for ((shares, times), (same, ways)) in seen.into_iter().zip(expected) {
            assert_eq!(shares, same);
            let expected = 40_000 * ways / 20;
            assert!(times.abs_diff(expected) < expected / 10, "{shares:?}: {times} times of 40,000");
        }
    }

    #[test]
    fn all_there_is_can_be_drawn_and_nothing() {
        let mut random = Random::seed_from_u64(1);
        let units: [u32; 16] = core::array::from_fn(|place| place as u32 % 5);
        assert_eq!(shares(units, units.iter().sum(), &mut random), units);
        assert_eq!(shares(units, 0, &mut random), [0; 16]);
        assert_eq!(shares([0; 4], 0, &mut random), [0; 4]);
        assert!(different(&mut random, 0, 0).is_empty());
        assert!(different(&mut random, 64, 64).into_iter().eq(0..64));
    }
}
