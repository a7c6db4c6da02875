//! What is as long as the lines of a client are many is done in portions, so that no step of the machine takes longer for them.
//!
//! A client can open a line with each of a million jobs. When it leaves, or ceases to read, nothing of it may be dispatched from that
//! step on; but to tell every pool of every line takes as long as a thousand steps. So the lines follow later: those of a client that
//! left go with its jobs, those of one that ceased to read, or reads again, are gone round. Meanwhile the pools may still know them,
//! and a pass of the dispatch, which asks for that only meanwhile, passes over a head whose owner does not take part any more and
//! takes it out, so that none is met twice. It does so a portion a step, too, and leaves the rest of that pool to the next one.
//!
//! A pool that is new is shown the lines that it serves in portions, and until it knows them all its workers have no weight: nobody
//! gets a job that is less urgent than one that was not shown yet.

use crate::event::OutboxLevel;
use crate::machine::Scheduler;
use crate::tables::{FifoKey, PeerKey};
use crate::waiting::{Head, LineKey};
use alloc::vec::Vec;

/// So many lines at once: some two milliseconds.
const LINES_AT_ONCE: usize = 4_096;

/// How far the lines of a client have been gone round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    last: Option<LineKey>,
    /// Another one follows, since something has changed behind the last one.
    again: bool,
}

impl Scheduler {
    /// Whether nothing of a client is dispatched.
    pub(crate) fn is_detached(&self, client: PeerKey) -> bool {
        self.peers.get(client).is_some_and(|peer| peer.gone || peer.level == OutboxLevel::Paused)
    }

    /// A client ceases to read, or reads again: its lines follow.
    #[cold]
    pub(crate) fn go_round_lines(&mut self, client: PeerKey) {
        match &mut self.peers[client].round {
            Some(round) => round.again = round.last.is_some(),
            none => {
                *none = Some(Round::default());
                self.peers.changing.push_back(client);
            }
        }
    }

    /// Does a portion of everything that is done in portions, but for the jobs of those who left.
    #[cold]
    pub(crate) fn do_portions(&mut self) {
        self.burst.passed_over = 0;
        let mut left = LINES_AT_ONCE;
        while left > 0
            && let Some(client) = self.peers.changing.pop_front()
        {
            left = left.saturating_sub(self.go_on_with(client, left));
        }
        self.pools.discard(LINES_AT_ONCE);
        let mut left = LINES_AT_ONCE;
        while left > 0
            && let Some(pool) = self.pools.learning.pop_front()
        {
            let looked = self.pools.learn(pool, &self.lines, left);
            left = left.saturating_sub(looked);
            if !self.pools.pool(pool).is_learning() {
                let workers: Vec<PeerKey> = self.pools.pool(pool).workers.members().map(|m| m.key).collect();
                workers.into_iter().for_each(|worker| self.weigh(worker));
            }
        }
    }

    /// Goes round some of a client's lines; tells how many. All who have changed get their turn, however often one of them does.
    fn go_on_with(&mut self, client: PeerKey, most: usize) -> usize {
        let round = self.peers[client].round.expect("who is in the list is gone round");
        let lines: Vec<(LineKey, FifoKey)> = self.lines.of_owner(client, round.last).take(most).collect();
        for (_, line) in &lines {
            self.follow_owner(*line);
        }
        let next = if lines.len() < most {
            round.again.then(Round::default)
        } else {
            Some(Round { last: lines.last().map(|(key, _)| *key), ..round })
        };
        self.peers[client].round = next;
        if next.is_some() {
            self.peers.changing.push_back(client);
        }
        lines.len().max(1)
    }

    /// A line takes part in the dispatch if its owner does.
    #[cold]
    pub(crate) fn follow_owner(&mut self, line: FifoKey) {
        let row = self.lines.line(line);
        let detached = self.is_detached(row.key.owner);
        if row.detached != detached {
            self.lines.line_mut(line).detached = detached;
            self.sync_head(line);
        }
    }

    /// Whether a head is that of a line whose owner does not take part any more. To be asked while some have not followed.
    #[cold]
    pub(crate) fn is_left_behind(&self, head: Head) -> bool {
        self.is_detached(self.lines.line(head.line()).key.owner)
    }

    /// Takes out such a head, unless that has been done too often in this step.
    #[cold]
    pub(crate) fn pass_over(&mut self, head: Head) -> bool {
        if self.burst.passed_over == LINES_AT_ONCE {
            return false;
        }
        self.burst.passed_over += 1;
        self.follow_owner(head.line());
        true
    }
}
