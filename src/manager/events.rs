//! What the owner of a manager can watch.

pub use proletariat_scheduler::Notice;
use tokio::sync::broadcast;

/// Events that a reader may be behind; the oldest are dropped then, and it is told how many.
const EVENTS: usize = 4_096;

/// Hands notices to everybody who reads.
#[derive(Clone, Debug)]
pub(super) struct Notices(broadcast::Sender<Notice>);

/// Where new readers come from.
#[derive(Clone, Debug)]
pub(super) struct WeakNotices(broadcast::WeakSender<Notice>);

/// The next event, or what came of waiting for it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Watched {
    /// It happened.
    Event(Notice),
    /// So many events were dropped, since this reader was too slow.
    Missed(u64),
}

/// A reader of the manager's events, from the moment on at which it was made.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Notice>);

impl Events {
    /// The next one; `None` when the manager has ended. Nothing is lost if the future is dropped midway.
    pub async fn next(&mut self) -> Option<Watched> {
        match self.0.recv().await {
            Ok(notice) => Some(Watched::Event(notice)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Watched::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Notices {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(EVENTS))
    }

    /// False when nobody reads.
    pub(super) fn send(&self, notice: Notice) -> bool {
        self.0.send(notice).is_ok()
    }

    /// For the owner, whose readers see the end when the manager's own half is gone.
    pub(super) fn downgrade(&self) -> WeakNotices {
        WeakNotices(self.0.downgrade())
    }
}

impl WeakNotices {
    pub(super) fn subscribe(&self) -> Events {
        // After the end a channel without a sender, which ends at once.
        Events(self.0.upgrade().unwrap_or_else(|| broadcast::Sender::new(1)).subscribe())
    }
}
