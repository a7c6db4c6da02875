//! Waiting lines: one for each owner, kind and priority, first come first served.
//!
//! An execution that comes new goes to the end; one that comes back goes to its old place. Leaving from the middle only makes an
//! entry void (its ticket no longer fits); void entries drop off the front, and a line that is mostly void is
//! sifted. The owner is part of the key so that all lines of a client can be taken out of the dispatch,
//! however much is in them.

use super::kind_set::KindSet;
use super::pool::Head;
use crate::tables::{ExecutionKey, FifoKey, KindKey, NO_KIND, PeerKey, Slab};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::hint::cold_path;
use core::ops::Bound;
use proletariat_protocol::hint::{likely, unlikely};

/// A line with fewer void entries is not worth sifting.
const SIFT_MIN: u32 = 64;
/// An empty line keeps room for so many.
const KEEP_ENTRIES: usize = 4_096;
/// One among many empty lines keeps room for so many.
const KEEP_FEW: usize = 16;
/// So many empty lines are few.
const FEW_IDLE: usize = 64;
/// Empty lines that are kept for their next execution: with thousands of kinds by turns each has one job at a time.
const IDLE_LINES_MAX: usize = 4_096;

/// Which line. The owner is [`PeerKey::NONE`] for shared executions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LineKey {
    pub(crate) owner: PeerKey,
    pub(crate) kind: KindKey,
    pub(crate) priority: u32,
}

/// A place in a line; void unless the execution still has this ticket.
pub(crate) type Entry = (ExecutionKey, u32);

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) key: LineKey,
    fresh: VecDeque<Entry>,
    returned: BTreeMap<u64, Entry>,
    /// Entries that are not void.
    pub(crate) live: u32,
    void: u32,
    /// The sequence under which the pools know this line.
    pub(crate) head: Option<u64>,
    /// Not dispatched: its owner is gone or reads too slowly.
    pub(crate) detached: bool,
}

impl Line {
    /// Only void entries are left, if any: they go. It becomes one of so many empty lines.
    fn clear(&mut self, idle: usize) {
        if unlikely(self.void > 0) {
            self.fresh.clear();
            self.returned.clear();
            self.void = 0;
        }
        if unlikely(self.fresh.capacity() > if idle > FEW_IDLE { KEEP_FEW } else { KEEP_ENTRIES }) {
            self.fresh = VecDeque::new();
        }
    }
}

/// Lines that are found again without a search: those of a client that uses a few priorities by turns.
const RECENT_LINES: usize = 16;

/// How far the lines have been looked through for a pool: those before it have, by kind where that takes a few.
pub(crate) type Shown = (KindKey, FifoKey);

/// All lines.
#[derive(Debug)]
pub(crate) struct Lines {
    rows: Slab<FifoKey, Line>,
    by_key: BTreeMap<LineKey, FifoKey>,
    /// Those of kinds that have names: whoever takes only a few need not look at all lines.
    by_kind: BTreeSet<(KindKey, FifoKey)>,
    /// Each has one place where it may be.
    recent: [Option<(LineKey, FifoKey)>; RECENT_LINES],
    idle: usize,
}

impl Lines {
    pub(crate) const fn new() -> Self {
        let recent = [None; RECENT_LINES];
        Self { rows: Slab::new(), by_key: BTreeMap::new(), by_kind: BTreeSet::new(), recent, idle: 0 }
    }

    /// How many lines there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The line of a key, if there is one.
    pub(crate) fn find(&mut self, key: LineKey) -> Option<FifoKey> {
        match self.recent(key) {
            &mut Some((recent, line)) if recent == key => Some(line),
            _ => {
                let line = *self.by_key.get(&key)?;
                *self.recent(key) = Some((key, line));
                Some(line)
            }
        }
    }

    /// Where a line is noted when it was used of late.
    fn recent(&mut self, key: LineKey) -> &mut Option<(LineKey, FifoKey)> {
        let LineKey { owner, kind, priority } = key;
        &mut self.recent[(owner.0 ^ kind.0 ^ priority) as usize % RECENT_LINES]
    }

    /// A line for a key that has none.
    pub(crate) fn open(&mut self, key: LineKey, detached: bool) -> FifoKey {
        let line = self.rows.insert(Line {
            key,
            fresh: VecDeque::new(),
            returned: BTreeMap::new(),
            live: 0,
            void: 0,
            head: None,
            detached,
        });
        self.by_key.insert(key, line);
        if key.kind != NO_KIND {
            self.by_kind.insert((key.kind, line));
        }
        *self.recent(key) = Some((key, line));
        self.idle += 1;
        line
    }

    pub(crate) fn line(&self, line: FifoKey) -> &Line {
        &self.rows[line]
    }

    pub(crate) fn line_mut(&mut self, line: FifoKey) -> &mut Line {
        &mut self.rows[line]
    }

    /// New executions, at the end.
    pub(crate) fn extend(&mut self, line: FifoKey, append: impl FnOnce(&mut VecDeque<Entry>)) {
        let row = &mut self.rows[line];
        let before = row.fresh.len();
        append(&mut row.fresh);
        let more = u32::try_from(row.fresh.len() - before).expect("the jobs of one message");
        self.idle -= usize::from(row.live == 0 && more > 0);
        row.live += more;
    }

    /// An execution at its place in the order.
    pub(crate) fn put_back(&mut self, line: FifoKey, sequence: u64, entry: Entry) {
        let row = &mut self.rows[line];
        if row.returned.insert(sequence, entry).is_some() {
            row.void -= 1;
        }
        self.idle -= usize::from(row.live == 0);
        row.live += 1;
    }

    /// An entry became void.
    pub(crate) fn voided(&mut self, line: FifoKey, stands: impl Fn(Entry) -> Option<u64>) {
        let row = &mut self.rows[line];
        row.live -= 1;
        row.void += 1;
        if row.live == 0 {
            self.idle += 1;
            row.clear(self.idle);
        } else if row.void > SIFT_MIN.max(row.live) {
            row.fresh.retain(|entry| stands(*entry).is_some());
            row.fresh.shrink_to(2 * row.fresh.len());
            row.returned.retain(|_, entry| stands(*entry).is_some());
            row.void = 0;
        }
    }

    /// The first execution of a line and its sequence; void entries before it are dropped.
    pub(crate) fn first(
        &mut self,
        line: FifoKey,
        stands: impl Fn(Entry) -> Option<u64>,
    ) -> Option<(u64, ExecutionKey)> {
        let row = &mut self.rows[line];
        let fresh = loop {
            let Some(&entry) = row.fresh.front() else {
                break None;
            };
            if let Some(sequence) = stands(entry) {
                break Some((sequence, entry.0));
            }
            cold_path();
            row.fresh.pop_front();
            row.void -= 1;
        };
        let returned = loop {
            let Some((&sequence, &entry)) = row.returned.first_key_value() else {
                break None;
            };
            cold_path();
            if stands(entry).is_some() {
                break Some((sequence, entry.0));
            }
            row.returned.pop_first();
            row.void -= 1;
        };
        match (fresh, returned) {
            (Some(fresh), Some(returned)) => Some(fresh.min(returned)),
            (one, other) => one.or(other),
        }
    }

    /// The ticket of the first of those that came new to a line.
    pub(crate) fn first_ticket(&self, line: FifoKey) -> Option<u32> {
        self.rows[line].fresh.front().map(|(_, ticket)| *ticket)
    }

    /// The executions that came new to a line, in order; void entries name some that have left it.
    pub(crate) fn coming(&self, line: FifoKey) -> impl Iterator<Item = ExecutionKey> {
        self.rows[line].fresh.iter().map(|(execution, _)| *execution)
    }

    /// Takes out the first execution, which must be this one.
    pub(crate) fn pop(&mut self, line: FifoKey, sequence: u64, execution: ExecutionKey) {
        let row = &mut self.rows[line];
        if row.fresh.front().is_some_and(|entry| entry.0 == execution) {
            row.fresh.pop_front();
        } else {
            let entry = row.returned.remove(&sequence);
            assert!(
                entry.is_some_and(|entry| entry.0 == execution),
                "the first of a line is at one of two places"
            );
        }
        row.live -= 1;
        if row.live == 0 {
            self.idle += 1;
            row.clear(self.idle);
        }
    }

    /// Takes out the first executions, so many at most and each as long as it `goes`; void entries before them are dropped.
    pub(crate) fn take(
        &mut self,
        line: FifoKey,
        most: usize,
        stands: impl Fn(Entry) -> Option<u64>,
        mut goes: impl FnMut(u64, ExecutionKey) -> bool,
        taken: &mut Vec<ExecutionKey>,
    ) {
        while taken.len() < most {
            if unlikely(!self.rows[line].returned.is_empty()) {
                // Some have come back to their places: which is first is found one by one.
                let Some((sequence, execution)) = self.first(line, &stands) else { return };
                if !goes(sequence, execution) {
                    return;
                }
                self.pop(line, sequence, execution);
                taken.push(execution);
                continue;
            }
            let row = &mut self.rows[line];
            let before = taken.len();
            while taken.len() < most
                && let Some(&entry) = row.fresh.front()
            {
                match stands(entry) {
                    Some(sequence) if !goes(sequence, entry.0) => break,
                    Some(_) => taken.push(entry.0),
                    None => row.void -= 1,
                }
                row.fresh.pop_front();
            }
            let gone = u32::try_from(taken.len() - before).expect("no more than there were");
            row.live -= gone;
            if gone > 0 && row.live == 0 {
                self.idle += 1;
                row.clear(self.idle);
            }
            return;
        }
    }

    /// Forgets a line if it is empty and there are many such; tells its key then.
    pub(crate) fn close_if_idle(&mut self, line: FifoKey, force: bool) -> Option<LineKey> {
        let row = &self.rows[line];
        if likely((row.live > 0) | !(force | (self.idle > IDLE_LINES_MAX))) {
            return None;
        }
        let key = row.key;
        assert!(row.head.is_none(), "no pool knows an empty line");
        self.rows.remove(line);
        self.by_key.remove(&key);
        if key.kind != NO_KIND {
            self.by_kind.remove(&(key.kind, line));
        }
        self.recent(key).take_if(|(recent, _)| *recent == key);
        self.idle -= 1;
        Some(key)
    }

    /// The lines of an owner, those after one of them or all.
    pub(crate) fn of_owner(
        &self,
        owner: PeerKey,
        after: Option<LineKey>,
    ) -> impl Iterator<Item = (LineKey, FifoKey)> {
        let first = LineKey { owner, kind: KindKey(0), priority: 0 };
        let last = LineKey { owner, kind: KindKey(u32::MAX), priority: u32::MAX };
        let from = after.map_or(Bound::Included(first), Bound::Excluded);
        self.by_key.range((from, Bound::Included(last))).map(|(key, line)| (*key, *line))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (FifoKey, &Line)> {
        self.rows.iter()
    }

    /// Shows the heads of lines that are for whoever takes these kinds, from a place on. Tells how many it looked at, no more than it
    /// may, and where to go on, if there are others.
    pub(crate) fn heads(
        &self,
        kinds: &KindSet,
        (kind, line): Shown,
        most: usize,
        mut show: impl FnMut(Head),
    ) -> (usize, Option<Shown>) {
        let mut looked = 0;
        let mut look = |line, row: Option<&Line>| {
            if let Some((row, sequence)) = row.and_then(|row| Some((row, row.head?)))
                && kinds.takes(row.key.kind)
            {
                show(Head::new(row.key.priority, sequence, line));
            }
            looked += 1;
            looked == most
        };
        let KindSet::Only(names) = kinds else {
            // Places without a line count, too.
            let next =
                (line.0..self.rows.end()).find(|line| look(FifoKey(*line), self.rows.get(FifoKey(*line))));
            return (looked, next.map(|line| (kind, FifoKey(line + 1))));
        };
        let mut from = line;
        for &kind in names.range(kind..) {
            let of_kind = self.by_kind.range((kind, from)..=(kind, FifoKey::NONE)).map(|(_, line)| *line);
            for line in of_kind {
                if look(line, Some(&self.rows[line])) {
                    return (looked, Some((kind, FifoKey(line.0 + 1))));
                }
            }
            from = FifoKey(0);
        }
        (looked, None)
    }

    /// The counts are those of the entries.
    pub(crate) fn audit(&self) {
        for (line, row) in self.rows.iter() {
            assert_eq!((row.live + row.void) as usize, self.entries(line).count(), "void entries: {row:?}");
        }
        assert_eq!(self.idle, self.rows.iter().filter(|(_, row)| row.live == 0).count(), "idle lines");
        let mut named = 0;
        for (line, row) in self.rows.iter().filter(|(_, row)| row.key.kind != NO_KIND) {
            assert!(self.by_kind.contains(&(row.key.kind, line)), "found by its kind: {row:?}");
            named += 1;
        }
        assert_eq!(self.by_kind.len(), named, "lines by their kinds");
    }

    /// Every entry of a line, void ones too: for the audit.
    pub(crate) fn entries(&self, line: FifoKey) -> impl Iterator<Item = Entry> {
        let row = &self.rows[line];
        row.fresh.iter().copied().chain(row.returned.values().copied())
    }
}

#[cfg(test)]
mod tests;
