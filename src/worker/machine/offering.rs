//! What is offered: the owner's wish, less the slots of handlers that do not stop, and what the manager said to it.
//!
//! Wishes are counted, and each of them is answered once, in order: with the manager's word to the first offer that was made
//! when it was already wished. So a wish that another one replaced before it was told shares the answer of that one.

use core::time::Duration;
use proletariat_protocol::{Offer, Time};
use std::collections::VecDeque;

/// An offer that was refused in a session without an earlier one is tried again after this.
const OFFER_RETRY: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Offering {
    /// What the owner wants now.
    wanted: Offer,
    /// How many wishes the owner has had.
    wishes: usize,
    /// Of how many of them he has heard what became.
    answered: usize,
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
    /// How many wishes there were by then.
    wishes: usize,
}

/// What a refusal means.
pub(super) enum Refused {
    /// No offer of this worker was ever accepted.
    AtFirst,
    /// The one before holds: so many wishes are answered by that, those that have waited longest.
    Change(usize),
    /// It is tried again.
    Later,
}

impl Offering {
    pub(super) fn new(offer: Offer) -> Self {
        Self {
            wanted: offer,
            wishes: 1,
            answered: 0,
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
        self.wishes += 1;
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
            self.wish_for_the_same();
            return None;
        }
        self.slots_max = self.slots_max.max(offer.slots);
        let (wish, wishes) = (self.wanted.clone(), self.wishes);
        self.unanswered.push_back(Told { wish, offer: offer.clone(), wishes });
        self.told = Some(offer.clone());
        Some(offer)
    }

    /// The latest wish comes to what was told last.
    fn wish_for_the_same(&mut self) {
        if let Some(told) = self.unanswered.back_mut().or(self.accepted.as_mut())
            && told.wishes < self.wishes
        {
            told.wishes = self.wishes;
            told.wish = self.wanted.clone();
        }
    }

    /// How many wishes hold, or held until a later one did, of which the owner has not heard.
    pub(super) fn take_settled(&mut self) -> usize {
        let settled = self.accepted.as_ref().map_or(0, |told| told.wishes);
        self.answer(settled)
    }

    /// All wishes up to this one are answered; how many were not before.
    fn answer(&mut self, wishes: usize) -> usize {
        let before = self.answered;
        self.answered = before.max(wishes);
        self.answered - before
    }

    pub(super) fn accepted(&mut self) {
        if let Some(told) = self.unanswered.pop_front() {
            self.was_accepted = true;
            self.accepted = Some(told);
        }
    }

    pub(super) fn refused(&mut self, now: Time) -> Refused {
        let Some(refused) = self.unanswered.pop_front() else {
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
            self.told = Some(accepted.offer.clone());
            // A later wish is still to be told.
            if refused.wishes == self.wishes {
                self.wanted = accepted.wish.clone();
            }
        }
        Refused::Change(self.answer(refused.wishes))
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
