//! The bytes of every message, written out by hand: a change of the wire shows up here. Spaces part the fields.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use bytes::BytesMut;
use proletariat_protocol::codec::WireMessage;
use proletariat_protocol::message::{LeavingReason, ManagerMessage, PeerMessage};
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, Kinds, Offer};

mod document;
mod handshake;
mod manager;
mod peer;

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter(|digit| !digit.is_whitespace())
        .map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap())
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn check<M: WireMessage + PartialEq + std::fmt::Debug>(message: &M, hex: &str) {
    let expected = bytes_of(hex);
    let mut encoded = BytesMut::new();
    message.encode_head(&mut encoded);
    assert_eq!(encoded[..], expected[..], "{message:?}");
    let (decoded, length) = M::decode_head(&expected).unwrap();
    assert_eq!((&decoded, length), (message, expected.len()));
}

fn number(hex: &str) -> u32 {
    u32::from_le_bytes(bytes_of(hex)[..4].try_into().unwrap())
}

const ASSIGNMENT: AssignmentId = AssignmentId(0x0807_0605_0403_0201);

#[test]
fn messages_of_peers() {
    let messages = peer::messages();
    messages.iter().for_each(|(message, hex)| check(message, hex));
    let last = PeerMessage::Leaving { reason: LeavingReason::Done };
    every_variant_is_there(messages.iter().map(|(_, hex)| number(hex)).collect(), &last);
}

#[test]
fn messages_of_the_manager() {
    let messages = manager::messages();
    messages.iter().for_each(|(message, hex)| check(message, hex));
    let (last, _) = messages.last().unwrap();
    every_variant_is_there(messages.iter().map(|(_, hex)| number(hex)).collect(), last);
}

/// Every number up to that of the last variant has its bytes, and the number after it is unknown: a variant that is
/// appended without its golden bytes makes this fail.
fn every_variant_is_there<M: WireMessage + std::fmt::Debug>(mut numbers: Vec<u32>, last: &M) {
    let mut head = BytesMut::new();
    last.encode_head(&mut head);
    let last = u32::from_le_bytes(head[..4].try_into().unwrap());
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..=last).collect::<Vec<_>>());
    let mut next = (last + 1).to_le_bytes().to_vec();
    next.resize(256, 0);
    let error = M::decode_head(&next).unwrap_err();
    assert!(error.to_string().contains("variant"), "{error}");
}

#[test]
fn numbers_of_the_error_codes() {
    let codes = [
        "ECSTO",
        "EATO",
        "ETO",
        "EINVSLOTNR",
        "EINVWORKL",
        "ENORID",
        "ELARGEMSG",
        "EUNKNCMD",
        "EWORK",
        "ECRASH",
        "EABORT",
        "ESHUTDOWN",
        "EOVERLOAD",
        "ENOWORKER",
        "EDUPRID",
        "EAUTH",
        "EVERSION",
        "EPROTO",
    ];
    assert_eq!(codes.len(), ErrorCode::ALL.len(), "a new code is appended here and in PROTOCOL.md");
    for (number, (name, code)) in (0_u8..).zip(codes.into_iter().zip(ErrorCode::ALL)) {
        assert_eq!(code.as_str(), name);
        let refused = ManagerMessage::OfferRefused { code: *code, message: String::new() };
        check(&refused, &format!("0b000000 {number:02x}000000 0000000000000000"));
    }
}

#[test]
fn a_frame_and_its_fragments() {
    use proletariat_protocol::fragment::{put_begin, put_data_start};
    use proletariat_protocol::frame::put_message_start;
    let mut out = BytesMut::new();
    put_message_start(&mut out, &ManagerMessage::Data { job: JobId(5), bytes: 2 });
    assert_eq!(out[..], bytes_of("00000013 00 03000000 0500000000000000 02000000"));
    out.clear();
    put_begin(&mut out, 1, 0x4_0001);
    put_data_start(&mut out, 1, 0x4_0000);
    assert_eq!(out[..], bytes_of("0000000d 01 01000000 0100040000000000  00040005 02 01000000"));
}

#[test]
fn kinds_of_an_offer_are_numbered() {
    let any = Offer { slots: 1, guarantees: vec![], kinds: Kinds::Any };
    check(&PeerMessage::Offer(any), "03000000 01000000 0000000000000000 00000000");
}
