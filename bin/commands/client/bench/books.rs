//! The books of one stream of jobs: which are open, since when, and whether each answer is right and the only one.

use super::shape::NUMBER_BYTES;
use hdrhistogram::Histogram;
use proletariat::client::Outcome;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Latencies in nanoseconds, with three digits each.
pub(super) type Latencies = Histogram<u64>;

/// What fills payloads and replies behind the number.
const FILL: u8 = b'x';

/// See the head of the file.
pub(super) struct Books {
    /// Numbers of this stream begin here, so that no two streams share one.
    base: u64,
    payload_bytes: usize,
    reply_bytes: usize,
    /// When each job began, from the oldest open one on; `None`: answered.
    open: VecDeque<Option<Instant>>,
    oldest: usize,
    pub(super) tally: Tally,
}

/// What became of the jobs.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) begun: u64,
    /// Answered once, with what had to be answered.
    pub(super) right: u64,
    pub(super) wrong: u64,
    pub(super) twice: u64,
    pub(super) failed: u64,
    /// How the first of the failed ended.
    pub(super) failure: Option<String>,
    pub(super) latencies: Latencies,
}

impl Default for Tally {
    fn default() -> Self {
        let latencies = Histogram::new(3).expect("three digits are few enough");
        Self { begun: 0, right: 0, wrong: 0, twice: 0, failed: 0, failure: None, latencies }
    }
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.right += other.right;
        self.wrong += other.wrong;
        self.twice += other.twice;
        self.failed += other.failed;
        self.failure = self.failure.take().or_else(|| other.failure.clone());
        self.latencies.add(&other.latencies).expect("a histogram that grows takes any value");
    }

    /// Jobs without an answer.
    pub(super) fn missing(&self) -> u64 {
        self.begun.saturating_sub(self.right + self.wrong + self.failed)
    }

    pub(super) fn is_right(&self) -> bool {
        self.right == self.begun && self.twice == 0
    }
}

impl Books {
    /// Of the stream with this number.
    pub(super) fn new(stream: u32, payload_bytes: usize, reply_bytes: usize) -> Self {
        let base = u64::from(stream) << 32;
        Self { base, payload_bytes, reply_bytes, open: VecDeque::new(), oldest: 0, tally: Tally::default() }
    }

    /// Begins a job; its payload.
    pub(super) fn begin(&mut self, now: Instant) -> Vec<u8> {
        let number = self.base + self.tally.begun;
        self.tally.begun += 1;
        self.open.push_back(Some(now));
        numbered(number, self.payload_bytes)
    }

    /// Whether any job has no answer yet.
    pub(super) fn is_open(&self) -> bool {
        self.tally.missing() > 0
    }

    /// All jobs that are open begin now.
    pub(super) fn begin_again(&mut self, now: Instant) {
        self.open.iter_mut().flatten().for_each(|begun| *begun = now);
    }

    /// Ends the job with this index; whether its answer is right. Only then it has a latency, which is noted if it is measured.
    pub(super) fn end(&mut self, index: usize, outcome: &Outcome, now: Instant, measured: bool) -> bool {
        let place = index.checked_sub(self.oldest);
        let begun = place.and_then(|place| self.open.get_mut(place)).and_then(Option::take);
        let Some(begun) = begun else {
            self.tally.twice += 1;
            return false;
        };
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.oldest += 1;
        }
        match outcome {
            Ok(reply) if is_reply(reply, self.base + index as u64, self.reply_bytes) => self.tally.right += 1,
            Ok(_) => {
                self.tally.wrong += 1;
                return false;
            }
            Err(error) => {
                self.tally.failed += 1;
                self.tally.failure.get_or_insert_with(|| error.to_string());
                return false;
            }
        }
        if measured {
            let latency = nanos(now.saturating_duration_since(begun));
            self.tally.latencies.record(latency).expect("a histogram that grows takes any value");
        }
        true
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn numbered(number: u64, bytes: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(bytes);
    payload.extend_from_slice(&number.to_le_bytes());
    payload.resize(bytes, FILL);
    payload
}

/// What a worker answers: the number that it was given, filled up to the wanted size.
pub(super) fn reply_to(payload: &[u8], bytes: usize) -> Option<Vec<u8>> {
    let number = payload.first_chunk::<NUMBER_BYTES>()?;
    is_fill(&payload[NUMBER_BYTES..]).then(|| numbered(u64::from_le_bytes(*number), bytes))
}

/// Without an early end, so that many bytes are compared at a time.
fn is_fill(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |differences, byte| differences | (byte ^ FILL)) == 0
}

fn is_reply(reply: &[u8], number: u64, bytes: usize) -> bool {
    reply.len() == bytes && reply.strip_prefix(&number.to_le_bytes()).is_some_and(is_fill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proletariat::client::JobError;
    use proletariat_protocol::ErrorCode;

    fn answered(books: &mut Books, index: usize, reply: Vec<u8>) {
        let now = Instant::now();
        books.end(index, &Ok(reply.into()), now, true);
    }

    #[test]
    fn each_answer_is_checked() {
        let mut books = Books::new(3, 64, 16);
        let payloads: Vec<_> = (0..4).map(|_| books.begin(Instant::now())).collect();
        let replies: Vec<_> = payloads.iter().map(|payload| reply_to(payload, 16).unwrap()).collect();
        answered(&mut books, 1, replies[1].clone());
        answered(&mut books, 1, replies[1].clone());
        answered(&mut books, 0, replies[0].clone());
        answered(&mut books, 2, replies[3].clone());
        assert_eq!((books.tally.right, books.tally.twice, books.tally.wrong), (2, 1, 1));
        assert!(books.is_open() && books.tally.missing() == 1 && !books.tally.is_right());
        let error = JobError::new(ErrorCode::RunTimeout, "too slow");
        assert!(!books.end(3, &Err(error), Instant::now(), true));
        assert_eq!((books.tally.failed, books.is_open()), (1, false));
        assert_eq!(books.tally.latencies.len(), 2, "what failed, or was wrong, has no latency");
        answered(&mut books, 0, replies[0].clone());
        answered(&mut books, 9, replies[0].clone());
        assert_eq!(books.tally.twice, 3, "one that was never asked for counts as such");
    }

    #[test]
    fn a_payload_that_was_changed_gets_no_answer() {
        let mut payload = Books::new(0, 64, 16).begin(Instant::now());
        assert!(reply_to(&payload, 16).is_some());
        payload[63] = 0;
        assert!(reply_to(&payload, 16).is_none() && reply_to(&[1; 7], 16).is_none());
    }

    #[test]
    fn the_warm_up_is_not_measured() {
        let mut books = Books::new(0, 64, 16);
        let reply = reply_to(&books.begin(Instant::now()), 16).unwrap();
        let now = Instant::now();
        books.end(0, &Ok(reply.into()), now, false);
        assert_eq!((books.tally.right, books.tally.latencies.len()), (1, 0));
    }
}
