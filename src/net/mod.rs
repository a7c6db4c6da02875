//! Between a stream of bytes and messages: [`Inbox`] cuts what was read, [`Outbox`] orders what is to be written.
//!
//! Both are plain values without I/O: whoever owns the socket reads into a buffer of its own and hands it over, and
//! writes the slices that it gets.

pub mod inbox;
mod lane;
pub mod outbox;

pub use inbox::{Inbox, Incomplete, Tail};
pub use outbox::{Order, Outbox};
pub use proletariat_protocol::codec::WireMessage;
pub use proletariat_protocol::frame::WireError;
