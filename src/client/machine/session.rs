//! What the manager says in one session, and what becomes of the jobs when it ends.

use super::event::{Action, JobError, Outcome};
use super::table::Table;
use super::{GroupId, Machine};
use proletariat_protocol::{ErrorCode, JobId, Payload, Time};

/// From the numbers of one session to jobs.
#[derive(Debug)]
pub(super) struct Session {
    /// Those under way, by number.
    pub(super) jobs: Table<Place>,
    pub(super) payload_bytes_max: u64,
}

/// Where a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) group: GroupId,
    pub(super) index: u64,
}

impl Machine {
    pub(super) fn link_up(&mut self, now: Time, payload_bytes_max: u64) {
        if self.session.is_some() {
            let why = JobError::new(ErrorCode::Shutdown, "another session took the place of this one");
            self.link_down(now, why, false);
        }
        self.session = Some(Session { jobs: Table::default(), payload_bytes_max });
        self.reset_sending();
        for id in self.groups_in_order() {
            self.stop_assign_clock(id);
            self.enqueue(id);
        }
        self.say_notes(now);
    }

    pub(super) fn link_down(&mut self, now: Time, why: JobError, last: bool) {
        let was_up = self.session.take().is_some();
        self.gone |= last;
        if was_up {
            self.reset_sending();
            self.notes.lost(&why, &mut self.out);
        }
        self.absent = why;
        for id in self.groups_in_order() {
            if was_up {
                self.end_what_runs_once(id);
                self.back_to_pending(id);
                self.start_assign_clock(now, id, 0);
            }
            self.end_if_it_cannot_wait(id);
        }
        if self.gone {
            self.notes.fail_all(&self.absent, &mut self.out);
        }
    }

    /// A job that may be run at most once may have been running when the manager was lost, so it must not be sent again:
    /// nobody can tell any more.
    fn end_what_runs_once(&mut self, id: GroupId) {
        let Some(group) = self.group_mut(id).filter(|group| group.options.max_attempts == Some(1)) else {
            return;
        };
        let sent = group.jobs.iter_mut().filter(|(_, record)| record.number.is_some());
        let sent: Vec<u64> = sent.map(|(index, _)| index).collect();
        let message = "the manager was lost while the job may have been running, and max_attempts is 1";
        for index in sent {
            self.finish(id, index, Err(JobError::new(ErrorCode::Crash, message)));
        }
    }

    /// What was under way is to be sent again, all of it in its old order.
    fn back_to_pending(&mut self, id: GroupId) {
        let Self { groups, out, .. } = self;
        let Some(group) = groups.get_mut(super::slot(id)).and_then(Option::as_mut) else { return };
        for (index, record) in group.jobs.iter_mut() {
            record.number = None;
            record.restart_stream();
            if core::mem::take(&mut record.told_data) {
                out.push(Action::Restarted { group: id, index });
            }
        }
        group.pending.replace(0..group.jobs.next());
    }

    /// Without a manager a call that does not wait has failed, and without hope every call has.
    fn end_if_it_cannot_wait(&mut self, id: GroupId) {
        let gone = self.gone;
        let Some(group) = self.group_mut(id).filter(|group| gone || group.options.no_wait) else { return };
        let end = group.jobs.next();
        let error = self.absent.clone();
        self.end_jobs(id, 0, end, &error);
    }

    pub(super) fn ended(&mut self, job: JobId, outcome: Outcome) {
        let Some(place) = self.session.as_mut().and_then(|session| session.jobs.take(job.0)) else { return };
        self.sending.answered();
        self.finish(place.group, place.index, outcome);
    }

    pub(super) fn refused(
        &mut self,
        now: Time,
        first: JobId,
        count: u64,
        error: &JobError,
        retry_after_ms: u32,
    ) {
        let Some(session) = &mut self.session else { return };
        let end = first.0.saturating_add(count).min(session.jobs.next());
        let places: Vec<Place> = (first.0..end).filter_map(|number| session.jobs.take(number)).collect();
        let again = match error.code {
            ErrorCode::Overload => retry_after_ms > 0,
            ErrorCode::Shutdown => true,
            _ => false,
        };
        if again {
            self.hold(now, error.code, places.len() as u64, retry_after_ms);
        }
        for Place { group, index } in places {
            let waits = self.group(group).is_some_and(|group| !group.options.no_wait);
            if again && waits {
                self.requeue(group, index);
            } else {
                self.finish(group, index, Err(error.clone()));
            }
        }
    }

    pub(super) fn data(&mut self, job: JobId, payload: Payload) {
        let Some(Place { group, index }) = self.place(job) else { return };
        if let Some(record) = self.group_mut(group).and_then(|group| group.jobs.get_mut(index)) {
            record.told_data = true;
            record.stream.get_or_insert_default().came(payload.len() as u64);
            self.out.push(Action::Data { group, index, payload });
        }
    }

    pub(super) fn progress(&mut self, job: JobId, done: u64, total: u64) {
        if let Some(Place { group, index }) = self.place(job) {
            self.out.push(Action::Progress { group, index, done, total });
        }
    }

    pub(super) fn restarted(&mut self, job: JobId) {
        let Some(Place { group, index }) = self.place(job) else { return };
        if let Some(record) = self.group_mut(group).and_then(|group| group.jobs.get_mut(index)) {
            record.told_data = false;
            record.restart_stream();
            self.out.push(Action::Restarted { group, index });
        }
    }

    pub(super) fn taken(&mut self, id: GroupId, index: u64, bytes: u64) {
        let Some(record) = self.group_mut(id).and_then(|group| group.jobs.get_mut(index)) else { return };
        let due = record.stream.as_mut().and_then(|stream| stream.take(bytes));
        if let (Some(number), Some(bytes)) = (record.number, due) {
            self.out.push(Action::Credit { job: JobId(number), bytes });
        }
    }

    /// Tells the manager that these numbers are no longer wanted, in as few ranges as possible: a range may go over
    /// numbers that have their outcome.
    pub(super) fn abandon(&mut self, mut numbers: Vec<u64>) {
        let Some(session) = &mut self.session else { return };
        for &number in &numbers {
            session.jobs.take(number);
        }
        numbers.sort_unstable();
        let mut rest = numbers.into_iter();
        let Some(mut first) = rest.next() else { return };
        let mut last = first;
        for number in rest {
            if session.jobs.next_live(last + 1..number).is_some() {
                self.out.push(Action::Abort { first: JobId(first), count: last - first + 1 });
                first = number;
            }
            last = number;
        }
        self.out.push(Action::Abort { first: JobId(first), count: last - first + 1 });
    }

    fn place(&self, job: JobId) -> Option<Place> {
        self.session.as_ref()?.jobs.get(job.0).copied()
    }
}
