//! What a worker announces.

use crate::limits::{KINDS_MAX, NAME_BYTES_MAX, RANGES_MAX, SLOTS_MAX};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Slots that the jobs of a priority range can count on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Guarantee {
    /// Lower bound of the range: it runs from here to the next bound.
    pub bound: u32,
    /// Guaranteed slots; 0 is legal.
    pub slots: u32,
}

/// The kinds of job that a worker takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kinds {
    /// Every kind, and jobs without one.
    Any,
    /// These alone.
    Only(Vec<String>),
}

/// Slots, guarantees and kinds of a worker.
///
/// ```
/// use proletariat_protocol::{Guarantee, Offer};
/// let offer = Offer::new(100).guarantee(1, 30).guarantee(2, 20);
/// assert!(offer.check().is_ok());
/// assert!(Offer::new(10).guarantee(1, 11).check().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// All slots together.
    pub slots: u32,
    /// Guarantees of the ranges above the lowest; what is left belongs to range 0.
    pub guarantees: Vec<Guarantee>,
    /// What the worker takes.
    pub kinds: Kinds,
}

/// Why an offer is refused (`EINVSLOTNR`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum OfferError {
    /// No slots.
    #[error("an offer of 0 slots: offer at least 1, or withdraw")]
    NoSlots,
    /// Too many slots.
    #[error("an offer of {0} slots: the most is {SLOTS_MAX}")]
    TooManySlots(u32),
    /// Too many ranges.
    #[error("{0} priority ranges (range 0 included): the most is {RANGES_MAX}")]
    TooManyRanges(usize),
    /// Bound 0 named.
    #[error("a guarantee for bound 0: range 0 gets what the others leave")]
    BoundZero,
    /// A bound twice.
    #[error("two guarantees for the range from {0}: name each bound once")]
    BoundTwice(u32),
    /// The sum of the guarantees is over the slots.
    #[error("the range from {bound} brings the guarantees to {sum}, but only {slots} slots are offered")]
    OverSlots {
        /// The range at which the sum passed the slots.
        bound: u32,
        /// The sum up to it.
        sum: u64,
        /// The slots offered.
        slots: u32,
    },
    /// The offered kinds are not acceptable.
    #[error("the kinds are refused: at most {KINDS_MAX} of them, each of 1 to {NAME_BYTES_MAX} bytes")]
    Kinds,
}

impl Offer {
    /// So many slots, all in range 0, for any kind.
    #[must_use]
    pub fn new(slots: u32) -> Self {
        Self { slots, guarantees: Vec::new(), kinds: Kinds::Any }
    }

    /// With so many slots guaranteed for priorities from `bound` up.
    #[must_use]
    pub fn guarantee(mut self, bound: u32, slots: u32) -> Self {
        self.guarantees.push(Guarantee { bound, slots });
        self
    }

    /// For these kinds alone.
    #[must_use]
    pub fn kinds<K: Into<String>>(mut self, kinds: impl IntoIterator<Item = K>) -> Self {
        self.kinds = Kinds::Only(kinds.into_iter().map(Into::into).collect());
        self
    }

    /// Whether the offer can be kept; says which range is at fault.
    ///
    /// # Errors
    /// See [`OfferError`].
    pub fn check(&self) -> Result<(), OfferError> {
        if self.slots == 0 {
            return Err(OfferError::NoSlots);
        }
        if self.slots > SLOTS_MAX {
            return Err(OfferError::TooManySlots(self.slots));
        }
        if self.guarantees.len() + 1 > RANGES_MAX {
            return Err(OfferError::TooManyRanges(self.guarantees.len() + 1));
        }
        self.check_bounds()?;
        self.check_kinds()
    }

    fn check_bounds(&self) -> Result<(), OfferError> {
        let mut sorted = self.guarantees.clone();
        sorted.sort_unstable();
        let mut sum = 0_u64;
        for (index, guarantee) in sorted.iter().enumerate() {
            if guarantee.bound == 0 {
                return Err(OfferError::BoundZero);
            }
            if index > 0 && sorted[index - 1].bound == guarantee.bound {
                return Err(OfferError::BoundTwice(guarantee.bound));
            }
            sum += u64::from(guarantee.slots);
            if sum > u64::from(self.slots) {
                return Err(OfferError::OverSlots { bound: guarantee.bound, sum, slots: self.slots });
            }
        }
        Ok(())
    }

    fn check_kinds(&self) -> Result<(), OfferError> {
        let Kinds::Only(kinds) = &self.kinds else {
            return Ok(());
        };
        let fits = |kind: &String| (1..=NAME_BYTES_MAX).contains(&kind.len());
        if kinds.is_empty() || kinds.len() > KINDS_MAX || !kinds.iter().all(fits) {
            return Err(OfferError::Kinds);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_bounds() {
        assert_eq!(Offer::new(0).check(), Err(OfferError::NoSlots));
        assert_eq!(Offer::new(1).check(), Ok(()));
        assert_eq!(Offer::new(65_535).check(), Ok(()));
        assert_eq!(Offer::new(65_536).check(), Err(OfferError::TooManySlots(65_536)));
    }

    #[test]
    fn ranges_have_bounds() {
        let ranges = |count: u32| (1..=count).fold(Offer::new(100), |offer, bound| offer.guarantee(bound, 1));
        assert_eq!(ranges(15).check(), Ok(()));
        assert_eq!(ranges(16).check(), Err(OfferError::TooManyRanges(17)));
        assert_eq!(Offer::new(5).guarantee(0, 1).check(), Err(OfferError::BoundZero));
        let twice = Offer::new(5).guarantee(7, 1).guarantee(3, 1).guarantee(7, 2);
        assert_eq!(twice.check(), Err(OfferError::BoundTwice(7)));
    }

    #[test]
    fn guarantees_fit_into_the_slots() {
        let offer = Offer::new(50).guarantee(2, 20).guarantee(1, 30);
        assert_eq!(offer.check(), Ok(()), "nothing need be left for range 0");
        let over = offer.clone().guarantee(9, 1).check();
        assert_eq!(over, Err(OfferError::OverSlots { bound: 9, sum: 51, slots: 50 }));
        let over = offer.guarantee(1_000, u32::MAX).check();
        assert!(matches!(over, Err(OfferError::OverSlots { bound: 1_000, .. })));
        assert_eq!(Offer::new(1).guarantee(1, 0).check(), Ok(()), "a guarantee of nothing is one");
    }

    #[test]
    fn kinds_have_bounds() {
        let offer = |kinds: Vec<String>| Offer::new(1).kinds(kinds).check();
        assert_eq!(offer(vec!["k".into(), "k".repeat(128)]), Ok(()));
        assert_eq!(offer(vec!["k".into(); 4_096]), Ok(()));
        for refused in
            [vec![], vec!["k".into(); 4_097], vec!["k".into(), String::new()], vec!["k".repeat(129)]]
        {
            assert_eq!(offer(refused), Err(OfferError::Kinds));
        }
    }
}
