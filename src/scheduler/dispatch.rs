//! A pass of the dispatch: the most urgent and earliest execution that somebody can take, then the next, until none is left.

use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::records::Place;
use crate::selector::{Candidate, Candidates, Request, Streak};
use crate::tables::{ExecutionKey, PeerKey, PoolKey};
use crate::waiting::{Classes, Head};
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;
use proletariat_protocol::Time;
use smallvec::SmallVec;

/// Among fewer workers each execution has a pick of its own, since what all of them hold is at hand anyway.
const CROWD_MIN: usize = 33;

/// What came of looking for a worker.
enum Choice {
    Worker(PeerKey),
    /// All that have room are avoided.
    Avoided,
    /// The selector wants none.
    Refused,
}

/// Who would read the outcome of an execution.
#[derive(PartialEq, Eq)]
enum Readers {
    One,
    /// Clients that are here, but read too slowly for anything more.
    Slow,
    None,
}

impl Scheduler {
    pub(crate) fn dispatch(&mut self, now: Time) {
        if self.draining || !self.pools.is_dirty() || !self.gate.opens(now, &self.config, &mut self.random) {
            return;
        }
        let mut pools = self.pools.take_dirty();
        self.wake_avoiding(&pools);
        // Who was woken may be for other pools, too.
        pools.extend(self.pools.take_dirty());
        let mut heads = core::mem::take(&mut self.burst.heads);
        let entry = |machine: &Self, pool| {
            machine.pools.get(pool).and_then(|p| p.best()).map(|head| Reverse((head, pool)))
        };
        heads.extend(pools.into_iter().filter_map(|pool| entry(self, pool)));
        // What was taken since may have changed what is best in a pool, unless that was found after it.
        let (mut changed, mut found) = (false, None);
        while let Some(Reverse((head, pool))) = heads.pop() {
            if head.priority.0 < self.burst.weighed_from {
                self.weigh_all();
                (changed, found) = (true, None);
            }
            let holds = !changed || found == Some(pool);
            let present = if holds { Some(Reverse((head, pool))) } else { entry(self, pool) };
            if present.as_ref().is_some_and(|Reverse((best, _))| *best == head) {
                let rival = self.first_rival(&mut heads, pool, head);
                self.dispatch_line(now, pool, head, rival);
                heads.extend(entry(self, pool));
                (changed, found) = (true, Some(pool));
            } else {
                heads.extend(present);
            }
        }
        self.burst.heads = heads;
        self.weigh_all();
        self.pools.take_dirty();
    }

    /// The best head of all other lines that are as urgent, and perhaps of others. Pools that serve this line as well have it on top
    /// of the heap; theirs is what comes next there.
    fn first_rival(
        &self,
        heads: &mut BinaryHeap<Reverse<(Head, PoolKey)>>,
        pool: PoolKey,
        own: Head,
    ) -> Option<Head> {
        let mut rival = self.pools.pool(pool).next_as_urgent(own);
        let mut same: SmallVec<[PoolKey; 8]> = SmallVec::new();
        while let Some(Reverse((_, pool))) = heads.peek().filter(|top| top.0.0.line == own.line) {
            let theirs = self.pools.get(*pool).and_then(|pool| pool.next_as_urgent(own));
            rival = rival.into_iter().chain(theirs).min();
            same.push(*pool);
            heads.pop();
        }
        let rival = heads.peek().map(|Reverse((head, _))| *head).into_iter().chain(rival).min();
        heads.extend(same.into_iter().map(|pool| Reverse((own, pool))));
        rival
    }

    /// Dispatches from one line as long as its first execution goes before `rival`, the best of all others, and the pool has
    /// room for it. The pools learn of the line's new head once, at the end. What the workers have left for other ranges of
    /// priorities they learn when the pass comes to a line of another range.
    fn dispatch_line(&mut self, now: Time, pool: PoolKey, head: Head, rival: Option<Head>) {
        let key = self.lines.line(head.line).key;
        let serving = self.pools.serving(key.kind);
        let kind_bytes = self.kinds.name(key.kind).map_or(0, |name| name.len());
        let (mut jobs, mut bytes) = (0, 0);
        let room = |machine: &Self| machine.pools.pool(pool).workers.total(head.priority.0);
        let (mut first, mut left) = (self.first_of(head.line), room(self));
        let mut streak = Streak::new(self.in_a_row(&serving, head));
        while let Some((sequence, execution)) = first {
            let goes_first = rival.is_none_or(|rival| Head { sequence, ..head } < rival);
            if !goes_first || left == 0 {
                break;
            }
            self.lines.pop(head.line, sequence, execution);
            if key.owner.is_none() {
                self.dispatch_shared(now, &serving, execution);
                left = room(self);
            } else if let Some(payload_bytes) = self.dispatch_one(now, &serving, execution, &mut streak) {
                jobs += 1;
                bytes += (payload_bytes + kind_bytes) as u64;
                // Where one pool serves the line, it is one of its workers that has one less.
                left = if serving.len() == 1 { left - 1 } else { room(self) };
            }
            first = self.first_of(head.line);
        }
        self.count_no_longer(key.owner, jobs, bytes);
        self.set_head(head.line, first);
        self.close_line(head.line, false);
    }

    /// How many executions of a line may go to the same worker one after the other: several if there is a crowd, and more of
    /// them wait than it has room for.
    fn in_a_row(&self, serving: &[PoolKey], head: Head) -> u32 {
        let workers = || serving.iter().map(|pool| &self.pools.pool(*pool).workers);
        if workers().map(Classes::len).sum::<usize>() < CROWD_MIN {
            return 1;
        }
        let room: u64 = workers().map(|workers| workers.total(head.priority.0)).sum();
        let waiting = u64::from(self.lines.line(head.line).live);
        if waiting >= room { self.selector.in_a_row().max(1) } else { 1 }
    }

    fn dispatch_shared(&mut self, now: Time, serving: &[PoolKey], execution: ExecutionKey) {
        self.work[execution].set_place(Place::Parked);
        match self.readers(execution) {
            Readers::One => {
                self.uncount_waiting(execution);
                if self.dispatch_one(now, serving, execution, &mut Streak::new(1)).is_none() {
                    self.count_waiting(execution);
                }
            }
            Readers::Slow => self.park_unread(now, execution),
            Readers::None => self.drop_unwanted(now, execution),
        }
    }

    /// Gives an execution that is in no line any more to a worker and tells the size of its payload, or sets it aside.
    fn dispatch_one(
        &mut self,
        now: Time,
        serving: &[PoolKey],
        execution: ExecutionKey,
        streak: &mut Streak,
    ) -> Option<usize> {
        match self.choose(now, serving, execution, streak) {
            Choice::Worker(worker) => return Some(self.assign(now, execution, worker)),
            Choice::Avoided => self.park_avoiding(now, execution),
            Choice::Refused => self.park_refused(now, execution),
        }
        None
    }

    /// Whether any client that waits for an execution is still here, and reads. The jobs of those that left are
    /// removed in portions, so some of them may still be in the list.
    fn readers(&self, execution: ExecutionKey) -> Readers {
        let mut readers = Readers::None;
        for job in self.jobs_of(execution) {
            let client = &self.peers[self.work[job].client];
            if !client.gone {
                if client.level != OutboxLevel::Paused {
                    return Readers::One;
                }
                readers = Readers::Slow;
            }
        }
        readers
    }

    fn drop_unwanted(&mut self, now: Time, execution: ExecutionKey) {
        for job in self.jobs_of(execution) {
            self.drop_job(now, job);
        }
    }

    fn choose(
        &mut self,
        now: Time,
        serving: &[PoolKey],
        execution: ExecutionKey,
        streak: &mut Streak,
    ) -> Choice {
        let Self { pools, work, kinds, aside, selector, random, counts, .. } = self;
        counts.looks += 1;
        let row = &work[execution];
        let among = Candidates::new(pools, serving, row.priority, counts.looks);
        let request = Request {
            kind: kinds.name(row.kind).map(AsRef::as_ref),
            priority: row.priority,
            payload_bytes: row.payload.len(),
            attempt: u32::from(row.losses) + 1,
        };
        // A selector of the user's may name somebody who cannot take it any more.
        let choice = |candidate: Candidate| among.member(&candidate).map_or(Choice::Refused, Choice::Worker);
        let avoided = aside.avoided(now, execution);
        if avoided.is_empty() {
            if let Some(worker) = streak.next(&among) {
                return Choice::Worker(worker);
            }
            let picked = selector.select(&request, &among, random);
            streak.begin(picked);
            return picked.map_or(Choice::Refused, choice);
        }
        let is_avoided = |candidate: &Candidate| {
            among.member(candidate).is_none_or(|key| avoided.iter().any(|(other, _)| *other == key))
        };
        // A few tries of the selector, then whoever is left: avoiding is rare, and a pause is short.
        for _ in 0..4 {
            match selector.select(&request, &among, random) {
                Some(candidate) if !is_avoided(&candidate) => return choice(candidate),
                Some(_) => {}
                None => return Choice::Refused,
            }
        }
        among.iter().find(|candidate| !is_avoided(candidate)).map_or(Choice::Avoided, choice)
    }

    /// Whether a worker would be found for a waiting execution if there were a pass now.
    pub(crate) fn could_be_taken(&mut self, now: Time, execution: ExecutionKey) -> bool {
        let row = &self.work[execution];
        if row.place() != Place::Queued || self.readers(execution) != Readers::One {
            return false;
        }
        let serving = self.pools.serving(row.kind);
        let among = Candidates::new(&self.pools, &serving, row.priority, 0);
        let avoided = self.aside.avoided(now, execution);
        let is_avoided = |candidate: &Candidate| {
            among.member(candidate).is_none_or(|key| avoided.iter().any(|(other, _)| *other == key))
        };
        among.free() > 0 && (avoided.is_empty() || among.iter().any(|candidate| !is_avoided(&candidate)))
    }
}
