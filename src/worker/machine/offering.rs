//! What is offered: the owner's wish, less the slots of handlers that do not stop, and what the manager said to it.

use core::time::Duration;
use proletariat_protocol::{Offer, Time};
use std::collections::VecDeque;

/// An offer that was refused in a session without an earlier one is tried again after this.
const OFFER_RETRY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Offering {
    /// What the owner wants now.
    wanted: Offer,
    /// The owner waits to hear what became of the latest wish.
    is_new: bool,
    /// Whether any manager ever accepted one.
    was_accepted: bool,
    /// What the manager was told last in this session.
    told: Option<Offer>,
    /// Told and not answered.
    unanswered: VecDeque<Told>,
    /// What holds in this session.
    accepted: Option<Told>,
    /// The most slots that the manager was told of in this session.
    slots_max: u32,
    /// Handlers of a lost session may still stop until then.
    hold_until: Time,
    /// After a refusal.
    retry_at: Time,
}

#[derive(Debug)]
struct Told {
    wish: Offer,
    offer: Offer,
}

/// What a refusal means.
pub(super) enum Refused {
    /// No offer of this worker was ever accepted.
    AtFirst,
    /// The one before holds.
    Change,
    /// It is tried again.
    Later,
}

impl Offering {
    pub(super) fn new(offer: Offer) -> Self {
        Self {
            wanted: offer,
            is_new: true,
            was_accepted: false,
            told: None,
            unanswered: VecDeque::new(),
            accepted: None,
            slots_max: 0,
            hold_until: Time::ZERO,
            retry_at: Time::ZERO,
        }
    }

    pub(super) fn change(&mut self, offer: Offer) {
        self.wanted = offer;
        self.is_new = true;
    }

    /// A new session knows nothing. Nothing is offered before the given time, unless the hold ends earlier.
    pub(super) fn begin(&mut self, hold_until: Time) {
        self.told = None;
        self.unanswered.clear();
        self.accepted = None;
        self.slots_max = 0;
        self.hold_until = hold_until;
        self.retry_at = Time::ZERO;
    }

    pub(super) fn hold_ended(&mut self) {
        self.hold_until = Time::ZERO;
    }

    /// Whether the manager knows of any offer.
    pub(super) fn was_told(&self) -> bool {
        self.told.is_some()
    }

    /// The most that a right manager may have running here, as long as it has not answered the latest.
    pub(super) fn slots(&self) -> usize {
        let told = self.unanswered.iter().chain(&self.accepted);
        told.map(|told| told.offer.slots).max().unwrap_or(0) as usize
    }

    /// No more can ever run in this session: what shrinks later takes nothing away.
    pub(super) fn slots_max(&self) -> usize {
        self.slots_max as usize
    }

    /// The offer to send now, if there is one.
    pub(super) fn next(&mut self, now: Time, lost_slots: usize) -> Option<Offer> {
        if now < self.hold_until.max(self.retry_at) {
            return None;
        }
        self.hold_until = Time::ZERO;
        self.retry_at = Time::ZERO;
        let offer = reduced(&self.wanted, lost_slots)?;
        if self.told.as_ref() == Some(&offer) {
            return None;
        }
        self.slots_max = self.slots_max.max(offer.slots);
        self.unanswered.push_back(Told { wish: self.wanted.clone(), offer: offer.clone() });
        self.told = Some(offer.clone());
        Some(offer)
    }

    /// Whether the latest wish holds and its owner has not heard of it.
    pub(super) fn is_settled(&mut self) -> bool {
        let holds = self.unanswered.is_empty() && self.accepted.is_some();
        holds && core::mem::take(&mut self.is_new)
    }

    pub(super) fn accepted(&mut self) {
        if let Some(told) = self.unanswered.pop_front() {
            self.was_accepted = true;
            self.accepted = Some(told);
        }
    }

    pub(super) fn refused(&mut self, now: Time) -> Refused {
        let Some(_) = self.unanswered.pop_front() else {
            return Refused::Later;
        };
        if !self.was_accepted {
            return Refused::AtFirst;
        }
        let Some(accepted) = &self.accepted else {
            self.told = None;
            self.retry_at = now + OFFER_RETRY;
            return Refused::Later;
        };
        if self.unanswered.is_empty() {
            self.wanted = accepted.wish.clone();
            self.told = Some(accepted.offer.clone());
            self.is_new = false;
        }
        Refused::Change
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let due = self.hold_until.max(self.retry_at);
        (due > Time::ZERO).then_some(due)
    }
}

/// The offer without `lost` slots: the lowest range gives first, then the guarantees from the lowest up.
fn reduced(offer: &Offer, lost: usize) -> Option<Offer> {
    let lost = u32::try_from(lost).unwrap_or(u32::MAX);
    let mut offer = offer.clone();
    offer.slots = offer.slots.checked_sub(lost).filter(|slots| *slots > 0)?;
    let guaranteed: u32 = offer.guarantees.iter().map(|guarantee| guarantee.slots).sum();
    let mut excess = guaranteed.saturating_sub(offer.slots);
    let mut order: Vec<usize> = (0..offer.guarantees.len()).collect();
    order.sort_unstable_by_key(|index| offer.guarantees[*index].bound);
    for index in order {
        let guarantee = &mut offer.guarantees[index];
        let given = guarantee.slots.min(excess);
        guarantee.slots -= given;
        excess -= given;
    }
    Some(offer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_range_gives_first_and_the_highest_last() {
        let offer = Offer::new(100).guarantee(2, 20).guarantee(1, 30);
        for lost in 0..100 {
            let reduced = reduced(&offer, lost).unwrap();
            assert_eq!(reduced.slots as usize, 100 - lost);
            assert_eq!(reduced.check(), Ok(()));
            let [high, low] = [reduced.guarantees[0].slots, reduced.guarantees[1].slots];
            assert_eq!(low as usize, if lost <= 50 { 30 } else { 80_usize.saturating_sub(lost) });
            assert_eq!(high as usize, 20.min(100 - lost));
        }
        assert_eq!(reduced(&offer, 100), None);
        assert_eq!(reduced(&offer, 101), None);
    }
}
