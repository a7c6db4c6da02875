//! Real processes, killed, stopped and continued at random, while a ledger outside of them writes down every job that was
//! handed over and every answer that came back. Then everything is healed, and the books must balance: each job of a client that
//! lives exactly one answer, none of them wrong, all slots free, memory back.
//!
//! `CHAOS_SECONDS` says for how long, `CHAOS_SEED` which faults (processes have a timing of their own: a seed repeats the
//! faults, not the run); see `scripts/chaos`.

use crate::harness::{Manager, Running, Test, let_time_pass, until, within};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

const SECONDS: u64 = 12;
const TICK: Duration = Duration::from_millis(20);
/// Jobs of one client without an answer: few enough that a client that is stopped never blocks who feeds it.
const OPEN_MAX: usize = 300;
/// Lines in one tick, so that the books of a long run stay small.
const LINES_PER_TICK: usize = 10;
/// What the manager may have taken more than at its start when nothing is left to do, in bytes.
const MEMORY_KEPT_MAX: u64 = 64 << 20;
/// The clocks of the connections are short, so that a stop of some seconds is a loss.
const MANAGER: [&str; 6] = ["--max-attempts", "0", "--heartbeat", "500ms", "--heartbeat-timeout", "2s"];
const KINDS: [&str; 2] = ["echo", "sleep"];

/// A small generator: the same seed gives the same faults.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What was handed to a client and what came back.
struct Client {
    process: Running,
    kind: &'static str,
    number: usize,
    submitted: Vec<String>,
    answers: BTreeMap<usize, String>,
    /// Bytes of the output that are in the books.
    read: usize,
}

impl Client {
    fn start(manager: &Manager<'_>, number: usize) -> Self {
        let kind = KINDS[number % KINDS.len()];
        let words =
            ["work", "-", "--individual", "--output", "jsonl", "--kind", kind, "--manager-timeout", "3s"];
        Self {
            process: manager.client(&words),
            kind,
            number,
            submitted: Vec::new(),
            answers: BTreeMap::new(),
            read: 0,
        }
    }

    fn feed(&mut self) {
        let room = OPEN_MAX.saturating_sub(self.submitted.len() - self.answers.len());
        let mut lines = String::new();
        for _ in 0..room.min(LINES_PER_TICK) {
            let index = self.submitted.len();
            let payload = match self.kind {
                "echo" => format!("job {index} of client {}", self.number),
                _ => format!("{}ms", 1 + index * 7 % 40),
            };
            lines.push_str(&payload);
            lines.push('\n');
            self.submitted.push(payload);
        }
        self.process.feed_some(lines.as_bytes());
    }

    /// Puts whole lines of output into the books.
    fn read(&mut self) {
        let new = self.process.out_from(self.read);
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += whole;
        for line in String::from_utf8(new[..whole].to_vec()).expect("JSON is UTF-8").lines() {
            let answer: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let index = usize::try_from(answer["index"].as_u64().expect("an index")).unwrap();
            let result = answer["result"].as_str().unwrap_or_else(|| panic!("no result: {line}"));
            assert_eq!(Some(result), self.submitted.get(index).map(String::as_str), "a wrong answer: {line}");
            let before = self.answers.insert(index, result.to_owned());
            assert_eq!(before, None, "a second answer: {line}");
        }
    }

    /// The end of the input; every job must have been answered when the client ends.
    fn settle(mut self) -> usize {
        self.process.end_input();
        let what = format!("all answers of client {}", self.number);
        within(Duration::from_secs(60), &what, || {
            self.read();
            (self.answers.len() == self.submitted.len()).then_some(())
        });
        let (all, read) = (self.submitted.len(), self.read);
        let ended = self.process.ended().expect(0);
        assert_eq!(ended.out.len(), read, "more than one answer for each job");
        all
    }
}

/// A process that stands still.
struct Stopped {
    who: Who,
    until: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Manager,
    Worker(usize),
    Client(usize),
}

struct World<'a> {
    test: &'a Test,
    manager: Manager<'a>,
    /// What the manager that runs took when it had just started, in bytes.
    memory: u64,
    workers: Vec<Running>,
    clients: Vec<Client>,
    stopped: Vec<Stopped>,
    counts: BTreeMap<&'static str, usize>,
}

fn start_worker(test: &Test, manager: &Manager<'_>, number: usize) -> Running {
    let (kind, port) = (KINDS[number % KINDS.len()], manager.port.to_string());
    let words =
        ["--builtin", kind, "--kinds", kind, "--slots", "20", "--con-retrytime", "50ms", "--port", &port];
    test.start("worker", &[&words[..], &["--manager-timeout", "3s", "--drain-timeout", "1s"]].concat())
}

impl<'a> World<'a> {
    fn new(test: &'a Test) -> Self {
        let manager = test.manager(&MANAGER);
        Self {
            test,
            memory: manager.process.memory(),
            workers: (0..4).map(|number| start_worker(test, &manager, number)).collect(),
            clients: (0..4).map(|number| Client::start(&manager, number)).collect(),
            manager,
            stopped: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    fn process(&self, who: Who) -> &Running {
        match who {
            Who::Manager => &self.manager.process,
            Who::Worker(at) => &self.workers[at],
            Who::Client(at) => &self.clients[at].process,
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// One fault, drawn by chance.
    fn strike(&mut self, chance: &mut Chance) {
        let who = match chance.below(10) {
            0 | 1 => Who::Manager,
            2..=6 => Who::Worker(chance.below(self.workers.len() as u64) as usize),
            _ => Who::Client(chance.below(self.clients.len() as u64) as usize),
        };
        if chance.below(2) == 0 {
            self.count("stopped");
            self.process(who).signal(Signal::STOP);
            let until = Instant::now() + Duration::from_millis(50 + chance.below(4_000));
            self.stopped.push(Stopped { who, until });
            return;
        }
        self.stopped.retain(|stopped| stopped.who != who);
        match who {
            Who::Manager => self.restart_manager(),
            Who::Worker(at) => self.restart_worker(at, chance.below(3) == 0),
            Who::Client(at) => self.replace_client(at),
        }
    }

    fn restart_manager(&mut self) {
        self.count("managers killed");
        let port = self.manager.port;
        self.manager.process.signal(Signal::KILL);
        // A port is free when its owner is gone.
        until("the manager is gone", || (!self.manager.process.is_running()).then_some(()));
        self.manager = self.test.manager_at(port, &MANAGER);
        self.memory = self.manager.process.memory();
    }

    fn restart_worker(&mut self, at: usize, in_order: bool) {
        self.count(if in_order { "workers ended in order" } else { "workers killed" });
        let next = start_worker(self.test, &self.manager, at);
        let old = std::mem::replace(&mut self.workers[at], next);
        if in_order {
            // One that stands still would never hear it.
            old.signal(Signal::CONT);
            old.signal(Signal::TERM);
            old.ended().expect(0);
        }
    }

    /// Nobody waits for the jobs of a client that is killed; what it said until then must have been right.
    fn replace_client(&mut self, at: usize) {
        self.count("clients killed");
        self.clients[at].process.signal(Signal::KILL);
        self.clients[at].read();
        let number = self.clients[at].number + self.clients.len();
        self.clients[at] = Client::start(&self.manager, number);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let (over, still): (Vec<_>, _) = self.stopped.drain(..).partition(|stopped| stopped.until <= now);
        self.stopped = still;
        for Stopped { who, .. } in over {
            self.process(who).signal(Signal::CONT);
        }
        for client in &mut self.clients {
            assert!(client.process.is_running(), "a client has ended: {}", client.process.err());
            client.feed();
            client.read();
        }
        assert!(self.manager.process.is_running(), "the manager has ended: {}", self.manager.process.err());
    }

    /// Everything runs again, and all accounts are settled. Tells the jobs answered, and the faults.
    fn heal(mut self) -> (usize, BTreeMap<&'static str, usize>) {
        for Stopped { who, .. } in std::mem::take(&mut self.stopped) {
            self.process(who).signal(Signal::CONT);
        }
        let answered: usize = self.clients.drain(..).map(Client::settle).sum();
        self.manager.until_idle();
        self.manager.until_workers(self.workers.len());
        for worker in self.manager.workers() {
            for range in worker["ranges"].as_array().unwrap() {
                assert_eq!(range["used"], 0, "a slot is still held: {worker}");
            }
        }
        let what = format!("the manager's memory is near the {} bytes of its start", self.memory);
        within(Duration::from_secs(90), &what, || {
            (self.manager.process.memory() <= self.memory + MEMORY_KEPT_MAX).then_some(())
        });
        (answered, self.counts)
    }
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_whatever_is_killed_or_stopped() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_of("CHAOS_SEED").unwrap_or(now.as_nanos() as u64 % 1_000_000);
    let time = Duration::from_secs(number_of("CHAOS_SECONDS").unwrap_or(SECONDS));
    println!("CHAOS_SEED={seed}, {time:?}");
    // An odd number is never zero, which this generator could not leave.
    let mut chance = Chance(seed.wrapping_mul(2).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let test = Test::new();
    let mut world = World::new(&test);
    let (begun, mut next) = (Instant::now(), Instant::now());
    while begun.elapsed() < time {
        world.tick();
        if Instant::now() >= next {
            world.strike(&mut chance);
            next = Instant::now() + Duration::from_millis(100 + chance.below(900));
        }
        let_time_pass(TICK);
    }
    let (answered, faults) = world.heal();
    println!("{answered} jobs of clients that lived, each answered once; {faults:?}");
}
