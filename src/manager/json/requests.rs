//! The requests of one client that are not finished: what a `rid` stands for, and which of its jobs are open.

use proletariat_protocol::JobId;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::rc::Rc;

/// Bytes of the rids of all unfinished requests, of all clients of a manager: they share it, and live on one thread.
#[derive(Clone, Debug, Default)]
pub(in crate::manager) struct RidBytes(Rc<Cell<u64>>);

/// The rid of one request, which counts among those bytes for as long as it is here.
#[derive(Debug)]
struct Rid {
    text: Rc<str>,
    all: RidBytes,
}

/// Unfinished requests, by rid and by their first job.
#[derive(Debug, Default)]
pub(super) struct Requests {
    by_rid: BTreeMap<Rc<str>, u64>,
    by_first: BTreeMap<u64, Request>,
    rid_bytes: RidBytes,
    /// The number of the next job.
    next: u64,
    /// Aborts that have no answer yet: it is known when the scheduler has decided.
    aborts: Vec<Abort>,
    /// Jobs that one of those names.
    named: BTreeSet<u64>,
    /// Jobs that ended by them.
    aborted: BTreeSet<u64>,
}

#[derive(Debug)]
struct Request {
    rid: Rid,
    count: u64,
    /// Tells its list of work from others.
    fingerprint: u64,
    open: u64,
    /// One bit a job: it has ended.
    ended: Vec<u64>,
    /// Its abort, by its place among those that have no answer yet.
    aborting: Option<usize>,
    /// Open jobs that aborts of this turn name.
    named: u64,
}

/// An abort, and what its answer repeats.
#[derive(Debug)]
pub(super) enum Abort {
    /// Of a request; its rid as it was sent.
    Request(Box<str>),
    /// Of jobs.
    Jobs(Vec<JobId>),
    /// One that has its answer.
    Answered,
}

impl Rid {
    fn new(text: Rc<str>, all: &RidBytes) -> Self {
        all.0.set(all.0.get() + text.len() as u64);
        Self { text, all: all.clone() }
    }
}

impl Drop for Rid {
    fn drop(&mut self) {
        self.all.0.set(self.all.0.get() - self.text.len() as u64);
    }
}

impl Request {
    /// Whether it ends with this turn at the latest: itself or each of its open jobs is being aborted.
    fn is_over(&self) -> bool {
        self.aborting.is_some() || self.named == self.open
    }
}

impl Requests {
    /// The requests of one client, whose rids count among these bytes.
    pub(super) fn counted_in(rid_bytes: RidBytes) -> Self {
        Self { rid_bytes, ..Self::default() }
    }

    /// Bytes of all rids of the manager with this one, which is new.
    pub(super) fn rid_bytes_with(&self, rid: &str) -> u64 {
        self.rid_bytes.0.get() + rid.len() as u64
    }

    /// A new request of so many jobs; the number of the first.
    pub(super) fn add(&mut self, rid: &str, count: u64, fingerprint: u64) -> JobId {
        let first = self.next;
        self.next += count;
        let words = usize::try_from(count.div_ceil(64)).expect("a list that fits into a frame");
        let ended = vec![0; words];
        // It may be long, so both tables hold the same one.
        let rid: Rc<str> = rid.into();
        self.by_rid.insert(Rc::clone(&rid), first);
        let rid = Rid::new(rid, &self.rid_bytes);
        let request = Request { rid, count, fingerprint, open: count, ended, aborting: None, named: 0 };
        self.by_first.insert(first, request);
        JobId(first)
    }

    /// The first job of an unfinished request, how many it has, and its fingerprint.
    pub(super) fn find(&self, rid: &str) -> Option<(JobId, u64, u64)> {
        let first = self.by_rid.get(rid)?;
        let request = self.by_first.get(first)?;
        Some((JobId(*first), request.count, request.fingerprint))
    }

    /// The number that the next job gets.
    pub(super) fn next(&self) -> JobId {
        JobId(self.next)
    }

    pub(super) fn is_open(&self, job: JobId) -> bool {
        self.by_first.range(..=job.0).next_back().is_some_and(|(first, request)| {
            let place = job.0 - first;
            place < request.count && request.ended[(place / 64) as usize] >> (place % 64) & 1 == 0
        })
    }

    /// A job has ended; false if it had before.
    pub(super) fn end(&mut self, job: JobId) -> bool {
        if !self.is_open(job) {
            return false;
        }
        let Some((&first, request)) = self.by_first.range_mut(..=job.0).next_back() else { return false };
        let place = job.0 - first;
        request.ended[(place / 64) as usize] |= 1 << (place % 64);
        request.open -= 1;
        request.named -= u64::from(self.named.contains(&job.0));
        // The rid may stand for a newer request by now.
        if request.open == 0
            && let Some(request) = self.by_first.remove(&first)
            && self.by_rid.get(&request.rid.text) == Some(&first)
        {
            self.by_rid.remove(&request.rid.text);
        }
        true
    }

    /// Notes that a request is to be aborted: its first job and how many it has. `None` if there is no such request, or if it is
    /// being aborted already.
    pub(super) fn abort_request(&mut self, rid: &str, sent: &str) -> Option<(JobId, u64)> {
        let first = *self.by_rid.get(rid)?;
        let request = self.by_first.get_mut(&first)?;
        if request.aborting.is_some() {
            return None;
        }
        request.aborting = Some(self.aborts.len());
        self.aborts.push(Abort::Request(sent.into()));
        Some((JobId(first), request.count))
    }

    /// Lets go of a rid whose request is being aborted: for its client that is over, and what is pushed under the rid now is another
    /// one. Hands out the rid as its abort has sent it, if it has no answer yet: that has to be said before anything is of the other.
    pub(super) fn let_go(&mut self, rid: &str) -> Option<Box<str>> {
        let request = self.by_first.get(self.by_rid.get(rid)?).filter(|request| request.is_over())?;
        self.by_rid.remove(rid);
        let abort = self.aborts.get_mut(request.aborting?)?;
        match mem::replace(abort, Abort::Answered) {
            Abort::Request(sent) => Some(sent),
            Abort::Jobs(_) | Abort::Answered => None,
        }
    }

    /// Notes that jobs are to be aborted; hands those out that are open and that no other abort of this turn names.
    pub(super) fn abort_jobs(&mut self, jobs: impl Iterator<Item = JobId>) -> Vec<JobId> {
        let mut open = Vec::new();
        for job in jobs {
            if self.is_open(job) && self.named.insert(job.0) {
                open.push(job);
                if let Some((_, request)) = self.by_first.range_mut(..=job.0).next_back() {
                    request.named += 1;
                }
            }
        }
        self.aborts.push(Abort::Jobs(open.clone()));
        open
    }

    /// A job ended by an abort of its client.
    pub(super) fn aborted(&mut self, job: JobId) {
        if self.end(job) && self.named.contains(&job.0) {
            self.aborted.insert(job.0);
        }
    }

    pub(super) fn has_aborts(&self) -> bool {
        !self.aborts.is_empty()
    }

    /// The aborts of this turn with what they have ended.
    pub(super) fn settle_aborts(&mut self) -> Vec<Abort> {
        let mut aborts = mem::take(&mut self.aborts);
        for abort in &mut aborts {
            if let Abort::Jobs(jobs) = abort {
                jobs.retain(|job| self.aborted.contains(&job.0));
            }
        }
        self.named.clear();
        self.aborted.clear();
        aborts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_until_its_last_job_ends() {
        let mut requests = Requests::default();
        assert_eq!(requests.add("sa", 70, 5), JobId(0));
        assert_eq!(requests.add("sb", 1, 6), JobId(70));
        assert_eq!((requests.find("sa"), requests.next()), (Some((JobId(0), 70, 5)), JobId(71)));
        let (rid, first) = requests.by_rid.first_key_value().unwrap();
        assert!(Rc::ptr_eq(rid, &requests.by_first[first].rid.text), "it is kept once");
        for job in 0..70 {
            assert!(requests.is_open(JobId(job)) && requests.find("sa").is_some());
            assert!(requests.end(JobId(job)) && !requests.end(JobId(job)));
        }
        assert_eq!(requests.find("sa"), None);
        assert!(!requests.is_open(JobId(69)) && requests.is_open(JobId(70)) && !requests.is_open(JobId(71)));
        assert!(requests.end(JobId(70)) && requests.by_first.is_empty() && requests.by_rid.is_empty());
    }

    #[test]
    fn rids_of_all_clients_count_until_their_requests_end_or_their_client_is_gone() {
        let all = RidBytes::default();
        let (mut one, mut other) = (Requests::counted_in(all.clone()), Requests::counted_in(all));
        one.add("sa", 2, 5);
        other.add("slonger", 1, 5);
        assert_eq!((one.rid_bytes_with(""), other.rid_bytes_with("snew")), (9, 13));
        one.end(JobId(0));
        assert_eq!(other.rid_bytes_with(""), 9, "one of its jobs is open");
        one.end(JobId(1));
        assert_eq!(other.rid_bytes_with(""), 7);
        drop(other);
        assert_eq!(one.rid_bytes_with(""), 0);
    }

    #[test]
    fn an_abort_answers_with_what_it_ended() {
        let mut requests = Requests::default();
        requests.add("s", 4, 5);
        let named = [JobId(1), JobId(1), JobId(2), JobId(9)];
        assert_eq!(requests.abort_jobs(named.into_iter()), [JobId(1), JobId(2)]);
        assert_eq!(requests.abort_jobs([JobId(2)].into_iter()), [], "it is named already");
        assert_eq!(requests.abort_request("s", "\"\\u0073\""), Some((JobId(0), 4)));
        assert_eq!(requests.abort_request("s", "\"s\""), None);
        // The result of 1 was faster.
        requests.end(JobId(1));
        requests.aborted(JobId(2));
        requests.aborted(JobId(0));
        let settled = requests.settle_aborts();
        assert!(matches!(&settled[0], Abort::Jobs(jobs) if *jobs == [JobId(2)]), "{settled:?}");
        assert!(matches!(&settled[1], Abort::Jobs(jobs) if jobs.is_empty()));
        assert!(matches!(&settled[2], Abort::Request(rid) if **rid == *"\"\\u0073\""));
        assert!(!requests.has_aborts());
    }
}
