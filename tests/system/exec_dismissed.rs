//! A helper (`client exec -c`) whose server says that all is done at the first moment at which it can.

use crate::harness::Test;
use bytes::BytesMut;
use proletariat::net::{Inbox, Order, Outbox, Tail};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, VERSION_MAX, Welcome};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{MessageId, Payload, PeerId};
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

const ALL_IS_DONE: &str = r#"{"exec":"all is done"}"#;

/// A server that is no more than its words.
struct Server {
    stream: TcpStream,
    inbox: Inbox,
}

impl Server {
    /// Takes the next one that connects, and waits for its hello.
    fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut bytes = vec![0; PREAMBLE_BYTES];
        stream.read_exact(&mut bytes).unwrap();
        while Hello::decode(&bytes[PREAMBLE_BYTES..]).unwrap().is_none() {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
        }
        let mut server = Self { stream, inbox: Inbox::new(1 << 20) };
        let mut bytes = BytesMut::from(&Preamble::chosen(VERSION_MAX).encode()[..]);
        let welcome = Welcome {
            peer: PeerId(1),
            software: "words".into(),
            payload_bytes_max: 1 << 20,
            heartbeat_ms: 5_000,
            heartbeat_timeout_ms: 15_000,
            capabilities: 0,
        };
        Answer::Welcome(welcome).encode(&mut bytes);
        server.stream.write_all(&bytes).unwrap();
        server
    }

    /// What is said next, with the rest of what came with it; nothing when the other side has closed.
    fn hear(&mut self) -> Vec<PeerMessage> {
        let mut heard = Vec::new();
        while heard.is_empty() {
            let mut buffer = [0; 64 * 1024];
            let bytes = self.stream.read(&mut buffer).unwrap();
            if bytes == 0 {
                break;
            }
            let mut sink = |message: PeerMessage, _: Tail<'_>| {
                heard.push(message);
                ControlFlow::Continue(())
            };
            assert!(self.inbox.receive(&buffer[..bytes], &mut sink).unwrap().is_continue());
        }
        heard
    }

    fn until_offered(&mut self) {
        while !self.hear().iter().any(|message| matches!(message, PeerMessage::Offer(_))) {}
    }

    /// All of it in one write.
    fn say(&mut self, messages: &[ManagerMessage]) {
        let mut outbox = Outbox::new();
        for message in messages {
            let payload = Payload::from_static(ALL_IS_DONE.as_bytes());
            let is_message = matches!(message, ManagerMessage::SystemMessage { .. });
            let payloads = if is_message { vec![payload] } else { Vec::new() };
            outbox.push(message, &payloads, Order::Free);
        }
        let mut bytes = Vec::new();
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[])];
            assert_eq!(outbox.slices(&mut slices), 1);
            bytes.extend_from_slice(&slices[0]);
            let count = slices[0].len();
            outbox.advance(count);
        }
        self.stream.write_all(&bytes).unwrap();
    }

    fn until_closed(&mut self) {
        while !self.hear().is_empty() {}
    }
}

fn all_is_done() -> ManagerMessage {
    let bytes = u32::try_from(ALL_IS_DONE.len()).unwrap();
    ManagerMessage::SystemMessage { id: MessageId(1), from: PeerId(2), bytes }
}

/// A helper ends when this server has answered its offer like that.
fn ends_after(answer: &[ManagerMessage]) {
    let test = Test::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let words = ["exec", "-c", "127.0.0.1", "-p", &port, "-x", r#"["cat"]"#, "-w", "1"];
    let helper = test.start("client", &[&words[..], &["--connect-timeout", "60s"]].concat());
    let mut server = Server::accept(&listener);
    server.until_offered();
    let begun = Instant::now();
    server.say(answer);
    server.until_closed();
    // Nobody is there any more to say it again.
    drop((server, listener));
    helper.close_input().ended().expect(0).said(&["lines: 0 done here"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_helper_hears_it_with_the_answer_to_its_offer() {
    ends_after(&[all_is_done(), ManagerMessage::OfferAccepted]);
}

#[test]
fn a_helper_hears_it_right_after_the_answer_to_its_offer() {
    ends_after(&[ManagerMessage::OfferAccepted, all_is_done()]);
}

#[test]
fn a_helper_hears_it_although_its_offer_is_not_answered() {
    ends_after(&[all_is_done()]);
}
