//! Bounds what `client work` keeps in memory: jobs that are handed in and not printed, and their bytes.
//!
//! In submission order a slow job holds back what was done after it. Jobs are handed in in that order too, so the one that all others
//! wait for is always on its way already: to stop handing in holds nothing back but what comes later, and cannot end in a
//! deadlock. What is on its way when the bytes are used up still comes: results of a full window of the group at most.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Jobs that may be handed in before the first of them is printed.
const JOBS_MAX: usize = 65_536;
/// With so many bytes of payloads without an outcome and of outcomes that are not printed, no job is handed in.
const BYTES_MAX: usize = 128 << 20;

/// The jobs that are ahead of what is printed. One task enters them.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    books: Mutex<Books>,
    room: Notify,
}

#[derive(Debug, Default)]
struct Books {
    /// The index of the next job.
    next: u64,
    jobs: usize,
    bytes: usize,
    /// Sizes of the payloads that are still there; no more than the window of the group.
    payloads: BTreeMap<u64, usize>,
}

impl Ahead {
    /// Waits for room; then the next job is on its way. Dropped midway, it is not.
    pub(super) async fn enter(&self, payload_bytes: usize) {
        while !self.books().enter(payload_bytes) {
            self.room.notified().await;
        }
    }

    /// A job has its outcome: that is kept now, and the payload is not.
    pub(super) fn answered(&self, index: u64, outcome_bytes: usize) {
        let mut books = self.books();
        books.bytes += outcome_bytes;
        books.bytes -= books.payloads.remove(&index).unwrap_or_default();
        self.tell(&books);
    }

    /// An outcome is printed, and kept no longer.
    pub(super) fn printed(&self, outcome_bytes: usize) {
        let mut books = self.books();
        books.jobs -= 1;
        books.bytes -= outcome_bytes;
        self.tell(&books);
    }

    fn tell(&self, books: &Books) {
        if books.has_room() {
            self.room.notify_one();
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    /// Nothing ahead leaves room for anything, however large.
    fn has_room(&self) -> bool {
        self.jobs < JOBS_MAX && self.bytes < BYTES_MAX
    }

    fn enter(&mut self, payload_bytes: usize) -> bool {
        if !self.has_room() {
            return false;
        }
        self.payloads.insert(self.next, payload_bytes);
        self.next += 1;
        self.jobs += 1;
        self.bytes += payload_bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const MIB: usize = 1 << 20;

    /// Whether one more job goes in at once.
    fn enters(ahead: &Ahead, payload_bytes: usize) -> bool {
        ahead.enter(payload_bytes).now_or_never().is_some()
    }

    #[test]
    fn results_behind_a_slow_job_stop_what_comes_later_and_nothing_else() {
        let ahead = Ahead::default();
        assert!(enters(&ahead, 10), "the slow job");
        let mut answered = 0;
        while enters(&ahead, 10) {
            answered += 1;
            ahead.answered(answered, MIB);
        }
        assert_eq!(answered, 128, "more than that would be kept");
        // Those that are on their way may take it further.
        ahead.answered(0, MIB);
        assert!(!enters(&ahead, 10));
        ahead.printed(MIB);
        assert!(!enters(&ahead, 10), "there is as much as may be");
        ahead.printed(MIB);
        assert!(enters(&ahead, 10));
        (0..127).for_each(|_| ahead.printed(MIB));
        ahead.answered(129, 0);
        ahead.printed(0);
        let books = ahead.books();
        assert_eq!((books.jobs, books.bytes, books.payloads.len()), (0, 0, 0));
    }

    #[test]
    fn payloads_count_until_their_outcome() {
        let ahead = Ahead::default();
        assert!(enters(&ahead, 2 * BYTES_MAX), "alone, anything goes in");
        assert!(!enters(&ahead, 0));
        ahead.answered(0, 0);
        assert!(enters(&ahead, 0));
    }

    #[test]
    fn jobs_count_until_they_are_printed() {
        let ahead = Ahead::default();
        (0..JOBS_MAX).for_each(|_| assert!(enters(&ahead, 0)));
        ahead.answered(7, 0);
        assert!(!enters(&ahead, 0));
        ahead.printed(0);
        assert!(enters(&ahead, 0));
    }

    #[tokio::test]
    async fn who_waits_for_room_is_told() {
        let ahead = Ahead::default();
        ahead.enter(BYTES_MAX).await;
        let mut waiting = Box::pin(ahead.enter(1));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        ahead.answered(0, 5);
        waiting.await;
        assert_eq!(ahead.books().bytes, 6);
    }
}
