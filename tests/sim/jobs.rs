//! The callers' side of the truth: every job that was ever handed in, what may become of it, and what did.

use proletariat::client::machine::Outcome;
use proletariat_protocol::{ErrorCode, HandBackReason, JobOptions, Payload, Time};
use std::collections::BTreeSet;

/// Bytes before the padding of a payload: the job's number and its tag.
const HEAD_BYTES: usize = 16;

/// A job, as its caller knows it.
#[derive(Debug)]
pub struct Job {
    pub process: u64,
    pub options: JobOptions,
    pub called: Time,
    /// What the answer follows from: jobs with equal kind and key share it.
    pub tag: u64,
    pub bytes: usize,
    pub outcome: Option<Time>,
    /// Its caller does not want it any more.
    pub aborted: bool,
    /// Nobody is there any more who could be told.
    pub deserted: bool,
    pub runs: Vec<Run>,
    hears: Option<(u64, u32)>,
}

/// One start of a handler.
#[derive(Debug)]
pub struct Run {
    pub nonce: u64,
    /// Given back undone, so that somebody else may do it.
    pub undone: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Jobs {
    pub list: Vec<Job>,
    /// Tags of runs that failed.
    pub failed: BTreeSet<u64>,
    nonces: u64,
}

/// The result that a right handler gives.
pub fn answer(tag: u64) -> Payload {
    let mut word = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^= word >> 29;
    Payload::from(word.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes().to_vec())
}

/// Number and tag of the job that a payload was made for.
pub fn read(payload: &[u8]) -> (usize, u64) {
    let word = |from: usize| u64::from_be_bytes(payload[from..from + 8].try_into().expect("8 bytes"));
    (word(0) as usize, word(8))
}

impl Jobs {
    /// A new job; its number and its payload.
    pub fn add(&mut self, process: u64, options: &JobOptions, called: Time, bytes: usize) -> (u64, Payload) {
        let number = self.list.len() as u64;
        let kind = options.kind.as_deref().map_or(0, |kind| kind.bytes().map(u64::from).sum::<u64>() + 1);
        let tag = match &options.key {
            Some(key) => (1 << 63) | (kind << 8) | u64::from(key[0]),
            None => number,
        };
        let mut payload = number.to_be_bytes().to_vec();
        payload.extend(tag.to_be_bytes());
        payload.resize(bytes.max(HEAD_BYTES), 7);
        self.list.push(Job {
            process,
            options: options.clone(),
            called,
            tag,
            bytes: payload.len(),
            outcome: None,
            aborted: false,
            deserted: false,
            runs: Vec::new(),
            hears: None,
        });
        (number, payload.into())
    }

    /// A caller is told an outcome.
    pub fn delivered(
        &mut self,
        number: u64,
        now: Time,
        outcome: &Outcome,
        payload_bytes_max: u64,
    ) -> Result<(), String> {
        let failed = self.failed.contains(&self.list[number as usize].tag);
        let job = &mut self.list[number as usize];
        if job.deserted {
            return Err(format!("job {number} is answered, but its caller is gone"));
        }
        if job.outcome.replace(now).is_some() {
            return Err(format!("job {number} has a second outcome: {outcome:?}"));
        }
        let error = match outcome {
            Ok(result) if *result == answer(job.tag) => return Ok(()),
            Ok(result) => return Err(format!("job {number} has the wrong result {result:?}")),
            Err(error) => error,
        };
        let options = &job.options;
        let passed = |millis: u32| millis > 0 && now >= job.called.plus_millis(millis.into());
        let right = match error.code {
            ErrorCode::CallTimeout => passed(options.timeout_ms),
            ErrorCode::AssignTimeout => passed(options.assign_timeout_ms),
            // The limit of a shared run may move while it runs; then its end is known to a quarter of a second.
            ErrorCode::RunTimeout if options.key.is_some() => {
                let run = u64::from(options.run_timeout_ms);
                run > 0 && now.plus_millis(250) >= job.called.plus_millis(run)
            }
            ErrorCode::RunTimeout => passed(options.run_timeout_ms),
            ErrorCode::WorkFailed => failed,
            // The strictest bound of all that share a run counts.
            ErrorCode::Crash => options.max_attempts != Some(0) || options.key.is_some(),
            ErrorCode::Aborted => job.aborted,
            ErrorCode::NoWorker | ErrorCode::Overload | ErrorCode::Shutdown => options.no_wait,
            ErrorCode::TooLarge => job.bytes as u64 > payload_bytes_max,
            _ => false,
        };
        if right { Ok(()) } else { Err(format!("job {number} ended with {error} for no reason: {job:?}")) }
    }

    /// A handler starts on a job.
    pub fn started(&mut self, number: usize) -> Result<u64, String> {
        self.nonces += 1;
        let job = &mut self.list[number];
        // A shared run may go on for others when this job has ended.
        let once = job.options.max_attempts == Some(1) && job.options.key.is_none();
        if once && job.runs.iter().any(|run| !run.undone) {
            return Err(format!("job {number} with max_attempts = 1 is run a second time: {job:?}"));
        }
        job.runs.push(Run { nonce: self.nonces, undone: false });
        Ok(self.nonces)
    }

    /// A handler gives a job back undone.
    pub fn undone(&mut self, number: usize, nonce: u64, _why: HandBackReason) {
        for run in self.list[number].runs.iter_mut().filter(|run| run.nonce == nonce) {
            run.undone = true;
        }
    }

    /// A caller gets a chunk: those of one run, all of them, in order.
    pub fn heard(&mut self, number: u64, chunk: &[u8]) -> Result<(), String> {
        let word = |from: usize| u64::from_be_bytes(chunk[from..from + 8].try_into().expect("8 bytes"));
        let (nonce, place) = (word(0), word(8) as u32);
        let job = &mut self.list[number as usize];
        if job.outcome.is_some() {
            return Err(format!("job {number} gets data after its outcome"));
        }
        let expected = job.hears.map_or((nonce, 0), |(nonce, last)| (nonce, last + 1));
        job.hears = Some((nonce, place));
        if expected == (nonce, place) {
            return Ok(());
        }
        Err(format!("job {number} gets chunk {place} of run {nonce}, {expected:?} was next"))
    }

    /// A caller is told to forget the data.
    pub fn restarted(&mut self, number: u64) {
        self.list[number as usize].hears = None;
    }

    /// The process of these callers is gone.
    pub fn desert(&mut self, process: u64) {
        for job in self.list.iter_mut().filter(|job| job.process == process && job.outcome.is_none()) {
            job.deserted = true;
        }
    }

    /// Jobs that have no outcome, though their callers are there.
    pub fn open(&self) -> impl Iterator<Item = (usize, &Job)> {
        self.list.iter().enumerate().filter(|(_, job)| job.outcome.is_none() && !job.deserted)
    }
}
