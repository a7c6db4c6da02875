//! Says why a call waits: when nothing has come back for two seconds, the manager is asked what it is waiting for.

use crate::output::waiting_reason;
use crate::terminal::say;
use proletariat::client::{Client, LinkState};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// So long nothing comes back before somebody wonders.
const PATIENCE: Duration = Duration::from_secs(2);
/// A manager that says nothing for so long is told of as such.
const STATUS_LIMIT: Duration = Duration::from_secs(1);

/// How a call gets on.
#[derive(Debug, Default)]
pub(super) struct Progress {
    submitted: AtomicU64,
    answered: AtomicU64,
    signs: AtomicU64,
}

impl Progress {
    /// A job was handed in.
    pub(super) fn submitted(&self) {
        self.submitted.fetch_add(1, Ordering::Relaxed);
    }

    /// A job has its outcome.
    pub(super) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Something came back.
    pub(super) fn sign(&self) {
        self.signs.fetch_add(1, Ordering::Relaxed);
    }

    fn is_waiting(&self) -> bool {
        self.answered.load(Ordering::Relaxed) < self.submitted.load(Ordering::Relaxed)
    }
}

/// Watches a call until it is dropped.
#[derive(Debug)]
pub(super) struct Watcher(JoinHandle<()>);

impl Watcher {
    /// Of a call with jobs of this kind.
    pub(super) fn new(client: Client, kind: Option<String>, progress: Arc<Progress>) -> Self {
        Self(tokio::spawn(async move {
            let mut told = None;
            let mut seen = 0;
            loop {
                tokio::time::sleep(PATIENCE).await;
                let signs = progress.signs.load(Ordering::Relaxed);
                if signs != seen || !progress.is_waiting() {
                    seen = signs;
                    continue;
                }
                let reason = reason(&client, kind.as_deref()).await;
                // Each reason once, as long as it stays the same.
                if reason.is_some() && reason != told && progress.is_waiting() {
                    say(&format!("waiting: {}", reason.as_deref().unwrap_or_default()));
                }
                told = reason;
            }
        }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn reason(client: &Client, kind: Option<&str>) -> Option<String> {
    if let LinkState::Connecting { last } = client.link_state() {
        let why = last.map_or_else(String::new, |error| format!(" ({error})"));
        return Some(format!("no manager, trying again{why}"));
    }
    let Ok(text) = tokio::time::timeout(STATUS_LIMIT, client.status()).await else {
        return Some("the manager does not answer".to_owned());
    };
    let status: Value = serde_json::from_str(&text.ok()?).ok()?;
    waiting_reason(&status, kind)
}
