//! Leaving in order: withdraw the offer and wait until that is known, let running jobs finish, hand back the rest, and
//! only then close. No result is lost in a reset, and no assignment is lost on its way.

use super::runs::Why;
use super::{Action, Finish, Machine, Phase};
use crate::net::Order;
use core::time::Duration;
use proletariat_protocol::Time;
use proletariat_protocol::message::PeerMessage;

/// After the grace: what takes no other word is killed at its end, and its end has to come here and be handed back.
const KILL_TIME: Duration = Duration::from_secs(1);

/// A drain under way.
#[derive(Debug)]
pub(super) struct Leave {
    withdrawal: Withdrawal,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Withdrawal {
    /// The manager knows of no offer.
    Nothing,
    /// Assignments may still come.
    Asked,
    Confirmed,
}

/// ```text
///  Finishing ── drain timeout ──► Stopping ── too late ──┐
///      │ no run, withdrawn            │ no run, withdrawn │
///      └──────────────► Finish ◄──────┴───────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Running jobs finish.
    Finishing { until: Time },
    /// They have been cancelled.
    Stopping { until: Time },
}

impl Leave {
    pub(super) fn next_deadline(&self) -> Time {
        match self.stage {
            Stage::Finishing { until } | Stage::Stopping { until } => until,
        }
    }

    /// A session that is new or lost has no offer to withdraw.
    pub(super) fn nothing_offered(&mut self) {
        self.withdrawal = Withdrawal::Nothing;
    }
}

impl Machine {
    /// A second drain can only shorten the first.
    pub(super) fn drain(&mut self, now: Time, timeout: Duration) {
        match &mut self.phase {
            Phase::Leaving(Leave { stage: Stage::Finishing { until }, .. }) => {
                *until = (*until).min(now + timeout);
            }
            Phase::Serving => self.begin_drain(now + timeout),
            Phase::Leaving(_) | Phase::Finished => {}
        }
    }

    fn begin_drain(&mut self, until: Time) {
        let mut withdrawal = Withdrawal::Nothing;
        if self.session.is_some() && self.offering.was_told() {
            self.reports.push(PeerMessage::Withdraw, Vec::new(), Order::Free);
            withdrawal = Withdrawal::Asked;
        }
        self.phase = Phase::Leaving(Leave { withdrawal, stage: Stage::Finishing { until } });
    }

    pub(super) fn withdrawn(&mut self) {
        if let Phase::Leaving(leave) = &mut self.phase {
            leave.withdrawal = Withdrawal::Confirmed;
        }
    }

    /// The drain timeout passed: what still runs is cancelled.
    pub(super) fn fire_leave(&mut self, now: Time) {
        let Phase::Leaving(leave) = &mut self.phase else {
            return;
        };
        match leave.stage {
            Stage::Finishing { until } if until <= now => {
                leave.stage = Stage::Stopping { until: now + self.config.kill_grace + KILL_TIME };
                for id in self.runs.ids() {
                    self.stop_run(id, Why::Leaving);
                }
            }
            Stage::Stopping { until } if until <= now => self.finish(now, Finish::Drained),
            Stage::Finishing { .. } | Stage::Stopping { .. } => {}
        }
    }

    /// Leaves if nothing is left to wait for.
    pub(super) fn advance_leave(&mut self, now: Time) {
        if let Phase::Leaving(leave) = &self.phase
            && leave.withdrawal != Withdrawal::Asked
            && self.runs.is_empty()
        {
            self.finish(now, Finish::Drained);
        }
    }

    /// Everything that is gathered goes first.
    pub(super) fn finish(&mut self, now: Time, finish: Finish) {
        self.phase = Phase::Finished;
        self.cancel_all();
        // Nothing settles any more, and what waits to be settled is a deadline that has passed.
        self.fresh.clear();
        let lost = core::mem::take(&mut self.unreported);
        self.urgent.extend(lost.into_iter().map(|id| Action::Reported { id, report: None }));
        if self.session.is_some() {
            let mut send = |outgoing| self.urgent.push(Action::Send(outgoing));
            self.reports.flush(now, 0, true, &mut self.runs, &mut send);
        }
        self.urgent.push(Action::Finished(finish));
    }
}
