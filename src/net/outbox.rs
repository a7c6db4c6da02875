//! Messages become bytes, and the large ones let the small ones pass.
//!
//! ```text
//!   small message ──────────────────────────▶ lane ──▶ writes
//!                                              ▲
//!   large message ──▶ bulk: [m1][m2][m3]  ─────┘  one fragment of m1, whenever the last fragment has been written
//! ```
//!
//! A message that fits into one frame is encoded at the end of the lane at once. A larger one waits in the bulk queue;
//! when its turn comes, one fragment of it is put at the end of the lane, and the next one only after that has been
//! written. So there is never more than one fragment before a small message, and large messages still move on however
//! many small ones there are.
//!
//! A small message that must not pass a large one waits behind it: it goes out right after its last fragment.

use super::lane::Lane;
use bytes::{Buf, BytesMut};
use proletariat_protocol::Payload;
use proletariat_protocol::batch::Batch;
use proletariat_protocol::codec::WireMessage;
use proletariat_protocol::fragment::{put_begin, put_data_start};
use proletariat_protocol::frame::{LENGTH_BYTES, TYPE_BYTES, put_message_start};
use proletariat_protocol::limits::FRAGMENT_BYTES;
use std::collections::{BTreeMap, VecDeque};
use std::hint::cold_path;
use std::io::IoSlice;

/// With so many messages in fragments waiting there is no room for more messages: what must not pass one of them should
/// not wait for long, and a small message is rarely behind so many.
pub const LARGE_MAX: usize = 4;

/// Which messages in fragments a message may pass. Messages of one frame never pass each other unless one of them waits
/// for a message in fragments, and those are sent in the order in which they were pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// All of them.
    Free,
    /// Those that were not pushed with the same key (an assignment's or a job's id).
    Keyed(u64),
    /// None.
    Barrier,
}

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct Outbox {
    lane: Lane,
    /// Bytes of the lane up to the end of the fragment in it; 0 when there is none.
    fragment_left: usize,
    bulk: VecDeque<Bulk>,
    bulk_bytes: usize,
    /// The number of the first of `bulk`, counted from the beginning.
    bulk_first: u64,
    /// The last of `bulk` for each key.
    bulk_of_key: BTreeMap<u64, u64>,
}

/// A message in fragments.
#[derive(Debug)]
struct Bulk {
    key: Option<u64>,
    begun: bool,
    body: Lane,
    /// Messages that must not pass this one.
    after: Lane,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues a message with its payloads, which are exactly those that its head states.
    ///
    /// There is no bound here: its owner looks at [`bytes`](Self::bytes) and stops pushing.
    ///
    /// # Panics
    /// When the payloads are not as long as the head states, or the head is over
    /// [`HEAD_BYTES_MAX`](proletariat_protocol::limits::HEAD_BYTES_MAX): the receiver would give up the connection.
    pub fn push<M: WireMessage>(&mut self, message: &M, payloads: &[Payload], order: Order) {
        let follows = self.follows(order);
        let lane = match follows {
            Some(bulk) => &mut self.bulk[bulk].after,
            None => &mut self.lane,
        };
        let before = lane.bytes();
        let large = lane.append(|out| put_message(out, message, payloads));
        if let Some(head) = large {
            return self.push_bulk(&head, payloads, order);
        }
        for payload in payloads {
            lane.append_payload(payload);
        }
        if follows.is_some() {
            self.bulk_bytes += lane.bytes() - before;
        }
    }

    /// Queues a message that has been put together already; it passes messages in fragments.
    pub fn push_batch(&mut self, batch: &mut Batch) {
        let (head, tail) = batch.frame();
        self.lane.append(|out| {
            out.reserve(head.len() + tail.len());
            out.extend_from_slice(head);
            out.extend_from_slice(tail);
        });
    }

    /// Queues bytes as they are, for a dialect that frames by itself. Not to be mixed with messages.
    pub fn append(&mut self, bytes: &[u8]) {
        self.lane.append(|out| out.extend_from_slice(bytes));
    }

    /// Queues a payload as it is, within such bytes.
    pub fn append_payload(&mut self, payload: &Payload) {
        self.lane.append_payload(payload);
    }

    /// Bytes that wait, those of large messages included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lane.bytes() + self.bulk_bytes
    }

    /// Bytes that may still be pushed until as many small ones wait as `mark` says; 0 also while [`LARGE_MAX`] large messages
    /// wait. A large one does not count: small ones pass it, and so must whoever has some to push.
    #[must_use]
    pub fn room(&self, mark: usize) -> usize {
        if self.bulk.len() < LARGE_MAX { mark.saturating_sub(self.lane.bytes()) } else { 0 }
    }

    /// How many of those are left of the large message whose turn it is, the fragment in the lane apart: most messages pass them.
    #[must_use]
    pub fn passable_bytes(&self) -> usize {
        self.bulk.front().map_or(0, |bulk| bulk.body.bytes())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Whether messages in fragments wait, which other messages may have to follow.
    #[must_use]
    pub fn has_large(&self) -> bool {
        !self.bulk.is_empty()
    }

    /// Fills `slices` with what is to be written next, in order; tells how many there are, 0 only when nothing waits.
    /// Mostly it is one. What has been written is to be told to [`advance`](Self::advance); the rest comes again.
    #[must_use]
    #[inline]
    pub fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        if self.fragment_left == 0 {
            self.next_fragment();
        }
        self.lane.slices(slices)
    }

    /// So many bytes have been written.
    ///
    /// # Panics
    /// When they are more than waited.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        self.lane.advance(bytes);
        self.fragment_left = self.fragment_left.saturating_sub(bytes);
    }

    /// The place in the bulk queue of the message that one of this order has to follow.
    fn follows(&self, order: Order) -> Option<usize> {
        if self.bulk.is_empty() {
            return None;
        }
        match order {
            Order::Free => None,
            Order::Barrier => Some(self.bulk.len() - 1),
            Order::Keyed(key) => {
                let number = self.bulk_of_key.get(&key)?;
                usize::try_from(number - self.bulk_first).ok()
            }
        }
    }

    fn push_bulk(&mut self, head: &[u8], payloads: &[Payload], order: Order) {
        let key = match order {
            Order::Keyed(key) => Some(key),
            Order::Free | Order::Barrier => None,
        };
        if let Some(key) = key {
            self.bulk_of_key.insert(key, self.bulk_first + self.bulk.len() as u64);
        }
        let mut body = Lane::default();
        body.append(|out| out.extend_from_slice(head));
        for payload in payloads {
            body.append_payload(payload);
        }
        self.bulk_bytes += body.bytes();
        self.bulk.push_back(Bulk { key, begun: false, body, after: Lane::default() });
    }

    /// Puts the next fragment at the end of the lane.
    fn next_fragment(&mut self) {
        let Some(bulk) = self.bulk.front_mut() else { return };
        cold_path();
        // They are sent one after the other, so the number tells them apart for people only.
        let stream = u32::try_from(self.bulk_first & u64::from(u32::MAX)).unwrap_or_default();
        if !bulk.begun {
            bulk.begun = true;
            let total = bulk.body.bytes() as u64;
            self.lane.append(|out| put_begin(out, stream, total));
        }
        let data_bytes = bulk.body.bytes().min(FRAGMENT_BYTES);
        self.lane.append(|out| put_data_start(out, stream, data_bytes));
        bulk.body.move_to(&mut self.lane, data_bytes);
        self.bulk_bytes -= data_bytes;
        self.fragment_left = self.lane.bytes();
        if bulk.body.bytes() == 0 {
            self.finish_bulk();
        }
    }

    /// The first message of the bulk queue is in the lane; so is, now, what had to follow it.
    fn finish_bulk(&mut self) {
        let Some(mut bulk) = self.bulk.pop_front() else {
            return;
        };
        self.bulk_bytes -= bulk.after.bytes();
        bulk.after.move_to(&mut self.lane, bulk.after.bytes());
        if let Some(key) = bulk.key
            && self.bulk_of_key.get(&key) == Some(&self.bulk_first)
        {
            self.bulk_of_key.remove(&key);
        }
        self.bulk_first += 1;
    }
}

/// Appends the frame of a message up to its payloads; or, where the message is too large for one frame, appends nothing
/// and hands out its head.
fn put_message<M: WireMessage>(out: &mut BytesMut, message: &M, payloads: &[Payload]) -> Option<BytesMut> {
    let begin = out.len();
    let body_bytes = put_message_start(out, message);
    let head_bytes = (out.len() - begin - LENGTH_BYTES - TYPE_BYTES) as u64;
    let tail_bytes: u64 = payloads.iter().map(|payload| payload.len() as u64).sum();
    assert_eq!(body_bytes, head_bytes + tail_bytes, "the head states other payloads than there are");
    if body_bytes <= FRAGMENT_BYTES as u64 {
        return None;
    }
    let mut head = BytesMut::from(&out[begin..]);
    head.advance(LENGTH_BYTES + TYPE_BYTES);
    out.truncate(begin);
    Some(head)
}

#[cfg(test)]
mod tests;
