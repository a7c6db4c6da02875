//! The workloads by name, and what options change of them.

use crate::exit::Failure;
use crate::options::value::{Guarantees, duration, guarantees, size};
use crate::output::Format;
use clap::{Args, ValueEnum};
use std::time::Duration;

/// Bytes of a payload and of a reply that carry the number of the job.
pub(super) const NUMBER_BYTES: usize = 8;
/// From this priority on jobs are urgent in W6.
pub(super) const URGENT: u32 = 2;
/// Largest payload and reply: the manager's own default.
const PAYLOAD_BYTES_MAX: u64 = 20 << 20;
/// Jobs that may be under way or wait: the manager's own default.
const JOBS_MAX: u64 = 10_000_000;

const EXAMPLES: &str = "\
Examples:
  client bench                                W1 against a manager of its own
  client bench W2 --output json               one job at a time
  client bench W1 --host 10.0.0.5             against another manager
  client bench W1 --priorities 8 --guarantees 2=5,4=5 --kinds 16 --run-timeout 10s --timeout 60s
  client bench W3 --jobs 200000

Rates and latencies are those of right answers; what failed is told beside them. The clock of a job runs from the moment its place was free until its answer is in the caller's hands. Each of the
--outstanding places holds one job at any time, no time between two jobs is left out, and what is open when the time is
over is waited for and counts: a stall is felt by every place and none of it is omitted. W3 has all its jobs there at
once; the latency of each begins when workers come.";

/// Options of `client bench`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(in super::super) struct BenchOptions {
    /// What is measured
    #[arg(value_name = "WORKLOAD", default_value = "W1", ignore_case = true)]
    workload: Workload,
    /// So many jobs, instead of a time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    jobs: Option<u64>,
    /// Jobs under way at any time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=JOBS_MAX))]
    outstanding: Option<u64>,
    /// Workers, each a connection
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    workers: Option<u32>,
    /// Slots of each worker
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    slots: Option<u32>,
    /// Bytes of a job
    #[arg(long, value_name = "SIZE", value_parser = size)]
    payload: Option<u64>,
    /// Bytes of an answer
    #[arg(long, value_name = "SIZE", value_parser = size)]
    reply: Option<u64>,
    /// The jobs are of so many kinds; each worker takes any
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kinds: Option<u32>,
    /// The jobs have the priorities from 0 to one less
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    priorities: Option<u32>,
    /// Slots that each worker guarantees, by lower bound of priority: 1=30,2=20
    #[arg(long, value_name = "BOUND=SLOTS", value_parser = guarantees)]
    guarantees: Option<Guarantees>,
    /// Total timeout of the calls that the jobs belong to; longer than the measurement
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Run timeout of each job
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    run_timeout: Option<Duration>,
    /// How long, after the warm-up [default: 5s, W2: 3s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    duration: Option<Duration>,
    /// So many further workers that have nothing to do
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=20_000))]
    crowd: Option<u32>,
    /// Process of the manager at --host, if it runs on this machine: its time and memory are told, too
    #[arg(long, value_name = "PID")]
    pub(super) manager_pid: Option<u32>,
    /// Form of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    pub(super) output: Format,
}

/// The workloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "verbatim")]
pub(super) enum Workload {
    /// Load: 1,000 jobs outstanding, 4 workers of 25 slots, 64 B, answers of 16 B
    W1,
    /// W1 with 250 slots a worker
    W1x,
    /// W1 with 8 priorities, 2 guarantees, a run timeout and a total timeout
    W1p,
    /// Latency: one job at a time, 1 worker of 1 slot
    W2,
    /// Backlog: 1,000,000 jobs pushed while no worker is there, then drained
    W3,
    /// Crowd: W1 with 2,000 further workers that have nothing to do
    W4,
    /// Payload: 64 KiB there and back, 16 outstanding
    W5,
    /// Urgency: priority-2 jobs one at a time while 100,000 of priority 0 wait and all other slots are busy
    W6,
}

/// How a workload goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Course {
    /// A number of jobs is kept under way.
    Load,
    /// First the jobs, then the workers.
    Backlog,
    /// Urgent jobs beside a flood of others.
    Urgency,
}

/// When a load ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    Jobs(u64),
    Time(Duration),
}

/// A workload with all its numbers.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) workload: Workload,
    pub(super) course: Course,
    pub(super) extent: Extent,
    pub(super) outstanding: u64,
    pub(super) workers: u32,
    pub(super) slots: u32,
    pub(super) payload_bytes: usize,
    pub(super) reply_bytes: usize,
    pub(super) kinds: u32,
    pub(super) priorities: u32,
    pub(super) guarantees: Vec<(u32, u32)>,
    pub(super) timeout: Duration,
    pub(super) run_timeout: Duration,
    pub(super) crowd: u32,
}

impl Shape {
    /// The workload's own numbers, and over them those of the options.
    pub(super) fn new(options: &BenchOptions) -> Result<Self, Failure> {
        let mut shape = Self::of(options.workload);
        if let Some(duration) = options.duration {
            shape.extent = Extent::Time(duration);
        }
        if let Some(jobs) = options.jobs {
            shape.extent = Extent::Jobs(jobs);
        }
        let set = |value: &mut u32, option: Option<u32>| *value = option.unwrap_or(*value);
        set(&mut shape.workers, options.workers);
        set(&mut shape.slots, options.slots);
        set(&mut shape.kinds, options.kinds);
        set(&mut shape.priorities, options.priorities);
        set(&mut shape.crowd, options.crowd);
        if options.outstanding.is_some() && shape.course == Course::Backlog {
            return Err(Failure::usage(
                "W3 has all its jobs outstanding at once: say --jobs, not --outstanding",
            ));
        }
        shape.outstanding = options.outstanding.unwrap_or(shape.outstanding);
        shape.timeout = options.timeout.unwrap_or(shape.timeout);
        shape.run_timeout = options.run_timeout.unwrap_or(shape.run_timeout);
        if let Some(Guarantees(guarantees)) = &options.guarantees {
            shape.guarantees = guarantees.iter().map(|one| (one.bound, one.slots)).collect();
        }
        shape.payload_bytes = bytes("payload", options.payload, shape.payload_bytes)?;
        shape.reply_bytes = bytes("reply", options.reply, shape.reply_bytes)?;
        shape.check()?;
        Ok(shape)
    }

    fn check(&self) -> Result<(), Failure> {
        match (self.course, self.extent) {
            (Course::Backlog, Extent::Time(_)) => Err(Failure::usage("W3 has a number of jobs, no duration")),
            (Course::Urgency, Extent::Jobs(_)) => Err(Failure::usage("W6 has a duration, no number of jobs")),
            (Course::Urgency, _) if self.priorities > URGENT => Err(Failure::usage(
                "the flood of W6 has the priorities 0 and 1, below the urgent jobs: make --priorities 1 or 2",
            )),
            (Course::Load | Course::Urgency, _)
                if self.outstanding < u64::from(self.kinds.max(self.priorities)) =>
            {
                Err(Failure::usage("--outstanding must be at least the number of kinds and of priorities"))
            }
            (_, Extent::Time(time)) if time.is_zero() => {
                Err(Failure::usage("a --duration of nothing measures nothing"))
            }
            (_, Extent::Time(time)) if !self.timeout.is_zero() && self.timeout <= time + load_margin() => {
                Err(Failure::usage(
                    "--timeout is that of the calls, which last as long as the measurement: make it longer",
                ))
            }
            _ => Ok(()),
        }
    }

    fn of(workload: Workload) -> Self {
        let w1 = Self {
            workload,
            course: Course::Load,
            extent: Extent::Time(Duration::from_secs(5)),
            outstanding: 1_000,
            workers: 4,
            slots: 25,
            payload_bytes: 64,
            reply_bytes: 16,
            kinds: 0,
            priorities: 1,
            guarantees: Vec::new(),
            timeout: Duration::ZERO,
            run_timeout: Duration::ZERO,
            crowd: 0,
        };
        match workload {
            Workload::W1 => w1,
            Workload::W1x => Self { slots: 250, ..w1 },
            Workload::W1p => Self {
                priorities: 8,
                guarantees: vec![(2, 5), (4, 5)],
                timeout: Duration::from_secs(60),
                run_timeout: Duration::from_secs(10),
                ..w1
            },
            Workload::W2 => {
                let extent = Extent::Time(Duration::from_secs(3));
                Self { outstanding: 1, workers: 1, slots: 1, extent, ..w1 }
            }
            Workload::W3 => Self {
                course: Course::Backlog,
                extent: Extent::Jobs(1_000_000),
                timeout: Duration::from_secs(600),
                ..w1
            },
            Workload::W4 => Self { crowd: 2_000, ..w1 },
            Workload::W5 => Self { outstanding: 16, payload_bytes: 64 << 10, reply_bytes: 64 << 10, ..w1 },
            Workload::W6 => Self {
                course: Course::Urgency,
                outstanding: 100_000,
                guarantees: vec![(URGENT, 5)],
                extent: Extent::Time(Duration::from_secs(3)),
                ..w1
            },
        }
    }

    /// Of the outstanding jobs so many wait, when all slots that take them are busy.
    pub(super) fn waiting(&self) -> u64 {
        self.outstanding.saturating_sub(u64::from(self.workers) * u64::from(self.slots))
    }

    /// For tests that need any.
    #[cfg(test)]
    pub(super) fn of_name(name: &str) -> Self {
        Self::of(Workload::from_str(name, true).expect("a workload"))
    }

    /// Its name, as it is typed.
    pub(super) fn name(&self) -> String {
        format!("{:?}", self.workload)
    }
}

/// Warm-up, and what still runs when the time is over.
fn load_margin() -> Duration {
    Duration::from_secs(2)
}

fn bytes(name: &str, option: Option<u64>, default: usize) -> Result<usize, Failure> {
    let bytes = option.map_or(Ok(default), usize::try_from);
    let range = NUMBER_BYTES..=usize::try_from(PAYLOAD_BYTES_MAX).expect("20 MiB fit everywhere");
    bytes.ok().filter(|bytes| range.contains(bytes)).ok_or_else(|| {
        Failure::usage(format!("--{name} needs {NUMBER_BYTES} bytes, for the number of the job, to 20MiB"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: BenchOptions,
    }

    fn shape(words: &[&str]) -> Result<Shape, Failure> {
        let words = [&["bench"], words].concat();
        Shape::new(&Line::try_parse_from(words).expect("the words are options").options)
    }

    #[test]
    fn workloads_have_names_and_options_change_them() {
        let w5 = shape(&["w5", "--workers", "2"]).unwrap();
        assert_eq!((w5.payload_bytes, w5.outstanding, w5.workers), (65_536, 16, 2));
        let w1 = shape(&["--jobs", "7", "--guarantees", "1=3,2=2", "--reply", "1KiB"]).unwrap();
        assert_eq!(
            (w1.extent, w1.guarantees, w1.reply_bytes),
            (Extent::Jobs(7), vec![(1, 3), (2, 2)], 1_024)
        );
        assert_eq!(shape(&["W3", "--kinds", "2000"]).unwrap().course, Course::Backlog);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let lines: [&[&str]; 8] = [
            &["--payload", "7"],
            &["--reply", "21MiB"],
            &["W3", "--duration", "1s"],
            &["W6", "--jobs", "5"],
            &["--duration", "5s", "--timeout", "5s"],
            &["W2", "--kinds", "2"],
            &["W3", "--outstanding", "7"],
            &["W6", "--priorities", "3"],
        ];
        for line in lines {
            let failure = shape(line).expect_err("it makes no sense");
            assert_eq!(failure.exit(), crate::exit::Exit::Usage, "{line:?}");
        }
    }
}
