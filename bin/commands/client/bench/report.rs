//! What was measured, for people and for programs.

use super::books::{Latencies, Tally};
use super::shape::Shape;
use crate::exit::Failure;
use crate::output::Format;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Figures by name, in the order in which they were found.
pub(super) struct Report {
    shape: Shape,
    figures: Vec<Figure>,
    pub(super) tally: Tally,
}

struct Figure {
    /// Its key in JSON; the unit is its end.
    name: String,
    value: f64,
    /// What it is, for people.
    meaning: &'static str,
}

/// What a latency is, but for W3.
pub(super) const SINCE_BEGUN: &str = "µs from the beginning of a job to its answer";

/// Percentiles that are told.
const PERCENTILES: [(&str, f64); 4] =
    [("p50_us", 50.0), ("p90_us", 90.0), ("p99_us", 99.0), ("p999_us", 99.9)];

impl Report {
    pub(super) fn new(shape: &Shape) -> Self {
        Self { shape: shape.clone(), figures: Vec::new(), tally: Tally::default() }
    }

    pub(super) fn add(&mut self, name: impl Into<String>, value: f64, meaning: &'static str) {
        self.figures.push(Figure { name: name.into(), value, meaning });
    }

    pub(super) fn value(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.name == name).map_or(0.0, |figure| figure.value)
    }

    /// Percentiles in microseconds; nothing if there is none.
    pub(super) fn latencies(&mut self, prefix: &str, meaning: &'static str, latencies: &Latencies) {
        if latencies.is_empty() {
            return;
        }
        for (name, percent) in PERCENTILES {
            let micros = latencies.value_at_percentile(percent) as f64 / 1e3;
            self.add(format!("{prefix}{name}"), micros, meaning);
        }
        self.add(format!("{prefix}max_us"), latencies.max() as f64 / 1e3, "µs, the longest");
    }

    /// Every job has its answer, once, and it is right.
    pub(super) fn is_right(&self) -> bool {
        self.tally.is_right() && self.tally.begun > 0
    }

    pub(super) fn print(&self, format: Format) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match format {
            Format::Human => out.write_all(self.human().as_bytes())?,
            Format::Json | Format::Jsonl => writeln!(out, "{}", self.json())?,
            Format::Quiet => {}
        }
        Ok(out.flush()?)
    }

    fn human(&self) -> String {
        let shape = &self.shape;
        let mut text = format!(
            "{}: {} workers of {} slots, {} outstanding, payloads of {} B, answers of {} B\n",
            shape.name(),
            shape.workers,
            shape.slots,
            shape.outstanding,
            shape.payload_bytes,
            shape.reply_bytes
        );
        for Figure { name, value, meaning } in &self.figures {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:<26}{:>14}   {meaning}", name.replace('_', " "), rounded(*value));
        }
        let tally = &self.tally;
        let answers = [
            ("answers", tally.right, "right, each the only one to its job"),
            ("wrong", tally.wrong, "other bytes than there should be"),
            ("twice", tally.twice, "a second answer to one job"),
            ("failed", tally.failed, "ended with an error"),
            ("missing", tally.missing(), "jobs without an answer"),
        ];
        for (name, count, meaning) in answers {
            let _ = writeln!(text, "{name:<26}{count:>14}   {meaning}");
        }
        if let Some(failure) = &tally.failure {
            let _ = writeln!(text, "the first that failed: {failure}");
        }
        text
    }

    fn json(&self) -> Value {
        let (shape, tally) = (&self.shape, &self.tally);
        let mut object = Map::new();
        object.insert("workload".into(), shape.name().into());
        for Figure { name, value, .. } in &self.figures {
            object.insert(name.clone(), json!((value * 1e4).round() / 1e4));
        }
        let counts = [
            ("jobs", tally.begun),
            ("answers", tally.right),
            ("wrong", tally.wrong),
            ("twice", tally.twice),
            ("failed", tally.failed),
            ("missing", tally.missing()),
            ("outstanding", shape.outstanding),
            ("workers", shape.workers.into()),
            ("slots", shape.slots.into()),
            ("payload", shape.payload_bytes as u64),
            ("reply", shape.reply_bytes as u64),
            ("kinds", shape.kinds.into()),
            ("priorities", shape.priorities.into()),
            ("crowd", shape.crowd.into()),
        ];
        object.extend(counts.map(|(name, count)| (name.to_owned(), count.into())));
        object.into()
    }
}

/// As many digits as mean something.
fn rounded(value: f64) -> String {
    let digits = if value.abs() >= 100.0 {
        0
    } else if value.abs() >= 10.0 {
        1
    } else {
        3
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::client::bench::books::Books;
    use std::time::Instant;

    #[test]
    fn figures_are_told_in_both_forms() {
        let mut report = Report::new(&Shape::of_name("W2"));
        report.add("jobs_per_s", 12_345.678, "jobs/s");
        let mut latencies = Tally::default().latencies;
        (1..=1_000).for_each(|micros| latencies.record(micros * 1_000).unwrap());
        report.latencies("", SINCE_BEGUN, &latencies);
        let mut books = Books::new(0, 64, 16);
        let _ = books.begin(Instant::now());
        report.tally.add(&books.tally);
        assert!(!report.is_right(), "one has no answer");
        let json = report.json();
        assert_eq!((&json["workload"], &json["missing"]), (&json!("W2"), &json!(1)));
        assert_eq!(json["jobs_per_s"], 12_345.678);
        assert!((json["p99_us"].as_f64().unwrap() - 990.0).abs() < 2.0, "{json}");
        let text = report.human();
        assert!(text.contains("12346   jobs/s") && text.contains("p99 us"), "{text}");
    }
}
