//! Alarms that ring: whether one still stands, when it is due as things are, and whom it calls.

use crate::deadlines::{Alarm, Deadlines};
use crate::machine::Scheduler;
use crate::records::Job;
use crate::tables::JobKey;
use alloc::vec::Vec;
use proletariat_protocol::{PeerId, Time};

impl Scheduler {
    /// Rings what is due and still stands, in the order in which ends of one moment count.
    pub(crate) fn ring(&mut self, now: Time) {
        let mut deadlines = core::mem::replace(&mut self.deadlines, Deadlines::new());
        deadlines.tidy(now, |alarm| self.stands(alarm));
        let mut ringing = Vec::new();
        while let Some((_, alarm)) = deadlines.pop(now) {
            match self.due(alarm) {
                Some(due) if due > now => deadlines.set(now, self.rings_again_at(now, alarm, due), alarm),
                Some(_) => ringing.push(alarm),
                None => {}
            }
        }
        self.deadlines = deadlines;
        ringing.sort_unstable();
        for alarm in ringing {
            if self.due(alarm).is_some_and(|due| due <= now) {
                self.rings(now, alarm);
            }
        }
    }

    /// Whether an alarm may still ring.
    pub(crate) fn stands(&self, alarm: Alarm) -> bool {
        match alarm {
            Alarm::Assigns { client, first, count } | Alarm::Totals { client, first, count } => {
                self.next_of(client, first.0, first.plus(u64::from(count))).is_some()
            }
            other => self.due(other).is_some(),
        }
    }

    /// When an alarm is due, as things stand; `None`: never.
    pub(crate) fn due(&self, alarm: Alarm) -> Option<Time> {
        match alarm {
            Alarm::Run { job, sequence } => self.job_of(job, sequence).and_then(|_| self.run_ends_at(job)),
            Alarm::Overdue { job, sequence } => {
                self.job_of(job, sequence).and_then(|_| self.run_over_at(job))
            }
            Alarm::Assign { job, sequence } => {
                self.job_of(job, sequence).and_then(|_| self.assign_wait_ends_at(job))
            }
            Alarm::Assigns { client, first, count } => self.assign_waits_end_at(client, first, count),
            Alarm::Totals { client, first, count } => {
                let (_, job) = self.next_of(client, first.0, first.plus(u64::from(count)))?;
                Some(self.work[job].deadline())
            }
            Alarm::Start { worker } => self.start_alarm(worker),
            Alarm::Pause { peer } => self.pause_due(PeerId(peer)),
            Alarm::Park { execution, ticket } => self.aside.due(execution, ticket),
            Alarm::Broadcast { id } => self.broadcasts.due(id),
        }
    }

    fn job_of(&self, job: JobKey, sequence: u64) -> Option<&Job> {
        self.work.job(job).filter(|job| job.sequence() == sequence)
    }

    fn rings(&mut self, now: Time, alarm: Alarm) {
        match alarm {
            Alarm::Run { job, .. } | Alarm::Overdue { job, .. } => self.run_timed_out(now, job),
            Alarm::Assign { job, .. } => self.assign_timed_out(now, job),
            Alarm::Assigns { client, first, count } => self.assigns_timed_out(now, client, first, count),
            Alarm::Totals { client, first, count } => self.calls_timed_out(now, client, first, count),
            Alarm::Start { worker } => self.look_at_starts(now, worker),
            Alarm::Pause { peer } => self.pause_over(now, PeerId(peer)),
            Alarm::Park { execution, .. } => self.unpark(execution),
            Alarm::Broadcast { id } => self.report(id),
        }
    }
}
