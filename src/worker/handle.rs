//! The owner's end of a worker.

use super::driver::{Command, Listener};
use super::machine::Event;
use super::{Builder, Error, Offer, Payload, Recipient};
use crate::net::window::Window;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use futures_util::FutureExt;
use proletariat_protocol::PeerId;
use proletariat_protocol::limits::{CLOCK_MILLIS_MAX, SYSTEM_MESSAGE_BYTES_MAX};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc, oneshot, watch};

/// Incoming system messages that may wait for the callback. What comes above that is dropped and stays unconfirmed.
const INCOMING_MAX: usize = 1_024;

/// A worker that is running. Dropping it stops it at once; [`drain`](Self::drain) leaves in order.
#[derive(Debug)]
pub struct Worker {
    pub(super) commands: UnboundedSender<Command>,
    pub(super) ended: watch::Receiver<Option<Result<(), Error>>>,
    pub(super) messages: Window,
}

/// A system message that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SystemMessage {
    /// Its sender.
    pub from: PeerId,
    /// What it says.
    pub content: Payload,
}

/// What became of a system message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemReport {
    /// How many peers it was sent to.
    pub sent_to: u32,
    /// How many of them have handled it.
    pub received_by: u32,
}

impl Worker {
    /// A worker to be: 100 slots for any kind, at the manager of this host.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Leaves in order: offers nothing more, lets running jobs finish for at most `timeout`, cancels and hands back the
    /// rest, and closes. Not one job that ends within the timeout fails or runs twice.
    ///
    /// What has not been written by then is waited for as long as the manager takes some of it every two seconds, and it has the rest
    /// of `timeout` in any case; a [`stop`](Self::stop) ends that within two seconds.
    ///
    /// Dropped midway, the worker goes on draining, unless it is dropped too.
    ///
    /// # Errors
    /// If the worker had ended with an error before.
    pub async fn drain(&self, timeout: Duration) -> Result<(), Error> {
        let _ = self.commands.send(Command::Drain { timeout });
        self.ended().await
    }

    /// Ends at once, a drain under way too: running jobs are cancelled and count as lost for the manager.
    /// [`ended`](Self::ended) tells when it is done.
    pub fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }

    /// Waits until the worker has ended, by a drain, a stop, or because there is no use in trying again. Cancel safe.
    ///
    /// # Errors
    /// What ended it, if nobody asked it to end.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut ended = self.ended.clone();
        let result = ended.wait_for(Option::is_some).await;
        result.map_or(Err(Error::Ended), |result| result.clone().unwrap_or(Ok(())))
    }

    /// Changes the offer. Nothing that runs is stopped. Waits until the manager has accepted it, however long there is none. Where
    /// another offer takes its place before the manager was told, the answer is that to the other one.
    ///
    /// Dropped midway, the offer is changed all the same.
    ///
    /// # Errors
    /// [`Error::Offer`] if it cannot be kept, [`Error::OfferRefused`] if the manager does not take it: the one before holds
    /// then. [`Error::Ended`].
    pub async fn offer(&self, offer: Offer) -> Result<(), Error> {
        offer.check()?;
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Offer { offer, reply }, answer).await
    }

    /// The same without waiting for the manager's word.
    ///
    /// # Errors
    /// [`Error::Offer`], [`Error::Ended`].
    pub fn change_offer(&self, offer: Offer) -> Result<(), Error> {
        offer.check()?;
        let (reply, _) = oneshot::channel();
        self.commands.send(Command::Offer { offer, reply }).map_err(|_| Error::Ended)
    }

    /// Sends a message to other peers, and waits until all that got it have confirmed it or left, at most for `timeout`
    /// (zero: no limit).
    ///
    /// Waits first while 64 earlier ones have no report. Dropped midway, the message may or may not have been sent.
    ///
    /// # Errors
    /// [`Error::MessageTooLarge`] over 1 MiB; [`Error::Timeout`] over 30 days; [`Error::NoManager`] if there is none or it was
    /// lost: it is never sent again. [`Error::Unsent`] if there was no room within the timeout. [`Error::Ended`].
    pub async fn system_message(
        &self,
        content: impl Into<Payload>,
        to: Recipient,
        timeout: Duration,
    ) -> Result<SystemReport, Error> {
        let content = content.into();
        if content.len() > SYSTEM_MESSAGE_BYTES_MAX {
            return Err(Error::MessageTooLarge { bytes: content.len(), max: SYSTEM_MESSAGE_BYTES_MAX });
        }
        millis(timeout)?;
        let Some((room, left)) = self.messages.enter(timeout).await else { return Err(Error::Unsent) };
        let timeout_ms = millis(left)?;
        let (reply, answer) = oneshot::channel();
        self.ask(Command::SystemMessage { to, timeout_ms, content, room, reply }, answer).await
    }

    /// Calls `callback` with each system message that comes, one after the other; each is confirmed when its future ends.
    /// Takes the place of an earlier callback. Without one they are confirmed at once, and so is what comes before this call has
    /// its effect: a callback that must miss nothing belongs to the [builder](Builder::on_system_message).
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn on_system_message<W>(
        &self,
        callback: impl FnMut(SystemMessage) -> W + Send + 'static,
    ) -> Result<(), Error>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = listen(self.commands.clone(), callback);
        self.commands.send(Command::Listen(listener)).map_err(|_| Error::Ended)
    }

    async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        self.commands.send(command).map_err(|_| Error::Ended)?;
        answer.await.unwrap_or(Err(Error::Ended))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts what calls the callback.
pub(super) fn listen<W>(
    commands: UnboundedSender<Command>,
    mut callback: impl FnMut(SystemMessage) -> W + Send + 'static,
) -> Listener
where
    W: Future<Output = ()> + Send + 'static,
{
    let (listener, mut incoming) = mpsc::channel(INCOMING_MAX);
    tokio::spawn(async move {
        while let Some((delivery, message)) = incoming.recv().await {
            // A callback that panics has returned, too: the sender must not wait for it.
            let called = AssertUnwindSafe(async { callback(message).await }).catch_unwind();
            if called.await.is_err() {
                tracing::warn!("the callback for system messages panicked");
            }
            if commands.send(Command::Event(Event::Confirmed(delivery))).is_err() {
                break;
            }
        }
    });
    listener
}

/// Whole milliseconds, upwards: a timeout is never zero by rounding.
fn millis(timeout: Duration) -> Result<u32, Error> {
    let millis = u32::try_from(timeout.as_micros().div_ceil(1_000)).ok();
    millis.filter(|millis| *millis <= CLOCK_MILLIS_MAX).ok_or(Error::Timeout(timeout))
}
