//! What a JSON peer says: a frame becomes events, or an error for the peer.

use super::moment::iso;
use super::status::Question;
use super::text::Json;
use super::{Dialect, FRAME_BYTES_MAX, NAME_BYTES_MAX, World};
use proletariat_protocol::ErrorCode;

/// The members of messages that mean something. Of a member that comes twice the last one counts.
const NAMES: [&str; 13] = [
    "command",
    "to",
    "rid",
    "work",
    "priority",
    "timeout",
    "assigntimeout",
    "slots",
    "id",
    "content",
    "accepted",
    "rejected",
    "error",
];

/// A message, cut into its members.
#[derive(Debug)]
pub(super) struct Message<'a>([Option<Json<'a>>; NAMES.len()]);

impl<'a> Message<'a> {
    fn read(object: Json<'a>) -> Self {
        let mut fields = [None; NAMES.len()];
        for (key, value) in object.members() {
            let key = key.string();
            if let Some(place) = NAMES.iter().position(|name| key.as_deref() == Some(name)) {
                fields[place] = Some(value);
            }
        }
        Self(fields)
    }

    /// The value of a member, null included.
    pub(super) fn field(&self, name: &str) -> Option<Json<'a>> {
        let place =
            NAMES.iter().position(|known| *known == name).expect("only members that are read are asked for");
        self.0[place]
    }

    /// The value of a member that is not null.
    pub(super) fn given(&self, name: &str) -> Option<Json<'a>> {
        self.field(name).filter(|value| !value.is_null())
    }
}

impl Dialect {
    /// Hears one frame. False if its text is not a JSON object, which only the first frame of a connection must be.
    pub(in crate::manager) fn hear(&mut self, body: &[u8], world: &mut impl World) -> bool {
        let Some(json) = Json::read(body) else { return false };
        if !json.is_object() {
            self.complain(ErrorCode::UnknownCommand.as_str(), "a message is an object with a command", None);
            return false;
        }
        let message = Message::read(json);
        let command = message.given("command");
        match command.and_then(|command| command.string()).as_deref() {
            Some("push") => self.hear_push(&message, world),
            Some("abort") => self.hear_abort(&message, world),
            Some("offer") => self.hear_offer(&message, world),
            Some("done") => self.hear_done(&message, world),
            Some("answer") => self.hear_answer(&message, world),
            Some("sysmsg") => self.hear_system_message(&message, world),
            Some("ping") => {
                let current = iso(world.unix_millis());
                self.answer("ping").members(&format!(r#""current":"{current}""#)).say();
            }
            Some("mystatus") => world.ask(Question::Own),
            Some("status") => world.ask(Question::All),
            // Memory is given back when there is an idle moment; nobody has to ask for it.
            Some(command @ ("cleanup" | "gc")) => self.answer(command).members(r#""ok":true"#).say(),
            Some("dumpall") => {
                let text = "the manager writes its state into no file: ask for status";
                self.answer("dumpall").error(ErrorCode::UnknownCommand.as_str(), text).say();
            }
            // What a peer says of our own words needs no answer; it might be answered in turn, for ever.
            _ if command.is_none() && message.given("error").is_some() => {}
            _ => self.complain_of_command(command, ErrorCode::UnknownCommand.as_str(), "command"),
        }
        true
    }

    /// A frame over the limit has begun.
    pub(in crate::manager) fn hear_too_large(&mut self, bytes: u32) {
        let text = format!("a frame of {bytes} bytes: the most is {FRAME_BYTES_MAX}; it is skipped");
        self.complain(ErrorCode::TooLarge.as_str(), &text, None);
    }

    fn hear_answer(&mut self, message: &Message<'_>, world: &mut impl World) {
        let to = message.given("to");
        match to.and_then(|to| to.string()).as_deref() {
            Some("push") => self.hear_verdict(message, world),
            Some("sysmsg") => self.hear_confirmation(message, world),
            // That it speaks is all that was wanted.
            Some("ping") => {}
            _ => self.complain_of_command(to, "EUNKNANDT", "to"),
        }
    }

    fn complain_of_command(&mut self, command: Option<Json<'_>>, code: &str, name: &str) {
        let text = ErrorCode::UnknownCommand.advice();
        let command = command.map(Json::text).filter(|command| command.len() <= NAME_BYTES_MAX);
        self.complain(code, text, command.map(|command| (name, command)));
    }
}
