//! How a client is made.

use super::driver::ClientMember;
use super::error::Error;
use super::handle::{Client, LinkState, Shared};
use crate::net::connect::{Connector, LinkError, Tcp, host_port};
use crate::net::drive::{Clock, Drive};
use crate::net::link::LinkConfig;
use crate::net::window::Window;
use crate::security::ClientTls;
use core::sync::atomic::AtomicU64;
use proletariat_protocol::handshake::{Hello, Roles};
use proletariat_protocol::{InstanceId, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The first wait before connecting again is random up to this. Shorter than a worker's: somebody waits.
const RETRY_TIME: Duration = Duration::from_millis(200);

/// Settings of a [`Client`] that is to be.
///
/// ```no_run
/// # async fn example() -> Result<(), proletariat::client::Error> {
/// use proletariat::client::Client;
/// use std::time::Duration;
///
/// let client = Client::builder()
///     .host("broker.example")
///     .connect_timeout(Duration::from_secs(2))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    host: String,
    port: u16,
    name: String,
    token: Option<Vec<u8>>,
    tls: Option<ClientTls>,
    admin: bool,
    connect_timeout: Duration,
    link: LinkConfig,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: limits::PORT,
            name: String::new(),
            token: None,
            tls: None,
            admin: false,
            connect_timeout: Duration::from_secs(5),
            link: LinkConfig { retry_time: RETRY_TIME, ..LinkConfig::default() },
        }
    }

    /// Where the manager is: `host`, `host:port` or `[v6]:port`. Default: 127.0.0.1.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = host.into();
        self
    }

    /// The manager's port, where the host names none. Default: 1917.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A name for people, at most 128 bytes. Default: none.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The secret that the manager asks for, at most 1 KiB. Default: none.
    pub fn token(mut self, token: impl Into<Vec<u8>>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Talk TLS. Default: not.
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Ask for the role of an administrator as well.
    pub fn admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// How long [`connect`](Self::connect) waits for a session, all attempts together. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Give up after so many failed attempts in a row. Default: never.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.link.max_retries = Some(retries);
        self
    }

    /// The first wait before connecting again is random up to this; it doubles up to 5 s. Default: 200 ms.
    pub fn retry_time(mut self, time: Duration) -> Self {
        self.link.retry_time = time;
        self
    }

    /// Connect again after so long without a byte from the manager; zero: never for that. Default: 30 s.
    pub fn manager_timeout(mut self, timeout: Duration) -> Self {
        self.link.manager_timeout = timeout;
        self
    }

    /// Makes the client and returns at once; it connects in the background, and calls wait for it.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn lazy(self) -> Client {
        let connector =
            Tcp::new(host_port(&self.host, self.port), self.link.attempt_timeout).tls(self.tls.clone());
        self.over(connector)
    }

    /// Makes the client and waits for its first session.
    ///
    /// Dropped midway, nothing is left of the client.
    ///
    /// # Errors
    /// [`Error::ConnectTimeout`] when there is no session in time, [`Error::Link`] when there is no use in trying.
    pub async fn connect(self) -> Result<Client, Error> {
        let time = self.connect_timeout;
        let client = self.lazy();
        client.wait_for_session(time).await?;
        Ok(client)
    }

    /// The same over any other kind of stream.
    pub(super) fn over<C: Connector>(self, connector: C) -> Client {
        let (commands, queue) = mpsc::unbounded_channel();
        let (teller, state) = watch::channel(LinkState::Connecting { last: None });
        let clock = Clock::start();
        let hello = Hello {
            instance: InstanceId(rand::random()),
            roles: Roles { client: true, worker: false, admin: self.admin },
            name: self.name,
            token: self.token,
            capabilities: 0,
        };
        let drive = Drive { connector, hello, link: self.link, seed: rand::random(), clock };
        let mut member = ClientMember::new(teller);
        tokio::spawn(async move { drive.run(&mut member, queue).await });
        Client {
            shared: Arc::new(Shared {
                commands,
                clock,
                tags: AtomicU64::new(0),
                state,
                messages: Window::new(),
            }),
        }
    }
}

impl Client {
    /// Waits until there is a session, at most for `time`.
    pub(super) async fn wait_for_session(&self, time: Duration) -> Result<(), Error> {
        let mut state = self.shared.state.clone();
        let decided = async {
            match state.wait_for(|state| !matches!(state, LinkState::Connecting { .. })).await.as_deref() {
                Ok(LinkState::Over { error }) => Err(Error::Link(error.clone())),
                Ok(_) => Ok(()),
                Err(_) => Err(Error::Closed),
            }
        };
        match tokio::time::timeout(time, decided).await {
            Ok(decided) => decided,
            Err(_) => Err(Error::ConnectTimeout { time, last: self.last_failure() }),
        }
    }

    fn last_failure(&self) -> Option<LinkError> {
        match &*self.shared.state.borrow() {
            LinkState::Connecting { last } => last.clone(),
            _ => None,
        }
    }
}
