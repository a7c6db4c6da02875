//! Answers that are looked up in a table, each after a time of its own.

use crate::worker::{Ending, Handler, Run};
use core::time::Duration;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest wait of a row: thirty days, as for every clock.
const WAIT_SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// A command of the form `ip:command`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LookupCommand {
    ip: IpAddr,
    command: String,
}

impl LookupCommand {
    /// Reads `137.72.95.0:foo`; a v6 address may stand in brackets.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || String::from("expected ip:command");
        let (ip, command) = text.rsplit_once(':').ok_or_else(expected)?;
        let ip = ip.trim();
        let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
        let ip = bare.parse().map_err(|_| format!("expected ip:command, and {ip:?} is no address"))?;
        let command = command.trim();
        if command.is_empty() {
            return Err(expected());
        }
        Ok(Self { ip, command: command.to_owned() })
    }
}

/// What the table has for a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    response: i64,
    wait: Duration,
}

impl Row {
    fn parse(line: &str) -> Result<(LookupCommand, Self), String> {
        let mut parts = line.rsplitn(3, ':');
        let (Some(wait), Some(response), Some(command)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(String::from("expected ip:command:response:wait"));
        };
        let command = LookupCommand::parse(command).map_err(|error| format!("{error}:response:wait"))?;
        let (response, wait) = (response.trim(), wait.trim());
        let response = response.parse().map_err(|error| format!("response {response:?}: {error}"))?;
        let seconds: f64 = wait.parse().map_err(|_| format!("wait {wait:?} is no number of seconds"))?;
        if !(0.0..=WAIT_SECONDS_MAX).contains(&seconds) {
            return Err(format!("wait {wait:?} is not within 0 s and 30 days"));
        }
        Ok((command, Self { response, wait: Duration::from_secs_f64(seconds) }))
    }
}

/// A row that is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableFault {
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Looks commands up. A job is a batch of lines `ip:command`; for each of them the handler waits as long as the table says, for
/// all of them side by side, and the result is `{"sum":…,"unknown":[…]}`: the sum of the responses, and which lines
/// (counted from 0) the table does not know.
#[derive(Clone, Debug)]
pub struct Lookup {
    rows: Arc<HashMap<LookupCommand, Row>>,
}

impl Lookup {
    /// From rows of the form `ip:command:response:wait` (an integer, and seconds, with fractions if need be), one a line.
    /// Rows of another form are left out and told. Of two rows for one command the later counts, and that is told too.
    #[must_use]
    pub fn new(table: &str) -> (Self, Vec<TableFault>) {
        let (mut rows, mut faults) = (HashMap::new(), Vec::new());
        for (index, line) in table.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let reason = match Row::parse(line) {
                Ok((command, row)) => match rows.insert(command, row) {
                    None => continue,
                    Some(_) => String::from("an earlier row has the same command; this one counts"),
                },
                Err(reason) => format!("row left out: {reason}"),
            };
            faults.push(TableFault { line: index + 1, reason });
        }
        (Self { rows: Arc::new(rows) }, faults)
    }

    /// How many commands it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it knows none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn row(&self, line: &str) -> Option<Row> {
        self.rows.get(&LookupCommand::parse(line).ok()?).copied()
    }
}

impl Handler for Lookup {
    async fn run(&self, run: Run) -> Ending {
        let Ok(text) = std::str::from_utf8(run.payload()) else {
            return Ending::Failed(String::from("the payload is no text: one ip:command a line"));
        };
        let rows: Vec<_> = text.lines().map(|line| self.row(line)).collect();
        // All wait side by side, so the batch is ready when the longest wait is over.
        let wait = rows.iter().flatten().map(|row| row.wait).max().unwrap_or_default();
        if let Err(cancelled) = run.unless_cancelled(tokio::time::sleep(wait)).await {
            return Ending::Failed(cancelled.to_string());
        }
        let sum: i128 = rows.iter().flatten().map(|row| i128::from(row.response)).sum();
        let unknown: Vec<_> = (0..rows.len()).filter(|index| rows[*index].is_none()).collect();
        Ending::Done(format!("{{\"sum\":{sum},\"unknown\":{unknown:?}}}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_any_form() {
        for text in ["137.72.95.0:foo", " 137.72.95.0 : foo \r", "[::1]:bar", "::1:bar"] {
            LookupCommand::parse(text).unwrap();
        }
        assert_eq!(LookupCommand::parse("[::1]:x"), LookupCommand::parse("0:0:0:0:0:0:0:1:x"));
        for text in ["", "nocolon", "137.72.95.0:", ":foo", "a:b:c:d:e", "137.72.95.256:foo", "1.2.3.4:  "] {
            LookupCommand::parse(text).unwrap_err();
        }
    }

    #[test]
    fn bad_rows_are_told_and_the_rest_counts() {
        let table = "1.2.3.4:foo:12:0.5\n\n1.2.3.4:foo\nx:foo:1:1\n1.2.3.4:foo:twelve:1\n1.2.3.4:foo:12:soon\n\
                     1.2.3.4:foo:1:-3\n1.2.3.4:foo:1:NaN\n1.2.3.4:bar:-7:0\n1.2.3.4:foo:13:1.25\r\n";
        let (lookup, faults) = Lookup::new(table);
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 10]);
        assert_eq!(lookup.len(), 2);
        let row = lookup.row("1.2.3.4:foo").unwrap();
        assert_eq!(row, Row { response: 13, wait: Duration::from_millis(1_250) });
        assert_eq!(lookup.row("1.2.3.4:bar").unwrap().response, -7);
        assert_eq!(lookup.row("1.2.3.4:baz"), None);
    }
}
