//! How a manager is set up and started.

use super::accept::{self, Acceptor};
use super::busy_poll::{BusyPoll, BusyPolling};
use super::config::Config;
use super::driver::Driver;
use super::error::Error;
use super::events::Notices;
use super::handle::{Command, Manager};
use super::poller::Poller;
use super::ready::Doorbell;
use super::status::StatusDesk;
use crate::security::{ServerTls, Tokens};
use proletariat_scheduler::Scheduler;
use proletariat_scheduler::selector::{self, RandomWeighted, Selector};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $($field:ident).+;)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(mut self, value: $type) -> Self {
            self.config.$($field).+ = value;
            self
        })*
    };
}

/// The options of a [`Manager`]. A bound of 0 is none.
#[derive(Debug)]
pub struct Builder {
    config: Config,
    selector: Box<dyn Selector>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { config: Config::default(), selector: Box::new(RandomWeighted) }
    }
}

impl Builder {
    /// All settings at once.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Name or address to listen on.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.config.host = host.into();
        self
    }

    /// Lets only peers in that show one of these tokens. Refuses the JSON dialect, which has none. Default: lets everybody
    /// in.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> Self {
        self.config.tokens = Some(tokens);
        self
    }

    /// Speaks TLS 1.3 and nothing else. Default: no TLS.
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.config.tls = Some(tls);
        self
    }

    /// The ancestor's own defaults: a threshold of 50 slots, waits of up to 100 ms.
    #[must_use]
    pub fn classic(mut self) -> Self {
        let classic = proletariat_scheduler::Config::classic();
        self.config.scheduler.avail_threshold = classic.avail_threshold;
        self.config.scheduler.distrib_randmax = classic.distrib_randmax;
        self
    }

    /// How a worker is chosen among those that may take an execution.
    #[must_use]
    pub fn selector(mut self, selector: impl Selector + 'static) -> Self {
        self.selector = Box::new(selector);
        self
    }

    /// One of the shipped selectors: `random-weighted`, `least-loaded`, `two-choices`, `round-robin`.
    ///
    /// # Errors
    /// [`Error::Selector`] for any other name.
    pub fn selector_name(mut self, name: &str) -> Result<Self, Error> {
        self.selector = selector::by_name(name)
            .ok_or_else(|| Error::Selector(name.into(), selector::NAMES.join(", ")))?;
        Ok(self)
    }

    setters! {
        /// Port to listen on; 0: any free one.
        port: u16 => port;
        /// After having been full, wait for so many free slots before distributing.
        avail_threshold: u32 => scheduler.avail_threshold;
        /// The longest wait before distributing.
        distrib_randmax: Duration => scheduler.distrib_randmax;
        /// Giving memory back is due after so many ended jobs.
        cleanup_reqs: u64 => scheduler.cleanup_reqs;
        /// Giving memory back is due after this time.
        cleanup_checkint: Duration => scheduler.cleanup_checkint;
        /// A higher range borrows only from the lowest.
        sacred_guarantees: bool => scheduler.sacred_guarantees;
        /// Jobs with equal kind and key share one execution.
        hold_similar_work: bool => scheduler.hold_similar_work;
        /// So many lost workers end a job; 0: no limit.
        max_attempts: u16 => scheduler.max_attempts;
        /// Largest payload, in bytes.
        max_payload: u64 => scheduler.payload_bytes_max;
        /// Most jobs that wait.
        max_queued_jobs: u64 => scheduler.queued_jobs_max;
        /// Most jobs of one client that wait.
        max_queued_jobs_per_client: u64 => scheduler.queued_jobs_per_client_max;
        /// Most bytes of jobs that wait: payloads, kinds, shared keys.
        max_queued_bytes: u64 => scheduler.queued_bytes_max;
        /// Most jobs that have no answer yet, waiting or running.
        max_open_jobs: u64 => scheduler.open_jobs_max;
        /// Most bytes of their payloads.
        max_open_bytes: u64 => scheduler.open_bytes_max;
        /// Most jobs that a client takes back in a second, over ten seconds.
        max_aborts_per_second: u64 => scheduler.aborts_per_second_max;
        /// A peer that was silent for so long is pinged.
        heartbeat: Duration => heartbeat;
        /// A peer that was silent for so long is given up.
        heartbeat_timeout: Duration => heartbeat_timeout;
        /// Refuse the JSON dialect.
        no_json: bool => no_json;
        /// Whether to look for news for a moment before falling asleep, see [`BusyPolling`].
        busy_poll: BusyPolling => busy_poll;
        /// Allow an address that is not loopback, also without tokens and TLS.
        insecure: bool => insecure;
        /// Most connections at a time.
        max_connections: u32 => connections_max;
        /// Most connections at a time from one address.
        max_connections_per_address: u32 => connections_per_address_max;
        /// Time for the handshake.
        handshake_timeout: Duration => handshake_timeout;
        /// Time without progress within a frame.
        frame_timeout: Duration => frame_timeout;
        /// With so many bytes waiting for a peer, nothing new is begun for it.
        outbox_pause_bytes: u64 => outbox_pause_bytes;
        /// A peer that takes none of what waits for so long is dropped.
        outbox_stall: Duration => outbox_stall;
        /// A peer for which more bytes wait is dropped.
        max_outbox_bytes: u64 => outbox_bytes_max;
        /// When more bytes wait for all peers together, the one for which the most wait is dropped.
        max_outboxes_bytes: u64 => outboxes_bytes_max;
        /// When more bytes of messages have begun to come, the peer that has held the most for the longest is sent away.
        max_incomplete_bytes: u64 => incomplete_bytes_max;
    }

    /// Listens, and runs on a thread of its own. Blocks for as long as it takes to look a host name up; needs no
    /// runtime.
    ///
    /// # Errors
    /// See [`Error`]: settings that cannot be kept, an address that cannot be listened on.
    pub fn start(mut self) -> Result<Manager, Error> {
        self.config.check()?;
        let address = resolve(&self.config)?;
        let descriptors = super::descriptors::raise_limit();
        tracing::debug!(?descriptors, "limit of file descriptors");
        self.config = self.config.within(descriptors);
        let guarded = self.config.tokens.is_some() && self.config.tls.is_none();
        let doorbell = Doorbell::new();
        let notices = Notices::new();
        let weak = notices.downgrade();
        let (started, starting) = std::sync::mpsc::sync_channel(1);
        let (end, ended) = watch::channel(false);
        let bell = Arc::clone(&doorbell);
        thread::Builder::new()
            .name("manager".into())
            .spawn(move || {
                let _last = LastWord(Arc::clone(&bell));
                run(self, address, bell, notices, &started);
                end.send_replace(true);
            })
            .map_err(Error::Thread)?;
        let address = starting.recv().map_err(|_| Error::Ended)??;
        tracing::info!(%address, "listening");
        if guarded && !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "tokens and jobs travel unencrypted: whoever sees the network's traffic sees them"
            );
        }
        Ok(Manager { doorbell, address, notices: weak, ended, messages: AtomicU64::new(0) })
    }
}

/// However the thread ends, a panic included: nobody waits for an answer that does not come.
struct LastWord(Arc<Doorbell<Command>>);

impl Drop for LastWord {
    fn drop(&mut self) {
        drop(self.0.end());
    }
}

/// The manager's thread.
fn run(
    builder: Builder,
    address: SocketAddr,
    doorbell: Arc<Doorbell<Command>>,
    notices: Notices,
    started: &std::sync::mpsc::SyncSender<Result<SocketAddr, Error>>,
) {
    let poller = match Poller::new(BusyPoll::new(builder.config.busy_poll)) {
        Ok(poller) => poller,
        Err(error) => return report(started, Err(Error::Thread(error))),
    };
    let acceptor = accept::listen(address).and_then(|listener| {
        let acceptor = Acceptor::new(listener, poller.registry());
        acceptor.map_err(|source| Error::Listen { address, source })
    });
    let acceptor = match acceptor {
        Ok(acceptor) => acceptor,
        Err(error) => return report(started, Err(error)),
    };
    let address = acceptor.address();
    let status = StatusDesk::new(&builder.config);
    let config = builder.config.in_numbers();
    let scheduler = Scheduler::new(config.scheduler.clone(), builder.selector, rand::random());
    let driver = Driver::new(config, scheduler, doorbell, acceptor, notices, status, poller);
    report(started, Ok(address));
    driver.run();
}

fn report(
    started: &std::sync::mpsc::SyncSender<Result<SocketAddr, Error>>,
    result: Result<SocketAddr, Error>,
) {
    // The one who started it waits for this.
    let _ = started.send(result);
}

fn resolve(config: &Config) -> Result<SocketAddr, Error> {
    let resolve = |source| Error::Resolve { host: config.host.clone(), source };
    let mut found = (config.host.as_str(), config.port).to_socket_addrs().map_err(resolve)?;
    let address = found.next().ok_or_else(|| resolve(std::io::ErrorKind::NotFound.into()))?;
    let open = config.tokens.is_none() && config.tls.is_none() && !config.insecure;
    if open && !address.ip().to_canonical().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    Ok(address)
}
