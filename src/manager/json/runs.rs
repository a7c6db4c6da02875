//! What runs on one JSON worker.
//!
//! That dialect names a job by the id that its client knows, and knows no attempts. So a word about a job counts for what
//! runs of it on this connection now, and for nothing if nothing does.

use proletariat_protocol::{AssignmentId, JobId, PeerId};
use std::collections::BTreeMap;
use std::fmt;

/// A job by its client and its number there: its name in this dialect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::manager) struct JobName {
    pub(in crate::manager) client: PeerId,
    pub(in crate::manager) job: JobId,
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "J{}.{}", self.client, self.job)
    }
}

impl JobName {
    /// Reads what [`Display`](fmt::Display) writes, and nothing else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (client, job) = text.strip_prefix('J')?.split_once('.')?;
        let name = Self { client: PeerId(number(client)?), job: JobId(number(job)?) };
        Some(name)
    }
}

/// A number as we write it: without sign and without zeros before it.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Runs {
    by_name: BTreeMap<JobName, Run>,
    by_assignment: BTreeMap<AssignmentId, JobName>,
    had_work: bool,
}

/// One run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) assignment: AssignmentId,
    /// The worker was told a limit.
    pub(super) limited: bool,
}

impl Runs {
    pub(super) fn begin(&mut self, name: JobName, run: Run) {
        self.had_work = true;
        self.by_assignment.insert(run.assignment, name);
        if let Some(before) = self.by_name.insert(name, run) {
            self.by_assignment.remove(&before.assignment);
        }
    }

    pub(super) fn find(&self, name: JobName) -> Option<Run> {
        self.by_name.get(&name).copied()
    }

    /// The run of a job is over.
    pub(super) fn end(&mut self, name: JobName) -> Option<Run> {
        let run = self.by_name.remove(&name)?;
        self.by_assignment.remove(&run.assignment);
        Some(run)
    }

    /// An assignment is over, by the manager's own will; which job that was.
    pub(super) fn cancel(&mut self, assignment: AssignmentId) -> Option<JobName> {
        let name = self.by_assignment.remove(&assignment)?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// Whether it ever got a job.
    pub(super) fn had_work(&self) -> bool {
        self.had_work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let name = JobName { client: PeerId(7), job: JobId(0) };
        assert_eq!(name.to_string(), "J7.0");
        assert_eq!(JobName::read("J7.0"), Some(name));
        for text in [
            "",
            "J",
            "W0R0",
            "J7",
            "J07.0",
            "J7.00",
            "J+7.0",
            "J7.-1",
            "j7.0",
            "J7.0 ",
            "J7.99999999999999999999",
        ] {
            assert_eq!(JobName::read(text), None, "{text}");
        }
    }

    #[test]
    fn both_ways_lead_to_the_same_run() {
        let (mut runs, name) = (Runs::default(), JobName { client: PeerId(1), job: JobId(2) });
        let run = |id| Run { assignment: AssignmentId(id), limited: false };
        assert!(!runs.had_work());
        runs.begin(name, run(5));
        assert_eq!((runs.find(name), runs.cancel(AssignmentId(6))), (Some(run(5)), None));
        assert_eq!((runs.cancel(AssignmentId(5)), runs.end(name)), (Some(name), None));
        runs.begin(name, run(7));
        runs.begin(name, run(8));
        assert_eq!((runs.cancel(AssignmentId(7)), runs.end(name)), (None, Some(run(8))));
        assert!(runs.had_work() && runs.by_assignment.is_empty());
    }
}
