//! How jobs ended, one after the other, as they are to be printed.

use super::Format;
use super::value::{string, value};
use crate::exit::Exit;
use crate::terminal::red;
use proletariat_protocol::{ErrorCode, shown};
use std::io::{self, Write};

/// Counts outcomes; the exit code of a call follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    failed: u64,
    clocks: u64,
    call_timeouts: u64,
}

impl Tally {
    /// One more outcome.
    pub fn count(&mut self, error: Option<ErrorCode>) {
        let Some(code) = error else { return };
        self.failed += 1;
        match code {
            ErrorCode::CallTimeout => {
                self.call_timeouts += 1;
                self.clocks += 1;
            }
            ErrorCode::AssignTimeout | ErrorCode::RunTimeout => self.clocks += 1,
            _ => {}
        }
    }

    /// 4 if the call passed its timeout or clocks ended all that failed, else 1 if any failed, else 0.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self { failed: 0, .. } => Exit::Done,
            Self { failed, clocks, call_timeouts } if *call_timeouts > 0 || clocks == failed => {
                Exit::TimedOut
            }
            _ => Exit::Failed,
        }
    }
}

/// One line a job, whatever a message brings along; and none that moves the cursor.
#[must_use]
pub fn one_line(message: &str) -> String {
    shown::safe(&message.trim_end().replace('\n', " | ").replace('\t', " "))
}

/// Prints outcomes. Each call ends in whole lines, so nothing of a job is lost if the process ends between two.
pub struct OutcomeWriter<W> {
    out: W,
    format: Format,
    color: bool,
    /// Whether the array of `json` has an item already.
    begun: bool,
}

impl<W: Write> OutcomeWriter<W> {
    /// Prints to `out`; `color` marks errors for people.
    pub fn new(out: W, format: Format, color: bool) -> Self {
        Self { out, format, color, begun: false }
    }

    /// A result.
    ///
    /// # Errors
    /// Those of the output, as for all of these functions.
    pub fn result(&mut self, index: u64, bytes: &[u8]) -> io::Result<()> {
        match self.format {
            Format::Human => self.line(bytes),
            Format::Quiet => Ok(()),
            Format::Json | Format::Jsonl => self.object(index, "result", &value(bytes)),
        }
    }

    /// An error.
    ///
    /// # Errors
    /// See [`OutcomeWriter::result`].
    pub fn error(&mut self, index: u64, code: ErrorCode, message: &str) -> io::Result<()> {
        match self.format {
            Format::Human => {
                let message = one_line(message);
                let line = format!("{} {message}", red(&format!("error {code}:"), self.color));
                self.line(line.as_bytes())
            }
            Format::Quiet => Ok(()),
            Format::Json | Format::Jsonl => {
                let error = format!(r#"{{"code":"{code}","message":{}}}"#, string(message));
                self.object(index, "error", &error)
            }
        }
    }

    /// A partial result.
    ///
    /// # Errors
    /// See [`OutcomeWriter::result`].
    pub fn data(&mut self, index: u64, bytes: &[u8]) -> io::Result<()> {
        match self.format {
            Format::Human => self.line(bytes),
            Format::Quiet => Ok(()),
            Format::Json | Format::Jsonl => self.object(index, "data", &value(bytes)),
        }
    }

    /// The job starts anew: what came of its data does not count. For people this is talk, not data.
    ///
    /// # Errors
    /// See [`OutcomeWriter::result`].
    pub fn restarted(&mut self, index: u64) -> io::Result<()> {
        match self.format {
            Format::Human | Format::Quiet => Ok(()),
            Format::Json | Format::Jsonl => self.object(index, "restarted", "true"),
        }
    }

    /// Lets everything printed so far be seen.
    ///
    /// # Errors
    /// See [`OutcomeWriter::result`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The end: closes the document.
    ///
    /// # Errors
    /// See [`OutcomeWriter::result`].
    pub fn finish(&mut self) -> io::Result<()> {
        if self.format == Format::Json {
            self.out.write_all(if self.begun { b"\n]\n" } else { b"[]\n" })?;
        }
        self.out.flush()
    }

    fn object(&mut self, index: u64, key: &str, json: &str) -> io::Result<()> {
        if self.format == Format::Jsonl {
            return writeln!(self.out, r#"{{"index":{index},"{key}":{json}}}"#);
        }
        let before = if self.begun { ",\n" } else { "[\n" };
        self.begun = true;
        write!(self.out, r#"{before}{{"index":{index},"{key}":{json}}}"#)
    }

    fn line(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        if bytes.last() == Some(&b'\n') { Ok(()) } else { self.out.write_all(b"\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format) -> String {
        let mut out = Vec::new();
        let mut writer = OutcomeWriter::new(&mut out, format, false);
        writer.data(0, b"half").unwrap();
        writer.restarted(0).unwrap();
        writer.result(0, b"{\"res\": 12}").unwrap();
        writer.result(1, b"ends itself\n").unwrap();
        writer.result(2, b"").unwrap();
        writer.error(3, ErrorCode::AssignTimeout, "no \"worker\"\nat all\n").unwrap();
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn for_people_one_line_a_job() {
        let lines = "half\n{\"res\": 12}\nends itself\n\nerror EATO: no \"worker\" | at all\n";
        assert_eq!(printed(Format::Human), lines);
    }

    #[test]
    fn bytes_are_unchanged() {
        let mut out = Vec::new();
        let mut writer = OutcomeWriter::new(&mut out, Format::Human, true);
        writer.result(0, b"\xff\r\n\n").unwrap();
        writer.error(1, ErrorCode::WorkFailed, "why\x1b[2J").unwrap();
        assert_eq!(out, b"\xff\r\n\n\x1b[31merror EWORK:\x1b[0m why_[2J\n");
    }

    #[test]
    fn jsonl_one_object_a_line() {
        let lines = concat!(
            "{\"index\":0,\"data\":\"half\"}\n",
            "{\"index\":0,\"restarted\":true}\n",
            "{\"index\":0,\"result\":{\"res\":12}}\n",
            "{\"index\":1,\"result\":\"ends itself\\n\"}\n",
            "{\"index\":2,\"result\":\"\"}\n",
            "{\"index\":3,\"error\":{\"code\":\"EATO\",\"message\":\"no \\\"worker\\\"\\nat all\\n\"}}\n",
        );
        assert_eq!(printed(Format::Jsonl), lines);
    }

    #[test]
    fn json_is_one_array_and_quiet_is_nothing() {
        let document: serde_json::Value = serde_json::from_str(&printed(Format::Json)).unwrap();
        let items = document.as_array().unwrap();
        assert_eq!(items.len(), 6);
        assert_eq!(items[2], serde_json::json!({"index": 0, "result": {"res": 12}}));
        assert_eq!(items[5]["error"]["code"], "EATO");
        assert_eq!(printed(Format::Quiet), "");

        let mut out = Vec::new();
        OutcomeWriter::new(&mut out, Format::Json, false).finish().unwrap();
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn the_exit_code_follows_from_the_outcomes() {
        use ErrorCode::{AssignTimeout, CallTimeout, RunTimeout, WorkFailed};
        let table: &[(&[Option<ErrorCode>], Exit)] = &[
            (&[], Exit::Done),
            (&[None, None], Exit::Done),
            (&[None, Some(WorkFailed)], Exit::Failed),
            (&[None, Some(AssignTimeout), Some(RunTimeout)], Exit::TimedOut),
            (&[Some(AssignTimeout), Some(WorkFailed)], Exit::Failed),
            (&[Some(CallTimeout), Some(WorkFailed)], Exit::TimedOut),
        ];
        for (outcomes, exit) in table {
            let mut tally = Tally::default();
            outcomes.iter().for_each(|outcome| tally.count(*outcome));
            assert_eq!(tally.exit(), *exit, "{outcomes:?}");
        }
    }
}
