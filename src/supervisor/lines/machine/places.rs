//! Which lines wait, in their order, and which child has each of the others.
//!
//! A worker that loses its manager cancels all of its lines, and these may be tens of thousands: so each is found by its number, and
//! not searched for. One that is cancelled while it waits stays in the row and is void. It is passed over when its turn comes; and when more than half
//! of the row is void, the row is swept.

use super::LineId;
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Where a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Waiting,
    /// A child has it, and was given so many bytes before it.
    Given {
        child: usize,
        offset: u64,
    },
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Places {
    row: VecDeque<(LineId, Bytes)>,
    /// Of each line that is not over. What is in the row and not in here is void.
    at: HashMap<LineId, Place, foldhash::fast::FixedState>,
    void: usize,
}

impl Places {
    /// A new line waits behind all others.
    pub(super) fn add(&mut self, id: LineId, text: Bytes) {
        let before = self.at.insert(id, Place::Waiting);
        assert!(before.is_none(), "{id:?} is in use");
        self.row.push_back((id, text));
    }

    /// A line that its child did not do waits before all others.
    pub(super) fn put_back(&mut self, id: LineId, text: Bytes) {
        self.at.insert(id, Place::Waiting);
        self.row.push_front((id, text));
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.row.len() > self.void
    }

    /// Takes the first of those that wait, for a child that is [told of](Self::give) next.
    pub(super) fn take_first(&mut self) -> Option<(LineId, Bytes)> {
        loop {
            let (id, text) = self.row.pop_front()?;
            if self.void == 0 || self.at.contains_key(&id) {
                self.sweep();
                return Some((id, text));
            }
            self.void -= 1;
        }
    }

    /// A child has it now, and was given so many bytes before it.
    pub(super) fn give(&mut self, id: LineId, child: usize, offset: u64) {
        self.at.insert(id, Place::Given { child, offset });
    }

    /// `None`: it is over.
    pub(super) fn find(&self, id: LineId) -> Option<Place> {
        self.at.get(&id).copied()
    }

    /// It is over with a line that waited.
    pub(super) fn strike(&mut self, id: LineId) {
        self.at.remove(&id);
        self.void += 1;
        self.sweep();
    }

    /// It is over with a line that a child had.
    pub(super) fn forget(&mut self, id: LineId) {
        self.at.remove(&id);
    }

    /// It is over with all that wait: these.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = LineId> {
        self.void = 0;
        let Self { row, at, .. } = self;
        row.drain(..).filter_map(move |(id, _)| at.remove(&id).map(|_| id))
    }

    /// A sweep looks at less than twice as many lines as have become void since the last one.
    fn sweep(&mut self) {
        if self.void * 2 > self.row.len() {
            self.row.retain(|(id, _)| self.at.contains_key(id));
            self.void = 0;
        }
    }

    /// Panics if it disagrees with itself, or with how many lines the children have.
    pub(super) fn audit(&self, given: usize) {
        let waiting = self.row.iter().filter(|(id, _)| self.find(*id) == Some(Place::Waiting)).count();
        assert_eq!(waiting + self.void, self.row.len(), "a void place in the row that nobody knows of");
        assert_eq!(waiting + given, self.at.len(), "a line is nowhere");
        assert!(self.void * 2 <= self.row.len(), "the row was not swept");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_waits_for_long_keeps_no_void_ones() {
        let mut places = Places::default();
        places.add(LineId(0), "first".into());
        for id in 1..1_000 {
            places.add(LineId(id), "unwanted".into());
            places.strike(LineId(id));
            places.audit(0);
            assert!(places.row.len() <= 3, "{} places for one line", places.row.len());
        }
        assert_eq!(places.take_first(), Some((LineId(0), "first".into())));
        assert!(!places.has_waiting());
        assert!(places.row.is_empty(), "what is void is gone with the last one that waits");
        places.give(LineId(0), 7, 3);
        assert_eq!(places.find(LineId(0)), Some(Place::Given { child: 7, offset: 3 }));
        places.audit(1);
        places.put_back(LineId(0), "first".into());
        places.add(LineId(1_000), "last".into());
        assert_eq!(places.drain().collect::<Vec<_>>(), [LineId(0), LineId(1_000)]);
        places.audit(0);
    }
}
