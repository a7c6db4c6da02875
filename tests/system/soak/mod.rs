//! A manager with a mixed load, for as long as one likes: workers of different kinds and guarantees (one of them speaks JSON),
//! clients that come and go with groups, bursts, streams, similar work, clocks, aborts and system messages, workers that are
//! replaced or killed. A ledger outside holds each submission and each answer; memory, descriptors and slots are looked at all
//! the time.
//!
//! Chaos (`chaos.rs`) asks what happens when everything breaks; this asks what is left over when little does. `SOAK_SECONDS`
//! says for how long, `SOAK_SEED` what comes; see `scripts/soak`. It is light: about a tenth of a core.

mod gauge;
mod visits;

use crate::harness::{Chance, Feeder, Manager, Running, Test, let_time_pass, time_of, until};
use gauge::{Of, Sample, slope};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use visits::{JSON_PRIORITY, Visit};

const SECONDS: u64 = 10;
const TICK: Duration = Duration::from_millis(100);
const LINES_PER_TICK: usize = 4;
/// Clients beside those that are fed all the time.
const VISITS_MAX: usize = 12;
/// Wrong answers that are kept in full.
const WRONG_MAX: usize = 20;
/// What the manager may have taken more than at its start when nothing is left to do, in bytes.
const MEMORY_KEPT_MAX: u64 = 64 << 20;
/// A run of an hour fails if what is never given back has certainly grown faster than this, in KiB an hour.
const SLOPE_MAX: f64 = 256.0;
const HOUR: Duration = Duration::from_secs(3600);

/// What the workers are started with.
const WORKERS: [&[&str]; 5] = [
    &["--kinds", "echo", "--slots", "20", "--priority-slots", "1=6,2=4"],
    &["--kinds", "sleep", "--builtin", "sleep", "--slots", "30", "--priority-slots", "2=10"],
    &["--kinds", "sleep", "--builtin", "sleep", "--slots", "8", "--answer-threshold", "3"],
    &["--builtin", "arith", "--slots", "4"],
    &["--kinds", "stream", "--stream", "--slots", "3", "--run", "sh -c 'echo one; echo two; echo three'"],
];
const SLOTS: u64 = 20 + 30 + 8 + 4 + 3;
const JSON_SLOTS: u64 = 4;

struct Soak<'a> {
    test: &'a Test,
    manager: Manager<'a>,
    begun: Instant,
    memory: u64,
    workers: Vec<Running>,
    json: Option<Running>,
    /// Workers that were told to end.
    leaving: Vec<Running>,
    listener: Running,
    feeders: Vec<Feeder>,
    visits: Vec<Visit>,
    /// How many clients there were.
    clients: usize,
    replaced: usize,
    samples: Vec<Sample>,
    ledger: Ledger,
}

/// What was asked and answered, over all clients that have gone.
#[derive(Default)]
struct Ledger {
    jobs: usize,
    answers: usize,
    wrong: usize,
    visits: BTreeMap<&'static str, usize>,
    /// System messages to everybody, of senders that were told that all have confirmed.
    told: Vec<String>,
}

impl Ledger {
    fn wrong(&mut self, what: &str) {
        self.wrong += 1;
        if self.wrong <= WRONG_MAX {
            println!("WRONG: {what}");
        }
    }
}

/// The worker of `examples/json` with slots for urgent jobs alone; `None` where there is no python3, which is said.
fn json_worker(test: &Test, manager: &Manager<'_>) -> Option<Running> {
    let here = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !here.is_ok_and(|status| status.success()) {
        eprintln!("python3 is not installed: there is NO worker that speaks JSON");
        return None;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/json/worker.py");
    let source = std::fs::read_to_string(example).unwrap();
    let (number, offer) = ("int(sys.argv[2])", format!("{{\"0\": 0, {JSON_PRIORITY:?}: {JSON_SLOTS}}}"));
    assert!(source.contains(number), "the example reads its slots in another way");
    let script = test.file("worker.py", &source.replace(number, &offer));
    let mut command = Command::new("python3");
    command.arg(script).arg(format!("127.0.0.1:{}", manager.port)).arg("by range");
    Some(test.spawn(command))
}

impl<'a> Soak<'a> {
    fn new(test: &'a Test) -> Self {
        let manager = test.manager(&["--hold-similar-work", "--heartbeat", "2s"]);
        let memory = manager.process.memory();
        let workers: Vec<_> = WORKERS.iter().map(|words| manager.worker(words)).collect();
        let json = json_worker(test, &manager);
        manager.until_workers(workers.len() + usize::from(json.is_some()));
        let listener = manager.client(&["sysmsg", "--listen", "--output", "jsonl"]);
        manager.until("the listener is there", |status| {
            let peers = status["peers"].as_array().unwrap();
            peers.iter().any(|peer| peer["name"] == "client sysmsg")
        });
        let mut soak = Self {
            test,
            manager,
            begun: Instant::now(),
            memory,
            workers,
            json,
            leaving: Vec::new(),
            listener,
            feeders: Vec::new(),
            visits: Vec::new(),
            clients: 0,
            replaced: 0,
            samples: Vec::new(),
            ledger: Ledger::default(),
        };
        soak.sample();
        for _ in 0..3 {
            let feeder = soak.feeder();
            soak.feeders.push(feeder);
        }
        soak
    }

    fn next(&mut self) -> usize {
        self.clients += 1;
        self.clients
    }

    fn feeder(&mut self) -> Feeder {
        let (number, kind) = (self.next(), ["echo", "sleep"][self.clients % 2]);
        let priority = (number % 3).to_string();
        Feeder::start(&self.manager, number, kind, &["--priority", &priority])
    }

    fn sample(&mut self) {
        let status = self.manager.ask(&["status", "--output", "json"]).expect(0).json();
        let process = &self.manager.process;
        let sample = Sample::of(self.begun.elapsed(), process.memory(), process.descriptors(), &status);
        for wrong in &sample.wrong {
            self.ledger.wrong(wrong);
        }
        self.samples.push(sample);
    }

    fn tick(&mut self, chance: &mut Chance) {
        assert!(self.manager.process.is_running(), "the manager has ended: {}", self.manager.process.err());
        for feeder in &mut self.feeders {
            assert!(feeder.process.is_running(), "a client has ended: {}", feeder.process.err());
            feeder.feed(LINES_PER_TICK);
            feeder.read();
        }
        self.see_off();
        if self.visits.len() < VISITS_MAX && chance.below(3) == 0 {
            let number = self.next();
            self.visits.push(Visit::begin(&self.manager, chance, number));
        }
    }

    /// Judges those who have ended.
    fn see_off(&mut self) {
        let mut stay = Vec::new();
        for mut visit in std::mem::take(&mut self.visits) {
            if !visit.has_ended() {
                assert!(!visit.is_overdue(), "it does not end: {visit:?}");
                stay.push(visit);
                continue;
            }
            self.ledger.jobs += visit.jobs;
            *self.ledger.visits.entry(visit.what).or_default() += 1;
            let told = visit.tells_all();
            match visit.judge() {
                Ok(answers) => {
                    self.ledger.answers += answers;
                    self.ledger.told.extend(told);
                }
                Err(what) => self.ledger.wrong(&what),
            }
        }
        self.visits = stay;
        for worker in std::mem::take(&mut self.leaving) {
            self.end_of(worker);
        }
    }

    /// A worker that was told to end ends in order.
    fn end_of(&mut self, mut worker: Running) {
        if worker.is_running() {
            self.leaving.push(worker);
        } else {
            worker.ended().expect(0);
        }
    }

    /// A feeder settles its account and another one comes in its place.
    fn replace_feeder(&mut self) {
        let next = self.feeder();
        let old = std::mem::replace(&mut self.feeders[self.replaced % 3], next);
        self.settle(old);
    }

    fn settle(&mut self, feeder: Feeder) {
        let (jobs, wrong) = feeder.settle();
        self.ledger.jobs += jobs;
        self.ledger.answers += jobs;
        for wrong in wrong {
            self.ledger.wrong(&wrong);
        }
        *self.ledger.visits.entry("fed line by line").or_default() += 1;
    }

    /// One worker after the other: most are told to end, every fourth is killed.
    fn replace_worker(&mut self) {
        self.replaced += 1;
        let at = self.replaced % (WORKERS.len() + 1);
        if at == WORKERS.len() {
            // It knows no order to end.
            self.json = None;
            self.json = json_worker(self.test, &self.manager);
            return;
        }
        let next = self.manager.worker(WORKERS[at]);
        let old = std::mem::replace(&mut self.workers[at], next);
        if self.replaced.is_multiple_of(4) {
            old.signal(Signal::KILL);
        } else {
            old.signal(Signal::TERM);
            self.leaving.push(old);
        }
    }

    /// The load ends; what is left?
    fn settle_all(&mut self) {
        for feeder in std::mem::take(&mut self.feeders) {
            self.settle(feeder);
        }
        until("the last visits end", || {
            self.see_off();
            (self.visits.is_empty() && self.leaving.is_empty()).then_some(())
        });
        self.manager.until_workers(self.workers.len() + usize::from(self.json.is_some()));
        self.manager.until_idle();
        let ledger = &mut self.ledger;
        until("the listener has heard what all others have heard", || {
            (self.listener.out().lines().count() >= ledger.told.len()).then_some(())
        });
        let heard = self.listener.out();
        for told in &ledger.told {
            let times = heard.matches(&format!("{told}\"")).count();
            assert_eq!(times, 1, "how often the listener has heard {told:?}");
        }
        self.sample();
    }

    fn report(&self) {
        let Ledger { jobs, answers, wrong, visits, told } = &self.ledger;
        let (first, last) = (&self.samples[0], &self.samples[self.samples.len() - 1]);
        let half = &self.samples[self.samples.len() / 2..];
        let memory = |sample: &Sample| sample.memory / 1024;
        let range = (half.iter().map(memory).min(), half.iter().map(memory).max());
        println!("jobs {jobs}, answers {answers}, wrong {wrong}, clients {}", self.clients);
        println!("(the jobs without an answer are those of clients that were interrupted or killed)");
        println!("clients by what they wanted: {visits:?}; {} messages to all", told.len());
        println!("workers replaced {}", self.replaced);
        println!("first {first}");
        println!("last  {last}");
        println!("memory in the second half: {} to {} KiB", range.0.unwrap_or(0), range.1.unwrap_or(0));
        for of in [Of::Mean, Of::Floor] {
            match slope(&self.samples, of) {
                Some(slope) => println!("memory slope in the second half, {of:?}: {slope} (95 %)"),
                None => println!("too short for a slope of the memory"),
            }
        }
        let most = self.samples.iter().map(|sample| sample.descriptors).max().unwrap_or(0);
        println!("descriptors: at most {most}");
    }

    fn judge(&self) {
        let (first, last) = (&self.samples[0], &self.samples[self.samples.len() - 1]);
        assert_eq!(self.ledger.wrong, 0, "see above");
        let json = if self.json.is_some() { JSON_SLOTS } else { 0 };
        assert_eq!((last.slots, last.used, last.running, last.queued), (SLOTS + json, 0, 0, 0), "{last}");
        assert_eq!(last.descriptors_of_its_own(), first.descriptors_of_its_own(), "descriptors are left");
        assert_eq!(last.connections, first.connections, "connections are left");
        assert!(last.memory <= self.memory + MEMORY_KEPT_MAX, "{last}, at the start {}", self.memory);
        let slope = slope(&self.samples, Of::Floor).filter(|_| last.at >= HOUR);
        assert!(slope.is_none_or(|slope| slope.per_hour - slope.error < SLOPE_MAX), "{slope:?}");
    }
}

/// Something that is done again and again.
struct Every {
    period: Duration,
    next: Instant,
}

impl Every {
    fn new(period: Duration) -> Self {
        Self { period, next: Instant::now() + period }
    }

    fn is_due(&mut self) -> bool {
        let due = self.next <= Instant::now();
        if due {
            self.next += self.period;
        }
        due
    }
}

#[test]
fn nothing_is_left_over_after_a_mixed_load() {
    let (time, mut chance) = (time_of("SOAK_SECONDS", SECONDS), Chance::of("SOAK_SEED"));
    let test = Test::new();
    let mut soak = Soak::new(&test);
    println!("{time:?}, the manager is process {}", soak.manager.process.id());
    let within =
        |part: u32, least, most| (time / part).clamp(Duration::from_secs(least), Duration::from_secs(most));
    let (mut samples, mut telling) = (Every::new(within(200, 1, 5)), Every::new(within(10, 5, 60)));
    let (mut workers, mut feeders) = (Every::new(within(6, 1, 30)), Every::new(within(5, 1, 20)));
    while soak.begun.elapsed() < time {
        soak.tick(&mut chance);
        if samples.is_due() {
            soak.sample();
        }
        if workers.is_due() {
            soak.replace_worker();
        }
        if feeders.is_due() {
            soak.replace_feeder();
        }
        if telling.is_due() {
            let jobs = soak.ledger.jobs + soak.feeders.iter().map(Feeder::answered).sum::<usize>();
            println!("{}, {jobs} jobs, {} wrong", soak.samples[soak.samples.len() - 1], soak.ledger.wrong);
        }
        let_time_pass(TICK);
    }
    soak.settle_all();
    soak.report();
    soak.judge();
}
