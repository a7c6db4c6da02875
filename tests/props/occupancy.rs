//! Every occupancy that the example of SPEC 3 can have, in both modes: 176,851 vectors, each asked of the formula here
//! and of the product's own admission.

use crate::formula::{Mode, burden, legal, may_enter, room};
use proletariat_protocol::Offer;
use proletariat_scheduler::{Admission, Borrowing, Ledger, Sacred};

/// Slots 100, `{1: 30, 2: 20}`.
const EXAMPLE: [u32; 3] = [50, 30, 20];
const SLOTS: u32 = 100;

fn every_vector(mut visit: impl FnMut([u32; 3])) {
    for a in 0..=SLOTS {
        for b in 0..=SLOTS - a {
            for c in 0..=SLOTS - a - b {
                visit([a, b, c]);
            }
        }
    }
}

fn count(mode: Mode) -> (u32, u32, [u32; 3]) {
    let (mut all, mut good, mut alone) = (0, 0, [0; 3]);
    every_vector(|held| {
        all += 1;
        if legal(mode, &EXAMPLE, &held) {
            good += 1;
            for k in 0..3 {
                if held.iter().sum::<u32>() == held[k] {
                    alone[k] = alone[k].max(held[k]);
                }
            }
        }
    });
    (all, good, alone)
}

#[test]
fn the_example_has_the_numbers_of_the_specification() {
    assert_eq!(count(Mode::Borrowing), (176_851, 144_041, [50, 80, 100]));
    assert_eq!(count(Mode::Sacred), (176_851, 120_326, [50, 80, 70]));
}

#[test]
fn the_witness_against_testing_a_ranges_own_cap_alone() {
    assert!(legal(Mode::Borrowing, &EXAMPLE, &[20, 60, 0]));
    assert!(!may_enter(Mode::Borrowing, &EXAMPLE, &[20, 60, 0], 0));
}

/// From a legal state, entering is allowed exactly where it leads to a legal state; ending never breaks legality.
#[test]
fn entering_leads_from_legal_to_legal_and_nowhere_else() {
    for mode in [Mode::Borrowing, Mode::Sacred] {
        every_vector(|held| {
            if !legal(mode, &EXAMPLE, &held) {
                return;
            }
            for k in 0..3 {
                let mut after = held;
                after[k] += 1;
                assert_eq!(
                    may_enter(mode, &EXAMPLE, &held, k),
                    legal(mode, &EXAMPLE, &after),
                    "{mode:?} {held:?} {k}"
                );
                if held[k] > 0 {
                    let mut before = held;
                    before[k] -= 1;
                    assert!(legal(mode, &EXAMPLE, &before), "{mode:?} {before:?}");
                }
            }
        });
    }
}

/// What the guarantees promise: in default mode range k can count on g_k against lower ranges, in sacred mode against
/// all others.
#[test]
fn a_guarantee_is_there_when_it_is_needed() {
    every_vector(|held| {
        if legal(Mode::Sacred, &EXAMPLE, &held) {
            for k in 1..3 {
                assert!(held[k] >= EXAMPLE[k] || may_enter(Mode::Sacred, &EXAMPLE, &held, k), "{held:?} {k}");
            }
        }
        if legal(Mode::Borrowing, &EXAMPLE, &held) && held[2] < EXAMPLE[2] {
            assert!(may_enter(Mode::Borrowing, &EXAMPLE, &held, 2), "{held:?}");
        }
    });
}

/// Offers that take the place of the example while it is in use.
const SMALLER: [[u32; 3]; 5] = [[20, 30, 20], [50, 5, 20], [50, 30, 0], [10, 10, 10], [0, 0, 1]];

/// Nothing that is over its limit may grow, whatever a new offer made of the state.
#[test]
fn what_a_smaller_offer_left_over_its_limit_never_grows() {
    for offer in SMALLER {
        let slots: u32 = offer.iter().sum();
        every_vector(|held| {
            for k in 0..3 {
                let mut after = held;
                after[k] += 1;
                if may_enter(Mode::Borrowing, &offer, &held, k) {
                    let cap = |j: usize| offer[..=j].iter().sum::<u32>();
                    assert!(
                        (k..3).all(|j| after[..=j].iter().sum::<u32>() <= cap(j)),
                        "{offer:?} {held:?} {k}"
                    );
                }
                if may_enter(Mode::Sacred, &offer, &held, k) {
                    let grown = burden(&offer, &after) > burden(&offer, &held);
                    assert!(!grown || burden(&offer, &after) <= offer[0], "{offer:?} {held:?} {k}");
                    assert!(after.iter().sum::<u32>() <= slots, "{offer:?} {held:?} {k}");
                }
            }
        });
    }
}

fn product(mode: Mode) -> Box<dyn Admission> {
    match mode {
        Mode::Borrowing => Box::new(Borrowing),
        Mode::Sacred => Box::new(Sacred),
    }
}

fn offer(guaranteed: [u32; 3]) -> Offer {
    let slots = guaranteed.iter().sum();
    Offer::new(slots).guarantee(1, guaranteed[1]).guarantee(2, guaranteed[2])
}

/// The product's admission gives each range the room that the formula gives it, in each of the 176,851 states: as the
/// example offers, and after each of the offers that make some of the states illegal.
#[test]
fn the_product_admits_what_the_formula_admits() {
    for mode in [Mode::Borrowing, Mode::Sacred] {
        let admission = product(mode);
        for guaranteed in SMALLER.into_iter().chain([EXAMPLE]) {
            let mut ledger = Ledger::new(&offer(guaranteed));
            every_vector(|held| {
                (0..3).for_each(|k| ledger.set_held(k, held[k]));
                for k in 0..3 {
                    let right = room(mode, &guaranteed, &held, k);
                    assert_eq!(admission.free(&ledger, k), right, "{mode:?} {guaranteed:?} {held:?} {k}");
                }
            });
        }
    }
}

/// Ranges that a new offer no longer names still count until what they hold has ended.
#[test]
fn an_offer_with_fewer_ranges_counts_what_the_others_hold() {
    for mode in [Mode::Borrowing, Mode::Sacred] {
        let admission = product(mode);
        let mut ledger = Ledger::new(&offer(EXAMPLE));
        every_vector(|held| {
            if held.iter().any(|count| count % 5 != 0) {
                return;
            }
            ledger.offer(&offer(EXAMPLE));
            (0..3).for_each(|k| ledger.set_held(k, held[k]));
            ledger.offer(&Offer::new(60).guarantee(1, 20));
            for k in 0..2 {
                let right = room(mode, &[40, 20, 0], &held, k);
                assert_eq!(admission.free(&ledger, k), right, "{mode:?} {held:?} {k}");
            }
        });
    }
}
