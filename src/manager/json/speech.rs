//! What the manager says to one JSON peer: text, and large payloads where they lie.
//!
//! Entries of a list (jobs for a worker, ended jobs of a client, aborts) are gathered in one message, which is sealed when
//! something else is said, when it has grown, or when the turn is over. No frame is over the limit.

use super::FRAME_BYTES_MAX;
use proletariat_protocol::Payload;
use std::mem;

/// A gathered message is sealed at so many bytes: large enough for many entries, small enough for a peer that reads text.
const LIST_BYTES: usize = 256 * 1024;
/// A payload below this many bytes is copied.
const COPY_BYTES: usize = 8 * 1024;
/// A buffer that is empty and larger than this is given back.
const KEEP_BYTES: usize = 64 * 1024;
/// Room for what stands around the entries of a list.
const AROUND_BYTES: usize = 64;

/// Messages that are lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum List {
    /// Jobs for a worker.
    Push,
    /// Ended jobs of a client.
    Done,
    /// Jobs that a worker is to stop.
    Abort,
}

/// Bytes in order.
#[derive(Debug, Default)]
struct Pieces {
    text: Vec<u8>,
    /// Payloads, each with its place in the text.
    payloads: Vec<(usize, Payload)>,
    bytes: usize,
}

/// A piece of what is to be written.
#[derive(Debug)]
pub(in crate::manager) enum Piece<'a> {
    Text(&'a [u8]),
    Payload(&'a Payload),
}

/// Frames for one peer.
#[derive(Debug, Default)]
pub(super) struct Speech {
    ready: Pieces,
    list: Pieces,
    kind: Option<List>,
}

impl Speech {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.ready.bytes + self.list.bytes
    }

    /// A message of its own. `text` is the whole object.
    pub(super) fn say(&mut self, text: &str) {
        self.seal();
        debug_assert!(super::text::is_json(text.as_bytes()), "{text}");
        self.ready.put_length(text.len());
        self.ready.put(text.as_bytes());
    }

    /// The same where it may be large, in parts; false, and nothing said, if it is over the limit.
    pub(super) fn say_parts(&mut self, parts: &[Payload]) -> bool {
        let bytes = parts.iter().map(Payload::len).sum();
        if bytes > FRAME_BYTES_MAX {
            return false;
        }
        self.seal();
        self.ready.put_length(bytes);
        parts.iter().for_each(|part| self.ready.put_payload(part));
        true
    }

    /// One more entry of a list: `head`, `value`, `tail`. False, and nothing said, if it would fit into no frame.
    pub(super) fn put_entry(&mut self, list: List, head: &str, value: Option<&Payload>, tail: &str) -> bool {
        let bytes = head.len() + value.map_or(0, Payload::len) + tail.len() + 1;
        if bytes > FRAME_BYTES_MAX - AROUND_BYTES {
            return false;
        }
        if self.kind.is_some_and(|kind| kind != list)
            || self.list.bytes > 0 && self.list.bytes + bytes > LIST_BYTES
        {
            self.seal();
        }
        if self.kind.is_some() {
            self.list.put(b",");
        }
        self.kind = Some(list);
        self.list.put(head.as_bytes());
        if let Some(value) = value {
            self.list.put_payload(value);
        }
        self.list.put(tail.as_bytes());
        true
    }

    /// What has been gathered becomes a message.
    pub(super) fn seal(&mut self) {
        let Some(kind) = self.kind.take() else { return };
        let head: &[u8] = match kind {
            List::Push => br#"{"command":"push","work":["#,
            List::Done => br#"{"command":"done","work":["#,
            List::Abort => br#"{"command":"abort","work":["#,
        };
        let tail = b"]}";
        self.ready.put_length(head.len() + self.list.bytes + tail.len());
        self.ready.put(head);
        self.ready.append(&mut self.list);
        self.ready.put(tail);
    }

    /// Hands everything out, in order, and is empty then.
    pub(super) fn pour(&mut self, mut write: impl FnMut(Piece<'_>)) {
        self.seal();
        let mut pieces = mem::take(&mut self.ready);
        let mut from = 0;
        for (at, payload) in &pieces.payloads {
            if *at > from {
                write(Piece::Text(&pieces.text[from..*at]));
            }
            write(Piece::Payload(payload));
            from = *at;
        }
        if from < pieces.text.len() {
            write(Piece::Text(&pieces.text[from..]));
        }
        pieces.clear();
        self.ready = pieces;
    }
}

impl Pieces {
    fn put(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
        self.bytes += bytes.len();
    }

    fn put_length(&mut self, bytes: usize) {
        let length = u32::try_from(bytes).expect("no frame is over the limit");
        self.put(&length.to_be_bytes());
    }

    fn put_payload(&mut self, payload: &Payload) {
        if payload.len() < COPY_BYTES {
            return self.put(payload);
        }
        self.payloads.push((self.text.len(), payload.clone()));
        self.bytes += payload.len();
    }

    /// Puts all of another at the end, and empties it.
    fn append(&mut self, other: &mut Self) {
        let at = self.text.len();
        self.payloads.extend(other.payloads.drain(..).map(|(place, payload)| (at + place, payload)));
        self.text.extend_from_slice(&other.text);
        self.bytes += other.bytes;
        other.clear();
    }

    fn clear(&mut self) {
        self.text.clear();
        self.payloads.clear();
        self.bytes = 0;
        if self.text.capacity() > KEEP_BYTES {
            self.text = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poured(speech: &mut Speech) -> Vec<String> {
        let mut bytes = Vec::new();
        let waiting = speech.bytes();
        speech.pour(|piece| match piece {
            Piece::Text(text) => bytes.extend_from_slice(text),
            Piece::Payload(payload) => bytes.extend_from_slice(payload),
        });
        assert!(bytes.len() >= waiting);
        let (mut texts, mut rest) = (Vec::new(), &bytes[..]);
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let (body, after) = after.split_at(u32::from_be_bytes(*head) as usize);
            assert!(body.len() <= FRAME_BYTES_MAX && super::super::text::is_json(body));
            texts.push(String::from_utf8(body.to_vec()).unwrap());
            rest = after;
        }
        assert!(rest.is_empty() && speech.bytes() == 0);
        texts
    }

    #[test]
    fn entries_are_gathered_until_something_else_is_said() {
        let mut speech = Speech::default();
        for n in 0..3 {
            assert!(speech.put_entry(List::Done, &n.to_string(), None, ""));
        }
        speech.put_entry(List::Abort, "\"x\"", None, "");
        speech.say("{}");
        speech.put_entry(List::Done, "[", Some(&Payload::from_static(b"7")), "]");
        let wanted = [
            r#"{"command":"done","work":[0,1,2]}"#,
            r#"{"command":"abort","work":["x"]}"#,
            "{}",
            r#"{"command":"done","work":[[7]]}"#,
        ];
        assert_eq!(poured(&mut speech), wanted);
        assert!(poured(&mut speech).is_empty());
    }

    #[test]
    fn large_payloads_are_not_copied_and_no_frame_is_over_the_limit() {
        let mut speech = Speech::default();
        let large = Payload::from(format!("\"{}\"", "x".repeat(300_000)));
        for _ in 0..3 {
            assert!(speech.put_entry(List::Push, "[1,", Some(&large), "]"));
        }
        assert!(speech.list.text.capacity() + speech.ready.text.capacity() < 1_000);
        let texts = poured(&mut speech);
        assert_eq!(texts.len(), 3, "one message would be over what is gathered");
        assert!(texts[0].ends_with("xxx\"]]}"));
        let most = Payload::from(format!("\"{}\"", "x".repeat(FRAME_BYTES_MAX - 100)));
        assert!(speech.put_entry(List::Push, "", Some(&most), ""));
        let over = Payload::from(vec![b'1'; FRAME_BYTES_MAX - 10]);
        assert!(!speech.put_entry(List::Push, "", Some(&over), ""));
        assert!(!speech.say_parts(&[over.clone(), over]));
        assert_eq!(poured(&mut speech).len(), 1);
    }
}
