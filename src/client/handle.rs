//! What users hold: [`Client`].

use super::builder::Builder;
use super::call::Call;
use super::calls::Sink;
use super::driver::{Command, Delivery};
use super::error::Error;
use super::group::Group;
use super::machine::{Job, JobError, Outcome, SystemReport};
use super::options::{IntoPayload, WorkOptions, clock};
use super::outcomes::{Outcomes, Updates};
use crate::net::connect::LinkError;
use crate::net::drive::Clock;
use crate::net::window::Window;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::AtomicU64;
use futures_util::FutureExt;
use proletariat_protocol::limits::{SYSTEM_MESSAGE_BYTES_MAX, SYSTEM_MESSAGES_OPEN_MAX};
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, Payload, PeerId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Incoming system messages that may wait for the callback. What comes above that is dropped and stays unconfirmed, so
/// that a callback that hangs does not fill the memory.
const INCOMING_MAX: usize = 1_024;

/// A connection to a manager. Cheap to clone; the last clone, with the calls made through it, closes the connection.
///
/// It needs a tokio runtime: one task of it owns the connection.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

/// What all clones and calls share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) clock: Clock,
    /// Calls made so far.
    pub(super) tags: AtomicU64,
    pub(super) state: watch::Receiver<LinkState>,
    pub(super) messages: Window,
}

/// Whether there is a session with the manager.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LinkState {
    /// Not (any more); attempts go on.
    Connecting {
        /// Why the last attempt or session ended.
        last: Option<LinkError>,
    },
    /// Yes.
    Up {
        /// Who this client is in this session.
        peer: PeerId,
        /// The software of the manager, for people.
        software: String,
        /// The largest payload that the manager takes, in bytes.
        payload_bytes_max: u64,
    },
    /// There will be none any more.
    Over {
        /// Why.
        error: LinkError,
    },
}

/// A system message from somebody else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemMessage {
    /// The sender, by its id in the manager.
    pub from: PeerId,
    /// What it says.
    pub content: Payload,
}

impl Client {
    /// Connects to the manager at `host`, `host:port` or `[v6]:port`, within 5 s.
    ///
    /// # Errors
    /// [`Error::ConnectTimeout`] and [`Error::Link`].
    pub async fn connect(host: impl Into<String>) -> Result<Self, Error> {
        Self::builder().host(host).connect().await
    }

    /// For settings.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Has the jobs done; their outcomes in the order of the jobs.
    ///
    /// Dropped midway, it aborts the jobs that have no outcome.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] and [`Error::Closed`]; how each job ended is its outcome.
    ///
    /// ```no_run
    /// # async fn example(client: proletariat::client::Client) -> Result<(), proletariat::client::Error> {
    /// use proletariat::client::{Job, WorkOptions};
    ///
    /// let jobs = [Job::new("6 7").kind("mult"), Job::new("1 2").kind("add")];
    /// let outcomes = client.work(jobs, WorkOptions::default().priority(1)).await?;
    /// assert_eq!(outcomes.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn work<J: Into<Job>>(
        &self,
        jobs: impl IntoIterator<Item = J>,
        options: WorkOptions,
    ) -> Result<Vec<Outcome>, Error> {
        let jobs = jobs.into_iter().map(Into::into).collect();
        let (reply, outcomes) = oneshot::channel();
        let mut call = Call::open(&self.shared, options.checked(false)?, jobs, false, Sink::Gather(reply))?;
        let outcomes = outcomes.await.map_err(|_| Error::Closed)?;
        call.is_over();
        Ok(outcomes)
    }

    /// Has the jobs done; a stream of `(index, outcome)` in the order in which they end, and then its end.
    ///
    /// Dropped early, the stream aborts the jobs that have no outcome.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] and [`Error::Closed`].
    ///
    /// ```no_run
    /// # async fn example(client: proletariat::client::Client) -> Result<(), proletariat::client::Error> {
    /// use futures_util::StreamExt;
    ///
    /// let mut outcomes = client.work_individual(["a", "b", "c"], Default::default())?;
    /// while let Some((index, outcome)) = outcomes.next().await {
    ///     println!("{index}: {outcome:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn work_individual<J: Into<Job>>(
        &self,
        jobs: impl IntoIterator<Item = J>,
        options: WorkOptions,
    ) -> Result<Outcomes, Error> {
        let jobs = jobs.into_iter().map(Into::into).collect();
        let (sink, source) = mpsc::unbounded_channel();
        let call = Call::open(&self.shared, options.checked(false)?, jobs, false, Sink::Feed(sink))?;
        Ok(Outcomes::new(Updates::new(call, source, None)))
    }

    /// Has the jobs done, and shows data and progress of the runs as well. What is not taken holds the sender back.
    ///
    /// Dropped early, the stream aborts the jobs that have no outcome.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] and [`Error::Closed`].
    pub fn work_updates<J: Into<Job>>(
        &self,
        jobs: impl IntoIterator<Item = J>,
        options: WorkOptions,
    ) -> Result<Updates, Error> {
        let jobs = jobs.into_iter().map(Into::into).collect();
        let (sink, source) = mpsc::unbounded_channel();
        let call = Call::open(&self.shared, options.checked(true)?, jobs, false, Sink::Feed(sink))?;
        Ok(Updates::new(call, source, None))
    }

    /// Opens a group for jobs that come one by one, without end if need be: one half takes jobs, the other gives
    /// outcomes. At most 1,000 jobs are under way, see [`open_group_with`](Self::open_group_with).
    ///
    /// # Errors
    /// [`Error::InvalidOption`] and [`Error::Closed`].
    ///
    /// ```no_run
    /// # async fn example(client: proletariat::client::Client) -> Result<(), proletariat::client::Error> {
    /// use futures_util::StreamExt;
    ///
    /// let (group, mut outcomes) = client.open_group(Default::default())?;
    /// let feeding = tokio::spawn(async move {
    ///     for number in 0..1_000_000 {
    ///         group.submit(number.to_string()).await?;
    ///     }
    ///     group.close();
    ///     Ok::<_, proletariat::client::Error>(())
    /// });
    /// while let Some((index, outcome)) = outcomes.next().await {
    ///     println!("{index}: {outcome:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_group(&self, options: WorkOptions) -> Result<(Group, Outcomes), Error> {
        let (group, updates) = Group::open(&self.shared, options.checked(false)?, Group::WINDOW)?;
        Ok((group, Outcomes::new(updates)))
    }

    /// The same with another window, and with data and progress: at most `window` jobs (at least one) are under way or
    /// have an outcome that was not taken.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] and [`Error::Closed`].
    pub fn open_group_with(&self, options: WorkOptions, window: usize) -> Result<(Group, Updates), Error> {
        Group::open(&self.shared, options.checked(true)?, window)
    }

    /// Outcomes alone, with another window.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] and [`Error::Closed`].
    pub fn open_group_within(&self, options: WorkOptions, window: usize) -> Result<(Group, Outcomes), Error> {
        let (group, updates) = Group::open(&self.shared, options.checked(false)?, window)?;
        Ok((group, Outcomes::new(updates)))
    }

    /// Sends a message to other peers, and waits until all that got it have confirmed it or left, at most for `timeout`
    /// (zero: no limit). It is sent once, when there is a session.
    ///
    /// Waits first while 64 earlier ones have no report. Dropped midway, the message may be sent or not, and its report is
    /// lost.
    ///
    /// # Errors
    /// [`Error::Unanswered`] when the manager was lost before it reported or there was none, or no room, in time,
    /// [`Error::InvalidOption`] for a content over 1 MiB or a timeout over 30 days, [`Error::Closed`].
    pub async fn system_message(
        &self,
        content: impl IntoPayload,
        to: Recipient,
        timeout: Duration,
    ) -> Result<SystemReport, Error> {
        let content = content.into_payload();
        if content.len() > SYSTEM_MESSAGE_BYTES_MAX {
            let message = format!("a system message of {} bytes: the longest has 1 MiB", content.len());
            return Err(Error::InvalidOption(message));
        }
        clock("timeout", timeout)?;
        let Some((room, left)) = self.shared.messages.enter(timeout).await else {
            let message = format!("{SYSTEM_MESSAGES_OPEN_MAX} messages sent before have no report yet");
            return Err(Error::Unanswered(JobError::new(ErrorCode::CallTimeout, message)));
        };
        let timeout_ms = clock("timeout", left)?;
        let (reply, report) = oneshot::channel();
        self.shared.send(Command::SystemMessage { content, to, timeout_ms, room, reply })?;
        report.await.map_err(|_| Error::Closed)?.map_err(Error::Unanswered)
    }

    /// Calls `callback` with each system message that comes, one after the other; each is confirmed when its future ends.
    /// Takes the place of an earlier callback. Without one they are confirmed at once.
    ///
    /// # Errors
    /// [`Error::Closed`].
    ///
    /// ```no_run
    /// # fn example(client: proletariat::client::Client) -> Result<(), proletariat::client::Error> {
    /// client.on_system_message(|message| async move {
    ///     println!("{} says {:?}", message.from, message.content);
    /// })
    /// # }
    /// ```
    pub fn on_system_message<F>(
        &self,
        mut callback: impl FnMut(SystemMessage) -> F + Send + 'static,
    ) -> Result<(), Error>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (listener, mut incoming) = mpsc::channel::<(Delivery, SystemMessage)>(INCOMING_MAX);
        self.shared.send(Command::Listen(listener))?;
        // A strong sender would keep the client alive for the sake of its callback.
        let commands = self.shared.commands.downgrade();
        tokio::spawn(async move {
            while let Some((delivery, message)) = incoming.recv().await {
                // A callback that panics has returned, too: the sender must not wait for it.
                let called = AssertUnwindSafe(async { callback(message).await }).catch_unwind();
                if called.await.is_err() {
                    tracing::warn!("the callback for system messages panicked");
                }
                let Some(commands) = commands.upgrade() else { break };
                if commands.send(Command::Confirm(delivery)).is_err() {
                    break;
                }
            }
        });
        Ok(())
    }

    /// The state of the manager, as JSON text. Waits for a session if there is none.
    ///
    /// # Errors
    /// [`Error::Unanswered`] when there will be no session, [`Error::Closed`].
    pub async fn status(&self) -> Result<String, Error> {
        let (reply, text) = oneshot::channel();
        self.shared.send(Command::Status(reply))?;
        let text = text.await.map_err(|_| Error::Closed)?.map_err(Error::Unanswered)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Whether there is a session.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        self.shared.state.borrow().clone()
    }

    /// Waits for the next change of [`link_state`](Self::link_state); `None` when the client is closed.
    ///
    /// What changed before the call is not seen: look at [`link_state`](Self::link_state) first. Nothing is lost if it is
    /// dropped midway.
    pub async fn link_changed(&self) -> Option<LinkState> {
        let mut state = self.shared.state.clone();
        state.mark_unchanged();
        state.changed().await.ok()?;
        Some(state.borrow_and_update().clone())
    }

    /// Ends the client, whoever else has a clone: jobs without an outcome end with `EABORT`, the manager is told, and the
    /// connection is closed. Ready when that is done, after 2 s at the latest.
    ///
    /// Dropped midway, the client still ends.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.shared.send(Command::Shutdown(done)).is_ok() {
            // The other half is dropped with the task.
            let _ = ended.await;
        }
    }
}

impl Shared {
    pub(super) fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Closed)
    }
}
