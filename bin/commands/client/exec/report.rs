//! What is told at the end.

use super::flow::Counts;
use crate::terminal::say;
use proletariat::supervisor::lines::{Statistics, Times};
use std::time::Duration;

/// The longest bar of the histogram.
const BAR: u64 = 40;

/// Tells how many lines there were, how often children crashed, and how long lines took in them.
pub(super) fn print(counts: Counts, statistics: &Statistics, took: Duration) {
    let seconds = took.as_secs_f64();
    let rate = counts.done as f64 / seconds.max(1e-9);
    say(&format!("lines: {} read, {} done, {} given up", counts.read, counts.done, counts.failed));
    say(&format!("time: {seconds:.3} s, {rate:.0} lines/s"));
    say(&format!("crashes over a line: {}", statistics.crashes));
    histogram(&statistics.times).iter().for_each(|line| say(line));
}

/// What a helper did.
pub(super) fn print_helped(statistics: &Statistics) {
    say(&format!("lines: {} done here", statistics.times.count()));
    say(&format!("crashes over a line: {}", statistics.crashes));
    histogram(&statistics.times).iter().for_each(|line| say(line));
}

fn histogram(times: &Times) -> Vec<String> {
    let rows = times.rows();
    let Some(most) = rows.iter().map(|(_, count)| *count).max() else { return Vec::new() };
    let mut lines = vec![format!("time of a line in its child: {} on average", short(times.mean()))];
    for (bound, count) in rows {
        // What there is is seen.
        let bar = (count * BAR).div_ceil(most.max(1));
        let bar = "#".repeat(usize::try_from(bar).unwrap_or_default());
        lines.push(format!("  < {:>7}  {count:>9}  {bar}", short(bound)).trim_end().to_owned());
    }
    lines
}

/// Three digits are enough.
fn short(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.3} ms", micros as f64 / 1e3).replace(".000", ""),
        _ => format!("{:.3} s", micros as f64 / 1e6).replace(".000", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_shares() {
        let mut times = Times::default();
        (0..100).for_each(|_| times.add(Duration::from_micros(3)));
        times.add(Duration::from_micros(9));
        let lines = histogram(&times);
        assert_eq!(lines[0], "time of a line in its child: 3 µs on average");
        assert!(lines[1].ends_with(&format!("100  {}", "#".repeat(40))), "{}", lines[1]);
        assert_eq!(lines[2].trim(), "<    8 µs          0");
        assert!(lines[3].ends_with("1  #"), "{}", lines[3]);
        assert!(histogram(&Times::default()).is_empty());
    }

    #[test]
    fn times_are_short() {
        let texts = [1, 1_024, 1_000_000].map(|micros| short(Duration::from_micros(micros)));
        assert_eq!(texts, ["1 µs", "1.024 ms", "1 s"]);
    }
}
