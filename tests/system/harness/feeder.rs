//! A client that is fed jobs line by line, and the ledger of what was handed to it and what came back.

use super::{Manager, Running, within};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Jobs of one client without an answer: few enough that a client that is stopped never blocks who feeds it.
const OPEN_MAX: usize = 300;

/// One `client work -`.
#[derive(Debug)]
pub(crate) struct Feeder {
    pub(crate) process: Running,
    kind: &'static str,
    pub(crate) number: usize,
    submitted: Vec<String>,
    answers: BTreeMap<usize, String>,
    /// Bytes of the output that are in the books.
    read: usize,
    /// What it said and should not have said.
    pub(crate) wrong: Vec<String>,
}

impl Feeder {
    /// Of jobs of kind `echo` or `sleep`; the number makes the payloads its own.
    pub(crate) fn start(
        manager: &Manager<'_>,
        number: usize,
        kind: &'static str,
        arguments: &[&str],
    ) -> Self {
        let words = ["work", "-", "--individual", "--output", "jsonl", "--kind", kind];
        Self {
            process: manager.client(&[&words[..], arguments].concat()),
            kind,
            number,
            submitted: Vec::new(),
            answers: BTreeMap::new(),
            read: 0,
            wrong: Vec::new(),
        }
    }

    /// At most so many lines.
    pub(crate) fn feed(&mut self, lines_max: usize) {
        let room = OPEN_MAX.saturating_sub(self.submitted.len() - self.answers.len());
        let mut lines = String::new();
        for _ in 0..room.min(lines_max) {
            let index = self.submitted.len();
            let payload = match self.kind {
                "echo" => format!("job {index} of client {}", self.number),
                _ => format!("{}ms", 1 + index * 7 % 40),
            };
            lines.push_str(&payload);
            lines.push('\n');
            self.submitted.push(payload);
        }
        self.process.feed_some(lines.as_bytes());
    }

    pub(crate) fn answered(&self) -> usize {
        self.answers.len()
    }

    /// Puts whole lines of output into the books.
    pub(crate) fn read(&mut self) {
        let new = self.process.out_from(self.read);
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += whole;
        for line in String::from_utf8_lossy(&new[..whole]).lines() {
            if let Err(what) = self.enter(line) {
                self.wrong.push(format!("client {}: {what}: {line}", self.number));
            }
        }
    }

    fn enter(&mut self, line: &str) -> Result<(), String> {
        let answer: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let index = answer["index"].as_u64().ok_or("no index")? as usize;
        let result = answer["result"].as_str().ok_or("no result")?;
        let before = self.answers.insert(index, result.to_owned());
        if self.submitted.get(index).map(String::as_str) != Some(result) {
            return Err("a wrong answer".into());
        }
        before.map_or(Ok(()), |_| Err("a second answer".into()))
    }

    /// The end of the input: every job must have been answered when the client ends. Tells how many they were, and what
    /// was wrong.
    pub(crate) fn settle(mut self) -> (usize, Vec<String>) {
        self.process.end_input();
        let what = format!("all answers of client {}", self.number);
        within(Duration::from_secs(60), &what, || {
            self.read();
            (self.answers.len() == self.submitted.len()).then_some(())
        });
        let (all, read) = (self.submitted.len(), self.read);
        let ended = self.process.ended().expect(0);
        assert_eq!(ended.out.len(), read, "more than one answer for each job");
        (all, self.wrong)
    }
}
