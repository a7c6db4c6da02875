//! Giving memory back: due after so many ended jobs or after the interval, done when nothing waits or runs.

use crate::action::{Action, Notice};
use crate::deadlines::Deadlines;
use crate::machine::Scheduler;
use proletariat_protocol::Time;
use proletariat_protocol::hint::likely;

/// Not more often than this, in milliseconds.
const APART_MILLIS: u64 = 5_000;

/// When memory was given back, and what happened since.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CleanUp {
    last: Time,
    finished_then: u64,
}

impl Scheduler {
    /// When giving memory back will be due, as things stand.
    #[inline]
    pub(crate) fn clean_up_at(&self) -> Option<Time> {
        let finished = self.counts.finished - self.clean_up.finished_then;
        if finished == 0 || !self.is_idle() {
            return None;
        }
        let interval = self.clean_up.last + self.config.cleanup_checkint;
        let soonest = self.clean_up.last.plus_millis(APART_MILLIS);
        Some(if finished >= self.config.cleanup_reqs { soonest } else { interval.max(soonest) })
    }

    pub(crate) fn clean_up(&mut self, now: Time) {
        if likely(self.clean_up_at().is_none_or(|due| due > now)) {
            return;
        }
        self.clean_up = CleanUp { last: now, finished_then: self.counts.finished };
        self.payloads.shrink();
        self.peers.shrink();
        self.kinds.shrink();
        self.work.shrink();
        self.assignments.shrink();
        let mut deadlines = core::mem::replace(&mut self.deadlines, Deadlines::new());
        deadlines.sift(|alarm| self.stands(alarm));
        self.deadlines = deadlines;
        self.actions.push(Action::ReleaseMemory);
        self.notice(|| Notice::Cleanup);
    }
}
