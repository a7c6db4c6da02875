//! What a worker is made of.

use super::cleanup::CleanUp;
use super::driver::{Command, Driver, Listener};
use super::handle::{SystemMessage, listen};
use super::handler::{Blocking, Labour};
use super::machine::{Config, Machine};
use super::queue::Queue;
use super::{Ending, Error, Handler, Offer, Run, Worker};
use crate::net::connect::{Connector, Tcp, host_port};
use crate::net::drive::{Clock, Drive};
use crate::net::link::LinkConfig;
use crate::net::window::Window;
use crate::security::ClientTls;
use core::fmt;
use core::future::Future;
use core::time::Duration;
use proletariat_protocol::InstanceId;
use proletariat_protocol::handshake::{Hello, Roles};
use proletariat_protocol::limits::PORT;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{mpsc, oneshot, watch};

/// Starts what calls the callback for system messages.
type Listen = Box<dyn FnOnce(UnboundedSender<Command>) -> Listener + Send>;

/// Settings of a worker, with the defaults of the product. See [`Worker::builder`].
pub struct Builder {
    host: String,
    port: u16,
    name: String,
    token: Option<Vec<u8>>,
    tls: Option<ClientTls>,
    offer: Offer,
    answer_threshold: u32,
    kill_grace: Duration,
    cleanup_reqs: u64,
    cleanup_checkint: Duration,
    link: LinkConfig,
    labour: Option<Labour>,
    listen: Option<Listen>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, name, offer, .. } = self;
        f.debug_struct("Builder")
            .field("name", name)
            .field("at", &(host, port))
            .field("offer", offer)
            .finish()
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            host: String::from("127.0.0.1"),
            port: PORT,
            name: String::from("worker"),
            token: None,
            tls: None,
            offer: Offer::new(100),
            answer_threshold: 1,
            kill_grace: Duration::from_secs(2),
            cleanup_reqs: 1_000,
            cleanup_checkint: Duration::from_secs(60),
            link: LinkConfig::default(),
            labour: None,
            listen: None,
        }
    }

    /// Where the manager is: `host`, `host:port` or `[v6]:port`. Default: 127.0.0.1.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// Port of the manager, where the host names none. Default: 1917.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A name for people, at most 128 bytes. Default: worker.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The secret, where the manager asks for one.
    #[must_use]
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Talk TLS. Default: not.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Jobs at one time, 1 to 65,535. Default: 100.
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.offer.slots = slots;
        self
    }

    /// Slots that the jobs of a priority range can count on, by the lower bound of the range. Default: none.
    #[must_use]
    pub fn priority_slots(mut self, guarantees: impl IntoIterator<Item = (u32, u32)>) -> Self {
        for (bound, slots) in guarantees {
            self.offer = self.offer.guarantee(bound, slots);
        }
        self
    }

    /// Takes these kinds of job alone. Default: any, and jobs without a kind.
    #[must_use]
    pub fn kinds<K: Into<String>>(mut self, kinds: impl IntoIterator<Item = K>) -> Self {
        self.offer = self.offer.kinds(kinds);
        self
    }

    /// Results are gathered until there are so many; they are sent anyway when no job is left, or after 5 ms. Default: 1.
    #[must_use]
    pub fn answer_threshold(mut self, answers: u32) -> Self {
        self.answer_threshold = answers;
        self
    }

    /// After the loss of the manager, handlers that have not stopped within this keep their slots out of the next offer. After the
    /// timeout of a drain they have this and a second more until what they do counts as lost. Default: 2 s.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// Memory that was only needed for a crowd of jobs is given back while none runs: after so many of them, or after this time.
    /// Default: 1000, 60 s.
    #[must_use]
    pub fn cleanup(mut self, reqs: u64, checkint: Duration) -> Self {
        self.cleanup_reqs = reqs;
        self.cleanup_checkint = checkint;
        self
    }

    /// The first wait before connecting again is random up to this; then it doubles, up to 5 s. No wait is shorter than 10 ms.
    /// Default: 2 s.
    #[must_use]
    pub fn retry_time(mut self, time: Duration) -> Self {
        self.link.retry_time = time;
        self
    }

    /// Give up after so many failed attempts in a row. Default: never.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.link.max_retries = Some(retries);
        self
    }

    /// After so long without a byte the manager is given up, and another connection tried; zero: never. Default: 30 s.
    #[must_use]
    pub fn manager_timeout(mut self, timeout: Duration) -> Self {
        self.link.manager_timeout = timeout;
        self
    }

    /// What does the work: an async closure from [`Run`] to an [`Ending`] (or a `Result` that becomes one), or a
    /// [`Handler`].
    ///
    /// It is polled where the connection is served until it waits for the first time. Work that computes for more than some
    /// milliseconds, or blocks, belongs into a [`blocking_handler`](Self::blocking_handler).
    #[must_use]
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.labour = Some(Labour::Each(Arc::new(handler)));
        self
    }

    /// What does the work, where it computes or blocks: it runs on threads of the runtime's blocking pool, at most as many
    /// as there are slots, and never holds up heartbeats. The pool has 512 threads unless the runtime was built with more.
    ///
    /// It should look at [`Run::is_cancelled`] from time to time: a thread cannot be stopped from outside.
    #[must_use]
    pub fn blocking_handler<F, E>(self, handler: F) -> Self
    where
        F: Fn(Run) -> E + Send + Sync + 'static,
        E: Into<Ending> + Send + 'static,
    {
        self.handler(Blocking(Arc::new(handler)))
    }

    /// No handler: the runs come out of a queue, and its owner ends them. For work that is done elsewhere, with many short runs.
    #[must_use]
    pub fn queue(mut self) -> (Self, Queue) {
        let (sender, queue) = Queue::new();
        self.labour = Some(Labour::Queue(sender));
        (self, queue)
    }

    /// Calls `callback` with each system message that comes, from the first of the first session on: also with one that comes before
    /// the offer is accepted. The rest is as with [`Worker::on_system_message`], which takes its place.
    #[must_use]
    pub fn on_system_message<W>(mut self, callback: impl FnMut(SystemMessage) -> W + Send + 'static) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        self.listen = Some(Box::new(|commands| listen(commands, callback)));
        self
    }

    /// All of the offer at once.
    #[must_use]
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = offer;
        self
    }

    /// Whether its offer can be kept.
    ///
    /// # Errors
    /// [`Error::Offer`].
    pub fn check(&self) -> Result<(), Error> {
        Ok(self.offer.check()?)
    }

    /// What will be offered first.
    pub(super) fn offered(&self) -> &Offer {
        &self.offer
    }

    /// Connects, and waits until the manager has accepted the offer, however long there is none.
    ///
    /// Dropped midway, nothing of the worker is left.
    ///
    /// # Errors
    /// [`Error::NoHandler`], [`Error::Offer`]: nothing was tried. [`Error::Link`]: the manager does not let us in (`EAUTH`,
    /// `EVERSION`). [`Error::OfferRefused`] (`EINVSLOTNR`).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(self) -> Result<Worker, Error> {
        let tcp = Tcp::new(host_port(&self.host, self.port), self.link.attempt_timeout).tls(self.tls.clone());
        self.start_over(tcp).await
    }

    /// [`start`](Self::start) over streams of another kind; host and port are not looked at.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_over(self, connector: impl Connector) -> Result<Worker, Error> {
        let (worker, offered) = self.launch(connector)?;
        match offered.await {
            Ok(Ok(())) => Ok(worker),
            Ok(Err(error)) => Err(error),
            Err(_) => worker.ended().await.and(Err(Error::Ended)),
        }
    }

    /// Starts without waiting for a manager: [`Worker::ended`] tells if there is no use in waiting.
    ///
    /// # Errors
    /// [`Error::NoHandler`], [`Error::Offer`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start_lazy(self) -> Result<Worker, Error> {
        let tcp = Tcp::new(host_port(&self.host, self.port), self.link.attempt_timeout).tls(self.tls.clone());
        Ok(self.launch(tcp)?.0)
    }

    fn launch(
        self,
        connector: impl Connector,
    ) -> Result<(Worker, oneshot::Receiver<Result<(), Error>>), Error> {
        let labour = self.labour.ok_or(Error::NoHandler)?;
        self.offer.check()?;
        let (commands, received) = mpsc::unbounded_channel();
        let (reply, offered) = oneshot::channel();
        let (tell_end, ended) = watch::channel(None);
        let clock = Clock::start();
        let config = Config {
            offer: self.offer,
            answer_threshold: self.answer_threshold,
            kill_grace: self.kill_grace,
        };
        if let Labour::Queue(queue) = &labour {
            queue.connect(&commands);
        }
        if let Some(listen) = self.listen {
            // The first command that is taken, before there is a connection.
            let _ = commands.send(Command::Listen(listen(commands.clone())));
        }
        let clean_up = CleanUp::new(self.cleanup_reqs, self.cleanup_checkint);
        let mut driver = Driver::new(Machine::new(config), labour, clock, commands.clone(), reply, clean_up);
        let hello = Hello {
            instance: InstanceId(rand::random()),
            roles: Roles { worker: true, ..Roles::default() },
            name: self.name,
            token: self.token,
            capabilities: 0,
        };
        let drive = Drive { connector, hello, link: self.link, seed: rand::random(), clock };
        tokio::spawn(async move {
            drive.run(&mut driver, received).await;
            let _ = tell_end.send(Some(driver.into_result()));
        });
        Ok((Worker { commands, ended, messages: Window::new() }, offered))
    }
}
