//! New connections: who gets a place, and who is told that there is none.

use super::dialect::SILENCE;
use super::driver::Driver;
use super::encrypted::Encrypted;
use super::error::Error;
use super::handle::Command;
use super::liveness::Phase;
use super::ready::{Bell, Doorbell, LISTENER};
use super::stream::Stream;
use proletariat_protocol::handshake::Refusal;
use proletariat_protocol::{ErrorCode, Time};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the system keeps for us until we accept them: enough for a fleet that reconnects at once.
const BACKLOG: u32 = 4_096;
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
    bell: Arc<Bell<Command>>,
    waker: Waker,
    rest: Duration,
    resumes_at: Option<Time>,
    lines: u32,
    suppressed: u64,
    lines_since: Time,
    refused: u64,
}

/// Opens the listening socket. Needs the context of a runtime.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Where the port was ours a moment ago, what is left of its connections must not keep us out.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Error::InUse(address),
        _ => Error::Listen { address, source },
    })
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, doorbell: &Arc<Doorbell<Command>>) -> io::Result<Self> {
        let bell = Bell::new(doorbell, LISTENER);
        let waker = Waker::from(Arc::clone(&bell));
        // The first turn accepts, and hangs the waker up by that.
        waker.wake_by_ref();
        Ok(Self {
            address: listener.local_addr()?,
            listener: Some(listener),
            bell,
            waker,
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

    /// Whether a rest is over.
    pub(super) fn resume(&mut self, now: Time) -> bool {
        let over = self.resumes_at.is_some_and(|resumes_at| resumes_at <= now);
        if over {
            self.resumes_at = None;
        }
        over
    }

    /// Closes the port.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.resumes_at = None;
    }

    fn poll(&mut self, now: Time) -> Option<(TcpStream, IpAddr)> {
        if self.resumes_at.is_some() {
            return None;
        }
        loop {
            let mut cx = Context::from_waker(&self.waker);
            match self.listener.as_ref()?.poll_accept(&mut cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok((stream, address))) => {
                    self.rest = REST_FIRST;
                    return Some((stream, address.ip().to_canonical()));
                }
                Poll::Ready(Err(error)) if is_of_one_connection(&error) => {}
                Poll::Ready(Err(error)) => {
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
    pub(super) fn accept(&mut self, now: Time) {
        self.acceptor.bell.hang_up();
        for _ in 0..ACCEPTS_PER_TURN {
            let Some((stream, address)) = self.acceptor.poll(now) else { return };
            // The outboxes gather all there is into one write; to wait for more would only cost time.
            if stream.set_nodelay(true).is_ok() {
                let stream = match &self.config.tls {
                    None => Stream::Tcp(stream),
                    Some(tls) => Stream::Encrypted(Box::new(Encrypted::new(stream, tls.acceptor()))),
                };
                self.admit(stream, Some(address), now);
            }
        }
        self.acceptor.waker.wake_by_ref();
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
        let handshake_by = now + self.clocks.handshake_timeout;
        if closed.is_some() {
            if let Some(session) = self.connections.at(place) {
                session.closed = closed.map(Box::new);
            }
            self.connections.enter(place, Phase::Greeting, now, handshake_by);
        } else if !self.clocks.silence_allowed {
            self.connections.look_at(place, handshake_by);
        } else if let Some(oldest) = self.connections.silent_over(connections_max.div_ceil(2)) {
            self.acceptor.log_refusal(None, "too many connections say nothing; the oldest was closed", now);
            self.lose(oldest, now, None);
        }
        if self.clocks.silence_allowed {
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
