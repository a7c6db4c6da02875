//! Who is knocking? Five bytes decide.
//!
//! ```text
//! first bytes            tongue
//! d7                     native (the first byte of the magic)
//! 00|01 .. .. .. 7b      JSON dialect: a length below 32 MiB, then `{`
//! 16 03                  TLS
//! 00 52 45 51            Gearman: a request packet
//! GET_ POST HEAD PUT_ …  HTTP (_ is a space)
//! statu worke versi …    Gearman's text commands
//! anything else          unknown
//! ```
//!
//! Whoever cannot be served gets an answer that their own software shows, see [`refusal`].

use crate::handshake::MAGIC;

/// What the first bytes of a connection say about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detection {
    /// The wire of this crate; the whole magic has still to be checked.
    Native,
    /// The JSON dialect of the ancestor.
    Json,
    /// HTTP/1 or the preface of HTTP/2.
    Http,
    /// A TLS handshake.
    Tls,
    /// Gearman's packets.
    Gearman,
    /// Gearman's text commands.
    GearmanText,
    /// None of these.
    Unknown,
    /// Not enough bytes yet.
    NeedMore,
}

/// So many bytes always decide.
pub const DETECT_BYTES: usize = 5;

/// The beginnings that decide; the JSON dialect, which has a gap, is apart.
const BEGINNINGS: &[(&[u8], Detection)] = &[
    (&[MAGIC[0]], Detection::Native),
    (&[0x16, 0x03], Detection::Tls),
    (b"\0REQ", Detection::Gearman),
    (b"GET ", Detection::Http),
    (b"POST", Detection::Http),
    (b"HEAD", Detection::Http),
    (b"PUT ", Detection::Http),
    (b"DELE", Detection::Http),
    (b"OPTI", Detection::Http),
    (b"PATC", Detection::Http),
    (b"CONN", Detection::Http),
    (b"TRAC", Detection::Http),
    (b"PRI *", Detection::Http),
    (b"statu", Detection::GearmanText),
    (b"worke", Detection::GearmanText),
    (b"versi", Detection::GearmanText),
    (b"maxqu", Detection::GearmanText),
    (b"shutd", Detection::GearmanText),
    (b"getpi", Detection::GearmanText),
    (b"verbo", Detection::GearmanText),
    (b"prior", Detection::GearmanText),
    (b"creat", Detection::GearmanText),
    (b"cance", Detection::GearmanText),
    (b"show ", Detection::GearmanText),
    (b"drop ", Detection::GearmanText),
];

/// Tells the tongue of a connection by its first bytes, as soon as they decide.
#[must_use]
pub fn detect(first: &[u8]) -> Detection {
    let length_below_32_mib = matches!(first.first(), Some(0 | 1));
    match first.get(DETECT_BYTES - 1) {
        Some(b'{') if length_below_32_mib => return Detection::Json,
        None if length_below_32_mib => return Detection::NeedMore,
        _ => {}
    }
    let mut possible = Detection::Unknown;
    for (beginning, detection) in BEGINNINGS {
        if first.starts_with(beginning) {
            return *detection;
        }
        if beginning.starts_with(first) {
            possible = Detection::NeedMore;
        }
    }
    possible
}

/// What is sent to a connection that is not served, in its own tongue; then it is closed. It names the `port` that was
/// found and what that speaks. To native peers nothing is said here: their refusal is
/// [`Answer::Refused`](crate::handshake::Answer).
#[must_use]
pub fn refusal(detection: Detection, port: u16) -> Vec<u8> {
    match detection {
        Detection::Http => http(&text(port, "HTTP")),
        Detection::Tls => tls(),
        Detection::Gearman => gearman(&text(port, "the protocol of Gearman (its port is mostly 4730)")),
        Detection::GearmanText => {
            format!("ERR EPROTO {}\r\n", text(port, "the protocol of Gearman")).into_bytes()
        }
        Detection::Json => json(&text(port, "JSON here")),
        Detection::Unknown => format!("error EPROTO: {}\n", text(port, "this")).into_bytes(),
        Detection::Native | Detection::NeedMore => Vec::new(),
    }
}

/// One sentence without quotes or line ends, so that it can stand in any of the tongues.
fn text(port: u16, instead: &str) -> String {
    format!(
        "this is port {port} of a proletariat manager: it speaks the wire of proletariat and not {instead}; \
         connect with its client or worker"
    )
}

fn http(text: &str) -> Vec<u8> {
    let length = text.len() + 1;
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}\n"
    )
    .into_bytes()
}

/// A record of an alert: fatal, no protocol of the application that both speak. There is no place for a sentence in it.
fn tls() -> Vec<u8> {
    vec![0x15, 0x03, 0x01, 0, 2, 2, 120]
}

/// The packet ERROR (19): a code, a zero, a text.
fn gearman(text: &str) -> Vec<u8> {
    let content = [b"EPROTO\0", text.as_bytes()].concat();
    let mut packet = b"\0RES\0\0\0\x13".to_vec();
    put_with_length(&mut packet, &content);
    packet
}

fn json(text: &str) -> Vec<u8> {
    let object = format!(r#"{{"error":{{"code":"EPROTO","description":"{text}"}}}}"#);
    let mut frame = Vec::new();
    put_with_length(&mut frame, object.as_bytes());
    frame
}

fn put_with_length(out: &mut Vec<u8>, content: &[u8]) {
    let length = u32::try_from(content.len()).expect("our own sentences are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&[u8], Detection)] = &[
        (b"\xd7PRO\0\0\0\0", Detection::Native),
        (b"\0\0\x01\x02{\"command\"", Detection::Json),
        (b"\x01\x40\0\0{", Detection::Json),
        (b"\0REQ{", Detection::Json),
        (b"\0REQ\0\0\0\x07", Detection::Gearman),
        (b"\x16\x03\x01\x02\x00", Detection::Tls),
        (b"GET / HTTP/1.1", Detection::Http),
        (b"POST /", Detection::Http),
        (b"HEAD /", Detection::Http),
        (b"PUT /x", Detection::Http),
        (b"DELETE /", Detection::Http),
        (b"OPTIONS *", Detection::Http),
        (b"PATCH /", Detection::Http),
        (b"PRI * HTTP/2.0", Detection::Http),
        (b"status\n", Detection::GearmanText),
        (b"workers\r\n", Detection::GearmanText),
        (b"version\n", Detection::GearmanText),
        (b"show jobs\n", Detection::GearmanText),
        (b"\0\0\0\x05hello", Detection::Unknown),
        (b"\x02\0\0\0{", Detection::Unknown),
        (b"\x16\x02\0\0\0", Detection::Unknown),
        (b"SSH-2.0", Detection::Unknown),
        (b"GETTY", Detection::Unknown),
        (b"{\"command\"", Detection::Unknown),
        (b"\xff\xff\xff\xff\xff", Detection::Unknown),
    ];

    #[test]
    fn five_bytes_decide_and_fewer_never_decide_otherwise() {
        assert_eq!(detect(b""), Detection::NeedMore);
        for (bytes, expected) in CASES {
            assert_eq!(detect(&bytes[..DETECT_BYTES]), *expected, "{bytes:?}");
            assert_eq!(detect(bytes), *expected, "{bytes:?}");
            for length in 0..DETECT_BYTES {
                let early = detect(&bytes[..length]);
                assert!(
                    early == Detection::NeedMore || early == *expected,
                    "{bytes:?} at {length}: {early:?}"
                );
            }
        }
        assert_eq!(detect(b"\xd7"), Detection::Native);
    }

    #[test]
    fn any_five_bytes_decide() {
        for first in 0..=u8::MAX {
            for rest in [*b"ET /", *b"\x03\x01\0\0", *b"REQ\0", *b"\0\0\0{", *b"tatu", *b"show", [first; 4]] {
                let [a, b, c, d] = rest;
                assert_ne!(detect(&[first, a, b, c, d]), Detection::NeedMore, "{first} {rest:?}");
            }
        }
    }

    #[test]
    fn http_gets_a_complete_answer() {
        let answer = String::from_utf8(refusal(Detection::Http, 4242)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
        assert!(body.contains("port 4242") && body.contains("the wire of proletariat"), "{body}");
    }

    #[test]
    fn the_others_get_theirs() {
        assert_eq!(refusal(Detection::Tls, 1), [0x15, 3, 1, 0, 2, 2, 120]);
        let packet = refusal(Detection::Gearman, 4242);
        assert_eq!(packet[..8], *b"\0RES\0\0\0\x13");
        assert_eq!(packet[8..12], u32::try_from(packet.len() - 12).unwrap().to_be_bytes());
        assert!(packet[12..].starts_with(b"EPROTO\0this is port 4242"));
        let line = String::from_utf8(refusal(Detection::GearmanText, 4242)).unwrap();
        assert!(line.starts_with("ERR EPROTO ") && line.ends_with("\r\n") && line.contains("4242"), "{line}");
        let frame = refusal(Detection::Json, 4242);
        assert_eq!(frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
        let object = String::from_utf8(frame[4..].to_vec()).unwrap();
        assert!(
            object.starts_with(r#"{"error":{"code":"EPROTO","description":"this is port 4242"#),
            "{object}"
        );
        assert!(object.ends_with(r#""}}"#), "{object}");
        assert!(refusal(Detection::Unknown, 4242).ends_with(b"\n"));
        assert!(refusal(Detection::Native, 4242).is_empty());
    }
}
