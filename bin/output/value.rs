//! A result as a JSON value: itself if it is JSON, else a string if it is UTF-8, else `{"base64":"…"}`.

use serde::de::IgnoredAny;

/// JSON text on one line. Numbers, the order of keys and escapes stay as the handler wrote them, because JSON is copied,
/// not read and written again; only the white space between its parts goes.
#[must_use]
pub fn value(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => without_space(text),
        Ok(text) => string(text),
        Err(_) => format!(r#"{{"base64":"{}"}}"#, base64(bytes)),
    }
}

/// A JSON string.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn without_space(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_then_text_then_base64() {
        let table: &[(&[u8], &str)] = &[
            (b"", r#""""#),
            (b"42\n", "42"),
            (b"{\"b\": 1e400,\n \"a\" : [ 1, 2 ]}\n", r#"{"b":1e400,"a":[1,2]}"#),
            (b"12345678901234567890123", "12345678901234567890123"),
            (br#""a \" b \\ " "#, r#""a \" b \\ ""#),
            (b"two words\n", r#""two words\n""#),
            (b"NaN", r#""NaN""#),
            (b"{} {}", r#""{} {}""#),
            ("\"ü\u{85}\"".as_bytes(), "\"ü\u{85}\""),
            (b"\x00", r#""\u0000""#),
            (b"\xff", r#"{"base64":"/w=="}"#),
            (b"\"\xff\"", r#"{"base64":"Iv8i"}"#),
        ];
        for (bytes, json) in table {
            let text = value(bytes);
            assert_eq!(text, *json, "{bytes:?}");
            serde_json::from_str::<IgnoredAny>(&text).unwrap();
        }
    }

    #[test]
    fn base64_of_every_length() {
        let table = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (bytes, text) in table {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xef, 0xff]), "++//");
    }
}
