//! How a manager gives jobs to workers, and how it hears of its peers.

use super::cannot_start;
use crate::exit::Failure;
use crate::options::value::duration;
use clap::{Args, ValueEnum};
use proletariat::manager::{Builder, BusyPolling};
use std::time::Duration;

/// How jobs go to workers.
#[derive(Args, Debug)]
pub(super) struct DispatchOptions {
    /// After all slots were taken, wait for so many free ones before distributing [default: 1, classic: 50]
    #[arg(long, value_name = "SLOTS")]
    avail_threshold: Option<u32>,
    /// Longest wait before distributing, to gather free slots [default: 0, classic: 100ms]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    distrib_randmax: Option<Duration>,
    /// The ancestor's own defaults (50 slots, 100ms)
    #[arg(long)]
    classic: bool,
    /// Guaranteed slots are lent to no other range: borrow only from the lowest
    #[arg(long)]
    sacred_guarantees: bool,
    /// Jobs of equal kind and key share one execution
    #[arg(long)]
    hold_similar_work: bool,
    /// How a worker is picked among those that may take a job
    #[arg(long, default_value = "random-weighted")]
    selector: SelectorName,
    /// A job that has lost its worker so often ends with ECRASH; 0: no limit
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    max_attempts: u16,
    /// A peer that says nothing for so long is pinged
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    heartbeat: Duration,
    /// A peer that says nothing for so long is given up
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    heartbeat_timeout: Duration,
    /// Refuse the JSON dialect
    #[arg(long)]
    no_json: bool,
    /// Look for news for up to 50 µs before falling asleep, while they come that soon; auto: where that takes no more
    /// processor time than to be woken
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    busy_poll: When,
}

impl DispatchOptions {
    pub(super) fn apply(&self, mut builder: Builder) -> Result<Builder, Failure> {
        if self.classic {
            builder = builder.classic();
        }
        if let Some(slots) = self.avail_threshold {
            builder = builder.avail_threshold(slots);
        }
        if let Some(wait) = self.distrib_randmax {
            builder = builder.distrib_randmax(wait);
        }
        builder
            .sacred_guarantees(self.sacred_guarantees)
            .hold_similar_work(self.hold_similar_work)
            .max_attempts(self.max_attempts)
            .heartbeat(self.heartbeat)
            .heartbeat_timeout(self.heartbeat_timeout)
            .no_json(self.no_json)
            .busy_poll(self.busy_poll.into())
            .selector_name(&self.selector.name())
            .map_err(cannot_start)
    }
}

/// The selectors that come with the manager.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SelectorName {
    /// By chance, in proportion to what each could still take
    RandomWeighted,
    /// The one with the least to do
    LeastLoaded,
    /// The less loaded of two taken by chance
    TwoChoices,
    /// One after the other
    RoundRobin,
}

impl SelectorName {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// When to look for news before falling asleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum When {
    /// Where that takes no more processor time than to be woken
    Auto,
    /// Whatever it costs: the least latency
    Always,
    /// Never
    Never,
}

impl From<When> for BusyPolling {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
}
