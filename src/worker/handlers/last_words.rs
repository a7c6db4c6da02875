//! What a child said is there when it has ended, unless a descendant that left its group still has the pipe or the connection open:
//! then an end may never come, and nobody waits long for it.

use core::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Nobody waits longer than this.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Listens to a child. It is the waits for it that count: what a caller takes slowly is not lost.
#[derive(Debug)]
pub(super) struct LastWords<'a> {
    exited: &'a CancellationToken,
    /// What the waits since the end of the child have left, all together.
    patience: Duration,
}

impl<'a> LastWords<'a> {
    /// Of a child whose end the token tells.
    pub(super) fn new(exited: &'a CancellationToken) -> Self {
        Self { exited, patience: LAST_WORDS }
    }

    /// Whether the child has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.exited.is_cancelled()
    }

    /// What the child says next; `None`: it has ended, and there was no patience left. The work is dropped then.
    pub(super) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut since = None;
        let late = async {
            self.exited.cancelled().await;
            since = Some(Instant::now());
            sleep(self.patience).await;
        };
        let said = tokio::select! {
            biased;
            said = work => Some(said),
            () = late => None,
        };
        if let Some(since) = since {
            self.patience = self.patience.saturating_sub(since.elapsed());
        }
        said
    }
}

/// Does the work, but not for long after the child has ended.
pub(super) async fn until_late(exited: &CancellationToken, work: impl Future<Output = ()>) {
    let late = async {
        exited.cancelled().await;
        sleep(LAST_WORDS).await;
    };
    tokio::select! {
        biased;
        () = late => {}
        () = work => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_waits_after_the_end_count_together_and_nothing_else() {
        let millis = |millis| sleep(Duration::from_millis(millis));
        let exited = CancellationToken::new();
        let mut last_words = LastWords::new(&exited);
        assert_eq!(last_words.wait(millis(10_000)).await, Some(()), "it has not ended");
        exited.cancel();
        assert_eq!(last_words.wait(millis(300)).await, Some(()));
        // The caller takes it slowly.
        millis(10_000).await;
        assert_eq!(last_words.wait(millis(150)).await, Some(()));
        assert_eq!(last_words.wait(millis(100)).await, None);
        assert_eq!(last_words.wait(core::future::ready(())).await, Some(()), "what is there is heard");
    }
}
