//! System messages: names of the peer's own for those under way.

use super::hear::Message;
use super::runs::number;
use super::say::Answer;
use super::{Dialect, NAME_BYTES_MAX, World};
use proletariat_protocol::limits::{SYSTEM_MESSAGE_BYTES_MAX, SYSTEM_MESSAGES_OPEN_MAX};
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, MessageId, Payload, PeerId};
use proletariat_scheduler::{Event, MANAGER};
use std::collections::BTreeMap;

/// When one who has too many messages under way may try again, in milliseconds.
const RETRY_AFTER_MS: u32 = 250;
/// The manager's name.
const MANAGER_NAME: &str = "MANAGER";
/// An id that no peer has.
const NOBODY: PeerId = PeerId(u64::MAX);

/// Messages of this peer that have no report yet.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The peer's own id for each, as it was sent.
    open: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl Dialect {
    /// The peer sends a system message.
    pub(super) fn hear_system_message(&mut self, message: &Message<'_>, world: &mut impl World) {
        let refuse = |dialect: &mut Self, code: ErrorCode, text: &str| {
            dialect.answer("sysmsg").error(code.as_str(), text).say();
        };
        let id = message.given("id").filter(|id| id.string().is_some_and(|id| !id.is_empty()));
        let Some(id) = id.map(|id| id.text()) else {
            return refuse(
                self,
                ErrorCode::NoRequestId,
                "a system message needs an id, a text of its sender's own",
            );
        };
        if id.len() > NAME_BYTES_MAX {
            return refuse(self, ErrorCode::Protocol, "the id of a system message has at most 1 KiB");
        }
        let content = message.field("content").map_or("null", |content| content.text());
        if content.len() > SYSTEM_MESSAGE_BYTES_MAX {
            return refuse(self, ErrorCode::TooLarge, "a system message has at most 1 MiB");
        }
        if self.messages.open.len() >= SYSTEM_MESSAGES_OPEN_MAX {
            let text = format!("{SYSTEM_MESSAGES_OPEN_MAX} system messages of this peer have no report yet");
            return self.answer("sysmsg").raw("id", id).overload(&text, RETRY_AFTER_MS).say();
        }
        let to = match message.given("to") {
            None => Recipient::All,
            Some(to) => match to.string().as_deref() {
                Some(MANAGER_NAME) => Recipient::Manager,
                text => Recipient::Peer(text.and_then(number).map_or(NOBODY, PeerId)),
            },
        };
        let number = self.messages.next;
        self.messages.next += 1;
        self.messages.open.insert(number, id.into());
        let content = Payload::copy_from_slice(content.as_bytes());
        world.tell(Event::SystemMessage {
            from: self.peer,
            id: MessageId(number),
            to,
            content,
            timeout: None,
        });
    }

    /// The peer has handled one.
    pub(super) fn hear_confirmation(&self, message: &Message<'_>, world: &mut impl World) {
        let id = message.given("id").and_then(|id| id.string());
        if let Some(id) = id.as_deref().and_then(number) {
            world.tell(Event::Confirmed { by: self.peer, id: MessageId(id) });
        }
    }

    /// One for this peer.
    pub(super) fn say_system_message(&mut self, id: MessageId, from: PeerId, content: &Payload) {
        let from = if from == MANAGER { MANAGER_NAME.into() } else { from.to_string() };
        let head = format!(r#"{{"command":"sysmsg","id":"{id}","from":"{from}","content":"#);
        // At most 1 MiB: whatever it is shown as fits into a frame.
        let content = self.last_shown.value(content).unwrap_or_else(|| Payload::from_static(b"null"));
        self.speech.say_parts(&[Payload::from(head), content, Payload::from_static(b"}")]);
    }

    /// What became of one of this peer's.
    pub(super) fn say_system_report(&mut self, id: MessageId, sent_to: u32, received_by: u32) {
        if let Some(id) = self.messages.open.remove(&id.0) {
            let counts = format!(r#""done":true,"sentTo":{sent_to},"receivedBy":{received_by}"#);
            self.answer("sysmsg").raw("id", &id).members(&counts).say();
        }
    }

    /// An answer to a command of the peer, in the making.
    pub(super) fn answer<'a>(&'a mut self, to: &str) -> Answer<'a> {
        Answer::new(&mut self.speech, to)
    }
}
