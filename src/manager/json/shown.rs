//! Bytes as a JSON value: themselves if they are JSON, else a string if they are UTF-8, else `{"base64":"…"}`.

use super::FRAME_BYTES_MAX;
use super::text::is_json;
use proletariat_protocol::Payload;

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
}
