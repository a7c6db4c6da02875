//! The world of one seed: who is in it, what happens next, and what must be true in the end.

use crate::brain::Brain;
use crate::client::ClientPart;
use crate::environment::{Environment, Happening, MANAGER};
use crate::faults;
use crate::invariants;
use crate::manager::Manager;
use crate::network::Side;
use crate::options::{Network, Options};
use crate::peer::{Part, Process};
use crate::random::Random;
use crate::worker::{WorkerPart, draw_offer};
use proletariat_protocol::{Offer, Time};

/// Everything that was promised must have come true so long after the faults have ended, in microseconds: the longest
/// clock of a job, the longest silence that is borne, and a few rounds of waiting to connect and to be dispatched.
const PATIENCE: u64 = 240_000_000;
/// After that nothing is left that could ring: the longest clock of any job and any start.
const AFTERWARDS: u64 = 70_000_000;

/// Makes the brain of a manager that starts.
pub type MakeBrain<'a> = &'a dyn Fn(&Options, u64) -> Box<dyn Brain>;

/// A machine on which a client or a worker runs, or is to run again.
pub struct Host {
    pub process: Option<Process>,
    pub stalled: Time,
    is_worker: bool,
}

/// See the head of the file.
pub struct World<'a> {
    pub env: Environment,
    pub hosts: Vec<Host>,
    pub manager: Option<Manager>,
    pub manager_stalled: Time,
    make_brain: MakeBrain<'a>,
}

impl<'a> World<'a> {
    pub fn new(seed: u64, make_brain: MakeBrain<'a>, tracing: bool) -> Self {
        let mut random = Random::new(seed);
        let options = Options::draw(&mut random);
        Self::with(options, random, make_brain, tracing)
    }

    /// With these options instead of those that a seed draws.
    pub fn with(options: Options, random: Random, make_brain: MakeBrain<'a>, tracing: bool) -> Self {
        let hosts = (0..options.clients + options.workers).map(|at| Host {
            process: None,
            stalled: Time::ZERO,
            is_worker: at >= options.clients,
        });
        let hosts: Vec<Host> = hosts.collect();
        let mut env = Environment::new(options, random, tracing);
        env.schedule(env.now, Happening::Start { node: MANAGER });
        for node in 0..hosts.len() {
            let wait = env.random.below(2_000_000);
            env.after(wait, Happening::Start { node });
        }
        faults::begin(&mut env);
        let heal = env.options.act_one_ms * 1_000;
        env.after(heal, Happening::Heal);
        Self { env, hosts, manager: None, manager_stalled: Time::ZERO, make_brain }
    }

    /// Runs to the end, or to the first rule that is broken.
    pub fn run(&mut self) {
        let heal = Time(self.env.now.0 + self.env.options.act_one_ms * 1_000);
        self.run_until(heal);
        let patience = Time(self.env.now.0 + PATIENCE);
        while self.env.now < patience && !self.is_done() && self.env.books.violation.is_none() {
            let step = Time(self.env.now.0 + 1_000_000);
            self.run_until(step);
        }
        if self.env.books.violation.is_none() && !self.is_done() {
            let left = self.left();
            self.env.books.violate("16 liveness", || left);
        }
        let afterwards = Time(self.env.now.0 + AFTERWARDS);
        self.run_until(afterwards);
        self.check_the_end();
    }

    fn run_until(&mut self, until: Time) {
        while self.env.books.violation.is_none()
            && let Some(happening) = self.env.next(until)
        {
            self.happen(happening);
        }
    }

    /// What is not done, in a sentence.
    fn left(&self) -> String {
        let jobs: Vec<_> = self.env.jobs.open().collect();
        let busy: Vec<usize> =
            self.hosts.iter().enumerate().filter(|(_, host)| !host.is_idle()).map(|(at, _)| at).collect();
        let status = self.manager.as_ref().map(|manager| manager.status(self.env.now));
        format!("jobs without an outcome: {jobs:?}; busy hosts: {busy:?}; {status:?}")
    }

    fn is_done(&self) -> bool {
        self.env.jobs.open().next().is_none() && self.hosts.iter().all(Host::is_idle)
    }

    fn check_the_end(&mut self) {
        let Some(manager) = &self.manager else { return };
        if self.env.books.violation.is_none() {
            let status = manager.status(self.env.now);
            invariants::invariant_12_nothing_is_left(&mut self.env.books, &status);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrive { connection, side, segment } => self.env.arrive(connection, side, segment),
            Happening::Turn { node } => {
                if self.env.takes_turn(node) {
                    self.turn(node);
                }
            }
            Happening::Knock { connection } => self.knock(connection),
            Happening::Answered { connection, open } => self.answered(connection, open),
            Happening::Doing { host, process } => self.doing(host, process),
            Happening::Handler { host, process, run } => {
                let stalled = self.hosts[host].stalled;
                if let Some((Part::Worker(worker), env)) = self.part(host, process) {
                    worker.handler(env, run, stalled);
                }
            }
            Happening::Taken { host, process, job, bytes } => {
                if let Some((Part::Client(client), env)) = self.part(host, process) {
                    client.taken(env, job, bytes);
                }
            }
            Happening::Fault(sort) => self.fault(sort),
            Happening::Speak { connection, side } => self.env.speak(connection, side),
            Happening::Start { node } => self.start(node),
            Happening::Heal => self.heal(),
        }
    }

    /// The machine of a process, if it is still there; a stopped one goes on later, so its happenings wait.
    fn part(&mut self, host: usize, process: u64) -> Option<(&mut Part, &mut Environment)> {
        let found = self.hosts[host].process.as_mut().filter(|found| found.number == process)?;
        Some((&mut found.part, &mut self.env))
    }

    fn turn(&mut self, node: usize) {
        let stalled = if node == MANAGER { self.manager_stalled } else { self.hosts[node].stalled };
        if stalled > self.env.now {
            return self.env.wake(node, stalled);
        }
        if node == MANAGER {
            if let Some(manager) = &mut self.manager {
                manager.turn(&mut self.env);
                if manager.has_ended(&mut self.env) {
                    self.manager = None;
                    let wait = self.env.random.below(3_000_000);
                    self.env.after(wait, Happening::Start { node: MANAGER });
                }
            }
            return;
        }
        let Some(process) = &mut self.hosts[node].process else { return };
        process.turn(&mut self.env);
        process.audit();
        if process.over {
            self.replace(node);
        }
    }

    /// A drained worker is over; another one starts in its place.
    fn replace(&mut self, node: usize) {
        if let Some(mut process) = self.hosts[node].process.take() {
            process.crash(&mut self.env, false);
        }
        let wait = self.env.random.below(2_000_000);
        self.env.after(wait, Happening::Start { node });
    }

    fn knock(&mut self, connection: u64) {
        match &mut self.manager {
            Some(manager) if manager.listens() => {
                self.env.answer(connection, true);
                manager.accept(&mut self.env, connection);
            }
            _ => self.env.answer(connection, false),
        }
    }

    fn answered(&mut self, connection: u64, open: bool) {
        let Some(host) = self.env.network.get(&connection).map(|found| found.host) else { return };
        match &mut self.hosts[host].process {
            Some(process) => process.answered(&mut self.env, connection, open),
            None => self.env.close(connection, Side::Peer),
        }
    }

    fn doing(&mut self, host: usize, process: u64) {
        let stalled = self.hosts[host].stalled;
        if stalled > self.env.now {
            return self.env.schedule(stalled, Happening::Doing { host, process });
        }
        match self.part(host, process) {
            Some((Part::Client(client), env)) => client.act(env),
            Some((Part::Worker(worker), env)) => worker.act(env),
            None => {}
        }
    }

    fn start(&mut self, node: usize) {
        if node == MANAGER {
            if self.manager.is_none() {
                self.env.note(|| "the manager starts".into());
                let seed = self.env.random.next();
                self.env.books.manager_restarted();
                let brain = (self.make_brain)(&self.env.options, seed);
                self.manager = Some(Manager::new(brain, &self.env));
            }
            return;
        }
        if self.hosts[node].process.is_some() {
            return;
        }
        let env = &mut self.env;
        let process = env.next_process() + 1;
        let part = if self.hosts[node].is_worker {
            // Somebody must be there who takes everything.
            let last = node + 1 == self.hosts.len();
            let offer = if last && env.healed { Offer::new(4) } else { draw_offer(env) };
            Part::Worker(WorkerPart::new(node, process, offer))
        } else {
            Part::Client(ClientPart::new(node, process, env.options.doings))
        };
        let started = Process::new(env, node, part);
        assert_eq!(started.number, process, "numbers are counted");
        env.note(|| format!("host {node} starts as process {process}"));
        self.hosts[node].process = Some(started);
        env.schedule(env.now, Happening::Doing { host: node, process });
    }

    /// Act two: nothing goes wrong any more.
    fn heal(&mut self) {
        self.env.note(|| "act two".into());
        self.env.healed = true;
        self.env.options.network = Network { latency: 500, jitter: 200, window: 300_000, splits: false };
        (self.env.options.outbox_bytes_max, self.env.options.connections_max) = (usize::MAX, 0);
        self.manager_stalled = Time::ZERO;
        self.start(MANAGER);
        self.heal_lines();
        let last = self.hosts.len() - 1;
        if let Some(mut process) = self.hosts[last].process.take() {
            process.crash(&mut self.env, false);
        }
        for node in 0..self.hosts.len() {
            self.hosts[node].stalled = Time::ZERO;
            if let Some(process) = &mut self.hosts[node].process {
                process.reads_from = Time::ZERO;
            }
            self.start(node);
            self.env.wake(node, self.env.now);
            let process = self.hosts[node].process.as_ref().expect("just started").number;
            self.doing(node, process);
        }
        self.env.wake(MANAGER, self.env.now);
    }
}

impl World<'_> {
    /// At once, or one after the other within a minute: what was under way then comes very late.
    fn heal_lines(&mut self) {
        if !self.env.options.late_healing {
            self.env.cut.clear();
        }
        for connection in self.env.network.keys().copied().collect::<Vec<_>>() {
            for side in [Side::Peer, Side::Manager] {
                let silenced = self.env.network.get_mut(&connection).is_some_and(|it| it.to(side).silenced);
                if silenced && self.env.options.late_healing {
                    self.env.count("healed late");
                    let wait = self.env.random.below(60_000_000);
                    self.env.after(wait, Happening::Speak { connection, side });
                } else {
                    self.env.speak(connection, side);
                }
            }
        }
    }
}

impl Host {
    fn is_idle(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_idle)
    }
}
