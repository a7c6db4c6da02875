//! What clients and workers are for the loop.

use crate::net::connect::LinkError;
use crate::net::{Outbox, Tail};
use proletariat_protocol::Time;
use proletariat_protocol::handshake::Welcome;
use proletariat_protocol::message::{LeavingReason, ManagerMessage};

/// What is driven: the part of a client or a worker that knows what to say.
pub trait Member: Send {
    /// What its handles send.
    type Command: Send;

    /// A handle sent something.
    fn command(&mut self, now: Time, command: Self::Command);

    /// All handles are gone; no command follows.
    fn commands_closed(&mut self, now: Time);

    /// A session is open. Nothing of an earlier one holds any more.
    fn link_up(&mut self, now: Time, welcome: &Welcome);

    /// An attempt failed or the session ended. `next`: when the next attempt is due; `None`: there will be none.
    fn link_down(&mut self, now: Time, error: &LinkError, next: Option<Time>);

    /// A message of the open session. Signs of life and the manager's leaving never come here.
    fn receive(&mut self, now: Time, message: ManagerMessage, tail: Tail<'_>);

    /// Fires what is due. Called only when everything that has been received is read.
    fn expire(&mut self, now: Time);

    /// Carries out everything there is to do, once a turn, and pushes what is to be said while a session is open and
    /// the outbox has [room](Outbox::room) below [`OUTBOX_MARK_BYTES`](super::OUTBOX_MARK_BYTES). What is pushed without
    /// a session is dropped.
    fn poll(&mut self, now: Time, outbox: &mut Outbox);

    /// When to call `expire` if nothing happens.
    fn next_deadline(&self) -> Option<Time>;

    /// `Some` when everything is said and the session may close. Until then the drive goes on, even when there will be
    /// no further attempt: the member has to answer its handles.
    fn wants_to_leave(&self) -> Option<LeavingReason>;

    /// For a member that wants to leave: `Some` when what still waits to be written is not to be lost. It is waited for as long
    /// as the manager takes some of it every two seconds, and until this time also while it takes nothing. `None`: the
    /// session ends two seconds after the goodbye, whatever waits.
    fn unsent_until(&self) -> Option<Time> {
        None
    }
}
