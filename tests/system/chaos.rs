//! Real processes, killed, stopped and continued at random, while a ledger outside of them writes down every job that was
//! handed over and every answer that came back. Then everything is healed, and the books must balance: each job of a client that
//! lives exactly one answer, none of them wrong, all slots free, memory back.
//!
//! `CHAOS_SECONDS` says for how long, `CHAOS_SEED` which faults (processes have a timing of their own: a seed repeats the
//! faults, not the run); see `scripts/chaos`.

use crate::harness::{Chance, Feeder, Manager, Running, Test, let_time_pass, time_of, until, within};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SECONDS: u64 = 12;
const TICK: Duration = Duration::from_millis(20);
/// Lines in one tick, so that the books of a long run stay small.
const LINES_PER_TICK: usize = 10;
/// What the manager may have taken more than at its start when nothing is left to do, in bytes.
const MEMORY_KEPT_MAX: u64 = 64 << 20;
/// The clocks of the connections are short, so that a stop of some seconds is a loss.
const MANAGER: [&str; 6] = ["--max-attempts", "0", "--heartbeat", "500ms", "--heartbeat-timeout", "2s"];
const KINDS: [&str; 2] = ["echo", "sleep"];

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
    clients: Vec<Feeder>,
    stopped: Vec<Stopped>,
    counts: BTreeMap<&'static str, usize>,
}

fn start_client(manager: &Manager<'_>, number: usize) -> Feeder {
    Feeder::start(manager, number, KINDS[number % KINDS.len()], &["--manager-timeout", "3s"])
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
            clients: (0..4).map(|number| start_client(&manager, number)).collect(),
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
            old.until_it_handles(Signal::TERM);
            old.signal(Signal::TERM);
            old.ended().expect(0);
        }
    }

    /// Nobody waits for the jobs of a client that is killed; what it said until then must have been right.
    fn replace_client(&mut self, at: usize) {
        self.count("clients killed");
        self.clients[at].process.signal(Signal::KILL);
        self.read(at);
        let number = self.clients[at].number + self.clients.len();
        self.clients[at] = start_client(&self.manager, number);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let (over, still): (Vec<_>, _) = self.stopped.drain(..).partition(|stopped| stopped.until <= now);
        self.stopped = still;
        for Stopped { who, .. } in over {
            self.process(who).signal(Signal::CONT);
        }
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            assert!(client.process.is_running(), "a client has ended: {}", client.process.err());
            client.feed(LINES_PER_TICK);
            self.read(at);
        }
        assert!(self.manager.process.is_running(), "the manager has ended: {}", self.manager.process.err());
    }

    /// Nothing that it said so far was wrong.
    fn read(&mut self, at: usize) {
        self.clients[at].read();
        assert_eq!(self.clients[at].wrong, Vec::<String>::new());
    }

    /// Everything runs again, and all accounts are settled. Tells the jobs answered, and the faults.
    fn heal(mut self) -> (usize, BTreeMap<&'static str, usize>) {
        for Stopped { who, .. } in std::mem::take(&mut self.stopped) {
            self.process(who).signal(Signal::CONT);
        }
        let mut answered = 0;
        for client in self.clients.drain(..) {
            let (jobs, wrong) = client.settle();
            assert_eq!(wrong, Vec::<String>::new());
            answered += jobs;
        }
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
        let memory = [self.memory, self.manager.process.memory()].map(|bytes| bytes / 1024);
        println!("the manager's memory: {} KiB when it had started, {} KiB now", memory[0], memory[1]);
        (answered, self.counts)
    }
}

#[test]
fn nothing_is_lost_whatever_is_killed_or_stopped() {
    let (time, mut chance) = (time_of("CHAOS_SECONDS", SECONDS), Chance::of("CHAOS_SEED"));
    println!("{time:?}");
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
