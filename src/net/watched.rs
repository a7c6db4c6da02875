//! Descriptors that are no sockets of the runtime's own, watched by it.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor. Needs the context of one.
///
/// Whoever swaps the descriptor within its owner could confuse the runtime, hence the deprecation; nobody swaps one of ours.
#[allow(deprecated)]
pub(crate) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, interest)
}
