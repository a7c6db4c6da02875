//! What a client does about jobs, and when: a pure machine.
//!
//! It is told what the callers want, what became of the connection and what the manager says ([`Event`]); it answers
//! with what is to be sent and what the callers are to be told ([`Action`]). Time is handed in.
//!
//! The caller numbers jobs by their index in a group. The manager knows them by numbers that start at 0 in every session.
//! A session is a table from the one to the other; when it is lost, the table goes, and every job without an outcome is
//! sent again under a new number, so that nothing that is said about an old one can be taken for the new one. A job has an
//! entry until it has its outcome: that is why it can have only one.
//!
//! Cost: constant for each job and step, whatever waits. What is linear is linear in the jobs that it is about: adding
//! them, losing a session, dropping a group.

mod audit;
mod event;
mod group;
mod notes;
mod ranges;
mod sending;
mod session;
mod stream;
mod table;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, GroupId, Job, JobError, Outcome, OwnOptions, Submit, SystemReport};

use group::Group;
use notes::Notes;
use proletariat_protocol::{ErrorCode, JobOptions, Time};
use sending::Sending;
use session::Session;
use std::collections::BTreeSet;

/// The machine. See the head of the file.
#[derive(Debug)]
pub struct Machine {
    groups: Vec<Option<Group>>,
    /// Groups opened so far.
    opened: u64,
    session: Option<Session>,
    sending: Sending,
    notes: Notes,
    deadlines: BTreeSet<(Time, GroupId, Clock)>,
    /// Why there is no session; what jobs that do not wait are told.
    absent: JobError,
    /// There will be no session any more.
    gone: bool,
    out: Vec<Action>,
}

/// The clocks that run here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Clock {
    /// The wait for a worker, while there is no manager.
    Assign,
    /// The whole call.
    Call,
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Machine {
    /// A machine without a session.
    #[must_use]
    pub fn new() -> Self {
        Self {
            groups: Vec::new(),
            opened: 0,
            session: None,
            sending: Sending::default(),
            notes: Notes::default(),
            deadlines: BTreeSet::new(),
            absent: JobError::new(ErrorCode::NoWorker, "there is no connection to a manager yet"),
            gone: false,
            out: Vec::new(),
        }
    }

    /// Something happened.
    ///
    /// # Panics
    /// When a group is opened under a number that is in use.
    pub fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Opened { group, options, jobs, open } => self.open(now, group, options, jobs, open),
            Event::Added { group, jobs } => self.add(now, group, jobs),
            Event::Closed { group } => self.close(group),
            Event::Aborted { group, first, count } => self.abort(group, first, count),
            Event::Dropped { group } => self.drop_group(group),
            Event::Taken { group, index, bytes } => self.taken(group, index, bytes),
            Event::SystemMessage { id, to, content, timeout_ms } => {
                self.notes.send(now, id, to, content, timeout_ms);
                self.say_notes(now);
            }
            Event::Confirmed { id } => {
                if self.session.is_some() {
                    self.out.push(Action::Confirm { id });
                }
            }
            Event::StatusAsked { id } => {
                self.notes.ask_status(id);
                self.say_notes(now);
            }
            Event::LinkUp { payload_bytes_max } => self.link_up(now, payload_bytes_max),
            Event::LinkDown { why, last } => self.link_down(now, why, last),
            Event::Ended { job, outcome } => self.ended(job, outcome),
            Event::Refused { first, count, error, retry_after_ms } => {
                self.refused(now, first, count, &error, retry_after_ms);
            }
            Event::Data { job, payload } => self.data(job, payload),
            Event::Progress { job, done, total } => self.progress(job, done, total),
            Event::Restarted { job } => self.restarted(job),
            Event::Incoming { id, from, content } => self.out.push(Action::Incoming { id, from, content }),
            Event::Reported { id, report } => self.out.extend(self.notes.reported(id, report)),
            Event::Status { id, text } => self.out.extend(self.notes.status(id, text)),
        }
    }

    /// Fires what is due. To be called when everything that has been received is handled.
    pub fn expire(&mut self, now: Time) {
        self.sending.expire(now);
        self.notes.expire(now, &mut self.out);
        while let Some(&(due, group, clock)) = self.deadlines.first()
            && due <= now
        {
            self.deadlines.pop_first();
            match clock {
                Clock::Assign => self.expire_assign(now, group),
                Clock::Call => self.expire_call(group),
            }
        }
    }

    /// Everything there is to do, in order. Jobs are sent until they make up `room` bytes or a little more.
    pub fn poll(&mut self, now: Time, room: usize, actions: &mut Vec<Action>) {
        self.submit(now, room);
        actions.append(&mut self.out);
    }

    /// When to call [`expire`](Self::expire) and [`poll`](Self::poll) if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let clock = self.deadlines.first().map(|(due, ..)| *due);
        [clock, self.sending.next_deadline(), self.notes.next_deadline()].into_iter().flatten().min()
    }

    /// Whether a group is open.
    #[must_use]
    pub fn has_calls(&self) -> bool {
        self.groups.iter().any(Option::is_some)
    }

    /// Whether no group is open and nothing is waited for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.out.is_empty() && self.notes.is_empty() && !self.has_calls()
    }

    fn open(&mut self, now: Time, id: GroupId, options: JobOptions, jobs: Vec<Job>, open: bool) {
        let slot = slot(id);
        if self.groups.len() <= slot {
            self.groups.resize_with(slot + 1, || None);
        }
        assert!(self.groups[slot].is_none(), "{id:?} is in use");
        let deadline = (options.timeout_ms > 0).then(|| now.plus_millis(u64::from(options.timeout_ms)));
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id, Clock::Call));
        }
        self.groups[slot] = Some(Group::new(self.opened, options, deadline, open));
        self.opened += 1;
        self.add(now, id, jobs);
        self.finish_if_over(id);
    }

    fn add(&mut self, now: Time, id: GroupId, jobs: Vec<Job>) {
        let Some(group) = self.groups.get_mut(slot(id)).and_then(Option::as_mut) else { return };
        let no_manager = self.session.is_none();
        let verdict = match &group.over {
            Some(error) => Some(error.clone()),
            None if self.gone || no_manager && group.options.no_wait => Some(self.absent.clone()),
            None => None,
        };
        let first = group.jobs.next();
        for job in jobs {
            group.push(job);
        }
        let end = group.jobs.next();
        if let Some(error) = verdict {
            (first..end).for_each(|index| self.finish(id, index, Err(error.clone())));
            return;
        }
        group.pending.append(first..end);
        if no_manager && first < end {
            self.start_assign_clock(now, id, first);
        }
        self.enqueue(id);
    }

    fn close(&mut self, id: GroupId) {
        if let Some(group) = self.group_mut(id) {
            group.open = false;
            self.finish_if_over(id);
        }
    }

    fn abort(&mut self, id: GroupId, first: u64, count: u64) {
        let Some(group) = self.group(id) else { return };
        let end = first.saturating_add(count).min(group.jobs.next());
        let aborted = JobError::new(ErrorCode::Aborted, "the job was aborted by its caller");
        self.end_jobs(id, first, end, &aborted);
    }

    fn drop_group(&mut self, id: GroupId) {
        let Some(mut group) = self.groups.get_mut(slot(id)).and_then(Option::take) else { return };
        self.forget_clocks(id, &group);
        let numbers = group.jobs.iter_mut().filter_map(|(_, record)| record.number).collect();
        self.abandon(numbers);
        self.out.push(Action::Finished { group: id });
    }

    /// Ends jobs of a range of indexes that have no outcome, here and at the manager.
    fn end_jobs(&mut self, id: GroupId, first: u64, end: u64, error: &JobError) {
        let mut numbers = Vec::new();
        let mut from = first;
        while let Some(group) = self.group(id)
            && let Some(index) = group.jobs.next_live(from..end)
        {
            numbers.extend(group.jobs.get(index).and_then(|record| record.number));
            self.finish(id, index, Err(error.clone()));
            from = index + 1;
        }
        self.abandon(numbers);
    }

    /// The one place where a job gets its outcome.
    fn finish(&mut self, id: GroupId, index: u64, outcome: Outcome) {
        let Some(group) = self.groups.get_mut(slot(id)).and_then(Option::as_mut) else { return };
        if group.jobs.take(index).is_some() {
            self.out.push(Action::Deliver { group: id, index, outcome });
            self.finish_if_over(id);
        }
    }

    fn finish_if_over(&mut self, id: GroupId) {
        if self.group(id).is_some_and(Group::is_over)
            && let Some(group) = self.groups[slot(id)].take()
        {
            self.forget_clocks(id, &group);
            self.out.push(Action::Finished { group: id });
        }
    }

    fn expire_call(&mut self, id: GroupId) {
        let Some(group) = self.group_mut(id) else { return };
        let error = JobError::new(ErrorCode::CallTimeout, ErrorCode::CallTimeout.advice());
        group.over = Some(error.clone());
        let end = group.jobs.next();
        self.end_jobs(id, 0, end, &error);
    }

    /// The first entry of the waits of a group has come to its end.
    fn expire_assign(&mut self, now: Time, id: GroupId) {
        let Some(group) = self.group_mut(id) else { return };
        group.assign_due = None;
        while group.next_assign_end().is_some_and(|end| end <= now) {
            group.waits.pop_front();
        }
        let end = group.waits.front().map_or(group.jobs.next(), |&(first, _)| first);
        let message = format!("no manager within the assign timeout: {}", self.absent.message);
        self.end_jobs(id, 0, end, &JobError::new(ErrorCode::AssignTimeout, message));
        self.arm_assign_clock(id);
    }

    /// Jobs from this index on wait for a manager from now on.
    fn start_assign_clock(&mut self, now: Time, id: GroupId, first: u64) {
        let Some(group) = self.group_mut(id) else { return };
        if group.options.assign_timeout_ms == 0 {
            return;
        }
        if group.waits.back().is_none_or(|&(_, start)| start < now) {
            group.waits.push_back((first, now));
        }
        self.arm_assign_clock(id);
    }

    fn arm_assign_clock(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(slot(id)).and_then(Option::as_mut) else { return };
        if group.assign_due.is_none()
            && let Some(due) = group.next_assign_end()
        {
            group.assign_due = Some(due);
            self.deadlines.insert((due, id, Clock::Assign));
        }
    }

    fn stop_assign_clock(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(slot(id)).and_then(Option::as_mut) else { return };
        group.waits.clear();
        if let Some(due) = group.assign_due.take() {
            self.deadlines.remove(&(due, id, Clock::Assign));
        }
    }

    fn forget_clocks(&mut self, id: GroupId, group: &Group) {
        if let Some(due) = group.deadline {
            self.deadlines.remove(&(due, id, Clock::Call));
        }
        if let Some(due) = group.assign_due {
            self.deadlines.remove(&(due, id, Clock::Assign));
        }
    }

    /// Sends what can be sent of system messages and requests for the status.
    fn say_notes(&mut self, now: Time) {
        if self.gone {
            self.notes.fail_all(&self.absent, &mut self.out);
        } else if self.session.is_some() {
            self.notes.say(now, &mut self.out);
        }
    }

    fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(slot(id))?.as_ref()
    }

    fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(slot(id))?.as_mut()
    }

    /// The groups that are there, in the order in which they were opened.
    fn groups_in_order(&self) -> Vec<GroupId> {
        let there = self.groups.iter().zip(0..).filter_map(|(group, id)| Some((group.as_ref()?.opened, id)));
        let mut ordered: Vec<(u64, u32)> = there.collect();
        ordered.sort_unstable();
        ordered.into_iter().map(|(_, id)| GroupId(id)).collect()
    }
}

fn slot(id: GroupId) -> usize {
    usize::try_from(id.0).expect("an address space has at least 32 bits")
}
