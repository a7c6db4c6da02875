//! What a client says about jobs, and what a worker says about its runs.

use crate::ErrorCode;
use serde::{Deserialize, Serialize};

/// What holds for all jobs of one submit. The payloads are apart.
///
/// The three clocks are milliseconds; 0 means none; the largest is
/// [`CLOCK_MILLIS_MAX`](crate::limits::CLOCK_MILLIS_MAX), more is refused with [`ErrorCode::Protocol`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JobOptions {
    /// Larger is more urgent.
    pub priority: u32,
    /// The type of the jobs; without one only workers that offer any kind take them.
    pub kind: Option<String>,
    /// For similar work: jobs with equal kind and key share one execution where the manager holds similar work.
    pub key: Option<Vec<u8>>,
    /// What is left of the whole call, in milliseconds, as the client sees it when it sends this.
    pub timeout_ms: u32,
    /// The longest wait for a worker, in milliseconds.
    pub assign_timeout_ms: u32,
    /// The longest run, in milliseconds.
    pub run_timeout_ms: u32,
    /// How many lost workers end the job with [`ErrorCode::Crash`]; `None`: the manager's own; `Some(0)`: no limit.
    pub max_attempts: Option<u16>,
    /// Fail at once instead of waiting for a worker.
    pub no_wait: bool,
    /// The client wants data chunks and progress; without it only the outcome is sent.
    pub stream: bool,
}

/// How a run ended, as the worker reports it. The bytes stand beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WorkResult {
    /// The handler is done; the bytes are the result.
    Done,
    /// The handler failed; the bytes are its message.
    Failed,
    /// The run limit passed and the work has been stopped.
    RunTimeout,
    /// The result is over the payload limit; final.
    TooLarge,
}

/// Why a worker gives an execution back without having done it. Never counts as an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HandBackReason {
    /// This worker can take none of this kind for a while.
    Busy,
    /// This worker does not do this kind at all.
    NotMyKind,
    /// This worker does not want this execution (also: no reason given).
    Unfit,
    /// The worker leaves, or lost a slot: nobody is to be avoided for it.
    Leaving,
}

/// How a job ended, as its client is told. The bytes stand beside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OutcomeKind {
    /// The bytes are the result.
    Result,
    /// The bytes are a sentence for people.
    Error(ErrorCode),
}
