//! How much of the data of one job the caller has taken, and when the manager is told.

use proletariat_protocol::limits::STREAM_WINDOW_BYTES;

/// While more lies unread, credit is given back in portions of this size, so that small chunks do not cost a message each
/// and the sender never runs dry.
const CREDIT_BYTES: u64 = STREAM_WINDOW_BYTES / 4;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Of earlier runs, in bytes: it lies before the caller still, and nobody waits for credit for it.
    void: u64,
    /// Of the run that is under way, in bytes: it came, and the caller has not taken it.
    unread: u64,
    /// Of the run that is under way, in bytes: the caller took it, and the manager was not told.
    taken: u64,
}

impl Stream {
    pub(super) fn came(&mut self, bytes: u64) {
        self.unread = self.unread.saturating_add(bytes);
    }

    /// The run that is under way is over, and another one begins at nothing.
    pub(super) fn restart(&mut self) {
        self.void = self.void.saturating_add(self.unread);
        self.unread = 0;
        self.taken = 0;
    }

    /// The caller took the next so many bytes; what the manager is to be told now.
    ///
    /// When nothing is left to take, it is told all, however little: a sender with a large chunk may wait for just that.
    pub(super) fn take(&mut self, bytes: u64) -> Option<u64> {
        let void = bytes.min(self.void);
        self.void -= void;
        let fresh = (bytes - void).min(self.unread);
        self.unread -= fresh;
        self.taken = self.taken.saturating_add(fresh);
        let due = self.taken >= CREDIT_BYTES || self.taken > 0 && self.unread == 0;
        due.then(|| core::mem::take(&mut self.taken))
    }
}
