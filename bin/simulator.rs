//! The work simulator: a child that takes lines, sleeps for each of them a normally distributed time, and echoes it; now and then
//! it crashes on purpose. Our own executable again, so that nothing else is needed to try a fleet.

use crate::options::{Layer, Sources};
use clap::Args;
use rand::random;
use std::f64::consts::TAU;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::time::Duration;

/// The argument that makes our executable a simulator; nobody types it.
const ARGUMENT: &str = "--be-the-work-simulator";
/// How often it crashes before it reports a line, and how often after it.
const CRASH: f64 = 0.16;
/// How a crash on purpose ends.
const CRASHED: i32 = 70;

/// What the simulator simulates.
#[derive(Args, Clone, Copy, Debug)]
pub struct SimulatorOptions {
    /// Of the work simulator: a line takes so long on average
    #[arg(long, value_name = "MS", default_value_t = 1_000.0, value_parser = millis)]
    sim_mean: f64,
    /// Of the work simulator: the standard deviation of that
    #[arg(long, value_name = "MS", default_value_t = 500.0, value_parser = millis)]
    sim_sd: f64,
    /// Of the work simulator: crash in 16 % of the lines before, and in 16 % after they are reported
    #[arg(short = 'd', long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    sim_crash: bool,
}

fn millis(text: &str) -> Result<f64, String> {
    let millis = text.parse().ok().filter(|millis| (0.0..=86_400_000.0).contains(millis));
    millis.ok_or_else(|| "expected milliseconds up to a day, like 1000".into())
}

impl SimulatorOptions {
    /// One of these options that somebody has given.
    #[must_use]
    pub fn given(sources: &Sources) -> Option<&'static str> {
        let options = [("sim_mean", "--sim-mean"), ("sim_sd", "--sim-sd"), ("sim_crash", "-d")];
        options.into_iter().find(|(option, _)| sources.of(option) > Layer::Default).map(|(_, flag)| flag)
    }

    /// The words that start it.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        let Self { sim_mean, sim_sd, sim_crash } = self;
        let words = ["/proc/self/exe", ARGUMENT, &sim_mean.to_string(), &sim_sd.to_string()];
        words.into_iter().map(OsString::from).chain([sim_crash.to_string().into()]).collect()
    }
}

/// Becomes the simulator if that is what the process was started for; it does not return then. To be called at the start of `main`.
pub fn run_if_asked() {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some(ARGUMENT) {
        return;
    }
    let mut number = || words.next().and_then(|word| word.parse().ok());
    let (Some(mean), Some(sd)) = (number(), number()) else { std::process::exit(2) };
    let crashes = words.next().as_deref() == Some("true");
    // Whoever closed our output wants no more.
    std::process::exit(i32::from(simulate(mean, sd, crashes).is_err()));
}

fn simulate(mean: f64, sd: f64, crashes: bool) -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        std::thread::sleep(normal(mean, sd));
        crash_sometimes(crashes);
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        output.write_all(&line)?;
        output.flush()?;
        crash_sometimes(crashes);
        line.clear();
    }
    Ok(())
}

fn crash_sometimes(crashes: bool) {
    if crashes && random::<f64>() < CRASH {
        std::process::exit(CRASHED);
    }
}

/// A time of this distribution, or none where that would be negative.
fn normal(mean: f64, sd: f64) -> Duration {
    let radius = (-2.0 * (1.0 - random::<f64>()).ln()).sqrt();
    let millis = mean + sd * radius * (TAU * random::<f64>()).cos();
    Duration::from_secs_f64(millis.max(0.0) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_distributed_as_they_should_be() {
        let count = 20_000;
        let times: Vec<f64> = (0..count).map(|_| normal(1_000.0, 100.0).as_secs_f64() * 1_000.0).collect();
        let mean = times.iter().sum::<f64>() / f64::from(count);
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / f64::from(count);
        assert!((mean - 1_000.0).abs() < 5.0, "{mean}");
        assert!((variance.sqrt() - 100.0).abs() < 5.0, "{}", variance.sqrt());
        assert!((0..1_000).all(|_| normal(0.0, 10.0) < Duration::from_secs(1)));
    }

    #[test]
    fn words_say_it_all() {
        let words = SimulatorOptions { sim_mean: 1.5, sim_sd: 0.0, sim_crash: false }.words();
        assert_eq!(words[1..], [ARGUMENT, "1.5", "0", "false"]);
        assert!(millis("-1").is_err() && millis("x").is_err() && millis("2.5") == Ok(2.5));
    }
}
