//! Bytes as a JSON value: themselves if they are JSON, else a string if they are UTF-8, else `{"base64":"…"}`.
//!
//! A system message, or the end of work that many share, may be for thousands of peers, and the scheduler hands it out to one after
//! the other. So what was shown last is remembered until the turn is over, and all of them get the same text.

use super::FRAME_BYTES_MAX;
use super::text::is_json;
use proletariat_protocol::Payload;
use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;

/// What an error tells at most, in bytes, so that it fits into every frame.
pub(super) const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Below so many bytes making the text costs no more than remembering it.
const REMEMBER_BYTES: usize = 1_024;

/// What was shown last, by all dialects of a manager: they share it, and live on one thread.
#[derive(Clone, Debug, Default)]
pub(in crate::manager) struct LastShown(Rc<Texts>);

#[derive(Debug, Default)]
struct Texts {
    value: Last<Option<Payload>>,
    sentence: Last<Payload>,
}

/// The bytes, and what was made of them. They are known by where they lie: they are held here, so nothing else can lie there.
#[derive(Debug, Default)]
struct Last<T>(RefCell<Option<(Payload, T)>>);

impl LastShown {
    /// JSON text of these bytes; `None` where it would fit into no frame.
    pub(super) fn value(&self, bytes: &Payload) -> Option<Payload> {
        self.0.value.of(bytes, shown)
    }

    /// What an error with these bytes tells, as a JSON string.
    pub(super) fn sentence(&self, bytes: &Payload) -> Payload {
        self.0.sentence.of(bytes, |bytes| sentence(bytes))
    }

    /// The turn is over.
    pub(in crate::manager) fn forget(&self) {
        self.0.value.forget();
        self.0.sentence.forget();
    }
}

impl<T: Clone> Last<T> {
    fn of(&self, bytes: &Payload, make: impl FnOnce(&Payload) -> T) -> T {
        if bytes.len() < REMEMBER_BYTES {
            return make(bytes);
        }
        let mut last = self.0.borrow_mut();
        if let Some((known, made)) = &*last
            && ptr::eq(&known[..], &bytes[..])
        {
            return made.clone();
        }
        let made = make(bytes);
        *last = Some((bytes.clone(), made.clone()));
        made
    }

    fn forget(&self) {
        *self.0.borrow_mut() = None;
    }
}

/// A JSON string of the beginning of these bytes, as far as an error tells it.
pub(super) fn sentence(bytes: &[u8]) -> Payload {
    // No text is shorter than the bytes that it is read from. So a character that this cuts is not told in any case.
    let bytes = &bytes[..bytes.len().min(TEXT_BYTES_MAX + 4)];
    let text = String::from_utf8_lossy(bytes);
    Payload::from(string(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)]))
}

/// JSON text of these bytes; `None` where it would fit into no frame.
pub(super) fn shown(bytes: &Payload) -> Option<Payload> {
    if bytes.len() > FRAME_BYTES_MAX {
        return None;
    }
    if is_json(bytes) {
        return Some(bytes.clone());
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if string_bytes(text) <= FRAME_BYTES_MAX => string(text),
        Err(_) if bytes.len() / 3 * 4 <= FRAME_BYTES_MAX => format!(r#"{{"base64":"{}"}}"#, base64(bytes)),
        _ => return None,
    };
    Some(Payload::from(text))
}

/// A JSON string.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// At least as many bytes as [`string`] makes of it.
fn string_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 | 0x7f => 6,
        _ => 1,
    };
    2 + text.bytes().map(escaped).sum::<usize>()
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &'static [u8]) -> String {
        String::from_utf8(shown(&Payload::from_static(bytes)).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn json_then_text_then_base64() {
        assert_eq!(text(b"{\"b\":1e400, \"a\":[1]}"), "{\"b\":1e400, \"a\":[1]}");
        assert_eq!(text(b""), r#""""#);
        assert_eq!(text(b"two \"words\"\n"), r#""two \"words\"\n""#);
        assert_eq!(text(b"NaN"), r#""NaN""#);
        for (bytes, coded) in [(&b"\xff"[..], "/w=="), (b"\xff\xfe", "//4="), (b"\xfb\xef\xff", "++//")] {
            assert_eq!(text(bytes), format!(r#"{{"base64":"{coded}"}}"#));
        }
    }

    #[test]
    fn what_fits_into_no_frame_is_not_made() {
        assert_eq!(shown(&Payload::from(vec![b'1'; FRAME_BYTES_MAX + 1])), None);
        assert_eq!(shown(&Payload::from(vec![0; FRAME_BYTES_MAX / 4])), None, "each byte becomes six");
        assert_eq!(shown(&Payload::from(vec![0xff; FRAME_BYTES_MAX - 9])), None, "each three become four");
        let all: String = (0..=0x7f_u8).map(char::from).chain("ü☭".chars()).collect();
        assert!(string(&all).len() <= string_bytes(&all));
    }

    #[test]
    fn what_was_shown_last_is_not_made_again() {
        let last = LastShown::default();
        let bytes = Payload::from("no JSON ".repeat(1_000));
        let (value, sentence) = (last.value(&bytes).unwrap(), last.sentence(&bytes));
        assert_eq!(last.value(&bytes.clone()).unwrap().as_ptr(), value.as_ptr());
        assert_eq!(last.sentence(&bytes).as_ptr(), sentence.as_ptr());
        let half = bytes.slice(..4_000);
        assert_eq!(
            last.value(&half).unwrap().len(),
            4_002,
            "it begins in the same place and is something else"
        );
        assert_eq!(last.value(&bytes).unwrap(), value);
        let over = Payload::from(vec![b'1'; FRAME_BYTES_MAX + 1]);
        assert_eq!((last.value(&over), last.value(&over)), (None, None));
        assert!(!bytes.is_unique() && !over.is_unique());
        drop(half);
        last.forget();
        assert!(bytes.is_unique() && over.is_unique(), "nothing is kept after the turn");
    }

    #[test]
    fn of_a_long_error_the_beginning_is_told() {
        for shift in 0..4 {
            for long in
                ["☭".repeat(30_000).into_bytes(), "🦀".repeat(20_000).into_bytes(), vec![0xff; 70_000]]
            {
                let bytes = ["x".repeat(shift).as_bytes(), &long].concat();
                let text = String::from_utf8_lossy(&bytes);
                let wanted = string(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
                assert!(wanted.len() > TEXT_BYTES_MAX - 2 && sentence(&bytes) == wanted);
            }
        }
        assert_eq!(sentence(b"short"), "\"short\"");
    }
}
