//! Handlers that are ready to use.

mod arith;
mod collect;
mod exec;
mod http;
mod last_words;
mod lookup;
mod run;

pub use arith::{Arith, Operation};
pub use collect::{Collect, CollectOrder};
pub use exec::{Exec, ExecError, Execution};
pub use http::{Http, HttpTarget, HttpTargetError};
pub use lookup::{Lookup, LookupCommand, TableFault};
pub use run::RunProgram;

use super::{Ending, Handler, Run};
use core::time::Duration;

/// Answers with the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Echo;

impl Handler for Echo {
    async fn run(&self, run: Run) -> Ending {
        Ending::Done(run.payload().clone())
    }
}

/// Sleeps for as long as the payload says (`10ms`, `2s`, `1m`; a bare number is milliseconds), then answers with the
/// payload. A cancelled one wakes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sleep;

impl Handler for Sleep {
    async fn run(&self, run: Run) -> Ending {
        let Some(time) = duration(run.payload()) else {
            return Ending::Failed(String::from(
                "the payload is no duration: write 10ms, 2s, 1m or milliseconds",
            ));
        };
        match run.unless_cancelled(tokio::time::sleep(time)).await {
            Ok(()) => Ending::Done(run.payload().clone()),
            Err(cancelled) => Ending::Failed(cancelled.to_string()),
        }
    }
}

fn duration(payload: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(payload).ok()?.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim() {
        "" | "ms" => 0.001,
        "us" | "µs" => 0.000_001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases =
            [("250", 250), ("10ms", 10), (" 2s\n", 2_000), ("1.5 s", 1_500), ("1m", 60_000), ("0", 0)];
        for (text, millis) in cases {
            assert_eq!(duration(text.as_bytes()), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1.2.3s", "1e400", "99999999999999999999999h", "10 days", "\u{ff}"] {
            assert_eq!(duration(text.as_bytes()), None, "{text}");
        }
    }
}
