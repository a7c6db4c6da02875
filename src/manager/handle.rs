//! The owner's end of a manager: how it is watched, drained and stopped.

use super::builder::Builder;
use super::dialect::Answers;
use super::driver::Driver;
use super::error::Error;
use super::events::{Events, WeakNotices};
use super::ready::Doorbell;
use super::status::Asker;
use super::stream::{Duplex, Stream};
use crate::security::{ServerTls, Tokens};
use proletariat_protocol::limits::SYSTEM_MESSAGE_BYTES_MAX;
use proletariat_protocol::message::{ManagerMessage, Recipient};
use proletariat_protocol::{MessageId, Payload, Time};
use proletariat_scheduler::{Event, MANAGER};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// What the owner, and threads that work for the driver, ask of it.
pub(super) enum Command {
    Drain(Duration),
    Stop,
    Watch,
    Status(oneshot::Sender<String>),
    StatusTexts(Vec<(Vec<Asker>, String)>),
    JsonAnswers(Answers),
    Tokens(Tokens),
    Tls(ServerTls),
    SystemMessage(OwnMessage),
    Adopt(Box<dyn Duplex>),
}

/// A system message of the manager's own.
pub(super) struct OwnMessage {
    id: MessageId,
    to: Recipient,
    content: Payload,
    timeout: Option<Duration>,
    report: oneshot::Sender<(u32, u32)>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command")
    }
}

/// What became of a system message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SystemReport {
    /// How many it was sent to.
    pub sent_to: u32,
    /// How many confirmed it.
    pub received_by: u32,
}

/// A running manager. It ends at once when this is dropped; see [`drain`](Self::drain) for the orderly way.
///
/// ```
/// # fn main() -> Result<(), proletariat::manager::Error> {
/// use proletariat::Manager;
/// let manager = Manager::builder().port(0).start()?;
/// println!("workers and clients connect to {}", manager.local_addr());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Manager {
    pub(super) doorbell: Arc<Doorbell<Command>>,
    pub(super) address: SocketAddr,
    pub(super) notices: WeakNotices,
    pub(super) ended: watch::Receiver<bool>,
    pub(super) messages: AtomicU64,
}

impl Manager {
    /// All options, at their defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens: the real port, also when port 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What happens from now on. Costs nothing while nobody reads; who reads too slowly is told how much was missed.
    #[must_use]
    pub fn events(&self) -> Events {
        let events = self.notices.subscribe();
        let _ = self.doorbell.send(Command::Watch);
        events
    }

    /// The state of the manager as JSON text: itself, workers, queues, peers, limits.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn status(&self) -> Result<String, Error> {
        let (sender, receiver) = oneshot::channel();
        self.doorbell.send(Command::Status(sender)).map_err(|_| Error::Ended)?;
        receiver.await.map_err(|_| Error::Ended)
    }

    /// Sends a system message from the manager, and waits until all recipients have confirmed it, have left, or the
    /// timeout has passed. If the future is dropped midway, the message has been sent all the same.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over 1 MiB; [`Error::Ended`].
    pub async fn system_message(
        &self,
        content: impl Into<Payload>,
        to: Recipient,
        timeout: Option<Duration>,
    ) -> Result<SystemReport, Error> {
        let content = content.into();
        if content.len() > SYSTEM_MESSAGE_BYTES_MAX {
            return Err(Error::TooLarge(content.len()));
        }
        let (report, receiver) = oneshot::channel();
        let id = MessageId(self.messages.fetch_add(1, Ordering::Relaxed));
        let message = OwnMessage { id, to, content, timeout, report };
        self.doorbell.send(Command::SystemMessage(message)).map_err(|_| Error::Ended)?;
        let (sent_to, received_by) = receiver.await.map_err(|_| Error::Ended)?;
        Ok(SystemReport { sent_to, received_by })
    }

    /// From now on these tokens count. Sessions whose token is not among them, or no longer has their role, are ended
    /// with `EAUTH`; the others go on.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn set_tokens(&self, tokens: Tokens) -> Result<(), Error> {
        self.doorbell.send(Command::Tokens(tokens)).map_err(|_| Error::Ended)
    }

    /// New connections get this certificate from now on, and TLS alone also where the manager was started without;
    /// those that are open stay as they are.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn set_tls(&self, tls: ServerTls) -> Result<(), Error> {
        self.doorbell.send(Command::Tls(tls)).map_err(|_| Error::Ended)
    }

    /// Treats a stream of bytes as if a peer had connected by it.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub fn adopt(&self, stream: impl Duplex + 'static) -> Result<(), Error> {
        self.doorbell.send(Command::Adopt(Box::new(stream))).map_err(|_| Error::Ended)
    }

    /// Takes no new work, lets what runs finish and answers it, for at most `timeout`; then tells everybody to come back
    /// later, and ends. If the future is dropped midway, the manager drains all the same.
    pub async fn drain(&self, timeout: Duration) {
        // An error says that it has ended already.
        let _ = self.doorbell.send(Command::Drain(timeout));
        self.ended().await;
    }

    /// Ends at once. Peers are told as far as they take it at once.
    pub fn stop(&self) {
        let _ = self.doorbell.send(Command::Stop);
    }

    /// Waits for the end.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error says that the thread is gone, which is the end as well.
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Driver {
    /// Does what the owner asks.
    pub(super) fn command(&mut self, command: Command, now: Time) {
        match command {
            Command::Drain(timeout) => self.drain(timeout, now),
            Command::Stop => self.stop(now),
            Command::Watch => self.scheduler.want_notices(true),
            Command::Status(sender) => self.status.ask(Asker::Owner(sender), true),
            Command::StatusTexts(texts) => {
                self.status.ready();
                texts.into_iter().for_each(|(askers, text)| self.pass_status_on(askers, text));
            }
            Command::JsonAnswers(answers) => self.answer_json(answers, now),
            Command::Tls(tls) => {
                self.config.tls = Some(tls);
                // For those who come from now on: JSON peers that are here may be silent as before.
                self.no_more_json();
            }
            Command::Tokens(tokens) => self.change_tokens(tokens, now),
            Command::SystemMessage(OwnMessage { id, to, content, timeout, report }) => {
                self.reports.insert(id, report);
                self.tell(now, Event::SystemMessage { from: MANAGER, id, to, content, timeout });
            }
            Command::Adopt(stream) => self.admit(Stream::Other(stream), None, now),
        }
    }

    fn pass_status_on(&mut self, askers: Vec<Asker>, text: String) {
        let payload = Payload::from(text);
        for asker in askers {
            match asker {
                Asker::Peer(peer, id) => {
                    let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                    if let Some((_, session)) = self.connections.of(peer) {
                        session.asked -= 1;
                    }
                    self.send(peer, ManagerMessage::Status { id, bytes }, payload.clone());
                }
                Asker::Owner(sender) => {
                    // Who asked may have stopped waiting.
                    let _ = sender.send(String::from_utf8_lossy(&payload).into_owned());
                }
            }
        }
    }
}
