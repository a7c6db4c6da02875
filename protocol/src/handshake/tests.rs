use super::*;

fn hello() -> Hello {
    Hello {
        instance: InstanceId([7; 16]),
        roles: Roles { client: true, worker: false, admin: true },
        name: "n".into(),
        token: Some(b"secret".to_vec()),
        capabilities: 0,
    }
}

#[test]
fn a_preamble_is_eight_bytes() {
    let preamble = Preamble { version_min: 1, version_max: 0x0203 };
    assert_eq!(preamble.encode(), [0xd7, b'P', b'R', b'O', 0, 1, 2, 3]);
    assert_eq!(Preamble::decode(preamble.encode()), Ok(preamble));
    let other = Preamble::decode(*b"GET / HT").unwrap_err();
    assert_eq!(other, HandshakeError::NotNative(*b"GET "));
    let none = Preamble::decode([0xd7, b'P', b'R', b'O', 0, 2, 0, 1]).unwrap_err();
    assert_eq!(none, HandshakeError::NoVersions { min: 2, max: 1 });
}

#[test]
fn the_greatest_common_version_is_chosen() {
    let range = |version_min, version_max| Preamble { version_min, version_max };
    assert_eq!(range(1, 5).newest_common(range(2, 9)), Some(5));
    assert_eq!(range(2, 9).newest_common(range(1, 5)), Some(5));
    assert_eq!(range(1, 5).newest_common(range(5, 6)), Some(5));
    assert_eq!(range(1, 4).newest_common(range(5, 6)), None);
    assert_eq!(range(5, 6).newest_common(range(1, 4)), None);
    assert_eq!(Preamble { version_min: 0, version_max: 900 }.choose(), Ok(VERSION_MAX));
    assert_eq!(Preamble::OURS.choose(), Ok(VERSION_MAX));
    let newer = Preamble { version_min: 3, version_max: 5 }.choose().unwrap_err();
    assert_eq!((newer.code, newer.retry), (ErrorCode::Version, false));
    let ours = format!("{VERSION_MIN} to {VERSION_MAX}");
    assert!(newer.message.contains(&ours) && newer.message.contains("3 to 5"), "{}", newer.message);
    assert!(newer.message.ends_with("update the manager"), "{}", newer.message);
    assert_eq!(Preamble::chosen(VERSION_MAX).version(), Ok(VERSION_MAX));
    assert_eq!(
        Preamble { version_min: 3, version_max: 5 }.version(),
        Err(HandshakeError::NotOffered { min: 3, max: 5 })
    );
    let strange = VERSION_MAX + 1;
    let not_offered = HandshakeError::NotOffered { min: strange, max: strange };
    assert_eq!(Preamble::chosen(strange).version(), Err(not_offered));
    let undecided = HandshakeError::NotOffered { min: VERSION_MAX, max: strange };
    assert_eq!(range(VERSION_MAX, strange).version(), Err(undecided));
}

#[test]
fn a_hello_comes_back_and_every_part_of_it_waits_for_more() {
    let mut bytes = BytesMut::new();
    hello().encode(&mut bytes).unwrap();
    let length = bytes.len();
    for part in 0..length {
        assert_eq!(Hello::decode(&bytes[..part]), Ok(None), "{part}");
    }
    bytes.extend_from_slice(b"the first frame of the session");
    assert_eq!(Hello::decode(&bytes), Ok(Some((hello(), length))));
}

#[test]
fn a_hello_has_bounds() {
    let mut bytes = BytesMut::new();
    let most = Hello { name: "n".repeat(NAME_BYTES_MAX), token: Some(vec![7; TOKEN_BYTES_MAX]), ..hello() };
    most.encode(&mut bytes).unwrap();
    assert_eq!(Hello::decode(&bytes), Ok(Some((most, bytes.len()))));
    bytes.clear();
    let long = Hello { name: "n".repeat(NAME_BYTES_MAX + 1), ..hello() };
    assert_eq!(long.encode(&mut bytes), Err(HandshakeError::NameTooLong(NAME_BYTES_MAX + 1)));
    encode_frame(&long, &mut bytes);
    assert_eq!(Hello::decode(&bytes), Err(HandshakeError::NameTooLong(NAME_BYTES_MAX + 1)));
    let long = Hello { token: Some(vec![0; TOKEN_BYTES_MAX + 1]), ..hello() };
    assert_eq!(long.encode(&mut bytes), Err(HandshakeError::TokenTooLong(TOKEN_BYTES_MAX + 1)));
    let over = u32::try_from(HANDSHAKE_FRAME_BYTES_MAX).unwrap() + 1;
    let error = WireError::FrameTooLong { length: over, max: HANDSHAKE_FRAME_BYTES_MAX };
    assert_eq!(Hello::decode(&over.to_be_bytes()), Err(HandshakeError::Frame(error)));
}

#[test]
fn bytes_after_a_head_are_an_error() {
    let mut bytes = BytesMut::new();
    hello().encode(&mut bytes).unwrap();
    bytes.extend_from_slice(b"!!");
    bytes[3] += 2;
    let error = WireError::TailMismatch { stated: 0, found: 2 };
    assert_eq!(Hello::decode(&bytes), Err(HandshakeError::Frame(error)));
    bytes[4] = 2;
    let error = WireError::UnknownFrameType(2);
    assert_eq!(Hello::decode(&bytes), Err(HandshakeError::Frame(error)));
}

#[test]
fn a_refusal_fits_its_frame_whatever_it_quotes() {
    let message = "é".repeat(HANDSHAKE_FRAME_BYTES_MAX);
    let refusal = Refusal { code: ErrorCode::Unauthorized, message, retry: true, retry_after_ms: 5 };
    let mut bytes = BytesMut::new();
    Answer::Refused(refusal.clone()).encode(&mut bytes);
    let Ok(Some((Answer::Refused(cut), length))) = Answer::decode(&bytes) else { panic!("no refusal") };
    assert_eq!((cut.message.len(), length), (2_048, bytes.len()));
    bytes.clear();
    let whole = Answer::Refused(Refusal { message: "x".repeat(2_048), ..refusal });
    whole.encode(&mut bytes);
    assert_eq!(Answer::decode(&bytes), Ok(Some((whole, bytes.len()))));
}
