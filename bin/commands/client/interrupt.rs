//! How ^C and SIGTERM end a client command: what it has under way is dropped, which aborts its jobs, and it ends with 130.

use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use std::time::Duration;
use tokio::sync::watch;

/// A command that was told to end and has not after this is ended: it may stand in a write that nobody reads.
const END_LIMIT: Duration = Duration::from_secs(3);

/// Whether a signal came.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes the signals over. Needs a runtime with a thread beside that of the command.
    pub(super) fn new() -> Result<Self, Failure> {
        let failed = |error| Failure::new(Exit::Failed, format!("cannot listen for signals: {error}"));
        let mut signals = Signals::new().map_err(failed)?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            sender.send_replace(true);
            tokio::select! {
                () = signals.next() => {}
                () = tokio::time::sleep(END_LIMIT) => {}
            }
            std::process::exit(Exit::Interrupted as i32);
        });
        Ok(Self(receiver))
    }

    /// The future's result, or the signal. The future is dropped then.
    pub(super) async fn or<T>(&mut self, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.came() => Err(Failure::Interrupted),
            result = future => Ok(result),
        }
    }

    /// Waits for it.
    pub(super) async fn came(&mut self) {
        if self.0.wait_for(|came| *came).await.is_err() {
            // The task that watches is gone only with the process.
            std::future::pending::<()>().await;
        }
    }
}
