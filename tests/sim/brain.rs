//! What decides in a simulated manager: the product's scheduler, or a double with a bug.

use proletariat_protocol::Time;
use proletariat_scheduler::{Action, Event, Scheduler, Status};

/// The scheduler's own face.
pub trait Brain {
    fn handle(&mut self, now: Time, event: Event<'_>);
    fn poll(&mut self, now: Time, actions: &mut Vec<Action>);
    fn next_deadline(&self) -> Option<Time>;
    fn audit(&self);
    fn status(&self, now: Time) -> Status;
    /// Whether the naive model may be asked about it. A double is to be found without.
    fn is_product(&self) -> bool {
        false
    }
}

impl Brain for Scheduler {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        Self::handle(self, now, event);
    }

    fn poll(&mut self, now: Time, actions: &mut Vec<Action>) {
        Self::poll(self, now, actions);
    }

    fn next_deadline(&self) -> Option<Time> {
        Self::next_deadline(self)
    }

    fn audit(&self) {
        Self::audit(self);
    }

    fn status(&self, now: Time) -> Status {
        Self::status(self, now)
    }

    fn is_product(&self) -> bool {
        true
    }
}
