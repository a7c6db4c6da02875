//! The slots of one worker, and the rules by which ranges may take them.
//!
//! A slot is an object that an assignment owns: [`Ledger::take`] makes it, [`Ledger::give_back`] consumes it, and there is no
//! other way to change the counts, so none can drift.

use alloc::vec::Vec;
use core::fmt;
use proletariat_protocol::Offer;

/// One slot of one worker, held for a priority range. Deliberately neither `Clone` nor `Copy`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    range: u8,
}

impl Slot {
    pub(crate) fn range(&self) -> usize {
        usize::from(self.range)
    }
}

/// What a worker offers by range, and what each range holds.
///
/// After a re-offer the held slots keep the range that they were taken for, by its number; if the new offer has fewer
/// ranges, the ledger keeps the upper ones without a guarantee until they are empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    slots: u32,
    bounds: Vec<u32>,
    guaranteed: Vec<u32>,
    held: Vec<u32>,
    /// The sum of `held`.
    held_in_all: u32,
}

impl Ledger {
    /// The ledger of a worker that keeps to this (checked) offer and holds nothing.
    #[must_use]
    pub fn new(offer: &Offer) -> Self {
        let mut ledger = Self::default();
        ledger.offer(offer);
        ledger
    }

    /// Takes a new offer; what is held stays held.
    pub fn offer(&mut self, offer: &Offer) {
        let mut guarantees = offer.guarantees.clone();
        guarantees.sort_unstable();
        let sum: u32 = guarantees.iter().map(|guarantee| guarantee.slots).sum();
        assert!(sum <= offer.slots, "an offer is checked before it is taken");
        self.slots = offer.slots;
        self.bounds = core::iter::once(0).chain(guarantees.iter().map(|g| g.bound)).collect();
        self.guaranteed =
            core::iter::once(offer.slots - sum).chain(guarantees.iter().map(|g| g.slots)).collect();
        let ranges =
            self.bounds.len().max(self.held.iter().rposition(|held| *held > 0).map_or(0, |top| top + 1));
        self.held.resize(ranges, 0);
    }

    /// All slots offered.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The lower bounds of the ranges, from 0 upwards.
    #[must_use]
    pub fn bounds(&self) -> &[u32] {
        &self.bounds
    }

    /// How many ranges are offered.
    #[must_use]
    pub fn ranges(&self) -> usize {
        self.bounds.len()
    }

    /// The guaranteed slots of a range (g of SPEC); 0 beyond the offered ranges.
    #[must_use]
    pub fn guaranteed(&self, range: usize) -> u32 {
        self.guaranteed.get(range).copied().unwrap_or(0)
    }

    /// The slots that a range holds (r of SPEC).
    #[must_use]
    pub fn held(&self, range: usize) -> u32 {
        self.held.get(range).copied().unwrap_or(0)
    }

    /// How many ranges hold slots or are offered, whichever is more.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.held.len().max(self.bounds.len())
    }

    /// All held slots together.
    #[must_use]
    pub fn held_in_all(&self) -> u32 {
        self.held_in_all
    }

    /// The range of a priority: the one with the greatest lower bound that is not above it.
    #[must_use]
    pub fn range_of(&self, priority: u32) -> usize {
        range_of(&self.bounds, priority)
    }

    /// Sets what a range holds: for tests and enumerations of states.
    pub fn set_held(&mut self, range: usize, held: u32) {
        if self.held.len() <= range {
            self.held.resize(range + 1, 0);
        }
        self.held_in_all = self.held_in_all - self.held[range] + held;
        self.held[range] = held;
    }

    pub(crate) fn take(&mut self, range: usize) -> Slot {
        self.held[range] += 1;
        self.held_in_all += 1;
        Slot { range: u8::try_from(range).expect("at most 16 ranges") }
    }

    #[allow(clippy::needless_pass_by_value, reason = "the slot ends here: that is the point")]
    pub(crate) fn give_back(&mut self, slot: Slot) {
        let held = &mut self.held[slot.range()];
        assert!(*held > 0, "a slot is given back once");
        *held -= 1;
        self.held_in_all -= 1;
    }
}

/// The range of a priority among these lower bounds, the first of which is 0. They are few, nearly always one: looked at one by
/// one.
pub(crate) fn range_of(bounds: &[u32], priority: u32) -> usize {
    let [_, others @ ..] = bounds else { return 0 };
    others.iter().take_while(|bound| **bound <= priority).count()
}

/// A rule for how many more slots a range may take.
pub trait Admission: fmt::Debug + Send {
    /// The slots that `range` could still take one after the other, with nothing else changing. So each that it takes leaves one
    /// less: the rule is not asked again for that range before the others are looked at, too. And no other can take more than
    /// before: a pass that goes from urgent jobs to less urgent ones asks anew only where another range begins.
    fn free(&self, ledger: &Ledger, range: usize) -> u32;

    /// What [`free`](Self::free) says of each range that is offered, from 0 upwards. Asks for one after the other; a rule that
    /// knows a shorter way to the same may take it.
    fn free_in_each(&self, ledger: &Ledger, free: &mut [u32]) {
        for (range, free) in free.iter_mut().enumerate() {
            *free = self.free(ledger, range);
        }
    }
}

/// The default: a higher range may borrow from every lower one.
///
/// With G and S the sums of guarantees and held slots from range 0 up to j, range k may take as many as leave S ≤ G for **every**
/// j ≥ k. Testing the own range alone would let a low range eat what a higher one has been promised.
#[derive(Clone, Copy, Debug, Default)]
pub struct Borrowing;

impl Admission for Borrowing {
    fn free(&self, ledger: &Ledger, range: usize) -> u32 {
        if ledger.rows() == 1 {
            return ledger.guaranteed(0).saturating_sub(ledger.held_in_all);
        }
        let (mut guaranteed, mut held, mut free) = (0_u32, 0_u32, u32::MAX);
        for j in 0..ledger.rows() {
            guaranteed += ledger.guaranteed(j);
            held += ledger.held(j);
            if j >= range {
                free = free.min(guaranteed.saturating_sub(held));
            }
        }
        free
    }

    fn free_in_each(&self, ledger: &Ledger, free: &mut [u32]) {
        if let ([free], 1) = (&mut *free, ledger.rows()) {
            *free = self.free(ledger, 0);
            return;
        }
        // From below what there is up to each range, and beyond them where slots are held for ranges that are no longer offered;
        // then from above the least of that.
        let (offered, others) = ledger.held.split_at(free.len());
        let (mut guaranteed, mut held) = (0_u32, 0_u32);
        for ((free, more), holds) in free.iter_mut().zip(&ledger.guaranteed).zip(offered) {
            guaranteed += more;
            held += holds;
            *free = guaranteed.saturating_sub(held);
        }
        let mut least = u32::MAX;
        for holds in others {
            held += holds;
            least = least.min(guaranteed.saturating_sub(held));
        }
        for free in free.iter_mut().rev() {
            least = least.min(*free);
            *free = least;
        }
    }
}

/// `SACRED_GUARANTEES`: a higher range borrows from range 0 only.
///
/// What range 0 holds and what the others hold beyond their guarantees must fit into range 0's guarantee.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sacred;

impl Admission for Sacred {
    fn free(&self, ledger: &Ledger, range: usize) -> u32 {
        let borrowed: u32 =
            (1..ledger.rows()).map(|k| ledger.held(k).saturating_sub(ledger.guaranteed(k))).sum();
        let used = ledger.held(0) + borrowed;
        let left = ledger.guaranteed(0).saturating_sub(used);
        let own = if range == 0 { 0 } else { ledger.guaranteed(range).saturating_sub(ledger.held(range)) };
        let in_all = ledger.slots().saturating_sub(ledger.held_in_all());
        (own + left).min(in_all)
    }
}

/// What a range could hold at most if no other range held anything.
#[must_use]
pub fn single_range_maximum(admission: &dyn Admission, ledger: &Ledger, range: usize) -> u32 {
    let mut empty = ledger.clone();
    empty.held.fill(0);
    empty.held_in_all = 0;
    admission.free(&empty, range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Ledger {
        Ledger::new(&Offer::new(100).guarantee(1, 30).guarantee(2, 20))
    }

    /// Every occupancy that can be reached from the empty worker by single admissions.
    fn legal_states(admission: &dyn Admission) -> usize {
        let mut ledger = example();
        let mut reached = alloc::vec![false; 101 * 101 * 101];
        let place = |a: usize, b: usize, c: usize| (a * 101 + b) * 101 + c;
        reached[0] = true;
        let mut count = 0;
        for a in 0..=100 {
            for b in 0..=100 - a {
                for c in 0..=100 - a - b {
                    if !reached[place(a, b, c)] {
                        continue;
                    }
                    count += 1;
                    for (range, held) in [a, b, c].into_iter().enumerate() {
                        ledger.set_held(range, held as u32);
                    }
                    for (range, next) in [(a + 1, b, c), (a, b + 1, c), (a, b, c + 1)].into_iter().enumerate()
                    {
                        if admission.free(&ledger, range) > 0 {
                            reached[place(next.0, next.1, next.2)] = true;
                        }
                    }
                }
            }
        }
        count
    }

    #[test]
    fn the_example_has_as_many_legal_states_as_promised() {
        assert_eq!(legal_states(&Borrowing), 144_041);
        assert_eq!(legal_states(&Sacred), 120_326);
    }

    #[test]
    fn a_low_range_is_refused_what_a_higher_one_was_promised() {
        let mut ledger = example();
        ledger.set_held(0, 20);
        ledger.set_held(1, 60);
        assert_eq!(Borrowing.free(&ledger, 0), 0, "80 of 100 are held, but the rest belongs to range 2");
        assert_eq!(Borrowing.free(&ledger, 2), 20);
    }

    #[test]
    fn what_a_range_could_hold_alone_does_not_hang_on_what_is_held() {
        let mut ledger = example();
        let held: Vec<Slot> = (0..40).map(|_| ledger.take(0)).collect();
        let maxima = |admission| [0, 1, 2].map(|range| single_range_maximum(admission, &ledger, range));
        assert_eq!(maxima(&Borrowing), [50, 80, 100], "a higher range may borrow from every lower one");
        assert_eq!(maxima(&Sacred), [50, 80, 70], "from range 0 alone");
        assert_eq!(ledger.held_in_all(), 40);
        held.into_iter().for_each(|slot| ledger.give_back(slot));
    }

    /// Each offer of up to four ranges with few slots, each way to hold them, and what is still held for ranges no longer offered.
    #[test]
    fn what_all_ranges_are_told_at_once_is_what_each_is_told_alone_and_never_grows_by_taking() {
        let mut seen = 0;
        for guaranteed in 0..4_u32.pow(3) {
            let parts = [0, 1, 2].map(|k| guaranteed / 4_u32.pow(k) % 4);
            let ranges = 1 + parts.iter().filter(|part| **part > 0).count();
            let offer = (1_u32..).zip(parts).filter(|(_, part)| *part > 0);
            let offer = offer.fold(Offer::new(2 + parts.iter().sum::<u32>()), |offer, (bound, slots)| {
                offer.guarantee(bound, slots)
            });
            for held in 0..4_u32.pow(4) {
                let mut ledger = Ledger::new(&offer);
                (0..4).for_each(|range| ledger.set_held(range, held / 4_u32.pow(range as u32) % 4));
                for admission in [&Borrowing as &dyn Admission, &Sacred] {
                    let mut free = alloc::vec![0; ranges];
                    admission.free_in_each(&ledger, &mut free);
                    let alone: Vec<u32> = (0..ranges).map(|range| admission.free(&ledger, range)).collect();
                    assert_eq!(free, alone, "{admission:?} of {ledger:?}");
                    for range in (0..ranges).filter(|range| alone[*range] > 0) {
                        let slot = ledger.take(range);
                        let mut after = alloc::vec![0; ranges];
                        admission.free_in_each(&ledger, &mut after);
                        assert!(after.iter().zip(&free).all(|(after, before)| after <= before), "{ledger:?}");
                        assert_eq!(after[range] + 1, free[range], "{ledger:?}");
                        ledger.give_back(slot);
                    }
                    seen += 1;
                }
            }
        }
        assert_eq!(seen, 64 * 256 * 2);
    }

    #[test]
    fn a_ledger_that_a_smaller_offer_made_illegal_only_shrinks() {
        let mut ledger = example();
        let mut slots: Vec<Slot> = (0..40).map(|_| ledger.take(0)).collect();
        slots.extend((0..20).map(|_| ledger.take(2)));
        ledger.offer(&Offer::new(30).guarantee(1, 10));
        assert_eq!(ledger.held_in_all(), 60);
        for admission in [&Borrowing as &dyn Admission, &Sacred] {
            for range in 0..ledger.ranges() {
                assert_eq!(admission.free(&ledger, range), 0);
            }
        }
        for slot in slots {
            ledger.give_back(slot);
        }
        assert_eq!(ledger.held_in_all(), 0);
        assert_eq!(Borrowing.free(&ledger, 1), 30);
    }
}
