//! The socket between us and the guard: frames, and descriptors that travel with them.

use super::frame::Frame;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Descriptors that come with one start.
pub(super) const STREAMS: usize = 3;
const READ_BYTES: usize = 16 * 1024;

/// Sends a frame and its descriptors. Dropped midway, the socket is of no more use.
pub(super) async fn send(socket: &UnixStream, frame: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
    let mut sent = 0;
    while sent < frame.len() {
        socket.writable().await?;
        let result = socket.try_io(Interest::WRITABLE, || {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(STREAMS))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            // They travel with the first byte.
            if sent == 0 && !borrowed.is_empty() {
                let fits = ancillary.push(SendAncillaryMessage::ScmRights(&borrowed));
                assert!(fits, "there is room for three");
            }
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(sendmsg(socket, &[IoSlice::new(&frame[sent..])], &mut ancillary, flags)?)
        });
        match result {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What has come and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Incoming {
    /// The next frame; `None` when the other side is gone. Cancel safe.
    pub(super) async fn next(&mut self, socket: &UnixStream) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = Frame::take(&mut self.bytes)? {
                return Ok(Some(frame));
            }
            socket.readable().await?;
            match socket.try_io(Interest::READABLE, || self.read(socket)) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
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

    fn read(&mut self, socket: &UnixStream) -> io::Result<usize> {
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
