use super::*;
use crate::net::{Order, Outbox};
use bytes::BytesMut;
use proletariat_protocol::fragment::put_begin;
use proletariat_protocol::limits::{FRAGMENT_BYTES, HEAD_BYTES_MAX};
use proletariat_protocol::message::PeerMessage;
use proletariat_protocol::{AssignmentId, JobId, JobOptions};
use std::io::IoSlice;

const PAYLOAD_BYTES_MAX: u64 = 4 * 1024 * 1024;

type Received = Vec<(PeerMessage, Vec<Payload>)>;

fn data(assignment: u64, payload: &Payload) -> PeerMessage {
    PeerMessage::Data { assignment: AssignmentId(assignment), bytes: u32::try_from(payload.len()).unwrap() }
}

fn payload(bytes: usize) -> Payload {
    (0..bytes).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

/// All that an outbox has to write.
fn written(outbox: &mut Outbox) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !outbox.is_empty() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.slices(&mut slices);
        let before = bytes.len();
        slices[..filled].iter().for_each(|slice| bytes.extend_from_slice(slice));
        outbox.advance(bytes.len() - before);
    }
    bytes
}

/// Small messages, messages with many payloads, and some in fragments.
fn stream() -> (Vec<u8>, Received) {
    let mut outbox = Outbox::new();
    let mut expected = Received::new();
    let (small, middle, large) = (payload(11), payload(20_000), payload(FRAGMENT_BYTES * 2 + 77));
    let payloads = vec![small.clone(), Payload::new(), middle, small.clone()];
    let submit = PeerMessage::Submit {
        first: JobId(0),
        options: JobOptions { kind: Some("kind".into()), ..JobOptions::default() },
        payload_bytes: payloads.iter().map(|payload| u32::try_from(payload.len()).unwrap()).collect(),
    };
    let messages = [
        (PeerMessage::Ping, vec![]),
        (submit, payloads),
        (data(1, &large), vec![large]),
        (data(2, &small), vec![small]),
        (PeerMessage::Withdraw, vec![]),
    ];
    for (message, payloads) in messages {
        outbox.push(&message, &payloads, Order::Barrier);
        expected.push((message, payloads));
    }
    (written(&mut outbox), expected)
}

fn receive(inbox: &mut Inbox, bytes: &[u8], received: &mut Received) -> Result<(), WireError> {
    let flow = inbox.receive(bytes, &mut |message: PeerMessage, mut tail: Tail<'_>| {
        let payloads = match &message {
            PeerMessage::Submit { payload_bytes, .. } => {
                payload_bytes.iter().map(|&bytes| tail.take(bytes)).collect()
            }
            PeerMessage::Data { bytes, .. } => vec![tail.take(*bytes)],
            _ => vec![],
        };
        assert_eq!(tail.bytes(), 0);
        received.push((message, payloads));
        ControlFlow::Continue(())
    })?;
    assert_eq!(flow, ControlFlow::Continue(()));
    Ok(())
}

#[test]
fn any_cut_of_a_stream_gives_the_same_messages() {
    let (bytes, expected) = stream();
    for step in [1, 2, 3, 5, 8, 9, 10, 13, 64, 1_000, 4_096, 65_536, 300_000, bytes.len()] {
        let mut inbox = Inbox::new(PAYLOAD_BYTES_MAX);
        let mut received = Received::new();
        for part in bytes.chunks(step) {
            receive(&mut inbox, part, &mut received).unwrap();
        }
        assert!(received == expected, "in steps of {step}");
        assert_eq!((inbox.incomplete(), inbox.held_bytes()), (None, 0), "in steps of {step}");
    }
}

#[test]
fn a_partial_frame_holds_what_came_and_gives_it_back() {
    let message = payload(100_000);
    let mut outbox = Outbox::new();
    outbox.push(&data(1, &message), &[message], Order::Free);
    let bytes = written(&mut outbox);
    let mut inbox = Inbox::new(PAYLOAD_BYTES_MAX);
    let mut received = Received::new();
    receive(&mut inbox, &bytes[..10], &mut received).unwrap();
    assert_eq!(inbox.incomplete(), Some(Incomplete { frames: 0, bytes: 10, fragmented: None }));
    assert!(inbox.held_bytes() < 64, "a claimed length is not memory: {}", inbox.held_bytes());
    receive(&mut inbox, &bytes[10..5_000], &mut received).unwrap();
    assert_eq!(inbox.incomplete(), Some(Incomplete { frames: 0, bytes: 5_000, fragmented: None }));
    receive(&mut inbox, &bytes[5_000..], &mut received).unwrap();
    assert_eq!((inbox.incomplete(), inbox.held_bytes(), received.len()), (None, 0, 1));
}

#[test]
fn what_is_announced_is_held_until_it_is_complete() {
    const STREAMS: u32 = 100;
    let (mut inbox, mut received) = (Inbox::new(PAYLOAD_BYTES_MAX), Received::new());
    let message = payload(FRAGMENT_BYTES * 2);
    let mut outbox = Outbox::new();
    outbox.push(&data(1, &message), &[message], Order::Free);
    receive(&mut inbox, &written(&mut outbox), &mut received).unwrap();
    assert_eq!((received.len(), inbox.held_bytes()), (1, 0), "nothing is announced");

    let mut bytes = BytesMut::new();
    (0..STREAMS).for_each(|stream| put_begin(&mut bytes, stream, 1_000));
    receive(&mut inbox, &bytes, &mut received).unwrap();
    let row_bytes = size_of::<(u32, usize, Vec<u8>)>() as u64;
    let held_bytes = inbox.held_bytes();
    assert!(held_bytes >= u64::from(STREAMS) * row_bytes, "{held_bytes} bytes for the table of them");
}

#[test]
fn a_gathered_payload_is_not_copied_again_if_it_is_most_of_its_buffer() {
    let body = payload(30_000);
    let mut tail = Tail::new(&body[100..], Some(&body));
    let (small, large) = (tail.take(1_000), tail.take(20_000));
    assert_eq!(large.as_ptr(), body[1_100..].as_ptr());
    assert_ne!(small.as_ptr(), body[100..].as_ptr());
    assert_eq!((&small[..], &large[..]), (&body[100..1_100], &body[1_100..21_100]));
}

#[test]
fn small_payloads_share_blocks_and_stay_what_they_are() {
    let body = payload(20_000);
    for owner in [None, Some(&body)] {
        let mut tail = Tail::new(&body, owner);
        let mut at = 0;
        let (mut shared, mut last) = (0, core::ptr::null());
        for bytes in [64, 0, 64, 256, 257, 3, 1, 700, 64].into_iter().cycle().take(100) {
            let payload = tail.take(bytes);
            let end = at + bytes as usize;
            assert_eq!(payload, body[at..end], "{bytes} bytes at {at}");
            shared += u32::from(core::ptr::eq(payload.as_ptr(), last));
            last = payload.as_ptr_range().end;
            at = end;
        }
        assert!(shared > 20, "{shared} lie behind the one before");
        assert_eq!(tail.bytes(), body.len() - at);
    }
}

#[test]
fn a_payload_that_is_lent_lies_where_it_came_and_the_next_is_the_next() {
    let body = payload(30_000);
    let mut tail = Tail::new(&body, None);
    let mut at = 0;
    for (n, bytes) in [64, 0, 300, 5, 64, 3_000, 64, 256].into_iter().cycle().take(40).enumerate() {
        let end = at + bytes as usize;
        if n % 3 == 1 {
            let lent = tail.lend(bytes);
            assert_eq!((lent, lent.as_ptr()), (&body[at..end], body[at..].as_ptr()));
        } else {
            assert_eq!(tail.take(bytes), body[at..end], "{bytes} bytes at {at}");
        }
        at = end;
    }
    assert_eq!(tail.bytes(), body.len() - at);
}

#[test]
fn a_sink_that_breaks_gets_nothing_more() {
    let (bytes, _) = stream();
    let mut seen = 0;
    let flow = Inbox::new(PAYLOAD_BYTES_MAX).receive(&bytes, &mut |_: PeerMessage, _: Tail<'_>| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((flow, seen), (Ok(ControlFlow::Break(())), 1));
}

#[test]
fn every_fault_of_a_frame_is_found_wherever_it_is_cut() {
    let begin = |stream: u32, total: u64| {
        [&[0, 0, 0, 13, 1][..], &stream.to_le_bytes(), &total.to_le_bytes()].concat()
    };
    let fragment = |stream: u32, data: &[u8]| {
        let length = u32::try_from(5 + data.len()).unwrap();
        [&length.to_be_bytes()[..], &[2], &stream.to_le_bytes(), data].concat()
    };
    let cases: &[(Vec<u8>, WireError)] = &[
        (vec![0, 0, 0, 0, 9], WireError::EmptyFrame),
        (vec![0xff; 12], WireError::FrameTooLong { length: u32::MAX, max: FRAME_BYTES_MAX }),
        (vec![0, 0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0], WireError::UnknownFrameType(3)),
        (vec![0, 0, 0, 6, 0, 15, 0, 0, 0, 1], WireError::TailMismatch { stated: 0, found: 1 }),
        (vec![0, 0, 0, 2, 2, 0], WireError::FragmentFrame { length: 2 }),
        (vec![0, 0, 0, 5, 1, 0, 0, 0, 0], WireError::FragmentFrame { length: 5 }),
        (fragment(7, b"abc"), WireError::StreamUnknown(7)),
        ([begin(7, 2), fragment(7, b"")].concat(), WireError::FragmentFrame { length: 5 }),
        ([begin(7, 2), fragment(7, b"abc")].concat(), WireError::FragmentPastEnd(7)),
        ([begin(7, 2), begin(7, 2)].concat(), WireError::StreamInUse(7)),
        (
            begin(7, u64::MAX),
            WireError::MessageTooLarge { total: u64::MAX, max: PAYLOAD_BYTES_MAX + HEAD_BYTES_MAX as u64 },
        ),
    ];
    for (bytes, expected) in cases {
        for step in 1..=bytes.len() {
            let mut inbox = Inbox::new(PAYLOAD_BYTES_MAX);
            let mut received = Received::new();
            let error = bytes.chunks(step).find_map(|part| receive(&mut inbox, part, &mut received).err());
            assert_eq!(error.as_ref(), Some(expected), "{bytes:?} in steps of {step}");
            assert!(received.is_empty());
        }
    }
}
