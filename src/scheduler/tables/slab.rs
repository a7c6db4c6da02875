//! Rows that keep their key while they live, in chunks that are given back when they are empty.
//!
//! One growing vector would copy millions of rows at each doubling and never shrink. Chunks of this size are
//! large enough for the allocator to return them to the system at once (measured: chunks of 64 KiB are kept,
//! those of 512 KiB are not).

use alloc::vec::Vec;
use core::marker::PhantomData;
use prefetch_index::prefetch_index;
use proletariat_protocol::hint::unlikely;

const CHUNK_ROWS: usize = 8_192;

/// What tells the rows of a table apart.
pub(crate) trait Key: Copy {
    fn from_index(index: u32) -> Self;
    fn index(self) -> u32;
}

#[derive(Debug)]
struct Chunk<T> {
    rows: Vec<Option<T>>,
    free: Vec<u16>,
    live: usize,
    /// Whether the chunk is in the list of those with room.
    listed: bool,
}

impl<T> Chunk<T> {
    const fn new() -> Self {
        Self { rows: Vec::new(), free: Vec::new(), live: 0, listed: false }
    }
}

/// A table of `T`, addressed by `K`.
#[derive(Debug)]
pub(crate) struct Slab<K, T> {
    chunks: Vec<Chunk<T>>,
    with_room: Vec<u32>,
    live: usize,
    key: PhantomData<K>,
}

impl<K: Key, T> Slab<K, T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), with_room: Vec::new(), live: 0, key: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.live
    }

    #[inline]
    pub(crate) fn insert(&mut self, row: T) -> K {
        self.insert_with(|_| row)
    }

    /// Inserts a row that knows its key.
    #[inline(always)]
    pub(crate) fn insert_with(&mut self, row: impl FnOnce(K) -> T) -> K {
        let at = self.chunk_with_room();
        let chunk = &mut self.chunks[at];
        let place = chunk.free.pop().map_or(chunk.rows.len(), usize::from);
        let index = u32::try_from(at * CHUNK_ROWS + place).expect("bounded by the number of queued jobs");
        let key = K::from_index(index);
        let row = Some(row(key));
        if place == chunk.rows.len() {
            chunk.rows.push(row)
        } else {
            chunk.rows[place] = row
        }
        chunk.live += 1;
        self.live += 1;
        if unlikely(chunk.live == CHUNK_ROWS) {
            chunk.listed = false;
            self.with_room.pop();
        }
        key
    }

    #[inline]
    fn chunk_with_room(&mut self) -> usize {
        match self.with_room.last() {
            Some(&at) => at as usize,
            None => self.new_chunk(),
        }
    }

    #[cold]
    fn new_chunk(&mut self) -> usize {
        let at = self.chunks.len();
        self.chunks.push(Chunk { listed: true, ..Chunk::new() });
        self.with_room.push(u32::try_from(at).expect("fewer chunks than rows"));
        at
    }

    /// A row that may be there comes near to the processor, and nobody waits for it.
    #[inline]
    pub(crate) fn prefetch(&self, key: K) {
        let index = key.index() as usize;
        if let Some(chunk) = self.chunks.get(index / CHUNK_ROWS) {
            // It may lie in two lines of the cache.
            prefetch_index(&chunk.rows, index % CHUNK_ROWS);
            prefetch_index(&chunk.rows, index % CHUNK_ROWS + 1);
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let index = key.index() as usize;
        self.chunks.get(index / CHUNK_ROWS)?.rows.get(index % CHUNK_ROWS)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let index = key.index() as usize;
        self.chunks.get_mut(index / CHUNK_ROWS)?.rows.get_mut(index % CHUNK_ROWS)?.as_mut()
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        let index = key.index() as usize;
        let chunk = self.chunks.get_mut(index / CHUNK_ROWS)?;
        let row = chunk.rows.get_mut(index % CHUNK_ROWS)?.take()?;
        self.vacated(index);
        Some(row)
    }

    /// Removes a row that is there, of which only parts are needed: the whole is not moved from hand to hand.
    #[inline(always)]
    pub(crate) fn take_apart<R>(&mut self, key: K, parts: impl FnOnce(T) -> R) -> R {
        let index = key.index() as usize;
        let place = &mut self.chunks[index / CHUNK_ROWS].rows[index % CHUNK_ROWS];
        let parts = parts(place.take().expect("a key lives as long as its row"));
        self.vacated(index);
        parts
    }

    /// A row has gone from its place.
    #[inline(always)]
    fn vacated(&mut self, index: usize) {
        let at = index / CHUNK_ROWS;
        let chunk = &mut self.chunks[at];
        chunk.live -= 1;
        self.live -= 1;
        if unlikely((chunk.live == 0) & (at > 0)) {
            chunk.rows = Vec::new();
            chunk.free = Vec::new();
        } else {
            chunk.free.push(u16::try_from(index % CHUNK_ROWS).expect("below the size of a chunk"));
        }
        if unlikely(!chunk.listed) {
            chunk.listed = true;
            self.with_room.push(u32::try_from(at).expect("fewer chunks than rows"));
        }
    }

    /// An empty table holds nothing: what it keeps for its next row lies among what a crowd has left, and keeps that from going.
    pub(crate) fn shrink(&mut self) {
        if self.live == 0 {
            *self = Self::new();
        }
    }

    /// No row has a key with this index, or a higher one.
    pub(crate) fn end(&self) -> u32 {
        let rows =
            self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK_ROWS + last.rows.len());
        u32::try_from(rows).expect("checked when they were inserted")
    }

    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flat_map(|chunk| chunk.rows.iter_mut().flatten())
    }

    /// All rows, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.chunks.iter().enumerate().flat_map(|(at, chunk)| {
            chunk.rows.iter().enumerate().filter_map(move |(place, row)| {
                let index = u32::try_from(at * CHUNK_ROWS + place).expect("checked when it was inserted");
                row.as_ref().map(|row| (K::from_index(index), row))
            })
        })
    }
}

impl<K: Key, T> core::ops::Index<K> for Slab<K, T> {
    type Output = T;

    fn index(&self, key: K) -> &T {
        self.get(key).expect("a key lives as long as its row")
    }
}

impl<K: Key, T> core::ops::IndexMut<K> for Slab<K, T> {
    fn index_mut(&mut self, key: K) -> &mut T {
        self.get_mut(key).expect("a key lives as long as its row")
    }
}

#[cfg(test)]
mod tests {
    use super::super::JobKey;
    use super::*;

    #[test]
    fn rows_keep_their_keys_and_places_are_used_again() {
        let mut slab: Slab<JobKey, u64> = Slab::new();
        let keys: Vec<JobKey> = (0..20_000).map(|n| slab.insert(n)).collect();
        for (n, key) in keys.iter().enumerate().filter(|(n, _)| n % 3 == 0) {
            assert_eq!(slab.remove(*key), Some(n as u64));
            assert_eq!(slab.remove(*key), None);
        }
        let live = slab.len();
        let again = slab.insert(7);
        assert!(keys.contains(&again), "a free place is used before the table grows");
        assert_eq!(slab.len(), live + 1);
        assert_eq!(slab.iter().count(), slab.len());
    }

    #[test]
    fn an_empty_chunk_is_given_back_and_can_be_filled_again() {
        let mut slab: Slab<JobKey, u64> = Slab::new();
        for round in 0..3 {
            let keys: Vec<JobKey> = (0..30_000).map(|n| slab.insert(n + round)).collect();
            for key in keys {
                slab.remove(key);
            }
            assert_eq!(slab.len(), 0);
            assert!(slab.chunks.iter().skip(1).all(|chunk| chunk.rows.capacity() == 0));
        }
        assert_eq!(slab.chunks.len(), 30_000_usize.div_ceil(CHUNK_ROWS));
        let last = slab.insert(1);
        slab.shrink();
        assert_eq!(slab[last], 1, "only an empty table is shrunk");
        slab.remove(last);
        slab.shrink();
        assert_eq!((slab.chunks.capacity(), slab.with_room.capacity()), (0, 0));
        assert_eq!(slab.insert(2).index(), 0);
    }
}
