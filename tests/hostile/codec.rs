//! The head of a message, for both directions. What is read is what is written: no bytes have two meanings, and no message two forms.

use bytes::BytesMut;
use core::fmt::Debug;
use proletariat_protocol::AssignmentId;
use proletariat_protocol::codec::WireMessage;
use proletariat_protocol::frame::{put_message_start, split_body};
use proletariat_protocol::limits::FRAGMENT_BYTES;
use proletariat_protocol::message::{
    AssignedExecution, FinishedRun, JobOutcome, ManagerMessage, PeerMessage,
};

/// The length and the type before a body, in bytes.
const START_BYTES: usize = 5;

/// A body of either direction.
pub fn codec(data: &[u8]) {
    match read_and_written(data) {
        Some((PeerMessage::Submit { payload_bytes, .. }, tail)) => {
            in_proportion(payload_bytes.capacity() * size_of::<u32>(), data);
            assert_eq!(tail, sum(payload_bytes));
        }
        Some((PeerMessage::Started { assignments }, _)) => {
            in_proportion(assignments.capacity() * size_of::<AssignmentId>(), data);
        }
        Some((PeerMessage::Finished { runs }, tail)) => {
            in_proportion(runs.capacity() * size_of::<FinishedRun>(), data);
            assert_eq!(tail, sum(runs.iter().map(|run| run.bytes)));
        }
        _ => {}
    }
    match read_and_written(data) {
        Some((ManagerMessage::Outcomes { jobs }, tail)) => {
            in_proportion(jobs.capacity() * size_of::<JobOutcome>(), data);
            assert_eq!(tail, sum(jobs.iter().map(|job| job.bytes)));
        }
        Some((ManagerMessage::Assign { executions }, tail)) => {
            in_proportion(executions.capacity() * size_of::<AssignedExecution>(), data);
            assert_eq!(tail, sum(executions.iter().map(|execution| execution.bytes)));
        }
        _ => {}
    }
}

fn sum(lengths: impl IntoIterator<Item = u32>) -> u64 {
    lengths.into_iter().map(u64::from).sum()
}

/// Decoding reserves for what came, whatever was claimed.
fn in_proportion(reserved: usize, bytes: &[u8]) {
    assert!(reserved <= 6 * bytes.len() + 512, "{reserved} bytes for {}", bytes.len());
}

/// The message and the length of its tail, if the bytes begin with one.
fn read_and_written<M: WireMessage + PartialEq + Debug>(bytes: &[u8]) -> Option<(M, u64)> {
    let whole = split_body::<M>(bytes);
    let (message, length) = match M::decode_head(bytes) {
        Ok(read) => read,
        Err(error) => {
            assert!(whole.is_err() && !error.to_string().is_empty());
            return None;
        }
    };
    let (head, rest) = bytes.split_at(length);
    assert_eq!(whole.is_ok(), rest.len() as u64 == message.tail_bytes());
    let mut written = BytesMut::new();
    message.encode_head(&mut written);
    assert_eq!(written, head, "{message:?}");
    for cut in [0, length / 2, length - 1] {
        assert!(M::decode_head(&head[..cut]).is_err(), "a head without its end");
    }
    let mut frame = BytesMut::new();
    let body_bytes = put_message_start(&mut frame, &message);
    assert_eq!(body_bytes, length as u64 + message.tail_bytes());
    if whole.is_ok() && body_bytes <= FRAGMENT_BYTES as u64 {
        frame.extend_from_slice(rest);
        let stated = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        assert_eq!(stated + 4, frame.len());
        assert_eq!(split_body::<M>(&frame[START_BYTES..]), Ok((M::decode_head(head).ok()?.0, rest)));
    }
    let tail_bytes = message.tail_bytes();
    Some((message, tail_bytes))
}
