//! A pass of the dispatch: the most urgent and earliest execution that somebody can take, then the next, until none is left.

use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::queueing;
use crate::records::Place;
use crate::selector::{Candidate, Candidates, Request};
use crate::tables::{ExecutionKey, PeerKey, PoolKey};
use crate::waiting::Head;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use proletariat_protocol::Time;
use proletariat_protocol::hint::{likely, unlikely};
use smallvec::SmallVec;

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

/// A line's turn in a pass.
struct Turn {
    now: Time,
    /// Its first execution, as the pools know it.
    head: Head,
    /// The best head of all other lines.
    rival: Option<Head>,
}

impl Turn {
    /// Whether an execution of the line comes before what other lines have.
    fn goes_first(&self, sequence: u64) -> bool {
        self.rival.is_none_or(|rival| Head::new(self.head.priority(), sequence, self.head.line()) < rival)
    }
}

impl Scheduler {
    pub(crate) fn dispatch(&mut self, now: Time) {
        if self.draining || !self.pools.is_dirty() || !self.gate.opens(now, &self.config, &mut self.random) {
            return;
        }
        // Who was woken may have left room, for want of readers or by the selector's will: that is for others of them.
        loop {
            let woken = self.wake_avoiding();
            self.pass(now);
            if likely(!woken) {
                return;
            }
        }
    }

    /// Goes through the pools in which something may be dispatched, until nobody in them can take any more.
    fn pass(&mut self, now: Time) {
        let pools = self.pools.take_dirty();
        let mut heads = core::mem::take(&mut self.burst.heads);
        let entry = |machine: &Self, pool| {
            machine.pools.get(pool).and_then(|p| p.best()).map(|head| Reverse((head, pool)))
        };
        // Nearly always there is one pool, and no heap then.
        let mut next = if let [pool] = pools[..] {
            entry(self, pool)
        } else {
            heads.extend(pools.into_iter().filter_map(|pool| entry(self, pool)));
            heads.pop()
        };
        // What was taken since may have changed what is best in a pool, unless that was found after it.
        let (mut changed, mut found) = (false, None);
        let mut behind: SmallVec<[PoolKey; 4]> = SmallVec::new();
        while let Some(Reverse((head, pool))) = next {
            if unlikely(!self.joins_batch(pool, head.priority())) {
                self.place_batch(now);
                (changed, found) = (true, None);
            }
            let holds = !changed || found == Some(pool);
            let present = if holds { next } else { entry(self, pool) };
            let again = if present.as_ref().is_some_and(|Reverse((best, _))| *best == head) {
                (changed, found) = (true, Some(pool));
                if likely(!(self.peers.are_left_behind() && self.is_left_behind(head))) {
                    let rival = self.first_rival(&mut heads, pool, head);
                    self.dispatch_line(now, pool, head, rival);
                    entry(self, pool)
                } else if self.pass_over(head) {
                    entry(self, pool)
                } else {
                    behind.push(pool);
                    None
                }
            } else {
                present
            };
            next = if likely(heads.is_empty()) {
                again
            } else {
                heads.extend(again);
                heads.pop()
            };
        }
        self.burst.heads = heads;
        self.place_batch(now);
        self.pools.take_dirty();
        self.burst.behind = !behind.is_empty();
        behind.into_iter().for_each(|pool| self.pools.mark(pool));
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
        if likely(heads.is_empty()) {
            return rival;
        }
        let mut same: SmallVec<[PoolKey; 8]> = SmallVec::new();
        while let Some(Reverse((_, pool))) = heads.peek().filter(|top| top.0.0.line() == own.line()) {
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
    /// room for it. The pools learn of the line's new head once, at the end.
    fn dispatch_line(&mut self, now: Time, pool: PoolKey, head: Head, rival: Option<Head>) {
        let key = self.lines.line(head.line()).key;
        let serving = self.pools.serving(key.kind);
        let turn = Turn { now, head, rival };
        let kind_bytes = self.kinds.name(key.kind).map_or(0, |name| name.len() as u64);
        let (mut jobs, mut bytes) = (0, 0);
        let gathers = !key.owner.is_none() && serving.len() == 1 && self.selector.draws_by_room();
        let mut first = self.first_of(head.line());
        while let Some((sequence, execution)) = first {
            let room = self.room_beside_batch(pool, head.priority());
            if room == 0 || !turn.goes_first(sequence) {
                break;
            }
            if likely(gathers && self.aside.avoided(now, execution).is_empty()) {
                let waiting = self.lines.line(head.line()).live;
                self.gather(now, (pool, key.priority), (room, waiting.into()), |machine, most, taken| {
                    let before = taken.len();
                    bytes += machine.take_first(&turn, most, taken);
                    jobs += (taken.len() - before) as u64;
                });
            } else {
                self.place_batch(now);
                self.lines.pop(head.line(), sequence, execution);
                if key.owner.is_none() {
                    self.dispatch_shared(now, &serving, execution);
                } else if let Some(payload_bytes) = self.dispatch_one(now, &serving, execution) {
                    jobs += 1;
                    bytes += payload_bytes;
                }
            }
            first = self.first_of(head.line());
        }
        self.count_no_longer(key.owner, jobs, bytes + jobs * kind_bytes);
        self.set_head(head.line(), first.map(|(sequence, _)| sequence));
        self.close_line(head.line(), false);
        if first.is_some() {
            self.look_ahead_in_line(head.line(), key.owner, jobs as usize);
        }
    }

    /// Takes the first executions out of a line, until the list is so long: those that go before the rival and avoid nobody. Tells
    /// the size of their payloads.
    fn take_first(&mut self, turn: &Turn, most: usize, taken: &mut Vec<ExecutionKey>) -> u64 {
        let Self { lines, work, similar, aside, .. } = self;
        let mut bytes = 0;
        let stands = |entry| queueing::stands(work, similar, entry);
        let goes = |sequence, execution| {
            let goes = turn.goes_first(sequence) && aside.avoided(turn.now, execution).is_empty();
            bytes += if goes { work[execution].payload.len() as u64 } else { 0 };
            goes
        };
        lines.take(turn.head.line(), most, stands, goes, taken);
        bytes
    }

    fn dispatch_shared(&mut self, now: Time, serving: &[PoolKey], execution: ExecutionKey) {
        self.work[execution].set_place(Place::Parked);
        match self.readers(execution) {
            Readers::One => {
                if self.dispatch_one(now, serving, execution).is_some() {
                    self.uncount_waiting(execution);
                }
            }
            Readers::Slow => self.park_unread(now, execution),
            Readers::None => self.drop_unwanted(now, execution),
        }
    }

    /// Gives an execution that is in no line any more to a worker and tells the size of its payload, or sets it aside.
    fn dispatch_one(&mut self, now: Time, serving: &[PoolKey], execution: ExecutionKey) -> Option<u64> {
        match self.choose(now, serving, execution) {
            Choice::Worker(worker) => {
                self.assign_all(now, &[execution], worker);
                return Some(self.work[execution].payload.len() as u64);
            }
            Choice::Avoided => self.park_avoiding(now, execution),
            Choice::Refused => self.park_refused(now, execution),
        }
        None
    }

    /// Whether any client that waits for an execution is still here, and reads. The jobs of those that left are
    /// removed in portions, so some of them may still be in the list.
    fn readers(&self, execution: ExecutionKey) -> Readers {
        let mut readers = Readers::None;
        for job in self.each_job_of(execution) {
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

    /// Whether anybody reads who waits for an execution.
    pub(crate) fn is_read(&self, execution: ExecutionKey) -> bool {
        self.readers(execution) == Readers::One
    }

    fn drop_unwanted(&mut self, now: Time, execution: ExecutionKey) {
        for job in self.jobs_of(execution) {
            self.drop_job(now, job);
        }
    }

    fn choose(&mut self, now: Time, serving: &[PoolKey], execution: ExecutionKey) -> Choice {
        let Self { pools, work, kinds, peers, aside, selector, random, counts, .. } = self;
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
            return selector.select(&request, &among, random).map_or(Choice::Refused, choice);
        }
        let is_avoided = |candidate: &Candidate| {
            among.member(candidate).is_none_or(|key| avoided.iter().any(|(other, _)| *other == peers[key].id))
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
        if row.place() != Place::Queued || !self.is_read(execution) {
            return false;
        }
        let serving = self.pools.serving(row.kind);
        if serving.iter().any(|pool| self.pools.pool(*pool).is_learning()) {
            // Its workers have no weight yet.
            return true;
        }
        let among = Candidates::new(&self.pools, &serving, row.priority, 0);
        let (peers, avoided) = (&self.peers, self.aside.avoided(now, execution));
        let is_avoided = |candidate: &Candidate| {
            among.member(candidate).is_none_or(|key| avoided.iter().any(|(other, _)| *other == peers[key].id))
        };
        among.free() > 0 && (avoided.is_empty() || among.iter().any(|candidate| !is_avoided(&candidate)))
    }
}
