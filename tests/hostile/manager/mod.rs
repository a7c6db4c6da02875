//! The doors of the manager.

pub(crate) mod handshake;
pub(crate) mod session;
mod wire;
