//! How much the system holds of what is under way on a connection.
//!
//! What lies in the system's buffers is passed by nothing: a small message that may pass a large one waits all the same for what was
//! written of that before. Left alone, a system takes megabytes of it that it cannot send yet.
//!
//! Only while a large message is under way, and only what is unsent: who pushes many small ones needs those buffers, since with little
//! room it comes to write a little at a time. Among 2,000 workers a job took two to six times the processor time then.

use socket2::SockRef;
use std::os::fd::AsFd;

/// What has been written and not been sent, in bytes: the rest waits in the outbox, where small messages still pass it. What has been
/// sent is not counted, so that a long way is filled as before.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;

/// Bounds what the system holds of this connection and cannot send yet, or leaves it to the system again. Not every system can be told;
/// no session depends on it.
pub(crate) fn bound_unsent(stream: &impl AsFd, bound: bool) {
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    if let Err(error) = socket.set_tcp_notsent_lowat(if bound { UNSENT_BYTES } else { 0 }) {
        tracing::debug!(%error, "a connection may hold more than it can send");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, bound);
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    /// What fits into a connection that nobody reads.
    fn room(bound: bool) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _unread = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        bound_unsent(&stream, true);
        bound_unsent(&stream, bound);
        let mut room = 0;
        while let Ok(bytes) = stream.write(&[0; 64 * 1024]) {
            room += bytes;
        }
        room
    }

    #[test]
    fn a_connection_holds_less_while_it_is_bounded() {
        let (bounded, free) = (room(true), room(false));
        assert!(bounded + UNSENT_BYTES as usize <= free, "{bounded} and {free} bytes");
    }
}
