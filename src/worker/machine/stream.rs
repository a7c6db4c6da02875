//! Data and progress of one run: in order, within the credit, and not more progress than anybody can look at.

use core::time::Duration;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;
use proletariat_protocol::{Payload, Time};
use std::collections::VecDeque;

/// Shortest time between two progress reports of one run: people and progress bars see no finer.
pub const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What waits to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Item {
    Data(Payload),
    Progress { done: u64, total: u64 },
}

/// What [`Stream::next`] says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// Send this.
    Send(Item),
    /// Look again then.
    Later(Time),
    /// Wait for credit.
    Blocked,
    Empty,
}

#[derive(Debug)]
pub(super) struct Stream {
    queue: VecDeque<Item>,
    /// Bytes sent and not granted again.
    outstanding: u64,
    progress_after: Time,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), outstanding: 0, progress_after: Time::ZERO }
    }

    pub(super) fn push_data(&mut self, payload: Payload) {
        self.queue.push_back(Item::Data(payload));
    }

    /// Takes the place of a report that has not gone out, unless data came in between.
    pub(super) fn push_progress(&mut self, done: u64, total: u64) {
        if matches!(self.queue.back(), Some(Item::Progress { .. })) {
            self.queue.pop_back();
        }
        self.queue.push_back(Item::Progress { done, total });
    }

    pub(super) fn grant(&mut self, bytes: u64) {
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// The next thing to send. Progress that nothing follows waits for its interval, unless the run is `ending`.
    pub(super) fn next(&mut self, now: Time, ending: bool) -> Next {
        match self.queue.front() {
            None => return Next::Empty,
            Some(Item::Progress { .. }) => {
                if self.queue.len() == 1 && !ending && now < self.progress_after {
                    return Next::Later(self.progress_after);
                }
                self.progress_after = now + PROGRESS_INTERVAL;
            }
            Some(Item::Data(payload)) => {
                // A chunk larger than the whole window goes alone: its boundaries are the handler's.
                let outstanding = self.outstanding.saturating_add(payload.len() as u64);
                if self.outstanding > 0 && outstanding > STREAM_WINDOW_BYTES {
                    return Next::Blocked;
                }
                self.outstanding = outstanding;
            }
        }
        self.queue.pop_front().map_or(Next::Empty, Next::Send)
    }
}
