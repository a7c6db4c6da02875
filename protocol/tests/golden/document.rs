//! PROTOCOL.md says what the code does: its conversation is read, and its tables have every number.

use super::{bytes_of, number};
use bytes::BytesMut;
use proletariat_protocol::frame::{LENGTH_BYTES, TYPE_BYTES, frame_length, split_body};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble, Roles, Welcome};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::limits;
use proletariat_protocol::message::{JobOutcome, LeavingReason, ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, InstanceId, JobId, JobOptions, PeerId};

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

/// The bytes of one side of the conversation.
fn side(mark: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in DOCUMENT.lines().filter_map(|line| line.strip_prefix("    ")?.strip_prefix(mark)) {
        let pairs = line.split_whitespace();
        let is_hex = |pair: &&str| pair.len() == 2 && pair.chars().all(|digit| digit.is_ascii_hexdigit());
        // The annotation begins after at least two spaces.
        let hex = line.trim_start().split("  ").next().unwrap();
        assert!(hex.split(' ').all(|pair| is_hex(&pair)), "{line}");
        assert!(pairs.count() > hex.split(' ').count(), "a line without annotation: {line}");
        bytes.extend(bytes_of(hex));
    }
    bytes
}

/// The opening of a side, and what is behind it.
fn opening(bytes: &[u8]) -> (Preamble, &[u8]) {
    let (preamble, rest) = bytes.split_first_chunk::<PREAMBLE_BYTES>().unwrap();
    (Preamble::decode(*preamble).unwrap(), rest)
}

fn frames<M: proletariat_protocol::codec::WireMessage>(mut bytes: &[u8]) -> Vec<(M, Vec<u8>)> {
    let mut messages = Vec::new();
    while let Some((&prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() {
        let (frame, after) = rest.split_at(frame_length(prefix, limits::FRAME_BYTES_MAX).unwrap());
        assert_eq!(frame[0], 0);
        let (message, tail) = split_body(&frame[TYPE_BYTES..]).unwrap();
        messages.push((message, tail.to_vec()));
        bytes = after;
    }
    messages
}

#[test]
fn the_client_of_the_conversation() {
    let bytes = side("C ");
    let (preamble, rest) = opening(&bytes);
    assert_eq!(preamble, Preamble::OURS);
    let (hello, length) = Hello::decode(rest).unwrap().unwrap();
    let expected = Hello {
        instance: InstanceId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        roles: Roles { client: true, worker: false, admin: false },
        name: "demo".into(),
        token: None,
        capabilities: 0,
    };
    assert_eq!(hello, expected);
    let options = JobOptions {
        priority: 5,
        kind: Some("mult".into()),
        timeout_ms: 60_000,
        run_timeout_ms: 10_000,
        ..JobOptions::default()
    };
    let submit = PeerMessage::Submit { first: JobId(0), options, payload_bytes: vec![3] };
    let leaving = PeerMessage::Leaving { reason: LeavingReason::Done };
    assert_eq!(frames(&rest[length..]), [(submit, b"6*7".to_vec()), (leaving, vec![])]);
}

#[test]
fn the_manager_of_the_conversation() {
    let bytes = side("M ");
    let (preamble, rest) = opening(&bytes);
    assert_eq!(preamble.version(), Ok(1));
    let (answer, length) = Answer::decode(rest).unwrap().unwrap();
    let welcome = Welcome {
        peer: PeerId(7),
        software: "0.1.0".into(),
        payload_bytes_max: limits::PAYLOAD_BYTES_DEFAULT as u64,
        heartbeat_ms: 5_000,
        heartbeat_timeout_ms: 15_000,
        capabilities: 0,
    };
    assert_eq!(answer, Answer::Welcome(welcome));
    let outcome = JobOutcome { job: JobId(0), outcome: OutcomeKind::Result, bytes: 2 };
    let outcomes = ManagerMessage::Outcomes { jobs: vec![outcome] };
    assert_eq!(frames(&rest[length..]), [(outcomes, b"42".to_vec())]);
}

fn name_of(message: &impl std::fmt::Debug) -> String {
    format!("{message:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn every_message_and_code_is_in_its_table() {
    let (peer, manager) = DOCUMENT.split_once("\n## Messages of the manager").unwrap();
    for (message, hex) in super::peer::messages() {
        let row = format!("\n| {} | {} |", number(hex), name_of(&message));
        assert!(peer.contains(&row), "{row}");
    }
    for (message, hex) in super::manager::messages() {
        let row = format!("\n| {} | {} |", number(hex), name_of(&message));
        assert!(manager.contains(&row), "{row}");
    }
    for (number, code) in ErrorCode::ALL.iter().enumerate() {
        assert!(manager.contains(&format!("| {number} | `{code}` |")), "{code}");
    }
}

/// As the document writes numbers: 65,536.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut written = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

#[test]
fn the_limits_are_those_of_the_code() {
    let rows = [
        ("frame before the answer", limits::HANDSHAKE_FRAME_BYTES_MAX),
        ("frame", limits::FRAME_BYTES_MAX),
        ("data of a fragment, and the largest body that senders put into one frame", limits::FRAGMENT_BYTES),
        ("head", limits::HEAD_BYTES_MAX),
        ("streams under way in one direction", limits::FRAGMENT_STREAMS_MAX),
        ("entries of other messages, as senders keep it", limits::ENTRIES_PER_MESSAGE_MAX),
        ("system message", limits::SYSTEM_MESSAGE_BYTES_MAX),
        ("system messages of a peer without a report", limits::SYSTEM_MESSAGES_OPEN_MAX),
        ("name, kind", limits::NAME_BYTES_MAX),
        ("key, token", limits::KEY_BYTES_MAX),
        ("key, token", limits::TOKEN_BYTES_MAX),
        ("window of a stream", usize::try_from(limits::STREAM_WINDOW_BYTES).unwrap()),
    ];
    let jobs = format!("\n| jobs of a Submit | 1 to {} |\n", grouped(limits::JOBS_PER_SUBMIT_MAX));
    let clock = format!(" {} ms (30 days)", grouped(limits::CLOCK_MILLIS_MAX as usize));
    let kinds = format!("at most {}\nkinds of 1 to 128 bytes", grouped(limits::KINDS_MAX));
    let rows = rows.map(|(name, number)| format!("\n| {name} | {} |\n", grouped(number)));
    for text in rows.iter().chain([&jobs, &clock, &kinds]) {
        assert!(DOCUMENT.contains(text), "{text}");
    }
}

#[test]
fn the_lengths_in_the_conversation_are_what_we_would_write() {
    let (client, mut out) = (side("C "), BytesMut::from(&Preamble::OURS.encode()[..]));
    let (hello, _) = Hello::decode(&client[PREAMBLE_BYTES..]).unwrap().unwrap();
    hello.encode(&mut out).unwrap();
    assert_eq!(client[..out.len()], out[..]);
}
