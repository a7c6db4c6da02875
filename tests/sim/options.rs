//! What a seed decides before anything happens. Whole features are off at random, so that what is left gets further.

use crate::random::Random;
use proletariat_scheduler::{Config, selector};
use std::time::Duration;

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    pub clients: u64,
    pub workers: u64,
    /// Things that each client does in act one.
    pub doings: u64,
    /// Length of act one, in milliseconds.
    pub act_one_ms: u64,
    pub scheduler: Config,
    pub selector: &'static str,
    pub heartbeat: Duration,
    pub heartbeat_timeout: Duration,
    /// Of clients and workers.
    pub manager_timeout: Duration,
    pub outbox_pause_bytes: usize,
    pub outbox_stall: Duration,
    /// In act one.
    pub outbox_bytes_max: usize,
    /// In act one; 0: no bound.
    pub connections_max: usize,
    /// Lines that are cut or silent when act two begins are healed within a minute, not at once.
    pub late_healing: bool,
    pub network: Network,
    pub features: Features,
    pub faults: Faults,
    pub handlers: Handlers,
}

/// The weather.
#[derive(Clone, Debug)]
pub struct Network {
    /// Microseconds on the way, at least.
    pub latency: u64,
    /// And up to so many more.
    pub jitter: u64,
    /// Bytes under way in one direction.
    pub window: usize,
    /// Whether writes arrive in pieces.
    pub splits: bool,
}

/// What clients and workers do.
#[derive(Clone, Debug)]
pub struct Features {
    pub priorities: bool,
    pub guarantees: bool,
    pub kinds: bool,
    pub keys: bool,
    pub clocks: bool,
    pub attempts: bool,
    pub no_wait: bool,
    pub streams: bool,
    pub messages: bool,
    pub aborts: bool,
    pub reoffers: bool,
    pub large: bool,
}

/// Mean milliseconds between faults of a sort; 0: none.
#[derive(Clone, Default, Debug)]
pub struct Faults {
    pub reset: u64,
    pub half_open: u64,
    pub silence: u64,
    pub stall: u64,
    pub crash_manager: u64,
    pub crash_worker: u64,
    pub crash_client: u64,
    pub drain_worker: u64,
    pub drain_manager: u64,
    /// A process reads nothing for a while.
    pub slow_reader: u64,
    /// Everybody is stopped at once, as when a machine sleeps.
    pub sleep: u64,
    /// A host cannot reach the manager, or be reached, not even anew.
    pub partition: u64,
}

/// How handlers behave in act one, in percent.
#[derive(Clone, Debug)]
pub struct Handlers {
    /// Longest run in milliseconds.
    pub millis: u64,
    pub fail: u64,
    pub hand_back: u64,
    pub crash: u64,
    /// Goes on for a while after it was cancelled.
    pub stubborn: u64,
}

impl Options {
    pub fn draw(random: &mut Random) -> Self {
        let features = Features::draw(random);
        let heartbeat = Duration::from_millis(*random.pick(&[500, 2_000, 5_000]));
        Self {
            clients: random.between(1, 4),
            workers: random.between(1, 5),
            doings: random.between(3, 25),
            act_one_ms: random.between(500, 60_000),
            scheduler: scheduler(random, &features),
            selector: *random.pick::<&'static str>(&selector::NAMES),
            heartbeat,
            heartbeat_timeout: heartbeat * *random.pick(&[3, 3, 12]),
            manager_timeout: Duration::from_millis(*random.pick(&[4_000, 15_000, 30_000])),
            outbox_pause_bytes: *random.pick(&[8 << 20, 8 << 20, 2_000, 20_000]),
            outbox_stall: Duration::from_secs(random.between(5, 30)),
            outbox_bytes_max: *random.pick(&[1 << 30, 1 << 30, 20_000]),
            connections_max: *random.pick(&[0, 0, 0, 2, 5]),
            late_healing: random.percent(50),
            network: Network {
                latency: *random.pick(&[50, 500, 5_000, 80_000]),
                jitter: *random.pick(&[0, 100, 10_000, 300_000]),
                window: *random.pick(&[2_000, 16_000, 300_000]),
                splits: random.percent(50),
            },
            faults: Faults::draw(random),
            handlers: Handlers {
                millis: *random.pick(&[1, 50, 1_000, 20_000]),
                fail: *random.pick(&[0, 10]),
                hand_back: *random.pick(&[0, 0, 15]),
                crash: *random.pick(&[0, 0, 10]),
                stubborn: *random.pick(&[0, 0, 30]),
            },
            features,
        }
    }
}

impl Features {
    fn draw(random: &mut Random) -> Self {
        let mut half = || random.percent(50);
        Self {
            priorities: half(),
            guarantees: half(),
            kinds: half(),
            keys: half(),
            clocks: half(),
            attempts: half(),
            no_wait: half(),
            streams: half(),
            messages: half(),
            aborts: half(),
            reoffers: half(),
            large: half(),
        }
    }
}

impl Faults {
    fn draw(random: &mut Random) -> Self {
        let mut sort = |mean: &[u64]| if random.percent(40) { *random.pick(mean) } else { 0 };
        Self {
            reset: sort(&[500, 5_000]),
            half_open: sort(&[3_000, 15_000]),
            silence: sort(&[3_000, 15_000]),
            stall: sort(&[2_000, 10_000]),
            crash_manager: sort(&[8_000, 25_000]),
            crash_worker: sort(&[1_000, 8_000]),
            crash_client: sort(&[5_000, 20_000]),
            drain_worker: sort(&[4_000, 15_000]),
            drain_manager: sort(&[8_000, 25_000]),
            slow_reader: sort(&[2_000, 10_000]),
            sleep: sort(&[5_000, 20_000]),
            partition: sort(&[5_000, 20_000]),
        }
    }
}

fn scheduler(random: &mut Random, features: &Features) -> Config {
    Config {
        avail_threshold: *random.pick(&[1, 1, 1, 4]),
        distrib_randmax: Duration::from_millis(*random.pick(&[0, 0, 0, 50])),
        sacred_guarantees: random.percent(50),
        hold_similar_work: features.keys,
        max_attempts: *random.pick(&[0, 2, 5, 5]),
        payload_bytes_max: 200_000,
        queued_jobs_max: *random.pick(&[1_000_000, 1_000_000, 12]),
        queued_jobs_per_client_max: *random.pick(&[0, 0, 8]),
        ..Config::default()
    }
}
