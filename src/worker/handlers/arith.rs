//! The arithmetic of the planner's workers.

use crate::worker::{Ending, HandBackReason, Handler, Run};
use core::time::Duration;
use rand::RngExt;
use serde::Deserialize;
use serde_json::Number;
use std::time::Instant;

/// The artificial time of each kind at scale 1: from, to, in seconds.
const MULT_SECONDS: (f64, f64) = (3.0, 12.0);
const ADD_SECONDS: (f64, f64) = (3.0, 7.0);

/// Multiplies (kind `mult`) and adds (kind `add`): `{"a":3,"b":4}` becomes `{"res":12,"duration":0}`. The duration is in
/// milliseconds. Whole numbers are exact up to 127 bits; a fraction, or more, makes it a floating point number.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Arith {
    time_scale: f64,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// `mult`.
    Mult,
    /// `add`.
    Add,
}

#[derive(Deserialize)]
struct Task {
    a: Number,
    b: Number,
}

impl Operation {
    /// The one of this kind of job.
    #[must_use]
    pub fn of_kind(kind: &str) -> Option<Self> {
        match kind {
            "mult" => Some(Self::Mult),
            "add" => Some(Self::Add),
            _ => None,
        }
    }

    /// The kind of its jobs.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Mult => "mult",
            Self::Add => "add",
        }
    }

    /// A made-up time that the work takes: 3 to 12 s for `mult`, 3 to 7 s for `add`, times `scale` (zero: no time).
    #[must_use]
    pub fn time(self, scale: f64) -> Duration {
        let (from, to) = match self {
            Self::Mult => MULT_SECONDS,
            Self::Add => ADD_SECONDS,
        };
        let seconds = rand::rng().random_range(from..=to) * scale;
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// The result for a task like `{"a":3,"b":4}`, as JSON text.
    ///
    /// # Errors
    /// Says what is wrong with the task.
    pub fn result(self, task: &[u8]) -> Result<String, String> {
        let Task { a, b } = serde_json::from_slice(task)
            .map_err(|error| format!("the task is not like {{\"a\":3,\"b\":4}}: {error}"))?;
        let whole = a.as_i128().zip(b.as_i128());
        let whole = whole.and_then(|(a, b)| match self {
            Self::Mult => a.checked_mul(b),
            Self::Add => a.checked_add(b),
        });
        if let Some(whole) = whole {
            return Ok(whole.to_string());
        }
        let (a, b) = a.as_f64().zip(b.as_f64()).ok_or("the numbers are too large")?;
        let result = match self {
            Self::Mult => a * b,
            Self::Add => a + b,
        };
        Number::from_f64(result)
            .map(|number| number.to_string())
            .ok_or_else(|| "the result is too large".into())
    }
}

impl Arith {
    /// Each job takes a made-up time, see [`Operation::time`].
    #[must_use]
    pub fn time_scale(mut self, scale: f64) -> Self {
        self.time_scale = scale;
        self
    }
}

impl Handler for Arith {
    async fn run(&self, run: Run) -> Ending {
        let Some(operation) = run.kind().and_then(Operation::of_kind) else {
            return Ending::HandBack(HandBackReason::NotMyKind);
        };
        let result = match operation.result(run.payload()) {
            Ok(result) => result,
            Err(error) => return Ending::Failed(error),
        };
        let begun = Instant::now();
        let time = operation.time(self.time_scale);
        if !time.is_zero()
            && let Err(cancelled) = run.unless_cancelled(tokio::time::sleep(time)).await
        {
            return Ending::Failed(cancelled.to_string());
        }
        let millis = begun.elapsed().as_millis();
        Ending::Done(format!("{{\"res\":{result},\"duration\":{millis}}}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_stay_whole() {
        let table = [
            (Operation::Mult, r#"{"a":3,"b":4}"#, "12"),
            (Operation::Add, r#"{"b":-4,"a":3,"c":"ignored"}"#, "-1"),
            (
                Operation::Mult,
                r#"{"a":9223372036854775807,"b":-9223372036854775808}"#,
                "-85070591730234615856620279821087277056",
            ),
            (Operation::Mult, r#"{"a":0.5,"b":4}"#, "2.0"),
            (Operation::Add, r#"{"a":1e300,"b":1}"#, "1e+300"),
        ];
        for (operation, task, result) in table {
            assert_eq!(operation.result(task.as_bytes()).as_deref(), Ok(result), "{task}");
        }
    }

    #[test]
    fn a_bad_task_is_told() {
        for (task, reason) in [
            ("", "the task is not like"),
            ("{}", "missing field `a`"),
            (r#"{"a":1,"b":"2"}"#, "invalid type: string"),
            (r#"{"a":1e300,"b":1e300}"#, "the result is too large"),
        ] {
            let error = Operation::Mult.result(task.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{task}: {error}");
        }
    }

    #[test]
    fn time_is_within_its_bounds() {
        for _ in 0..100 {
            let time = Operation::Mult.time(0.1);
            assert!((Duration::from_millis(300)..=Duration::from_millis(1_200)).contains(&time), "{time:?}");
        }
        assert_eq!(Operation::Add.time(0.0), Duration::ZERO);
    }
}
