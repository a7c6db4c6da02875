//! The books of the demo.

use super::load::Tally;
use crate::exit::Failure;
use crate::output::Format;
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::{self, Write as _};
use std::time::Duration;

/// What the demo has to show.
#[derive(Debug)]
pub(super) struct Report {
    tallies: Vec<Tally>,
    elapsed: Duration,
    requeued: u64,
    workers: usize,
}

impl Report {
    pub(super) fn new(tallies: Vec<Tally>, elapsed: Duration, status: &str, workers: usize) -> Self {
        let status: Value = serde_json::from_str(status).unwrap_or_default();
        let requeued = status["manager"]["requeued"].as_u64().unwrap_or_default();
        Self { tallies, elapsed, requeued, workers }
    }

    fn sum(&self, part: impl Fn(&Tally) -> u64) -> u64 {
        self.tallies.iter().map(part).sum()
    }

    fn jobs(&self) -> u64 {
        self.sum(|tally| tally.jobs)
    }

    fn answers(&self) -> u64 {
        self.sum(|tally| tally.latencies.len() as u64)
    }

    fn lost(&self) -> u64 {
        self.jobs().saturating_sub(self.answers())
    }

    fn rate(&self) -> f64 {
        self.answers() as f64 / self.elapsed.as_secs_f64()
    }

    /// Every job has its answer, and every answer is right.
    pub(super) fn is_complete(&self) -> bool {
        self.lost() == 0 && self.sum(|tally| tally.wrong + tally.failed) == 0
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
        let mut text = String::new();
        let mut row = |name: &str, value: String, note: &str| {
            let line = format!("{name:<12}{value:>9}   {note}");
            text.push_str(line.trim_end());
            text.push('\n');
        };
        let workers = format!("3 priorities, 2 kinds, {} workers", self.workers);
        row("jobs", thousands(self.jobs()), &workers);
        row("answers", thousands(self.answers()), "each one compared with what it should be");
        row("re-queued", thousands(self.requeued), "one worker was killed on the way");
        row("lost", thousands(self.lost()), "");
        row("wrong", thousands(self.sum(|tally| tally.wrong)), "");
        row("failed", thousands(self.sum(|tally| tally.failed)), "");
        row(
            "throughput",
            thousands(self.rate() as u64),
            &format!("jobs/s, {:.1} s in all", self.elapsed.as_secs_f64()),
        );
        text.push_str(
            "\npriority     jobs    p50 ms    p90 ms    p99 ms    max ms   from submission to answer\n",
        );
        for tally in &self.tallies {
            let Latency { p50, p90, p99, max } = Latency::of(tally);
            let (priority, jobs) = (tally.priority, thousands(tally.jobs));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{priority:>8}{jobs:>9}{p50:>10.1}{p90:>10.1}{p99:>10.1}{max:>10.1}");
        }
        text
    }

    fn json(&self) -> Value {
        let latency: serde_json::Map<String, Value> = self
            .tallies
            .iter()
            .map(|tally| {
                let Latency { p50, p90, p99, max } = Latency::of(tally);
                let row =
                    json!({ "jobs": tally.jobs, "p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max });
                (tally.priority.to_string(), row)
            })
            .collect();
        json!({
            "jobs": self.jobs(),
            "answers": self.answers(),
            "requeued": self.requeued,
            "lost": self.lost(),
            "wrong": self.sum(|tally| tally.wrong),
            "failed": self.sum(|tally| tally.failed),
            "jobs_per_s": (self.rate() * 10.0).round() / 10.0,
            "seconds": (self.elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0,
            "latency": latency,
        })
    }
}

/// Percentiles in milliseconds.
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Latency {
    fn of(tally: &Tally) -> Self {
        let mut sorted = tally.latencies.clone();
        sorted.sort_unstable();
        let at = |percent: usize| {
            let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
            let millis = sorted.get(place).map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0);
            (millis * 1_000.0).round() / 1_000.0
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(answers: usize) -> Report {
        let tally = Tally {
            priority: 2,
            jobs: 1_200,
            latencies: (1..=answers).map(|n| Duration::from_millis(n as u64)).collect(),
            ..Tally::default()
        };
        Report::new(vec![tally], Duration::from_secs(2), r#"{"manager":{"requeued":7}}"#, 5)
    }

    #[test]
    fn the_books_tell_what_is_lost() {
        let whole = report(1_200);
        assert!(whole.is_complete());
        assert_eq!(whole.json()["lost"], 0);
        assert_eq!(whole.json()["requeued"], 7);
        assert_eq!(whole.json()["jobs_per_s"], 600.0);
        assert_eq!(whole.json()["latency"]["2"]["p50_ms"], 601.0);
        let part = report(1_199);
        assert!(!part.is_complete());
        assert!(part.human().contains("lost                1"));
    }

    #[test]
    fn numbers_are_easy_to_read() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
