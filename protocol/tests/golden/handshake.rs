//! The bytes that open a connection.

use super::bytes_of;
use bytes::BytesMut;
use proletariat_protocol::handshake::{Answer, Hello, Preamble, Refusal, Roles, Welcome};
use proletariat_protocol::{ErrorCode, InstanceId, PeerId};

#[test]
fn the_handshake() {
    assert_eq!(Preamble { version_min: 0, version_max: 1 }.encode()[..], bytes_of("d750524f 0000 0001"));
    let hello = Hello {
        instance: InstanceId([0x11; 16]),
        roles: Roles { client: true, worker: false, admin: true },
        name: "n".into(),
        token: Some(vec![0xff]),
        capabilities: 1,
    };
    let hex = "0000002f 00 11111111111111111111111111111111 01 00 01 0100000000000000 6e
               01 0100000000000000 ff 0100000000000000";
    let mut encoded = BytesMut::new();
    hello.encode(&mut encoded).unwrap();
    assert_eq!(encoded[..], bytes_of(hex));
    assert_eq!(Hello::decode(&bytes_of(hex)), Ok(Some((hello, encoded.len()))));

    let welcome = Answer::Welcome(Welcome {
        peer: PeerId(4),
        software: "0.1.0".into(),
        payload_bytes_max: 0x0140_0000,
        heartbeat_ms: 5_000,
        heartbeat_timeout_ms: 15_000,
        capabilities: 0,
    });
    let message = "no".to_owned();
    let refused =
        Answer::Refused(Refusal { code: ErrorCode::Version, message, retry: false, retry_after_ms: 5 });
    let answers = [
        (
            welcome,
            "00000032 00 00000000 0400000000000000 0500000000000000 302e312e30
             0000400100000000 88130000 983a0000 0000000000000000",
        ),
        (refused, "00000018 00 01000000 10000000 0200000000000000 6e6f 00 05000000"),
    ];
    for (answer, hex) in answers {
        let mut encoded = BytesMut::new();
        answer.encode(&mut encoded);
        assert_eq!(encoded[..], bytes_of(hex));
        assert_eq!(Answer::decode(&bytes_of(hex)), Ok(Some((answer, encoded.len()))));
    }
}
