//! The first words on a connection: who is it, and may it come in?
//!
//! Nothing here has a state: whoever holds the bytes that came asks again when more have come. There are at most a few
//! KiB of them before the answer is certain.

use bytes::BytesMut;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::detect::{Detection, detect, refusal};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, Refusal, Welcome};

/// What the first bytes of a connection say.
#[derive(Debug)]
pub(super) enum Greeting {
    /// Not certain yet.
    NeedMore,
    /// A peer that speaks our wire in this version; its hello ends after so many bytes.
    Hello { hello: Hello, version: u16, bytes: usize },
    /// It stays out: these bytes tell it so, the sentence is for the log.
    Refused { answer: Vec<u8>, why: String },
}

/// Reads the first bytes of a connection to this port. With `closed` every native peer gets that refusal.
pub(super) fn read(bytes: &[u8], port: u16, closed: Option<&Refusal>) -> Greeting {
    match detect(bytes) {
        Detection::NeedMore => Greeting::NeedMore,
        Detection::Native => native(bytes, closed),
        other => {
            Greeting::Refused { answer: refusal(other, port), why: format!("it speaks {}", name(other)) }
        }
    }
}

fn native(bytes: &[u8], closed: Option<&Refusal>) -> Greeting {
    let Some((&preamble, rest)) = bytes.split_first_chunk::<PREAMBLE_BYTES>() else {
        return Greeting::NeedMore;
    };
    let version = match Preamble::decode(preamble) {
        Ok(preamble) => preamble.choose(),
        Err(error) => return refused(Preamble::OURS, error.refusal()),
    };
    let version = match version {
        Ok(version) => version,
        Err(refusal) => return refused(Preamble::OURS, refusal),
    };
    if let Some(closed) = closed {
        return refused(Preamble::chosen(version), closed.clone());
    }
    match Hello::decode(rest) {
        Ok(None) => Greeting::NeedMore,
        Ok(Some((hello, bytes))) => match flaw(&hello) {
            None => Greeting::Hello { hello, version, bytes: PREAMBLE_BYTES + bytes },
            Some(flaw) => refused(Preamble::chosen(version), flaw),
        },
        Err(error) => refused(Preamble::chosen(version), error.refusal()),
    }
}

/// What is wrong with a hello beyond its bytes.
fn flaw(hello: &Hello) -> Option<Refusal> {
    let roles = hello.roles;
    let idle = !(roles.client || roles.worker || roles.admin);
    idle.then(|| Refusal {
        code: ErrorCode::Protocol,
        message: "the hello names no role: client, worker or admin".into(),
        retry: false,
        retry_after_ms: 0,
    })
}

/// The bytes that keep a peer out whose hello was fine.
pub(super) fn refusal_of(version: u16, refusal: Refusal) -> Vec<u8> {
    answer(Preamble::chosen(version), &Answer::Refused(refusal))
}

/// The bytes that let a peer in.
pub(super) fn welcome(version: u16, welcome: Welcome) -> Vec<u8> {
    answer(Preamble::chosen(version), &Answer::Welcome(welcome))
}

fn refused(preamble: Preamble, refusal: Refusal) -> Greeting {
    let why = format!("{}: {}", refusal.code, refusal.message);
    Greeting::Refused { answer: answer(preamble, &Answer::Refused(refusal)), why }
}

fn answer(preamble: Preamble, answer: &Answer) -> Vec<u8> {
    let mut out = BytesMut::from(&preamble.encode()[..]);
    answer.encode(&mut out);
    out.to_vec()
}

fn name(detection: Detection) -> &'static str {
    match detection {
        Detection::Native => "the wire of proletariat",
        Detection::Json => "the JSON dialect",
        Detection::Http => "HTTP",
        Detection::Tls => "TLS",
        Detection::Gearman | Detection::GearmanText => "Gearman's protocol",
        Detection::Unknown | Detection::NeedMore => "something unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proletariat_protocol::InstanceId;
    use proletariat_protocol::handshake::Roles;

    fn hello(roles: Roles) -> Vec<u8> {
        let hello =
            Hello { instance: InstanceId([7; 16]), roles, name: "n".into(), token: None, capabilities: 0 };
        let mut out = BytesMut::from(&Preamble::OURS.encode()[..]);
        hello.encode(&mut out).unwrap();
        out.to_vec()
    }

    fn refusal_in(greeting: Greeting) -> Refusal {
        let Greeting::Refused { answer, .. } = greeting else { panic!("{greeting:?}") };
        match Answer::decode(&answer[PREAMBLE_BYTES..]) {
            Ok(Some((Answer::Refused(refusal), _))) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_is_read_however_it_is_cut() {
        let mut bytes = hello(Roles { client: true, ..Roles::default() });
        let length = bytes.len();
        for cut in 0..length {
            assert!(matches!(read(&bytes[..cut], 1, None), Greeting::NeedMore), "{cut}");
        }
        bytes.extend_from_slice(b"more");
        assert!(
            matches!(read(&bytes, 1, None), Greeting::Hello { bytes, version: 1, .. } if bytes == length)
        );
    }

    #[test]
    fn refusals_say_why() {
        let strange = Preamble { version_min: 7, version_max: 9 };
        let refusal = refusal_in(read(&strange.encode(), 1, None));
        assert_eq!(refusal.code, ErrorCode::Version);
        assert!(refusal.message.contains('7') && refusal.message.contains('9'), "{}", refusal.message);
        let nobody = hello(Roles::default());
        assert_eq!(refusal_in(read(&nobody, 1, None)).code, ErrorCode::Protocol);
        let full =
            Refusal { code: ErrorCode::Overload, message: "full".into(), retry: true, retry_after_ms: 5 };
        let preamble = Preamble::OURS.encode();
        assert_eq!(refusal_in(read(&preamble, 1, Some(&full))), full, "no hello is waited for");
        let Greeting::Refused { answer, why } = read(b"GET / HTTP/1.1\r\n", 1917, None) else { panic!() };
        assert!(answer.starts_with(b"HTTP/1.1 400 ") && why.contains("HTTP"));
    }
}
