//! Outbox and inbox together, under any order of pushing, writing and reading.

use super::{Inbox, Order, Outbox, Tail, WireError};
use core::ops::ControlFlow;
use proletariat_protocol::limits::FRAGMENT_BYTES;
use proletariat_protocol::message::PeerMessage;
use proletariat_protocol::{AssignmentId, JobId, JobOptions, Payload};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::IoSlice;

const PAYLOAD_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Clone, Debug)]
enum Step {
    Push { payloads: Vec<usize>, order: Order },
    Write(usize),
}

/// What was pushed, and how far the stream was then.
struct Pushed {
    payloads: Vec<usize>,
    order: Order,
    written: usize,
}

impl Pushed {
    /// Whether it certainly travels in fragments.
    fn is_large(&self) -> bool {
        self.payloads.iter().sum::<usize>() > FRAGMENT_BYTES
    }
}

fn step() -> impl Strategy<Value = Step> {
    let payloads = prop_oneof![
        4 => vec(0..200_usize, 0..4),
        1 => vec(7_000..10_000_usize, 1..4),
        2 => vec(200_000..600_000_usize, 1..3),
    ];
    let order = prop_oneof![
        Just(Order::Free),
        (0..2_u64).prop_map(Order::Keyed),
        (0..2_u64).prop_map(Order::Keyed),
        Just(Order::Barrier),
    ];
    prop_oneof![
        (payloads, order).prop_map(|(payloads, order)| Step::Push { payloads, order }),
        prop_oneof![2 => 0..1_000_usize, 1 => 0..300_000_usize].prop_map(Step::Write),
    ]
}

/// So many bytes that differ from message to message.
fn payload(number: u64, bytes: usize) -> Payload {
    (0..bytes).map(|index| (index as u64 * 31 + number).to_le_bytes()[0]).collect()
}

fn message(number: u64, payloads: &[usize]) -> (PeerMessage, Vec<Payload>) {
    let message = PeerMessage::Submit {
        first: JobId(number),
        options: JobOptions::default(),
        payload_bytes: payloads.iter().map(|&bytes| u32::try_from(bytes).unwrap()).collect(),
    };
    (message, payloads.iter().map(|&bytes| payload(number, bytes)).collect())
}

/// Writes at most so many bytes, in at most as many slices as a driver would give.
fn write(outbox: &mut Outbox, bytes: usize, stream: &mut Vec<u8>) -> usize {
    let mut slices = [IoSlice::new(&[]); 5];
    let filled = outbox.slices(&mut slices);
    let mut written = 0;
    for slice in &slices[..filled] {
        let part = slice.len().min(bytes - written);
        stream.extend_from_slice(&slice[..part]);
        written += part;
    }
    outbox.advance(written);
    written
}

fn run(steps: &[Step]) -> (Vec<Pushed>, Vec<u8>) {
    let (mut outbox, mut pushed, mut stream) = (Outbox::new(), Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Push { payloads, order } => {
                let (message, bytes) = message(pushed.len() as u64, payloads);
                outbox.push(&message, &bytes, *order);
                pushed.push(Pushed { payloads: payloads.clone(), order: *order, written: stream.len() });
            }
            Step::Write(bytes) => {
                write(&mut outbox, *bytes, &mut stream);
            }
        }
    }
    while !outbox.is_empty() {
        assert!(write(&mut outbox, usize::MAX, &mut stream) > 0, "{} bytes wait", outbox.bytes());
    }
    (pushed, stream)
}

/// The numbers of the messages in the order in which they arrive, each held against its payloads.
fn arrivals(stream: &[u8], cuts: &[usize], pushed: &[Pushed]) -> Result<Vec<u64>, WireError> {
    let mut inbox = Inbox::new(PAYLOAD_BYTES_MAX);
    let mut arrived = Vec::new();
    let mut sink = |message: PeerMessage, mut tail: Tail<'_>| {
        let PeerMessage::Submit { first, payload_bytes, .. } = message else { panic!("{message:?}") };
        assert_eq!(pushed[usize::try_from(first.0).unwrap()].payloads.len(), payload_bytes.len());
        for bytes in payload_bytes {
            assert!(tail.take(bytes) == payload(first.0, bytes as usize), "payload of {first}");
        }
        arrived.push(first.0);
        ControlFlow::Continue(())
    };
    let (mut rest, mut cut) = (stream, cuts.iter().cycle());
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(*cut.next().unwrap_or(&rest.len())));
        assert!(inbox.receive(part, &mut sink)?.is_continue());
        rest = after;
    }
    assert_eq!((inbox.incomplete(), inbox.held_bytes()), (None, 0));
    Ok(arrived)
}

/// Place and type of each frame, and the number of the submit that an ordinary one carries.
fn frames(stream: &[u8]) -> Vec<(usize, u8, Option<u64>)> {
    let (mut frames, mut place) = (Vec::new(), 0);
    while let Some(&[a, b, c, d, frame_type, ..]) = stream.get(place..) {
        let number =
            stream.get(place + 9..place + 17).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        frames.push((place, frame_type, number.filter(|_| frame_type == 0)));
        place += 4 + u32::from_be_bytes([a, b, c, d]) as usize;
    }
    frames
}

fn must_stay_behind(earlier: &Pushed, later: &Pushed) -> bool {
    match (earlier.order, later.order) {
        (Order::Keyed(one), Order::Keyed(other)) if one == other => true,
        (Order::Barrier, Order::Barrier) => true,
        (_, Order::Barrier) => earlier.is_large(),
        _ => earlier.is_large() && later.is_large(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn everything_arrives_and_keeps_its_order(
        steps in vec(step(), 1..40),
        cuts in vec(prop_oneof![1..20_usize, 1..100_000_usize], 1..10),
    ) {
        let (pushed, stream) = run(&steps);
        let arrived = arrivals(&stream, &cuts, &pushed).unwrap();
        let mut sorted = arrived.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, (0..pushed.len() as u64).collect::<Vec<_>>(), "each once");
        for (place, &later) in arrived.iter().enumerate() {
            for &earlier in arrived.iter().skip(place + 1).filter(|&&number| number < later) {
                let (one, other) = (usize::try_from(earlier).unwrap(), usize::try_from(later).unwrap());
                prop_assert!(!must_stay_behind(&pushed[one], &pushed[other]), "{later} passed {earlier}");
            }
        }
    }

    #[test]
    fn a_small_message_that_may_pass_waits_for_one_fragment_at_most(steps in vec(step(), 1..60)) {
        let (pushed, stream) = run(&steps);
        let frames = frames(&stream);
        for (place, _, number) in &frames {
            let Some(number) = *number else { continue };
            let small = &pushed[usize::try_from(number).unwrap()];
            if small.order != Order::Free {
                continue;
            }
            let fragments = frames.windows(2).filter(|pair| {
                pair[0].1 == 2 && pair[1].0 > small.written && pair[1].0 <= *place
            });
            prop_assert!(fragments.count() <= 1, "message {number}");
        }
    }

    #[test]
    fn any_bytes_end_in_the_same_way_however_they_are_cut(
        frames in vec(any_frame(), 0..12),
        rest in vec(any::<u8>(), 0..6),
        cut in 1..12_usize,
    ) {
        let mut stream = Vec::new();
        for (frame_type, content) in &frames {
            stream.extend_from_slice(&u32::try_from(content.len() + 1).unwrap().to_be_bytes());
            stream.push(*frame_type);
            stream.extend_from_slice(content);
        }
        stream.extend_from_slice(&rest);
        let whole = ending(&stream, stream.len().max(1));
        prop_assert_eq!(ending(&stream, cut), whole);
    }
}

/// Content of any type, and good ones: a ping, a short message in fragments announced, a part of it.
fn any_frame() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let bytes = vec(prop_oneof![Just(0_u8), Just(1), Just(15), any::<u8>()], 0..24);
    let begin = (0..3_u8).prop_map(|stream| (1, vec![stream, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]));
    let data = (0..3_u8, 1..4_usize).prop_map(|(stream, bytes)| {
        let mut content = vec![stream, 0, 0, 0, 15, 0, 0];
        content.truncate(4 + bytes);
        (2, content)
    });
    prop_oneof![1 => (0..4_u8, bytes), 4 => Just((0, vec![15, 0, 0, 0])), 4 => begin, 4 => data]
}

fn ending(stream: &[u8], cut: usize) -> (Vec<PeerMessage>, Option<WireError>) {
    let mut inbox = Inbox::new(1_000);
    let mut messages = Vec::new();
    let error = stream.chunks(cut).find_map(|part| {
        let mut sink = |message: PeerMessage, _: Tail<'_>| {
            messages.push(message);
            ControlFlow::Continue(())
        };
        inbox.receive(part, &mut sink).err()
    });
    (messages, error)
}

#[test]
fn assignments_do_not_share_keys_by_accident() {
    // A large message of one key is under way; another key passes it, the same key does not.
    let data = |assignment: u64, bytes: usize| {
        let length = u32::try_from(bytes).unwrap();
        (
            PeerMessage::Data { assignment: AssignmentId(assignment), bytes: length },
            payload(assignment, bytes),
        )
    };
    let (mut outbox, mut stream) = (Outbox::new(), Vec::new());
    for (assignment, bytes) in [(1, 3 * FRAGMENT_BYTES), (1, 1), (2, 1)] {
        let (message, bytes) = data(assignment, bytes);
        outbox.push(&message, &[bytes], Order::Keyed(assignment));
    }
    while write(&mut outbox, 10_000, &mut stream) > 0 {}
    let mut arrived = Vec::new();
    let mut inbox = Inbox::new(PAYLOAD_BYTES_MAX);
    let flow = inbox.receive(&stream, &mut |message: PeerMessage, tail: Tail<'_>| {
        let PeerMessage::Data { assignment, .. } = message else { panic!("{message:?}") };
        arrived.push((assignment.0, tail.bytes()));
        ControlFlow::Continue(())
    });
    assert_eq!(flow, Ok(ControlFlow::Continue(())));
    assert_eq!(arrived, [(2, 1), (1, 3 * FRAGMENT_BYTES), (1, 1)]);
}
