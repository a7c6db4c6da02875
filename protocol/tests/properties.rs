//! Every message comes back as it was, and nothing that a peer may send does harm.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use bytes::BytesMut;
use proletariat_protocol::codec::WireMessage;
use proletariat_protocol::detect::{DETECT_BYTES, Detection, detect};
use proletariat_protocol::frame::{put_message_start, split_body};
use proletariat_protocol::handshake::{Answer, Hello, PREAMBLE_BYTES, Preamble};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::limits::FRAGMENT_BYTES;
use proletariat_protocol::message::{
    AssignedExecution, FinishedRun, JobOutcome, LeavingReason, ManagerMessage, PeerMessage, Recipient,
};
use proletariat_protocol::{
    AssignmentId, ErrorCode, Guarantee, HandBackReason, JobId, JobOptions, Kinds, MessageId, Offer, PeerId,
    WorkResult,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn job() -> impl Strategy<Value = JobId> {
    any::<u64>().prop_map(JobId)
}

fn assignment() -> impl Strategy<Value = AssignmentId> {
    any::<u64>().prop_map(AssignmentId)
}

fn message_id() -> impl Strategy<Value = MessageId> {
    any::<u64>().prop_map(MessageId)
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..20).prop_map(String::from_iter)
}

fn code() -> impl Strategy<Value = ErrorCode> {
    select(ErrorCode::ALL)
}

fn options() -> impl Strategy<Value = JobOptions> {
    let names = (any::<u32>(), option::of(text()), option::of(vec(any::<u8>(), 0..20)));
    let clocks = (any::<u32>(), any::<u32>(), any::<u32>());
    let rest = (option::of(any::<u16>()), any::<bool>(), any::<bool>());
    (names, clocks, rest).prop_map(|(names, clocks, rest)| JobOptions {
        priority: names.0,
        kind: names.1,
        key: names.2,
        timeout_ms: clocks.0,
        assign_timeout_ms: clocks.1,
        run_timeout_ms: clocks.2,
        max_attempts: rest.0,
        no_wait: rest.1,
        stream: rest.2,
    })
}

fn offer() -> impl Strategy<Value = Offer> {
    let guarantee = (any::<u32>(), any::<u32>()).prop_map(|(bound, slots)| Guarantee { bound, slots });
    let kinds = prop_oneof![Just(Kinds::Any), vec(text(), 0..10).prop_map(Kinds::Only)];
    (any::<u32>(), vec(guarantee, 0..20), kinds).prop_map(|(slots, guarantees, kinds)| Offer {
        slots,
        guarantees,
        kinds,
    })
}

fn finished_run() -> impl Strategy<Value = FinishedRun> {
    let results = [WorkResult::Done, WorkResult::Failed, WorkResult::RunTimeout, WorkResult::TooLarge];
    (assignment(), select(results.to_vec()), any::<u32>())
        .prop_map(|(assignment, result, bytes)| FinishedRun { assignment, result, bytes })
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let peer = any::<u64>().prop_map(|peer| Recipient::Peer(PeerId(peer)));
    prop_oneof![Just(Recipient::All), Just(Recipient::Manager), peer]
}

fn hand_back_reason() -> impl Strategy<Value = HandBackReason> {
    use HandBackReason::{Busy, Leaving, NotMyKind, Unfit};
    prop_oneof![Just(Busy), Just(NotMyKind), Just(Unfit), Just(Leaving)]
}

fn peer_message() -> impl Strategy<Value = PeerMessage> {
    use LeavingReason::{Done, Draining, Refused};
    prop_oneof![
        (job(), options(), vec(any::<u32>(), 0..50)).prop_map(|(first, options, payload_bytes)| {
            PeerMessage::Submit { first, options, payload_bytes }
        }),
        (job(), any::<u64>()).prop_map(|(first, count)| PeerMessage::Abort { first, count }),
        (job(), any::<u64>()).prop_map(|(job, bytes)| PeerMessage::Credit { job, bytes }),
        offer().prop_map(PeerMessage::Offer),
        Just(PeerMessage::Withdraw),
        vec(assignment(), 0..50).prop_map(|assignments| PeerMessage::Started { assignments }),
        vec(finished_run(), 0..50).prop_map(|runs| PeerMessage::Finished { runs }),
        (assignment(), hand_back_reason())
            .prop_map(|(assignment, reason)| PeerMessage::HandBack { assignment, reason }),
        (assignment(), text()).prop_map(|(assignment, message)| PeerMessage::Crashed { assignment, message }),
        assignment().prop_map(|assignment| PeerMessage::Stopped { assignment }),
        (assignment(), any::<u32>()).prop_map(|(assignment, bytes)| PeerMessage::Data { assignment, bytes }),
        (assignment(), any::<u64>(), any::<u64>())
            .prop_map(|(assignment, done, total)| { PeerMessage::Progress { assignment, done, total } }),
        (message_id(), recipient(), any::<u32>(), any::<u32>()).prop_map(|(id, to, timeout_ms, bytes)| {
            PeerMessage::SystemMessage { id, to, timeout_ms, bytes }
        }),
        message_id().prop_map(|id| PeerMessage::Confirm { id }),
        message_id().prop_map(|id| PeerMessage::StatusRequest { id }),
        Just(PeerMessage::Ping),
        Just(PeerMessage::Pong),
        prop_oneof![Just(Done), Just(Draining), Just(Refused)]
            .prop_map(|reason| PeerMessage::Leaving { reason }),
    ]
}

fn execution() -> impl Strategy<Value = AssignedExecution> {
    let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (assignment(), numbers, option::of(text()), any::<bool>()).prop_map(
        |(assignment, numbers, kind, stream)| {
            let (bytes, attempt, priority, run_limit_ms, rest_ms) = numbers;
            AssignedExecution { assignment, bytes, attempt, priority, run_limit_ms, rest_ms, kind, stream }
        },
    )
}

fn job_outcome() -> impl Strategy<Value = JobOutcome> {
    let outcome = prop_oneof![Just(OutcomeKind::Result), code().prop_map(OutcomeKind::Error)];
    (job(), outcome, any::<u32>()).prop_map(|(job, outcome, bytes)| JobOutcome { job, outcome, bytes })
}

fn about_jobs() -> impl Strategy<Value = ManagerMessage> {
    prop_oneof![
        job().prop_map(|through| ManagerMessage::Accepted { through }),
        (job(), any::<u64>(), code(), text(), any::<u32>()).prop_map(
            |(first, count, code, message, retry_after_ms)| {
                ManagerMessage::Refused { first, count, code, message, retry_after_ms }
            }
        ),
        vec(job_outcome(), 0..50).prop_map(|jobs| ManagerMessage::Outcomes { jobs }),
        (job(), any::<u32>()).prop_map(|(job, bytes)| ManagerMessage::Data { job, bytes }),
        (job(), any::<u64>(), any::<u64>()).prop_map(|(job, done, total)| ManagerMessage::Progress {
            job,
            done,
            total
        }),
        job().prop_map(|job| ManagerMessage::Restarted { job }),
    ]
}

fn about_work() -> impl Strategy<Value = ManagerMessage> {
    prop_oneof![
        vec(execution(), 0..30).prop_map(|executions| ManagerMessage::Assign { executions }),
        assignment().prop_map(|assignment| ManagerMessage::Cancel { assignment }),
        (assignment(), any::<u32>())
            .prop_map(|(assignment, run_limit_ms)| ManagerMessage::SetRunLimit { assignment, run_limit_ms }),
        (assignment(), any::<u64>())
            .prop_map(|(assignment, bytes)| ManagerMessage::Grant { assignment, bytes }),
        Just(ManagerMessage::OfferAccepted),
        (code(), text()).prop_map(|(code, message)| ManagerMessage::OfferRefused { code, message }),
        Just(ManagerMessage::Withdrawn),
    ]
}

fn about_the_session() -> impl Strategy<Value = ManagerMessage> {
    prop_oneof![
        (message_id(), any::<u64>(), any::<u32>()).prop_map(|(id, from, bytes)| {
            ManagerMessage::SystemMessage { id, from: PeerId(from), bytes }
        }),
        (message_id(), any::<u32>(), any::<u32>()).prop_map(|(id, sent_to, received_by)| {
            ManagerMessage::SystemReport { id, sent_to, received_by }
        }),
        (message_id(), any::<u32>()).prop_map(|(id, bytes)| ManagerMessage::Status { id, bytes }),
        Just(ManagerMessage::Ping),
        Just(ManagerMessage::Pong),
        (code(), text(), any::<bool>(), any::<u32>()).prop_map(|(code, message, retry, retry_after_ms)| {
            ManagerMessage::Leaving { code, message, retry, retry_after_ms }
        }),
    ]
}

fn manager_message() -> impl Strategy<Value = ManagerMessage> {
    prop_oneof![about_jobs(), about_work(), about_the_session()]
}

/// The head comes back; so does a whole body, and only with the tail that the head states.
fn comes_back<M: WireMessage + PartialEq + std::fmt::Debug>(message: &M) -> Result<(), TestCaseError> {
    let mut head = BytesMut::new();
    message.encode_head(&mut head);
    let (decoded, length) = M::decode_head(&head).unwrap();
    prop_assert_eq!((&decoded, length), (message, head.len()));
    for part in 0..head.len() {
        prop_assert!(M::decode_head(&head[..part]).is_err(), "a head without its last bytes");
    }
    let mut frame = BytesMut::new();
    let body_bytes = put_message_start(&mut frame, message);
    prop_assert_eq!(body_bytes, head.len() as u64 + message.tail_bytes());
    if body_bytes <= FRAGMENT_BYTES as u64 {
        frame.resize(5 + usize::try_from(body_bytes).unwrap(), 0);
        let (whole, tail) = split_body::<M>(&frame[5..]).unwrap();
        prop_assert_eq!((&whole, tail.len() as u64), (message, message.tail_bytes()));
        frame.extend_from_slice(&[0]);
        prop_assert!(split_body::<M>(&frame[5..]).is_err(), "a byte too many");
    }
    Ok(())
}

/// Damage anywhere in a head: an error or another message, but never more memory than a few times the bytes.
fn survives(message: &impl WireMessage, place: usize, damage: [u8; 8]) -> Result<(), TestCaseError> {
    let mut head = BytesMut::new();
    message.encode_head(&mut head);
    let place = place % head.len();
    let end = head.len().min(place + damage.len());
    head[place..end].copy_from_slice(&damage[..end - place]);
    never_panics(&head)
}

fn never_panics(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok((message, length)) = PeerMessage::decode_head(bytes) {
        prop_assert!(length <= bytes.len());
        let reserved = match message {
            PeerMessage::Submit { payload_bytes, .. } => payload_bytes.capacity() * size_of::<u32>(),
            PeerMessage::Started { assignments } => assignments.capacity() * size_of::<AssignmentId>(),
            PeerMessage::Finished { runs } => runs.capacity() * size_of::<FinishedRun>(),
            _ => 0,
        };
        prop_assert!(reserved <= 4 * bytes.len() + 256, "{reserved} bytes for {}", bytes.len());
    }
    if let Ok((message, length)) = ManagerMessage::decode_head(bytes) {
        prop_assert!(length <= bytes.len());
        let reserved = match message {
            ManagerMessage::Outcomes { jobs } => jobs.capacity() * size_of::<JobOutcome>(),
            ManagerMessage::Assign { executions } => executions.capacity() * size_of::<AssignedExecution>(),
            _ => 0,
        };
        prop_assert!(reserved <= 4 * bytes.len() + 512, "{reserved} bytes for {}", bytes.len());
    }
    let _ = Hello::decode(bytes);
    let _ = Answer::decode(bytes);
    if let Some(&preamble) = bytes.first_chunk::<PREAMBLE_BYTES>() {
        let _ = Preamble::decode(preamble).map(Preamble::choose);
    }
    prop_assert!(bytes.len() < DETECT_BYTES || detect(bytes) != Detection::NeedMore);
    Ok(())
}

proptest! {
    #[test]
    fn a_message_of_a_peer_comes_back(message in peer_message()) {
        comes_back(&message)?;
    }

    #[test]
    fn a_message_of_the_manager_comes_back(message in manager_message()) {
        comes_back(&message)?;
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        never_panics(&bytes)?;
    }

    #[test]
    fn any_content_of_any_variant_does_no_harm(variant in 0_u8..20, content in vec(prop_oneof![
        Just(0_u8), Just(1), Just(255), any::<u8>(),
    ], 0..100)) {
        let bytes = [&[variant, 0, 0, 0][..], &content].concat();
        never_panics(&bytes)?;
    }

    #[test]
    fn damage_to_a_peers_message_does_no_harm(message in peer_message(), place: usize, damage: [u8; 8]) {
        survives(&message, place, damage)?;
        survives(&message, place, [255; 8])?;
    }

    #[test]
    fn damage_to_the_managers_message_does_no_harm(message in manager_message(), place: usize, damage: [u8; 8]) {
        survives(&message, place, damage)?;
        survives(&message, place, [255; 8])?;
    }
}
