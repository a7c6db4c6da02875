//! The socket between us and the guard: frames, and descriptors that travel with them.

use super::frame::Frame;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// Descriptors that come with one start.
pub(super) const STREAMS: usize = 3;
const READ_BYTES: usize = 16 * 1024;
/// What is short now, and nobody tells when it is there, is tried again after this.
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// Has the runtime watch a descriptor. Needs the context of one.
///
/// Whoever swaps the descriptor within its owner could confuse the runtime, hence the deprecation; nobody swaps one of ours.
#[allow(deprecated)]
pub(super) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}

/// One end. It is watched for what comes in alone: a Unix socket tells its writer of room whenever the other side has read
/// something, which would be a process switch for each message.
#[derive(Debug)]
pub(super) struct Socket(AsyncFd<OwnedFd>);

impl Socket {
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(watched(socket.into(), Interest::READABLE)?))
    }

    /// Sends a frame and its descriptors. Dropped midway, the socket is of no more use.
    pub(super) async fn send(&self, frame: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        let mut sent = 0;
        while sent < frame.len() {
            // They travel with the first byte.
            let streams = if sent == 0 { descriptors } else { &[] };
            match self.send_some(&frame[sent..], streams) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_room().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if has_too_many_on_the_way(&error) => sleep(SHORT_WAIT).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_some(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() {
            let fits = ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
            assert!(fits, "there is room for three");
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(sendmsg(self.0.get_ref(), &[IoSlice::new(bytes)], &mut ancillary, flags)?)
    }

    /// A descriptor of its own is watched, for as long as it takes. Where none is left it is tried again soon: nobody shall lose a
    /// guard, and all children with it, for that.
    async fn has_room(&self) -> io::Result<()> {
        let Ok(socket) = self.0.get_ref().try_clone() else {
            sleep(SHORT_WAIT).await;
            return Ok(());
        };
        let socket = watched(socket, Interest::WRITABLE)?;
        socket.writable().await.map(drop)
    }

    /// Nothing more is sent: the other side reads the end.
    pub(super) fn close(&self) {
        // What fails here is closed already.
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Write);
    }
}

/// Whether as many descriptors are on their way as may be open: when the other side has taken some, there is room again.
fn has_too_many_on_the_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::TOOMANYREFS.raw_os_error())
}

/// What has come and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Incoming {
    /// The next frame; `None` when the other side is gone. Cancel safe.
    pub(super) async fn next(&mut self, socket: &Socket) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.bytes)? {
                return Ok(Some(frame));
            }
            match socket.0.async_io(Interest::READABLE, |socket| self.read(socket)).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The descriptors that came with the oldest start.
    pub(super) fn streams(&mut self) -> Option<[OwnedFd; STREAMS]> {
        let streams: Vec<OwnedFd> = self.descriptors.drain(..STREAMS.min(self.descriptors.len())).collect();
        streams.try_into().ok()
    }

    fn read(&mut self, socket: &OwnedFd) -> io::Result<usize> {
        let mut buffer = [0; READ_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let read = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.bytes.extend_from_slice(&buffer[..read.bytes]);
        Ok(read.bytes)
    }
}
