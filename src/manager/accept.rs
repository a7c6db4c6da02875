//! New connections: who gets a place, and who is told that there is none.

use super::dialect::SILENCE;
use super::driver::Driver;
use super::encrypted::Encrypted;
use super::error::Error;
use super::liveness::Phase;
use super::poller::LISTENER;
use super::socket::Socket;
use super::stream::Stream;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use proletariat_protocol::handshake::Refusal;
use proletariat_protocol::{ErrorCode, Time};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen as listen_on, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Connections that the system keeps for us until we accept them: enough for a fleet that reconnects at once.
const BACKLOG: i32 = 4_096;
/// New connections in one turn; then those that are there get their turn.
const ACCEPTS_PER_TURN: usize = 64;
/// Connections over the limit that get a place for as long as it takes to tell them so; more are closed unread.
pub(super) const REFUSALS_AT_A_TIME: usize = 64;
/// Whoever is refused for lack of a place may try again after this time.
pub(super) const RETRY_AFTER_MS: u32 = 1_000;
/// Accepting rests for so long when the system has no descriptor left, doubling up to the second.
const REST_FIRST: Duration = Duration::from_millis(50);
const REST_LONGEST: Duration = Duration::from_secs(1);
/// Log lines about what peers do wrong in one second; the others are counted.
const LINES_PER_SECOND: u32 = 10;

/// The listening socket.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: Option<TcpListener>,
    address: SocketAddr,
    /// Whether somebody may wait to be accepted.
    ready: bool,
    rest: Duration,
    resumes_at: Option<Time>,
    lines: u32,
    suppressed: u64,
    lines_since: Time,
    refused: u64,
}

/// Opens the listening socket.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let open = || {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        // Where the port was ours a moment ago, what is left of its connections must not keep us out.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen_on(&socket, BACKLOG)?;
        Ok(TcpListener::from_std(socket.into()))
    };
    open().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(address),
        _ => Error::Listen { address, source },
    })
}

impl Acceptor {
    /// The registry has news of it from here on.
    pub(super) fn new(mut listener: TcpListener, registry: &Registry) -> io::Result<Self> {
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            address: listener.local_addr()?,
            listener: Some(listener),
            ready: true,
            rest: REST_FIRST,
            resumes_at: None,
            lines: 0,
            suppressed: 0,
            lines_since: Time::ZERO,
            refused: 0,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// When accepting goes on after a rest.
    pub(super) fn resumes_at(&self) -> Option<Time> {
        self.resumes_at
    }

    /// There is news of the listening socket.
    pub(super) fn heard(&mut self) {
        self.ready = true;
    }

    /// Whether somebody may wait to be accepted, and no rest forbids it.
    pub(super) fn is_ready(&mut self, now: Time) -> bool {
        self.resumes_at = self.resumes_at.filter(|resumes_at| *resumes_at > now);
        self.ready && self.resumes_at.is_none()
    }

    /// Closes the port.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.ready = false;
        self.resumes_at = None;
    }

    fn next(&mut self, now: Time) -> Option<(TcpStream, IpAddr)> {
        loop {
            match self.listener.as_ref()?.accept() {
                Ok((stream, address)) => {
                    self.rest = REST_FIRST;
                    return Some((stream, address.ip().to_canonical()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready = false;
                    return None;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, rest = ?self.rest, "cannot accept connections for now");
                    self.resumes_at = Some(now + self.rest);
                    self.rest = (self.rest * 2).min(REST_LONGEST);
                    return None;
                }
            }
        }
    }

    /// One line for a refused connection, unless there were many.
    pub(super) fn log_refusal(&mut self, address: Option<IpAddr>, why: &str, now: Time) {
        self.refused += 1;
        if !self.may_log(now) {
            return;
        }
        match address {
            Some(address) => tracing::info!(%address, why, "a connection was refused"),
            None => tracing::info!(why, "a connection was refused"),
        }
    }

    /// Whether there may be one more line about what peers do wrong: whoever connects could fill a disk with them.
    pub(super) fn may_log(&mut self, now: Time) -> bool {
        if now.since(self.lines_since) >= Duration::from_secs(1) {
            if self.suppressed > 0 {
                tracing::info!(count = self.suppressed, "more such lines were left out");
            }
            (self.lines, self.suppressed, self.lines_since) = (0, 0, now);
        }
        let may = self.lines < LINES_PER_SECOND;
        self.lines += u32::from(may);
        self.suppressed += u64::from(!may);
        may
    }
}

/// Errors that `accept` passes on from a connection that is gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::TimedOut
    )
}

impl Driver {
    /// Takes new connections in.
    #[cold]
    pub(super) fn accept(&mut self, now: Time) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((stream, address)) = self.acceptor.next(now) else { return };
            // The outboxes gather all there is into one write; to wait for more would only cost time.
            if stream.set_nodelay(true).is_ok() {
                let stream = Socket::new(stream);
                let stream = match &self.config.tls {
                    None => Stream::Tcp(stream),
                    Some(tls) => Stream::Encrypted(Box::new(Encrypted::new(stream, tls.acceptor()))),
                };
                self.admit(stream, Some(address), now);
            }
        }
        self.again = true;
    }

    /// Gives a connection its place.
    pub(super) fn admit(&mut self, stream: Stream, address: Option<IpAddr>, now: Time) {
        let connections_max = self.config.connections_max as usize;
        if self.connections.count() >= connections_max.saturating_add(REFUSALS_AT_A_TIME) {
            return self.acceptor.log_refusal(address, "max_connections is reached", now);
        }
        let closed = self.no_place(address);
        let payload_bytes_max = self.config.scheduler.payload_bytes_max;
        let place = self.connections.open(stream, address, &self.doorbell, payload_bytes_max, now);
        let may_speak_json = self.clocks.silence_allowed;
        if let Some(session) = self.connections.at(place) {
            session.may_speak_json = may_speak_json;
            if let Err(error) = session.stream.watch(self.poller.registry(), Token(place as usize)) {
                tracing::warn!(%error, "a connection cannot be watched");
                return self.lose(place, now, None);
            }
        }
        let handshake_by = now + self.clocks.handshake_timeout;
        if closed.is_some() {
            if let Some(session) = self.connections.at(place) {
                session.closed = closed.map(Box::new);
            }
            self.connections.enter(place, Phase::Greeting, now, handshake_by);
        } else if !may_speak_json {
            self.connections.look_at(place, handshake_by);
        } else if let Some(oldest) = self.connections.silent_over(connections_max.div_ceil(2)) {
            self.acceptor.log_refusal(None, "too many connections say nothing; the oldest was closed", now);
            self.lose(oldest, now, None);
        }
        if may_speak_json {
            self.connections.look_at(place, now + SILENCE);
        }
        self.attend(place, now);
    }

    /// What a new connection from this address is told if there is no place for it.
    fn no_place(&self, address: Option<IpAddr>) -> Option<Refusal> {
        let (connections_max, per_address_max) =
            (self.config.connections_max, self.config.connections_per_address_max);
        let message = if self.connections.count() >= connections_max as usize {
            format!("the manager holds {connections_max} connections, and max_connections allows no more")
        } else if address.is_some_and(|it| self.connections.count_from(it) >= per_address_max as usize) {
            format!(
                "this address holds {per_address_max} connections, and max_connections_per_address allows no more"
            )
        } else {
            return None;
        };
        Some(Refusal { code: ErrorCode::Overload, message, retry: true, retry_after_ms: RETRY_AFTER_MS })
    }
}
