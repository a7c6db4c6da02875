//! Which call is which: by the tag that its handles have, and by the number that the machine knows it by.

use super::machine::{GroupId, Outcome};
use super::outcomes::Update;
use core::mem;
use std::collections::HashMap;
use tokio::sync::{mpsc, oneshot};

/// A call, as its handles name it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Tag(pub(super) u64);

/// Where what comes back goes.
#[derive(Debug)]
pub(super) enum Sink {
    /// All outcomes at once, in the order of the jobs.
    Gather(oneshot::Sender<Vec<Outcome>>),
    /// Each as it comes.
    Feed(mpsc::UnboundedSender<(usize, Update)>),
}

/// The calls that are under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_tag: HashMap<Tag, GroupId>,
    /// By group number.
    calls: Vec<Option<Entry>>,
    free: Vec<GroupId>,
}

#[derive(Debug)]
struct Entry {
    tag: Tag,
    sink: Sink,
    /// What a gathering call has so far.
    outcomes: Vec<Option<Outcome>>,
}

impl Calls {
    /// A new call, with so many jobs at first; the group number that it gets.
    pub(super) fn open(&mut self, tag: Tag, sink: Sink, jobs: usize) -> GroupId {
        let group = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            GroupId(u32::try_from(self.calls.len() - 1).expect("memory ends before 4 billion calls"))
        });
        let gathered = if matches!(sink, Sink::Gather(_)) { jobs } else { 0 };
        let outcomes = (0..gathered).map(|_| None).collect();
        self.calls[slot(group)] = Some(Entry { tag, sink, outcomes });
        self.by_tag.insert(tag, group);
        group
    }

    pub(super) fn group(&self, tag: Tag) -> Option<GroupId> {
        self.by_tag.get(&tag).copied()
    }

    /// The groups of all calls.
    pub(super) fn groups(&self) -> Vec<GroupId> {
        self.by_tag.values().copied().collect()
    }

    pub(super) fn deliver(&mut self, group: GroupId, index: u64, outcome: Outcome) {
        let Some(entry) = &mut self.calls[slot(group)] else { return };
        let index = usize::try_from(index).expect("an index of memory");
        match &entry.sink {
            Sink::Gather(_) => entry.outcomes[index] = Some(outcome),
            // A stream that is gone says so by itself.
            Sink::Feed(feed) => drop(feed.send((index, Update::Outcome(outcome)))),
        }
    }

    pub(super) fn update(&mut self, group: GroupId, index: u64, update: Update) {
        if let Some(Entry { sink: Sink::Feed(feed), .. }) = &self.calls[slot(group)] {
            let index = usize::try_from(index).expect("an index of memory");
            // A stream that is gone says so by itself.
            let _ = feed.send((index, update));
        }
    }

    /// The call is over: its caller is told, and its number is free.
    pub(super) fn finish(&mut self, group: GroupId) {
        let Some(entry) = mem::take(&mut self.calls[slot(group)]) else { return };
        self.by_tag.remove(&entry.tag);
        self.free.push(group);
        if let Sink::Gather(reply) = entry.sink {
            // A call that was dropped has gaps, and nobody waits for it.
            let outcomes: Option<Vec<Outcome>> = entry.outcomes.into_iter().collect();
            let _ = outcomes.map(|outcomes| reply.send(outcomes));
        }
    }
}

fn slot(group: GroupId) -> usize {
    usize::try_from(group.0).expect("an address space has at least 32 bits")
}
