//! How much the system holds of what is under way on a connection.
//!
//! What lies in the system's buffers is passed by nothing: a small message that may pass a large one waits all the same for what was
//! written of that before. Left alone, a system lets those buffers grow to megabytes on either side, which is right for a network that
//! is long and wide, and milliseconds of waiting where the receiver is what is slow.

use socket2::SockRef;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

/// What has been written and not been sent, in bytes: the rest waits in the outbox, where small messages still pass it. What has been
/// sent is not counted, so that a long way is filled as before.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 * 1024;
/// What may lie unread between two ends on the same machine, in bytes (a system doubles it, for what it needs itself). There a
/// message is on no way that would have to be filled, and all that is not read yet waits in this buffer.
const UNREAD_BYTES: usize = 128 * 1024;

/// Bounds what the system holds of this connection. No session depends on it, so whoever cannot do it goes on without.
pub(crate) fn bound(stream: &impl AsFd) {
    if let Err(error) = try_bound(stream) {
        tracing::debug!(%error, "the buffers of a connection stay as they are");
    }
}

fn try_bound(stream: &impl AsFd) -> io::Result<()> {
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    if is_local(&socket)? {
        socket.set_recv_buffer_size(UNREAD_BYTES)?;
    }
    Ok(())
}

/// Whether both ends are on this machine.
fn is_local(socket: &SockRef<'_>) -> io::Result<bool> {
    let ip = |address: socket2::SockAddr| address.as_socket().map(|address| address.ip().to_canonical());
    let (ours, theirs) = (ip(socket.local_addr()?), ip(socket.peer_addr()?));
    Ok(theirs.as_ref().is_some_and(IpAddr::is_loopback) || theirs.is_some() && ours == theirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_of_this_machine_holds_little() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (far, _) = listener.accept().unwrap();
            for stream in [&near, &far] {
                let socket = SockRef::from(stream);
                assert!(is_local(&socket).unwrap(), "{address}");
                bound(stream);
                // It says what it allows itself, which is more, and never half as much again.
                let bytes = socket.recv_buffer_size().unwrap();
                assert!((UNREAD_BYTES..=2 * UNREAD_BYTES).contains(&bytes), "{address}: {bytes}");
                #[cfg(target_os = "linux")]
                assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES);
            }
        }
    }

    #[test]
    fn what_is_no_connection_stays_as_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let before = SockRef::from(&listener).recv_buffer_size().unwrap();
        bound(&listener);
        assert_eq!(SockRef::from(&listener).recv_buffer_size().unwrap(), before);
    }
}
