use super::*;
use proletariat_protocol::message::PeerMessage;
use proletariat_protocol::{AssignmentId, MessageId};

fn data(assignment: u64, bytes: usize) -> (PeerMessage, Payload) {
    let length = u32::try_from(bytes).unwrap();
    let message = PeerMessage::Data { assignment: AssignmentId(assignment), bytes: length };
    (message, Payload::from(vec![0x55; bytes]))
}

fn confirm(id: u64) -> PeerMessage {
    PeerMessage::Confirm { id: MessageId(id) }
}

/// What is next, written at once.
fn turn(outbox: &mut Outbox) -> (usize, Vec<u8>) {
    let mut slices = [IoSlice::new(&[]); 16];
    let filled = outbox.slices(&mut slices);
    let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
    outbox.advance(bytes.len());
    (filled, bytes)
}

#[test]
fn small_messages_are_one_slice_of_one_buffer() {
    let mut outbox = Outbox::new();
    for round in 0..100 {
        for id in 0..100 {
            outbox.push(&confirm(id), &[], Order::Free);
        }
        let (message, payload) = data(1, 100);
        outbox.push(&message, &[payload], Order::Keyed(1));
        assert_eq!(outbox.bytes(), 100 * 17 + 5 + 16 + 100);
        let (slices, bytes) = turn(&mut outbox);
        assert_eq!((slices, bytes.len()), (1, 100 * 17 + 121), "round {round}");
    }
    assert!(outbox.lane.room() <= 4 * 1_821, "the buffer is used again: {}", outbox.lane.room());
}

#[test]
fn a_large_payload_is_referenced_and_a_small_one_copied() {
    let mut outbox = Outbox::new();
    let (message, payload) = data(1, 100_000);
    let place = payload.as_ptr();
    outbox.push(&message, &[payload], Order::Free);
    outbox.push(&confirm(1), &[], Order::Free);
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(outbox.slices(&mut slices), 3);
    assert_eq!((slices[1].as_ptr(), slices[1].len()), (place, 100_000));
}

#[test]
fn memory_is_given_back_when_it_was_much() {
    let mut outbox = Outbox::new();
    for id in 0..100_000 {
        outbox.push(&confirm(id), &[], Order::Free);
    }
    assert!(outbox.lane.room() > 1_000_000);
    while !outbox.is_empty() {
        let bytes = outbox.bytes().min(77_777);
        outbox.advance(bytes);
    }
    assert_eq!(outbox.lane.room(), 0);
    outbox.push(&confirm(1), &[], Order::Free);
    assert_eq!(turn(&mut outbox).1.len(), 17);
}

#[test]
fn a_small_message_waits_for_one_fragment_at_most() {
    let mut outbox = Outbox::new();
    let (large, payload) = data(1, 10 * FRAGMENT_BYTES);
    outbox.push(&large, &[payload], Order::Free);
    let mut turns = 0;
    while outbox.bulk_bytes > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        assert!(outbox.slices(&mut slices) > 0);
        outbox.push(&confirm(turns), &[], Order::Free);
        assert!(outbox.lane.bytes() <= FRAGMENT_BYTES + 17 + 9 + 17, "turn {turns}");
        let (_, bytes) = turn(&mut outbox);
        assert_eq!(
            bytes[bytes.len() - 17..],
            [0, 0, 0, 13, 0, 13, 0, 0, 0, turns.to_le_bytes()[0], 0, 0, 0, 0, 0, 0, 0]
        );
        turns += 1;
    }
    assert_eq!(turns, 11, "the head makes one more");
}

#[test]
fn a_key_and_a_barrier_wait_and_others_pass() {
    let mut outbox = Outbox::new();
    for assignment in [1, 2] {
        let (large, payload) = data(assignment, 2 * FRAGMENT_BYTES - 100);
        outbox.push(&large, &[payload], Order::Keyed(assignment));
    }
    outbox.push(&confirm(11), &[], Order::Keyed(1));
    outbox.push(&confirm(12), &[], Order::Keyed(2));
    outbox.push(&confirm(13), &[], Order::Keyed(3));
    outbox.push(&confirm(14), &[], Order::Barrier);
    outbox.push(&confirm(15), &[], Order::Free);
    let all = outbox.bytes();
    // A fragment frame has over 255 bytes and a small one 13.
    let mut order = Vec::new();
    let mut sum = 0;
    while !outbox.is_empty() {
        let (_, bytes) = turn(&mut outbox);
        sum += bytes.len();
        let mut rest = &bytes[..];
        while let Some((&length, content)) = rest.split_first_chunk() {
            let (frame, after) = content.split_at(u32::from_be_bytes(length) as usize);
            rest = after;
            order.push(match frame[0] {
                0 => u32::from(frame[5]),
                kind => u32::from(kind) * 100 + u32::from(frame[1]),
            });
        }
    }
    assert_eq!(order, [13, 15, 100, 200, 200, 11, 101, 201, 201, 12, 14]);
    assert_eq!(sum, all + 2 * 17 + 4 * 9, "the frames of the fragments come on top");
    assert!(outbox.bulk_of_key.is_empty());
}

#[test]
#[should_panic(expected = "the head states other payloads")]
fn payloads_that_the_head_does_not_state_are_a_bug() {
    let (message, _) = data(1, 5);
    Outbox::new().push(&message, &[Payload::from_static(b"abcd")], Order::Free);
}
