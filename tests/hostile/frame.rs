//! A stream of frames. However it is cut, the same messages come out of it or the same fault is found, and what is held is in
//! proportion to what came.

use crate::net::{Inbox, WireMessage};
use core::fmt::Debug;
use core::ops::ControlFlow;
use proletariat_protocol::message::{ManagerMessage, PeerMessage};

/// Small, so that a few bytes can claim more.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

/// The first byte tells how the rest is cut.
pub fn frame(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    same_however_cut::<PeerMessage>(cut, stream);
    same_however_cut::<ManagerMessage>(cut, stream);
}

fn same_however_cut<M: WireMessage + PartialEq + Debug>(cut: u8, stream: &[u8]) {
    let (whole, whole_is_wrong) = heard::<M>(stream, usize::MAX);
    let (parts, parts_are_wrong) = heard::<M>(stream, 1 + usize::from(cut) % 61);
    assert_eq!(whole, parts, "another cut, other messages");
    assert_eq!(whole_is_wrong, parts_are_wrong, "another cut, another fault");
}

/// The messages of a stream with their tails, and whether it ends in a fault.
fn heard<M: WireMessage>(stream: &[u8], most: usize) -> (Vec<(M, Vec<u8>)>, bool) {
    let (mut inbox, mut messages, mut received) = (Inbox::new(PAYLOAD_BYTES_MAX), Vec::new(), 0);
    let mut rest = stream;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.len().min(most));
        rest = later;
        received += part.len() as u64;
        let mut sink = |message: M, mut tail: crate::net::Tail<'_>| {
            assert_eq!(tail.bytes() as u64, message.tail_bytes());
            let half = u32::try_from(tail.bytes() / 2).expect("the stream is short");
            let mut payload = tail.take(half).to_vec();
            payload.extend_from_slice(&tail.take_all());
            messages.push((message, payload));
            ControlFlow::Continue(())
        };
        match inbox.receive(part, &mut sink) {
            Ok(flow) => assert!(flow.is_continue()),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return (messages, true);
            }
        }
        // What takes the most for its bytes is a message that is announced and does not come.
        assert!(inbox.held_bytes() <= 6 * received + 64, "{} bytes held of {received}", inbox.held_bytes());
        assert!(inbox.incomplete().is_some() || inbox.held_bytes() == 0, "bytes are held of nothing");
    }
    (messages, false)
}
