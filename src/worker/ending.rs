//! How a handler ends.

use core::fmt::Display;
use proletariat_protocol::{HandBackReason, Payload};

/// What a handler answers.
///
/// A handler rarely names it: a `Result` of anything that is a payload and any error becomes one.
///
/// ```
/// use proletariat::worker::Ending;
/// let done: Ending = Ok::<_, std::io::Error>("42").into();
/// assert_eq!(done, Ending::Done("42".into()));
/// let failed: Ending = Err::<String, _>("no such file").into();
/// assert_eq!(failed, Ending::Failed("no such file".into()));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The work is done; these bytes are the result.
    Done(Payload),
    /// The work failed for good; the caller gets `EWORK` with this message.
    Failed(String),
    /// The work is done, but its result is larger than the manager takes; the caller gets `ELARGEMSG`, the manager this message.
    /// For handlers that see it coming; a [`Done`](Self::Done) that is too large becomes the same.
    TooLarge(String),
    /// The work was not done and somebody else shall have it. Never counts as an attempt.
    HandBack(HandBackReason),
    /// What did the work is gone (a child process died). Counts as a lost worker: the job is tried again elsewhere until
    /// its `max_attempts` are used up.
    Crashed(String),
}

impl<T: Into<Payload>, E: Display> From<Result<T, E>> for Ending {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(payload) => Self::Done(payload.into()),
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}
