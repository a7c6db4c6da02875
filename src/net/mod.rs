//! Between a stream of bytes and messages: [`Inbox`] cuts what was read, [`Outbox`] orders what is to be written.
//!
//! Both are plain values without I/O: whoever owns the socket reads into a buffer of its own and hands it over, and
//! writes the slices that it gets.
//!
//! Beside them is the peers' end of a connection, which client and worker share: [`link`] decides when to connect and when
//! to give a manager up, [`connect`] opens streams, [`drive`] is the loop around a machine.

pub(crate) mod buffers;
pub mod connect;
pub mod drive;
mod greeting;
#[cfg(test)]
pub(crate) mod hatch;
pub mod inbox;
mod lane;
pub mod link;
pub mod outbox;
mod secure;
pub(crate) mod window;

pub use inbox::{Inbox, Incomplete, Tail};
pub use outbox::{Order, Outbox};
pub use proletariat_protocol::codec::WireMessage;
pub use proletariat_protocol::frame::WireError;

#[cfg(test)]
mod properties;
