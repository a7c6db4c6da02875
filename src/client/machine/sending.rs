//! Which jobs go out next, and how many.
//!
//! Groups take turns, one batch each, so that a call of one job passes a call of a million. Jobs of a manager that has
//! reached a bound wait for its hint; then no more are under way than it had taken, and a few more with each round of
//! answers, so that the same jobs are not sent again and again only to be refused.

use super::event::{Action, JobError, Submit};
use super::group::Record;
use super::session::Place;
use super::{GroupId, Machine, slot};
use proletariat_protocol::{ErrorCode, JobId, Payload, Time};
use std::collections::VecDeque;

/// Most jobs of one submit: enough that what a message costs does not count, few enough that the first ones are at work
/// while the last ones are on their way, and that a head stays small.
const BATCH_JOBS: usize = 4_096;
/// A submit takes no further job when its payloads would be over this many bytes; a larger payload goes alone. So a
/// submit of several jobs always fits into one frame.
const BATCH_BYTES: usize = 128 * 1024;
/// What a job costs on the wire beside its payload, in bytes, and a bit more so that empty ones count.
const JOB_BYTES: usize = 8;
/// What a submit costs on the wire beside its jobs, in bytes.
const SUBMIT_BYTES: usize = 64;
/// A manager that stops and gives no hint is left alone for so long, in milliseconds.
const SHUTDOWN_WAIT_MS: u32 = 1_000;

/// Who may send, when, how much.
#[derive(Debug)]
pub(super) struct Sending {
    /// Groups with jobs to send, with the number they were opened as: a group number may be used again.
    ready: VecDeque<(GroupId, u64)>,
    /// The same for groups that do not wait: no hint and no window holds them.
    urgent: VecDeque<(GroupId, u64)>,
    /// Nothing is to be sent before this, on the manager's word.
    hold: Option<Time>,
    /// Most jobs under way.
    window: u64,
    /// Answers since the window was last widened.
    answers: u64,
}

impl Default for Sending {
    fn default() -> Self {
        Self { ready: VecDeque::new(), urgent: VecDeque::new(), hold: None, window: u64::MAX, answers: 0 }
    }
}

impl Sending {
    pub(super) fn expire(&mut self, now: Time) {
        self.hold = self.hold.filter(|&hold| hold > now);
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.hold.filter(|_| !self.ready.is_empty())
    }

    /// One more answer: with a round of them the window grows by a sixteenth.
    pub(super) fn answered(&mut self) {
        self.answers += 1;
        if self.answers >= self.window {
            self.answers = 0;
            self.window = self.window.saturating_add((self.window / 16).max(1));
        }
    }

    /// The manager took no more while so many were under way.
    fn overloaded(&mut self, under_way: u64, refused: u64) {
        self.answers = 0;
        self.window = if under_way == 0 { (refused / 2).max(1) } else { self.window.min(under_way) };
    }

    /// How many more may go out.
    fn window_left(&self, under_way: u64) -> usize {
        usize::try_from(self.window.saturating_sub(under_way)).unwrap_or(usize::MAX)
    }
}

impl Machine {
    /// The group has jobs to send.
    pub(super) fn enqueue(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(slot(id)).and_then(Option::as_mut) else { return };
        if self.session.is_none() || group.queued || group.pending.is_empty() {
            return;
        }
        group.queued = true;
        let queue = if group.options.no_wait { &mut self.sending.urgent } else { &mut self.sending.ready };
        queue.push_back((id, group.opened));
    }

    /// A new session has nothing from the manager to heed.
    pub(super) fn reset_sending(&mut self) {
        self.sending = Sending::default();
        for group in self.groups.iter_mut().flatten() {
            group.queued = false;
        }
    }

    pub(super) fn submit(&mut self, now: Time, room: usize) {
        let mut room = room;
        while room > 0
            && let Some((id, most)) = self.next_ready()
        {
            room = room.saturating_sub(self.submit_batch(now, id, most));
            self.finish_if_over(id);
            self.enqueue(id);
        }
    }

    /// The group whose turn it is, and how many jobs it may send.
    fn next_ready(&mut self) -> Option<(GroupId, usize)> {
        let under_way = self.session.as_ref()?.jobs.live();
        loop {
            let (queued, most) = match self.sending.urgent.pop_front() {
                Some(queued) => (queued, BATCH_JOBS),
                None if self.sending.hold.is_some() => return None,
                None => match self.sending.window_left(under_way).min(BATCH_JOBS) {
                    0 => return None,
                    most => (self.sending.ready.pop_front()?, most),
                },
            };
            let (id, opened) = queued;
            if let Some(group) = self.group_mut(id)
                && group.opened == opened
            {
                group.queued = false;
                return Some((id, most));
            }
        }
    }

    /// Sends one batch of a group; about how many bytes it makes.
    fn submit_batch(&mut self, now: Time, id: GroupId, most: usize) -> usize {
        let batch = self.gather(id, most);
        for index in batch.too_large {
            let limit = self.session.as_ref().map_or(0, |session| session.payload_bytes_max);
            let message = format!("the payload is over the manager's limit of {limit} bytes");
            self.finish(id, index, Err(JobError::new(ErrorCode::TooLarge, message)));
        }
        let Some((first, index)) = batch.first else { return 1 };
        let Some(group) = self.group(id) else { return 1 };
        let own = group.jobs.get(index).and_then(|record| record.own.as_deref());
        let options = group.options_for(own, now);
        let cost = SUBMIT_BYTES + batch.bytes + batch.payloads.len() * JOB_BYTES;
        let submit = Submit { first: JobId(first), options, payloads: batch.payloads };
        self.out.push(Action::Submit(Box::new(submit)));
        cost
    }

    /// Takes the next jobs of a group that can go out together, and numbers them.
    fn gather(&mut self, id: GroupId, most: usize) -> Batch {
        let mut batch = Batch::default();
        let (Some(session), Some(group)) =
            (&mut self.session, self.groups.get_mut(slot(id)).and_then(Option::as_mut))
        else {
            return batch;
        };
        let mut own = None;
        while batch.payloads.len() < most
            && let Some(index) = group.next_pending()
            && let Some(record) = group.jobs.get_mut(index)
        {
            let bytes = record.payload.len();
            if bytes as u64 > session.payload_bytes_max.min(u64::from(u32::MAX)) {
                batch.too_large.push(index);
                group.pending.remove_below(index + 1);
                continue;
            }
            if batch.first.is_none() {
                own = record.own.clone();
            } else if batch.bytes + bytes > BATCH_BYTES || record.own != own {
                break;
            }
            let number = session.jobs.push(Place { group: id, index });
            batch.take(index, number, record);
            group.pending.remove_below(index + 1);
        }
        batch
    }

    /// A refused job goes back to where it was.
    pub(super) fn requeue(&mut self, id: GroupId, index: u64) {
        let Some(group) = self.groups.get_mut(slot(id)).and_then(Option::as_mut) else { return };
        if let Some(record) = group.jobs.get_mut(index) {
            record.number = None;
            record.restart_stream();
            group.pending.insert(index);
            self.enqueue(id);
        }
    }

    /// The manager wants nothing for a while.
    pub(super) fn hold(&mut self, now: Time, code: ErrorCode, refused: u64, retry_after_ms: u32) {
        let wait = match code {
            ErrorCode::Shutdown => retry_after_ms.max(SHUTDOWN_WAIT_MS),
            _ => retry_after_ms,
        };
        if code == ErrorCode::Overload {
            let under_way = self.session.as_ref().map_or(0, |session| session.jobs.live());
            self.sending.overloaded(under_way, refused);
        }
        let until = now.plus_millis(u64::from(wait));
        self.sending.hold = self.sending.hold.max(Some(until));
    }
}

/// Jobs on their way into a submit.
#[derive(Default)]
struct Batch {
    /// Number and index of the first.
    first: Option<(u64, u64)>,
    payloads: Vec<Payload>,
    bytes: usize,
    /// Indexes of those that no manager would take.
    too_large: Vec<u64>,
}

impl Batch {
    fn take(&mut self, index: u64, number: u64, record: &mut Record) {
        record.number = Some(number);
        self.first.get_or_insert((number, index));
        self.bytes += record.payload.len();
        self.payloads.push(record.payload.clone());
    }
}
