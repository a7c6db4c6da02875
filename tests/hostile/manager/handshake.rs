//! The first bytes of a connection. However few have come, what is decided stays decided; whoever is refused can read why; a hello
//! that is taken is one that we could have sent.

use crate::manager::greeting::{Greeting, read};
use bytes::BytesMut;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::detect::{DETECT_BYTES, Detection, detect};
use proletariat_protocol::frame::LENGTH_BYTES;
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, Refusal, VERSION_MAX};
use proletariat_protocol::limits::HANDSHAKE_FRAME_BYTES_MAX;
use proletariat_protocol::shown;

/// The first byte tells how much comes first, and whether the manager is closed.
pub(crate) fn handshake(data: &[u8]) {
    let Some((&how, bytes)) = data.split_first() else { return };
    let closed = (how >= 0xf0).then(|| Refusal {
        code: ErrorCode::Shutdown,
        message: "closed".into(),
        retry: true,
        retry_after_ms: 1,
    });
    let first = &bytes[..usize::from(how) % (bytes.len() + 1)];
    let (early, whole) = (read(first, 1917, closed.as_ref()), read(bytes, 1917, closed.as_ref()));
    assert!(bytes.len() < DETECT_BYTES || detect(bytes) != Detection::NeedMore);
    match (&early, &whole) {
        (Greeting::NeedMore, _) => {}
        (Greeting::Hello { hello, version, bytes }, Greeting::Hello { hello: h, version: v, bytes: b }) => {
            assert_eq!((hello, version, bytes), (h, v, b));
        }
        (Greeting::Refused { answer, why }, Greeting::Refused { answer: a, why: w }) => {
            assert_eq!((answer, why), (a, w));
        }
        _ => panic!("{early:?} became {whole:?}"),
    }
    match whole {
        Greeting::NeedMore => {
            assert!(bytes.len() < PREAMBLE_BYTES + LENGTH_BYTES + HANDSHAKE_FRAME_BYTES_MAX);
        }
        Greeting::Hello { hello, version, bytes: length } => {
            assert_eq!(version, VERSION_MAX);
            assert!(closed.is_none());
            let mut written = BytesMut::new();
            hello.encode(&mut written).expect("a hello that is taken is within the limits");
            assert_eq!(written, bytes[PREAMBLE_BYTES..length]);
            let name = shown::safe(&hello.name);
            assert!(!name.chars().any(char::is_control) && shown::safe(&name) == name);
        }
        Greeting::Refused { answer, why } => refused(bytes, &answer, &why),
    }
    answered(bytes);
}

fn refused(bytes: &[u8], answer: &[u8], why: &str) {
    assert!(!answer.is_empty() && !why.is_empty());
    if detect(bytes) != Detection::Native {
        return;
    }
    let (&preamble, rest) = answer.split_first_chunk().expect("a preamble goes before the answer");
    Preamble::decode(preamble).expect("our own preamble");
    match Answer::decode(rest) {
        Ok(Some((Answer::Refused(refusal), length))) => {
            assert!(!refusal.message.is_empty() && length == rest.len());
        }
        other => panic!("{other:?}"),
    }
}

/// The same bytes as what a manager would answer, and as a hello without a preamble.
fn answered(bytes: &[u8]) {
    if let Ok(Some((answer, length))) = Answer::decode(bytes) {
        let mut written = BytesMut::new();
        answer.encode(&mut written);
        let is_cut = matches!(&answer, Answer::Refused(refusal) if refusal.message.len() > 2_048);
        assert!(is_cut || written == bytes[..length]);
    }
    if let Ok(Some((hello, length))) = Hello::decode(bytes) {
        let mut written = BytesMut::new();
        hello.encode(&mut written).expect("within the limits");
        assert_eq!(written, bytes[..length]);
    }
}
