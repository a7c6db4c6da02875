//! Why a manager cannot start, or cannot do what its owner asks.

use std::io;
use std::net::SocketAddr;
use thiserror::Error;

/// What went wrong, in sentences for its owner.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot be kept.
    #[error("{0}")]
    Setting(String),
    /// A selector that does not exist.
    #[error("there is no selector {0:?}: take one of {1}")]
    Selector(String, String),
    /// The name to listen on has no address.
    #[error("cannot find the address of {host:?}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The address can be reached from elsewhere, and nothing protects it.
    #[error(
        "{0} can be reached from other machines, and every peer is let in: listen on 127.0.0.1, ask for tokens \
         (--token-file) or TLS (--tls-cert), or say insecure if the network is trusted"
    )]
    NotLoopback(SocketAddr),
    /// Somebody else listens there.
    #[error("port {} of {} is in use: stop what listens there, or choose another port (0: any free one)", .0.port(), .0.ip())]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread or no event queue.
    #[error("cannot start the manager's thread: {0}")]
    Thread(io::Error),
    /// The manager has ended.
    #[error("the manager has ended")]
    Ended,
    /// A system message over the limit.
    #[error("a system message of {0} bytes: at most 1 MiB is passed on")]
    TooLarge(usize),
}
