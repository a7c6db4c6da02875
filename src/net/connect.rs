//! How a client or worker gets a stream to its manager, and what can go wrong between the two.

use super::buffers::bound_unsent;
use super::link::Retry;
pub use super::secure::SecureStream;
use super::secure::secured;
use crate::security::ClientTls;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::frame::WireError;
use proletariat_protocol::handshake::{HandshakeError, Refusal};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

/// An address gets at least this long, however many others wait behind it.
const ADDRESS_TIME_MIN: Duration = Duration::from_millis(500);

/// Opens streams to one manager. TCP is one; anything else that carries bytes both ways can be another.
pub trait Connector: Send + 'static {
    /// The stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens one. The future may be dropped midway; then nothing of the attempt is left.
    fn connect(&mut self) -> Opening<Self::Stream>;

    /// Where to, for people.
    fn address(&self) -> &str;

    /// A large message is under way on this stream, or is so no more: what it takes and cannot send yet should be little then, since
    /// nothing passes that. For those of which a system below holds much.
    fn bound_unsent(_stream: &Self::Stream, _bound: bool) {}
}

/// A stream on its way.
pub type Opening<S> = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

/// TCP, or TLS over it, to a `host:port`, where the host is a name, an IPv4 address or an IPv6 address in brackets.
#[derive(Clone, Debug)]
pub struct Tcp {
    address: String,
    time: Duration,
    tls: Option<ClientTls>,
}

impl Tcp {
    /// To this `host:port`, all addresses of the host together within `time`.
    #[must_use]
    pub fn new(address: impl Into<String>, time: Duration) -> Self {
        Self { address: address.into(), time, tls: None }
    }

    /// The same with TLS, if there is any.
    #[must_use]
    pub fn tls(mut self, tls: Option<ClientTls>) -> Self {
        self.tls = tls;
        self
    }
}

/// `host:port` from what a user wrote: `host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6 address. A port in it beats
/// the other one.
#[must_use]
pub fn host_port(host: &str, port: u16) -> String {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return format!("[{host}]:{port}");
    }
    match host.rsplit_once(':') {
        Some((_, own)) if own.parse::<u16>().is_ok() => host.to_owned(),
        _ => format!("{host}:{port}"),
    }
}

impl Connector for Tcp {
    type Stream = SecureStream;

    fn connect(&mut self) -> Opening<SecureStream> {
        let Self { address, time, tls } = self.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = lookup_host(&address).await?.collect();
            let stream = connect_any(&addresses, time).await?;
            match tls {
                None => Ok(SecureStream::Plain(stream)),
                Some(tls) => secured(stream, &tls, &address).await,
            }
        })
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn bound_unsent(stream: &SecureStream, bound: bool) {
        bound_unsent(stream.tcp(), bound);
    }
}

/// The first of the addresses that answers. Each gets an equal share of the time, so that one that swallows packets
/// does not hide the one behind it.
async fn connect_any(addresses: &[SocketAddr], time: Duration) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let share = time / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        match tokio::time::timeout(share.max(ADDRESS_TIME_MIN), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Every turn ends in one flush that gathers all there is: waiting for more would only cost time.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(refused)) => error = refused,
            Err(_) => error = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(error)
}

/// Why there is no session with the manager (any more).
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// No stream could be opened.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Where to.
        address: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// Stream and handshake took too long.
    #[error("no answer from {address} within {time:?}")]
    AttemptTimeout {
        /// Where to.
        address: String,
        /// The limit.
        time: Duration,
    },
    /// Whoever answers is no manager.
    #[error("{address} answers, but is no proletariat manager: {reason}")]
    NotAManager {
        /// Who.
        address: String,
        /// What it said.
        reason: String,
    },
    /// Name or token cannot be sent.
    #[error("cannot introduce ourselves: {0}")]
    Hello(#[source] HandshakeError),
    /// The manager does not let us in.
    #[error("the manager refuses: {}: {}", .0.code, .0.message)]
    Refused(Refusal),
    /// The manager ended the session and said why.
    #[error("the manager ended the session: {code}: {message}")]
    Left {
        /// Why, as a code.
        code: ErrorCode,
        /// Why, for people.
        message: String,
        /// What it says about coming back.
        retry: Retry,
    },
    /// The manager was silent for too long.
    #[error("not a byte from the manager for {0:?}")]
    Silent(Duration),
    /// The stream ended without a word.
    #[error("the manager closed the connection")]
    Closed,
    /// The stream broke.
    #[error("the connection broke: {0}")]
    Broken(#[source] Arc<io::Error>),
    /// The manager broke the protocol.
    #[error("the manager broke the protocol: {0}")]
    Wire(#[from] WireError),
}

impl LinkError {
    /// What this says about trying again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Refused(refusal) if refusal.retry => {
                Retry::After(Duration::from_millis(u64::from(refusal.retry_after_ms)))
            }
            Self::Refused(_) => Retry::NotAtFirst,
            Self::Hello(_) => Retry::Never,
            Self::Left { retry, .. } => *retry,
            _ => Retry::After(Duration::ZERO),
        }
    }

    /// The code, where the manager gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Left { code, .. } => Some(*code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn hosts_come_with_and_without_port() {
        assert_eq!(host_port("broker", 1917), "broker:1917");
        assert_eq!(host_port("broker:80", 1917), "broker:80");
        assert_eq!(host_port("::1", 1917), "[::1]:1917");
        assert_eq!(host_port("[::1]", 1917), "[::1]:1917");
        assert_eq!(host_port("[::1]:80", 1917), "[::1]:80");
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_hide_the_next_one() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = gone.local_addr().unwrap();
        drop(gone);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = listener.local_addr().unwrap();
        let stream = connect_any(&[refusing, listening], Duration::from_secs(5)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listening);
        assert!(stream.nodelay().unwrap());
        assert!(connect_any(&[refusing], Duration::from_secs(5)).await.is_err());
    }
}
