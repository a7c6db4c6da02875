//! Who is not let in, or not for long, and what they are told.

use super::builder;
use super::peer::{CLIENT, Peer, WORKER, connect, greeting, hello, read_to_end};
use crate::manager::{Error, Manager};
use proletariat_protocol::handshake::{Answer, PREAMBLE_BYTES, Preamble, Roles};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, JobOptions, Offer};
use std::io::Write;
use std::time::{Duration, Instant};

#[test]
fn other_tongues_are_answered_in_their_own_and_closed() {
    let manager = builder().no_json(true).start().unwrap();
    let port = format!("port {}", manager.local_addr().port());
    let cases: [(&[u8], &[u8]); 5] = [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x15\x03"),
        (b"\0REQ\0\0\0\x01\0\0\0\x04mult", b"\0RES"),
        (b"\0\0\0\x14{\"command\":\"offer\"}", b"\0\0"),
        (b"hello there\n", b"error EPROTO"),
    ];
    for (said, beginning) in cases {
        let mut stream = connect(manager.local_addr());
        stream.write_all(said).unwrap();
        let asked = Instant::now();
        let answer = read_to_end(&stream);
        assert!(asked.elapsed() < Duration::from_secs(1));
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(beginning), "{said:?}: {text}");
        assert!(beginning[0] == 0x15 || text.contains(&port), "{text}");
    }
    let _lives_on = Peer::join(manager.local_addr(), CLIENT);
}

#[test]
fn who_says_nothing_more_still_reads_why() {
    let manager = builder().start().unwrap();
    for said in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &b"\0REQ\0\0\0\x01\0\0\0\x04mult"[..]] {
        for _ in 0..20 {
            let mut stream = connect(manager.local_addr());
            stream.write_all(said).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let asked = Instant::now();
            assert!(!read_to_end(&stream).is_empty(), "a script that pipes its request in");
            assert!(asked.elapsed() < Duration::from_millis(500), "closed at once after that");
        }
    }
}

#[test]
fn more_status_requests_than_are_answered_end_the_session() {
    let manager = builder().start().unwrap();
    let mut peer = Peer::join(manager.local_addr(), CLIENT);
    let mut requests = Vec::new();
    for id in 0..2_000 {
        let request = PeerMessage::StatusRequest { id: proletariat_protocol::MessageId(id) };
        let mut bytes = bytes::BytesMut::new();
        proletariat_protocol::frame::put_message_start(&mut bytes, &request);
        requests.extend_from_slice(&bytes);
    }
    peer.write_raw(&requests);
    while let Some((message, _)) = peer.try_hear() {
        if let ManagerMessage::Leaving { code, message, .. } = message {
            assert_eq!(code, ErrorCode::Protocol);
            assert!(message.contains("1024 status requests"), "{message}");
            return;
        }
    }
    panic!("it was not told why");
}

#[test]
fn one_byte_at_a_time_is_answered_too() {
    let manager = builder().start().unwrap();
    let mut stream = connect(manager.local_addr());
    for byte in b"GET /" {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    assert!(read_to_end(&stream).starts_with(b"HTTP/1.1 400 "));
}

#[test]
fn strange_versions_and_hellos_are_refused_with_a_sentence() {
    let manager = builder().start().unwrap();
    let mut stream = connect(manager.local_addr());
    stream.write_all(&Preamble { version_min: 7, version_max: 9 }.encode()).unwrap();
    let answer = read_to_end(&stream);
    let Ok(Some((Answer::Refused(refusal), _))) = Answer::decode(&answer[PREAMBLE_BYTES..]) else { panic!() };
    assert_eq!((refusal.code, refusal.retry), (ErrorCode::Version, false));
    assert!(refusal.message.contains("7 to 9") && refusal.message.contains("1 to 1"), "{}", refusal.message);

    let refusal = Peer::try_join(manager.local_addr(), &hello(Roles::default())).err().unwrap();
    assert_eq!(refusal.code, ErrorCode::Protocol);
    assert!(refusal.message.contains("role"), "{}", refusal.message);
}

#[test]
fn a_connection_too_many_is_told_so() {
    let manager = builder().max_connections(2).start().unwrap();
    let _one = Peer::join(manager.local_addr(), CLIENT);
    let two = Peer::join(manager.local_addr(), CLIENT);
    let refusal = Peer::try_join(manager.local_addr(), &hello(CLIENT)).err().unwrap();
    assert_eq!((refusal.code, refusal.retry), (ErrorCode::Overload, true));
    assert!(refusal.message.contains("max_connections"), "{}", refusal.message);
    drop(two);
    while Peer::try_join(manager.local_addr(), &hello(CLIENT)).is_err() {}

    let manager = builder().max_connections_per_address(1).start().unwrap();
    let _one = Peer::join(manager.local_addr(), CLIENT);
    let refusal = Peer::try_join(manager.local_addr(), &hello(CLIENT)).err().unwrap();
    assert!(refusal.message.contains("max_connections_per_address"), "{}", refusal.message);
}

#[test]
fn silent_connections_have_half_of_the_places() {
    let manager = builder().max_connections(4).start().unwrap();
    let first = connect(manager.local_addr());
    let _second = connect(manager.local_addr());
    let _third = connect(manager.local_addr());
    assert!(read_to_end(&first).is_empty(), "the oldest makes room");
    let _peer = Peer::join(manager.local_addr(), CLIENT);
}

#[test]
fn who_breaks_the_protocol_is_told_how_and_sent_away() {
    let manager = builder().start().unwrap();
    let submit =
        |options: JobOptions| PeerMessage::Submit { first: JobId(0), options, payload_bytes: vec![0] };
    let kind = JobOptions { kind: Some("k".repeat(129)), ..JobOptions::default() };
    let key = JobOptions { key: Some(vec![0; 1_025]), ..JobOptions::default() };
    let clock = JobOptions { run_timeout_ms: u32::MAX, ..JobOptions::default() };
    let none =
        PeerMessage::Submit { first: JobId(0), options: JobOptions::default(), payload_bytes: Vec::new() };
    let cases = [
        (CLIENT, PeerMessage::Offer(Offer::new(1)), "worker"),
        (WORKER, submit(JobOptions::default()), "client"),
        (CLIENT, PeerMessage::Stopped { assignment: AssignmentId(1) }, "worker"),
        (CLIENT, submit(kind), "129"),
        (CLIENT, submit(key), "1025"),
        (CLIENT, submit(clock), "run_timeout"),
        (CLIENT, none, "0 jobs"),
    ];
    for (roles, message, word) in cases {
        let mut peer = Peer::join(manager.local_addr(), roles);
        let payloads: &[&[u8]] = &[b""];
        let payloads = if matches!(message, PeerMessage::Submit { .. }) { payloads } else { &[] };
        peer.say(&message, payloads);
        let ManagerMessage::Leaving { code, message, retry, .. } = peer.hear_the_end() else { panic!() };
        assert_eq!((code, retry), (ErrorCode::Protocol, false));
        assert!(message.contains(word), "{message}");
    }
    let mut peer = Peer::join(manager.local_addr(), CLIENT);
    peer.write_raw(&[0xff; 64]);
    assert!(matches!(peer.hear_the_end(), ManagerMessage::Leaving { .. }));
    assert!(Peer::try_join(manager.local_addr(), &hello(CLIENT)).is_ok());
}

#[test]
fn a_new_session_of_an_instance_ends_the_old_one() {
    let manager = builder().start().unwrap();
    let hello = hello(CLIENT);
    let mut old = Peer::try_join(manager.local_addr(), &hello).unwrap();
    let _new = Peer::try_join(manager.local_addr(), &hello).unwrap();
    assert!(matches!(old.hear_the_end(), ManagerMessage::Leaving { code: ErrorCode::DuplicateId, .. }));
}

#[test]
fn messages_right_behind_the_hello_are_heard() {
    let manager = builder().start().unwrap();
    let mut stream = connect(manager.local_addr());
    let mut bytes = greeting(&hello(CLIENT));
    let mut outbox = crate::net::Outbox::new();
    outbox.push(
        &PeerMessage::Leaving { reason: proletariat_protocol::message::LeavingReason::Done },
        &[],
        crate::net::Order::Free,
    );
    let mut slices = [std::io::IoSlice::new(&[]); 2];
    assert_eq!(outbox.slices(&mut slices), 1);
    bytes.extend_from_slice(&slices[0]);
    stream.write_all(&bytes).unwrap();
    let answer = read_to_end(&stream);
    assert!(matches!(Answer::decode(&answer[PREAMBLE_BYTES..]), Ok(Some((Answer::Welcome(_), _)))));
}

#[test]
fn a_manager_that_cannot_start_says_why() {
    let manager = builder().start().unwrap();
    let error = Manager::builder().port(manager.local_addr().port()).start().unwrap_err();
    assert!(matches!(error, Error::InUse(_)), "{error}");
    assert!(error.to_string().contains(&manager.local_addr().port().to_string()), "{error}");
    let error = builder().host("0.0.0.0").start().unwrap_err();
    assert!(matches!(error, Error::NotLoopback(_)), "{error}");
    assert!(builder().host("0.0.0.0").insecure(true).start().is_ok());
    assert!(matches!(builder().selector_name("best"), Err(Error::Selector(..))));
    assert!(matches!(builder().heartbeat(Duration::ZERO).start(), Err(Error::Setting(_))));
}
