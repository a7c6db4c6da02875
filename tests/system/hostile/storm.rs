//! One storm: a manager with bounds, attackers for some seconds, and a good client all the while.

use crate::harness::{CLIENT, Certificates, Manager, Peer, Test, let_time_pass};
use proletariat_protocol::{JobOptions, Offer};
use rustix::process::setpriority_process;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Kind of the good client's jobs, which the good worker alone takes.
const KIND: &str = "good";
/// Jobs of the good client are so far apart: it is there to measure, not to load.
const APART: Duration = Duration::from_micros(500);
/// Not worth waiting for.
const LITTLE_BYTES: u64 = 2 << 20;
/// What a manager may keep of any storm, however often it comes.
const KEPT_BYTES: u64 = 8 << 20;
/// A storm comes twice: what is kept of the first one has to be enough for the second.
const ROUNDS: usize = 2;
/// Attackers have machines of their own, which take no processor away from a manager. Here they give way.
const ATTACKERS_NICE: i32 = 10;
/// Giving memory back waits for the clean-up: at most once in 5 s.
const CLEAN_UP: Duration = Duration::from_secs(7);
const CALM: Duration = Duration::from_secs(20);
/// The good client's 99th percentile on a shared machine, while attackers take what they get of it: far from the seconds of a
/// client that waits behind somebody.
const GOOD_P99_MAX: Duration = Duration::from_millis(500);

/// How large the storms are: some seconds each in CI, and as `scripts/dos` runs them.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) time: Duration,
    pub(super) full: bool,
}

impl Scale {
    pub(super) fn of_this_run() -> Self {
        let seconds = std::env::var("DOS_SECONDS").ok().map(|text| text.parse().unwrap());
        Self { time: Duration::from_secs(seconds.unwrap_or(2)), full: seconds.is_some() }
    }

    /// One number for CI, another for the full run.
    pub(super) fn pick(self, short: usize, full: usize) -> usize {
        if self.full { full } else { short }
    }
}

/// Who attacks.
pub(super) struct Attacker<'a> {
    pub(super) address: SocketAddr,
    pub(super) number: usize,
    over: &'a AtomicBool,
}

impl Attacker<'_> {
    /// Whether the storm goes on.
    pub(super) fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

/// What a storm is.
pub(super) struct Storm<'a> {
    pub(super) name: &'a str,
    pub(super) options: &'a [&'a str],
    /// Those of the manager, where all speak TLS.
    pub(super) certificates: Option<&'a Certificates>,
    /// What the options allow the manager to hold for it, in bytes.
    pub(super) bound: u64,
    pub(super) attackers: usize,
}

/// What it did.
pub(super) struct Outcome<'a> {
    pub(super) manager: Manager<'a>,
    /// What the attackers count.
    pub(super) tries: u64,
}

/// Latencies of a good client and worker, alone in this thread.
struct Good {
    client: Peer,
    worker: Peer,
}

impl Good {
    fn join(manager: &Manager<'_>) -> Self {
        Self { client: manager.peer(CLIENT), worker: manager.raw_worker(Offer::new(1).kinds([KIND])) }
    }

    fn job(&mut self) -> Duration {
        let begun = Instant::now();
        let options = JobOptions { kind: Some(KIND.into()), ..JobOptions::default() };
        self.client.submit_with(options, &[&[b'x'; 64]]);
        let (execution, payload) = self.worker.execution();
        self.worker.finish(execution.assignment, &payload);
        assert!(self.client.outcome().result.is_ok(), "a good job is done whatever others do");
        begun.elapsed()
    }

    fn jobs_while(&mut self, goes_on: impl Fn() -> bool) -> Percentiles {
        let mut times = Vec::new();
        while goes_on() {
            times.push(self.job());
            thread::sleep(APART);
        }
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        Percentiles { jobs: times.len(), half: at(0.5), p99: at(0.99) }
    }
}

struct Percentiles {
    jobs: usize,
    half: Duration,
    p99: Duration,
}

impl Storm<'_> {
    /// Lets it loose, twice, and holds the manager against its bounds.
    pub(super) fn run<'a>(
        &self,
        test: &'a Test,
        scale: Scale,
        attack: impl Fn(&Attacker<'_>) -> u64 + Sync,
    ) -> Outcome<'a> {
        let manager = self.manager(test);
        let mut good = Good::join(&manager);
        let begun = Instant::now();
        let quiet = good.jobs_while(|| begun.elapsed() < Duration::from_millis(500));
        let before = manager.process.memory();
        let mut tries = 0;
        for _ in 0..ROUNDS {
            manager.process.forget_peak();
            let (tried, stormy) = self.rage(manager.address(), scale, &mut good, &attack);
            let peak = manager.process.peak_memory().saturating_sub(before);
            let calm = Instant::now();
            let after = self.calm_down(&manager, &mut good, before, scale);
            self.print(tried, [before, self.bound, peak, after], calm.elapsed(), [&quiet, &stormy]);
            assert!(peak <= self.bound, "{}: {} KiB of {}", self.name, peak >> 10, self.bound >> 10);
            assert!(after <= KEPT_BYTES, "{}: {} KiB are kept", self.name, after >> 10);
            assert!(stormy.p99 <= GOOD_P99_MAX, "{}: {:?} for a good client", self.name, stormy.p99);
            tries += tried;
        }
        assert_eq!(manager.count("connection_faults"), 0, "{}", manager.process.err());
        Outcome { manager, tries }
    }

    fn manager<'t>(&self, test: &'t Test) -> Manager<'t> {
        let Some(certificates) = self.certificates else { return test.manager(self.options) };
        let files =
            certificates.of_manager().map(|(name, path)| format!("--{}={path}", name.replace('_', "-")));
        let files = files.iter().map(String::as_str);
        let mut manager = test.manager(&files.chain(self.options.iter().copied()).collect::<Vec<_>>());
        manager.trust = Some(certificates.trust());
        manager
    }

    /// Attackers for some seconds, and what the good client has of them.
    fn rage(
        &self,
        address: SocketAddr,
        scale: Scale,
        good: &mut Good,
        attack: &(impl Fn(&Attacker<'_>) -> u64 + Sync),
    ) -> (u64, Percentiles) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let attackers: Vec<_> = (0..self.attackers)
                .map(|number| Attacker { address, number, over: &over })
                .map(|attacker| {
                    scope.spawn(move || {
                        // Without a process it means this thread. Where it is not allowed, the good client has it harder.
                        let _ = setpriority_process(None, ATTACKERS_NICE);
                        attack(&attacker)
                    })
                })
                .collect();
            let measured = scope.spawn(|| good.jobs_while(|| !over.load(Ordering::Relaxed)));
            let_time_pass(scale.time);
            over.store(true, Ordering::Relaxed);
            let tries = attackers.into_iter().map(|attacker| attacker.join().unwrap()).sum::<u64>();
            (tries, measured.join().unwrap())
        })
    }

    #[expect(clippy::print_stdout, reason = "rows of a table")]
    fn print(&self, tries: u64, bytes: [u64; 4], calm: Duration, good: [&Percentiles; 2]) {
        let [before, bound, peak, after] = bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
        let [quiet, stormy] = good.map(|it| [it.half, it.p99].map(|time| time.as_secs_f64() * 1e3));
        println!(
            "| {} | {tries} | {before:.1} | {bound:.1} | {peak:.1} | {after:.1} ({:.0} s) | {:.2} / {:.2} | {:.2} / {:.2} | {} |",
            self.name,
            calm.as_secs_f64(),
            quiet[0],
            quiet[1],
            stormy[0],
            stormy[1],
            good[1].jobs,
        );
    }

    /// What the manager still has when it has had time to give it back; not waited for longer than it takes.
    fn calm_down(&self, manager: &Manager<'_>, good: &mut Good, before: u64, scale: Scale) -> u64 {
        let calm = Instant::now();
        loop {
            good.job();
            let after = manager.process.memory().saturating_sub(before);
            let waited = !scale.full || calm.elapsed() > CLEAN_UP || after < LITTLE_BYTES;
            if after <= KEPT_BYTES && waited || calm.elapsed() > CALM {
                return after;
            }
            thread::sleep(APART);
        }
    }
}
