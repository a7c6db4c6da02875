//! The payloads of executions, while they wait and run.
//!
//! A small one is copied into a chunk of places of its size, one after the other and without a header: a job of 64 bytes costs 64
//! bytes, no allocation and no count of references. A large one keeps the buffer that it came in, as long as that is not much
//! larger than itself.

use super::{LargeKey, Slab};
use crate::received::Payloads;
use alloc::vec::Vec;
use prefetch_index::prefetch_index;
use proletariat_protocol::Payload;
use proletariat_protocol::hint::unlikely;

/// Payloads up to this size are copied, in bytes.
const SMALL_BYTES_MAX: usize = 1_024;
/// Bytes of a chunk. Chunks of this size go back to the system when they are freed, smaller ones are kept by the allocator.
const CHUNK_BYTES: usize = 512 * 1024;
/// The sizes of places: in steps of 16 bytes first, then of an eighth or so of the size.
const PLACE_BYTES: [usize; 22] = [
    16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 192, 224, 256, 320, 384, 448, 512, 608, 704, 800, 896, 1_024,
];
/// The place of a payload is the number of its chunk and, in so many bits, the one within it: a chunk has 32,768 places at most.
const PLACE_BITS: u32 = 15;

/// Where a payload is. It is given back once, so it is neither `Clone` nor `Copy`.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Stored {
    bytes: u32,
    place: u32,
}

impl Stored {
    /// Its length, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes as usize
    }

    /// Its length and its place, for whoever wants to look at it while it is here.
    pub(crate) fn whereabouts(&self) -> (u32, u32) {
        (self.bytes, self.place)
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct PayloadStore {
    small: [Places; PLACE_BYTES.len()],
    large: Slab<LargeKey, Payload>,
    /// Bytes of all of them.
    bytes: u64,
}

/// Places of one size.
#[derive(Debug)]
struct Places {
    bytes: usize,
    /// Places of a chunk.
    most: usize,
    chunks: Vec<Chunk>,
    with_room: Vec<u32>,
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Vec<u8>,
    free: Vec<u16>,
    live: usize,
    /// Whether the chunk is in the list of those with room.
    listed: bool,
}

fn class_of(bytes: usize) -> usize {
    if bytes <= 160 {
        bytes.div_ceil(16).max(1) - 1
    } else {
        PLACE_BYTES.partition_point(|place| *place < bytes)
    }
}

fn chunk_and_place(place: u32) -> (usize, usize) {
    ((place >> PLACE_BITS) as usize, (place & ((1 << PLACE_BITS) - 1)) as usize)
}

impl PayloadStore {
    pub(crate) fn new() -> Self {
        let places =
            |bytes| Places { bytes, most: CHUNK_BYTES / bytes, chunks: Vec::new(), with_room: Vec::new() };
        Self { small: PLACE_BYTES.map(places), large: Slab::new(), bytes: 0 }
    }

    /// Keeps a payload, which is one of these.
    #[inline]
    pub(crate) fn store(&mut self, payload: &[u8], of: &Payloads<'_>) -> Stored {
        let bytes = u32::try_from(payload.len()).expect("payloads are below 4 GiB");
        self.bytes += u64::from(bytes);
        let place = match payload.len() {
            0 => 0,
            1..=SMALL_BYTES_MAX => self.small[class_of(payload.len())].insert(payload),
            // Who keeps a part of a buffer keeps all of it.
            large if 2 * large >= of.bytes() => self.large.insert(of.slice(payload)).0,
            _ => self.large.insert(Payload::copy_from_slice(payload)).0,
        };
        Stored { bytes, place }
    }

    /// The payload that is so long, and in this place.
    #[inline]
    pub(crate) fn bytes_at(&self, bytes: u32, place: u32) -> &[u8] {
        match bytes as usize {
            0 => &[],
            small @ 1..=SMALL_BYTES_MAX => self.small[class_of(small)].get(place, small),
            _ => &self.large[LargeKey(place)],
        }
    }

    /// A small payload that is so long, and in this place, comes near to the processor, and nobody waits for it.
    #[inline]
    pub(crate) fn prefetch(&self, bytes: u32, place: u32) {
        if let small @ 1..=SMALL_BYTES_MAX = bytes as usize {
            let payload = self.small[class_of(small)].get(place, small);
            // What lies between comes by itself when it is read.
            prefetch_index(payload, 0);
            prefetch_index(payload, small - 1);
        }
    }

    /// The same with a buffer of its own: a large one shares that in which it is kept.
    pub(crate) fn payload_at(&self, bytes: u32, place: u32) -> Payload {
        match bytes as usize {
            0..=SMALL_BYTES_MAX => Payload::copy_from_slice(self.bytes_at(bytes, place)),
            _ => self.large[LargeKey(place)].clone(),
        }
    }

    /// Nobody needs it any more.
    #[allow(clippy::needless_pass_by_value, reason = "it ends here")]
    #[inline]
    pub(crate) fn discard(&mut self, stored: Stored) {
        self.bytes -= u64::from(stored.bytes);
        match stored.len() {
            0 => {}
            small @ 1..=SMALL_BYTES_MAX => self.small[class_of(small)].remove(stored.place),
            _ => {
                self.large.remove(LargeKey(stored.place)).expect("a payload is discarded once");
            }
        }
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many there are, empty ones apart: for the audit.
    pub(crate) fn len(&self) -> usize {
        let small = self.small.iter().flat_map(|places| &places.chunks).map(|chunk| chunk.live);
        small.sum::<usize>() + self.large.len()
    }

    /// Gives back what was only needed for a crowd.
    pub(crate) fn shrink(&mut self) {
        self.large.shrink();
        for places in &mut self.small {
            if places.chunks.iter().all(|chunk| chunk.live == 0) {
                places.chunks = Vec::new();
                places.with_room = Vec::new();
            }
        }
    }
}

impl Places {
    fn insert(&mut self, payload: &[u8]) -> u32 {
        let at = self.chunk_with_room();
        let size = self.bytes;
        let chunk = &mut self.chunks[at];
        let place = match chunk.free.pop() {
            Some(place) => usize::from(place),
            None => {
                let place = chunk.bytes.len() / size;
                chunk.bytes.resize((place + 1) * size, 0);
                place
            }
        };
        chunk.bytes[place * size..][..payload.len()].copy_from_slice(payload);
        chunk.live += 1;
        if unlikely(chunk.live == self.most) {
            chunk.listed = false;
            self.with_room.pop();
        }
        u32::try_from(at << PLACE_BITS | place).expect("131,072 chunks are 64 GiB")
    }

    fn chunk_with_room(&mut self) -> usize {
        if let Some(&at) = self.with_room.last() {
            return at as usize;
        }
        let at = self.chunks.len();
        self.chunks.push(Chunk { listed: true, ..Chunk::default() });
        self.with_room.push(u32::try_from(at).expect("fewer chunks than places"));
        at
    }

    fn get(&self, place: u32, bytes: usize) -> &[u8] {
        let (at, place) = chunk_and_place(place);
        &self.chunks[at].bytes[place * self.bytes..][..bytes]
    }

    fn remove(&mut self, place: u32) {
        let (at, place) = chunk_and_place(place);
        let chunk = &mut self.chunks[at];
        chunk.live -= 1;
        if unlikely((chunk.live == 0) & (at > 0)) {
            chunk.bytes = Vec::new();
            chunk.free = Vec::new();
        } else {
            chunk.free.push(u16::try_from(place).expect("a number of 15 bits"));
        }
        if unlikely(!chunk.listed) {
            chunk.listed = true;
            self.with_room.push(u32::try_from(at).expect("fewer chunks than places"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store(payloads: &mut PayloadStore, bytes: &[u8]) -> Stored {
        let whole: Payloads<'_> = core::iter::once(Payload::copy_from_slice(bytes)).collect();
        let stored = whole.iter().map(|payload| payloads.store(payload, &whole)).next();
        stored.expect("there is one")
    }

    fn payload(payloads: &PayloadStore, stored: &Stored) -> Payload {
        let (bytes, place) = stored.whereabouts();
        let payload = payloads.payload_at(bytes, place);
        assert_eq!(payload, payloads.bytes_at(bytes, place));
        payload
    }

    #[test]
    fn a_place_is_as_large_as_its_payload_or_a_little_larger() {
        for bytes in 1..=SMALL_BYTES_MAX {
            let place = PLACE_BYTES[class_of(bytes)];
            assert!(place >= bytes && place - bytes < 16.max(bytes / 4), "{bytes} bytes in {place}");
        }
    }

    #[test]
    fn chunks_that_are_empty_are_given_back() {
        let mut payloads = PayloadStore::new();
        let many: Vec<Stored> = (0..50_000).map(|_| store(&mut payloads, &[7; 64])).collect();
        many.into_iter().for_each(|stored| payloads.discard(stored));
        assert!(payloads.small[3].chunks.iter().skip(1).all(|chunk| chunk.bytes.capacity() == 0));
        payloads.shrink();
        assert!(payloads.small[3].chunks.is_empty());
        let stored = store(&mut payloads, b"again");
        assert_eq!(payload(&payloads, &stored), &b"again"[..]);
    }

    #[test]
    fn a_large_payload_keeps_its_buffer_unless_that_is_much_larger() {
        let mut payloads = PayloadStore::new();
        let two: Payloads<'_> = [vec_of(2_000), vec_of(90_000)].into_iter().collect();
        let addresses: Vec<*const u8> = two.iter().map(<[u8]>::as_ptr).collect();
        let stored: Vec<Stored> = two.iter().map(|payload| payloads.store(payload, &two)).collect();
        let out: Vec<Payload> = stored.iter().map(|stored| payload(&payloads, stored)).collect();
        assert_ne!(out[0].as_ptr(), addresses[0], "it would keep 90,000 bytes alive");
        assert_eq!(out[1].as_ptr(), addresses[1]);
    }

    fn vec_of(bytes: usize) -> Payload {
        Payload::from(alloc::vec![1; bytes])
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(sizes in proptest::collection::vec((0_usize..1_500, any::<bool>()), 1..300)) {
            let mut payloads = PayloadStore::new();
            let mut kept: Vec<(Stored, Vec<u8>)> = Vec::new();
            for (n, (size, leaves)) in sizes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..size).map(|at| (at * 31 + n) as u8).collect();
                kept.push((store(&mut payloads, &bytes), bytes));
                if leaves {
                    let (stored, bytes) = kept.swap_remove(n * 7 % kept.len());
                    prop_assert_eq!(payload(&payloads, &stored), &bytes[..]);
                    payloads.discard(stored);
                }
                for (stored, bytes) in &kept {
                    prop_assert_eq!(payload(&payloads, stored), &bytes[..]);
                }
            }
            prop_assert_eq!(payloads.len(), kept.iter().filter(|(_, bytes)| !bytes.is_empty()).count());
        }
    }
}
