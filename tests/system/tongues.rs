//! Those who speak something else are told so in what they speak, and closed soon.

use crate::harness::{CLIENT, Test, connect, read_to_end};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// What the manager answers until it closes; that is within a second and without a reset that eats the answer.
fn answer(address: SocketAddr, said: &[u8]) -> Vec<u8> {
    let mut stream = connect(address);
    stream.write_all(said).unwrap();
    let asked = Instant::now();
    let answer = read_to_end(&stream);
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    answer
}

fn text(answer: &[u8]) -> String {
    String::from_utf8_lossy(answer).into_owned()
}

#[test]
fn a_browser_gets_400_and_a_text() {
    let test = Test::new();
    let manager = test.manager(&[]);
    for request in
        ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST /work HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"]
    {
        let answer = text(&answer(manager.address(), request.as_bytes()));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains(&format!("port {}", manager.port)) && body.contains("proletariat"), "{body}");
    }
}

#[test]
fn gearman_gets_its_error_packet_or_line() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let packet = answer(manager.address(), b"\0REQ\0\0\0\x01\0\0\0\x04mult");
    assert_eq!(packet[..8], *b"\0RES\0\0\0\x13");
    assert_eq!(packet[8..12], u32::try_from(packet.len() - 12).unwrap().to_be_bytes());
    assert!(text(&packet).contains(&format!("port {}", manager.port)));
    assert!(text(&answer(manager.address(), b"status\n")).starts_with("ERR "));
}

#[test]
fn tls_gets_an_alert() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let alert = answer(manager.address(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more");
    assert_eq!(alert[..2], [0x15, 0x03]);
    assert_eq!((alert.len(), alert[5]), (7, 2), "one fatal alert");
}

#[test]
fn json_gets_a_readable_error() {
    let test = Test::new();
    let manager = test.manager(&["--no-json"]);
    let frame = answer(manager.address(), b"\0\0\0\x13{\"command\":\"offer\"}");
    assert_eq!(frame[..4], u32::try_from(frame.len() - 4).unwrap().to_be_bytes());
    let object: serde_json::Value = serde_json::from_slice(&frame[4..]).unwrap();
    assert_eq!(object["error"]["code"], "EPROTO");
    assert!(object["error"]["description"].as_str().unwrap().contains(&format!("port {}", manager.port)));
}

#[test]
fn garbage_is_closed_and_the_manager_lives_on() {
    let test = Test::new();
    let manager = test.manager(&[]);
    for garbage in
        [&b"hello there\n"[..], &[0xff; 64], &[0; 64], b"\xd7PRX\0\0\0\0 and more", b"SSH-2.0-x\r\n"]
    {
        answer(manager.address(), garbage);
    }
    let mut peer = manager.peer(CLIENT);
    peer.sync();
    // In the middle of a session, too.
    let (mut broken, ..) = manager.peer(CLIENT).into_parts();
    broken.write_all(&[0xff; 64]).unwrap();
    read_to_end(&broken);
    peer.sync();
    assert!(!manager.process.err().contains("panicked"));
}

#[test]
fn byte_by_byte_is_answered_the_same() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut stream: TcpStream = connect(manager.address());
    for byte in b"GET /" {
        // It may have been decided before the last byte.
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    assert!(text(&read_to_end(&stream)).starts_with("HTTP/1.1 400 "));
}

#[test]
fn who_does_not_get_through_the_handshake_is_closed() {
    let test = Test::new();
    let manager = test.manager(&["--handshake-timeout", "200ms"]);
    let mut stream = connect(manager.address());
    stream.write_all(b"\xd7PRO").unwrap();
    let begun = Instant::now();
    read_to_end(&stream);
    assert!(begun.elapsed() >= Duration::from_millis(190), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
