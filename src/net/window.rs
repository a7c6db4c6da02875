//! System messages that a peer may have under way.
//!
//! One message may go to thousands, so a manager takes only so many of one peer before it has reported them, and ends
//! the session of a peer that sends more. Those of this process wait for their turn here.

use core::time::Duration;
use proletariat_protocol::limits::SYSTEM_MESSAGES_OPEN_MAX;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for one message, until its report has come.
pub(crate) type Room = OwnedSemaphorePermit;

/// The room that there is.
#[derive(Clone, Debug)]
pub(crate) struct Window(Arc<Semaphore>);

impl Window {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SYSTEM_MESSAGES_OPEN_MAX)))
    }

    /// Waits for room, at most for `timeout` (zero: no limit). Hands out what is left of that; `None` when it is over.
    /// Cancel safe.
    pub(crate) async fn enter(&self, timeout: Duration) -> Option<(Room, Duration)> {
        let room = Arc::clone(&self.0).acquire_owned();
        if timeout.is_zero() {
            return Some((room.await.ok()?, timeout));
        }
        let begin = Instant::now();
        let room = tokio::time::timeout(timeout, room).await.ok()?.ok()?;
        let left = timeout.saturating_sub(begin.elapsed());
        // Zero would be no limit.
        Some((room, left.max(Duration::from_millis(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_given_back_with_the_report() {
        let window = Window::new();
        let mut rooms = Vec::new();
        for _ in 0..SYSTEM_MESSAGES_OPEN_MAX {
            rooms.push(window.enter(Duration::ZERO).await.expect("there is room"));
        }
        assert!(window.enter(Duration::from_millis(20)).await.is_none(), "all of it is taken");
        rooms.pop();
        let (_room, left) = window.enter(Duration::from_secs(5)).await.expect("there is room again");
        assert!(left > Duration::ZERO && left <= Duration::from_secs(5));
    }
}
