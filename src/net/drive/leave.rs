//! The end of a drive: a goodbye, and how long the manager is waited for behind it.

use super::{Driver, End, Member, Wire};
use crate::net::Order;
use crate::net::connect::Connector;
use core::time::Duration;
use proletariat_protocol::Time;
use proletariat_protocol::message::PeerMessage;

/// A peer that leaves waits for the manager to close, but no longer than this: from its goodbye on, or where nothing that waits may
/// be lost, from the last time at which the manager took some of it.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// We have said goodbye.
#[derive(Clone, Copy)]
pub(super) struct Leave {
    /// Then, or when the manager took the last of what it is waited for.
    pub(super) since: Time,
    /// Our half has been ended.
    pub(super) shut: bool,
}

impl<C: Connector, K: Send> Driver<C, K> {
    /// Says goodbye when the member wants to leave; the end when that is done or cannot be.
    pub(super) fn poll_end<M: Member>(&mut self, now: Time, member: &M) -> Option<End> {
        let reason = member.wants_to_leave()?;
        match (&self.wire, self.leaving) {
            (Wire::Up(_), None) => {
                self.outbox.push(&PeerMessage::Leaving { reason }, &[], Order::Barrier);
                self.leaving = Some(Leave { since: now, shut: false });
                None
            }
            (Wire::Up(_), Some(_)) if self.leave_until(member).is_some_and(|until| now < until) => None,
            _ => Some(self.gave_up.take().map_or(End::Left, End::GaveUp)),
        }
    }

    /// When we close if the manager has not.
    pub(super) fn leave_until<M: Member>(&self, member: &M) -> Option<Time> {
        let until = self.leaving?.since + LEAVE_TIMEOUT;
        let patience = member.unsent_until().filter(|_| !self.outbox.is_empty());
        Some(patience.map_or(until, |patience| until.max(patience)))
    }
}
