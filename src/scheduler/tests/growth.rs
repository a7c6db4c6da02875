//! The cost of a job must not grow with what waits, nor with the workers, kinds and priorities there are.
//!
//! Times are compared within one run and with a wide margin: a quadratic shows as a factor of ten or more.

#![allow(clippy::print_stdout, reason = "the figures are the point")]

use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{InstanceId, JobId, JobOptions, Offer, Payload, PeerId, Time, WorkResult};
use proletariat_scheduler::{Abilities, Action, Config, Event, Joined, OutboxLevel, Scheduler, selector};
use std::time::Instant;

struct Fleet {
    scheduler: Scheduler,
    actions: Vec<Action>,
    next: u64,
}

const CLIENT: PeerId = PeerId(1);

impl Fleet {
    fn new(workers: u64, offer: impl Fn(u64) -> Offer) -> Self {
        let config = Config { queued_jobs_max: 0, ..Config::default() };
        let scheduler = Scheduler::new(config, Box::new(selector::RandomWeighted), 1);
        let mut fleet = Self { scheduler, actions: Vec::new(), next: 0 };
        for peer in 1..=workers + 1 {
            let mut instance = [0; 16];
            instance[..8].copy_from_slice(&peer.to_le_bytes());
            fleet.tell(Event::Joined(Joined {
                peer: PeerId(peer),
                instance: InstanceId(instance),
                realm: 0,
                name: String::new(),
                roles: Roles::default(),
                abilities: Abilities::NATIVE,
            }));
            if peer > 1 {
                fleet.tell(Event::Offered { worker: PeerId(peer), offer: offer(peer) });
            }
        }
        fleet.poll();
        fleet
    }

    fn tell(&mut self, event: Event) {
        self.scheduler.handle(Time(self.next), event);
    }

    fn poll(&mut self) {
        self.scheduler.poll(Time(self.next), &mut self.actions);
    }

    fn submit(&mut self, count: u64, options: &JobOptions) {
        let payloads = std::iter::repeat_n(Payload::from_static(b"x"), count as usize).collect();
        let first = JobId(self.next);
        self.tell(Event::Submitted { client: CLIENT, first, options, payloads });
        self.next += count;
    }

    /// Keeps the fleet busy until so many jobs are done; nanoseconds a job.
    fn run(&mut self, jobs: u64, options: impl Fn(u64) -> JobOptions) -> f64 {
        let begin = Instant::now();
        let mut done = 0;
        while done < jobs {
            let mut finished = 0;
            for action in std::mem::take(&mut self.actions) {
                if let Action::Assign(assign) = action {
                    finished += 1;
                    self.tell(Event::Finished {
                        worker: assign.worker,
                        assignment: assign.assignment,
                        result: WorkResult::Done,
                        payload: Payload::from_static(b"y").into(),
                    });
                }
            }
            for n in 0..finished.max(100) {
                self.submit(1, &options(done + n));
            }
            done += finished;
            self.poll();
        }
        begin.elapsed().as_nanos() as f64 / done as f64
    }
}

fn plain(_: u64) -> JobOptions {
    JobOptions::default()
}

/// The better of three: other work on the machine only ever makes it slower.
fn best(mut measure: impl FnMut() -> f64) -> f64 {
    (0..3).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

fn assert_flat(what: &str, small: f64, large: f64) {
    println!(
        "{what}: {small:.0} ns a job in the small case, {large:.0} in the large one: {:.2}",
        large / small
    );
    assert!(large < 8.0 * small + 1_000.0, "{what}: {small:.0} ns a job grew to {large:.0}");
}

const JOBS: u64 = 30_000;

#[test]
fn a_job_costs_the_same_however_many_wait() {
    let small = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, plain));
    let large = best(|| {
        let mut fleet = Fleet::new(4, |_| Offer::new(25));
        for _ in 0..16 {
            fleet.submit(62_500, &JobOptions::default());
        }
        fleet.run(JOBS, plain)
    });
    assert_flat("1,000,000 jobs wait", small, large);
}

#[test]
fn a_job_costs_the_same_however_many_workers_there_are() {
    let small = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, plain));
    let large = best(|| Fleet::new(2_000, |_| Offer::new(1)).run(JOBS, plain));
    assert_flat("2,000 workers", small, large);
}

#[test]
fn a_job_costs_the_same_however_many_kinds_there_are() {
    let of_kind = |n: u64| JobOptions { kind: Some(format!("kind-{}", n % 1_000)), ..JobOptions::default() };
    let small = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, plain));
    let any = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, of_kind));
    assert_flat("1,000 kinds, workers of any", small, any);
    let one_each = best(|| {
        Fleet::new(1_000, |n| Offer::new(1).kinds([format!("kind-{}", n % 1_000)])).run(JOBS, of_kind)
    });
    assert_flat("1,000 kinds, a worker each", small, one_each);
}

#[test]
fn a_job_costs_the_same_however_many_priorities_there_are() {
    let urgent = |n: u64| JobOptions { priority: (n % 1_000) as u32, ..JobOptions::default() };
    let small = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, plain));
    let large =
        best(|| Fleet::new(4, |_| Offer::new(25).guarantee(10, 5).guarantee(500, 5)).run(JOBS, urgent));
    assert_flat("1,000 priorities", small, large);
}

#[test]
fn clocks_cost_little() {
    let clocks = |_| JobOptions {
        timeout_ms: 60_000,
        run_timeout_ms: 60_000,
        assign_timeout_ms: 60_000,
        ..JobOptions::default()
    };
    let small = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, plain));
    let large = best(|| Fleet::new(4, |_| Offer::new(25)).run(JOBS, clocks));
    assert_flat("three clocks a job", small, large);
}

#[test]
fn a_job_costs_the_same_whether_offers_are_alike_or_all_differ() {
    let alike = best(|| Fleet::new(500, |_| Offer::new(4).guarantee(7, 1)).run(JOBS, plain));
    let bounds = best(|| Fleet::new(500, |peer| Offer::new(4).guarantee(peer as u32, 1)).run(JOBS, plain));
    assert_flat("500 different bounds", alike, bounds);
    let kinds = best(|| {
        let offer = |peer| Offer::new(4).kinds([String::from("common"), format!("own-{peer}")]);
        Fleet::new(500, offer)
            .run(JOBS, |_| JobOptions { kind: Some("common".into()), ..JobOptions::default() })
    });
    assert_flat("500 different sets of kinds", alike, kinds);
}

#[test]
fn many_lines_are_not_shown_to_as_many_pools_as_there_are_workers() {
    let fill = |bound: fn(u64) -> u32| {
        best(|| {
            let begin = Instant::now();
            let mut fleet = Fleet::new(200, |peer| Offer::new(1).guarantee(bound(peer), 1));
            for priority in 0..20_000 {
                fleet.submit(1, &JobOptions { priority, ..JobOptions::default() });
            }
            fleet.poll();
            drop(fleet);
            begin.elapsed().as_nanos() as f64 / 20_000.0
        })
    };
    assert_flat("20,000 lines and 200 offers", fill(|_| 7), fill(|peer| peer as u32));
}

/// The client opens so many lines, one for each priority, while one worker that takes all of them is busy.
fn with_lines(lines: u32) -> Fleet {
    let mut fleet = Fleet::new(1, |_| Offer::new(1));
    for priority in 0..lines {
        fleet.submit(1, &JobOptions { priority, ..JobOptions::default() });
    }
    fleet.poll();
    fleet
}

impl Fleet {
    /// How long each of the steps takes that an event brings about, in nanoseconds: that of the event, and those that the scheduler wants
    /// at once.
    fn steps(&mut self, event: Event) -> Vec<f64> {
        let mut begin = Instant::now();
        self.tell(event);
        let mut steps = Vec::new();
        loop {
            self.poll();
            steps.push(begin.elapsed().as_nanos() as f64);
            if self.scheduler.next_deadline() != Some(Time::ZERO) {
                return steps;
            }
            begin = Instant::now();
        }
    }
}

/// The longest of the steps that the last of some events brings about. The same steps are taken several times, and the best of each
/// counts: other work on the machine only ever makes it slower.
fn longest_step(lines: u32, events: &[fn() -> Event<'static>]) -> f64 {
    let (last, before) = events.split_last().expect("something happens");
    let run = || {
        let mut fleet = with_lines(lines);
        before.iter().for_each(|event| drop(fleet.steps(event())));
        fleet.steps(last())
    };
    let mut best = run();
    for _ in 0..3 {
        let again = run();
        assert_eq!(again.len(), best.len(), "the same happens again");
        best = best.into_iter().zip(again).map(|(one, other)| one.min(other)).collect();
    }
    best.into_iter().fold(0.0, f64::max)
}

/// The events bring about no longer steps with many lines than with few.
fn assert_steps_are_short(what: &str, events: &[fn() -> Event<'static>]) {
    let [few, many] = [LINES / 10, LINES].map(|lines| longest_step(lines, events) / 1e6);
    println!("{what}: with {} lines the longest step takes {few:.2} ms, with {LINES} {many:.2}", LINES / 10);
    // What is given back in steps may cost the system's allocator a dozen milliseconds at once, later.
    assert!(many < 3.0 * few + 50.0, "{what}: a step of {few:.2} ms grew to {many:.2}");
}

/// Enough for a step that looks at all of them to be much longer than the bound, and few enough for tests without optimization.
const LINES: u32 = if cfg!(debug_assertions) { 300_000 } else { 1_000_000 };
const WORKER: PeerId = PeerId(2);

fn offers(offer: Offer) -> Event<'static> {
    Event::Offered { worker: WORKER, offer }
}

fn pauses() -> Event<'static> {
    Event::Outbox { peer: CLIENT, level: OutboxLevel::Paused }
}

fn reads_again() -> Event<'static> {
    Event::Outbox { peer: CLIENT, level: OutboxLevel::Clear }
}

fn leaves() -> Event<'static> {
    Event::Left { peer: CLIENT }
}

#[test]
fn a_client_with_many_lines_that_leaves_or_reads_slowly_holds_nobody_up() {
    assert_steps_are_short("left", &[leaves]);
    assert_steps_are_short("paused", &[pauses]);
    assert_steps_are_short("reads again", &[pauses, reads_again]);
    assert_steps_are_short("left while it was paused", &[pauses, leaves]);
}

#[test]
fn a_worker_that_offers_again_holds_nobody_up_whatever_waits() {
    let same = || offers(Offer::new(1));
    let other_kinds = || offers(Offer::new(1).kinds([String::from("other")]));
    assert_steps_are_short("the same offer", &[same]);
    assert_steps_are_short("other ranges", &[|| offers(Offer::new(1).guarantee(7, 1))]);
    assert_steps_are_short("other kinds", &[other_kinds]);
    assert_steps_are_short("all kinds again", &[other_kinds, same]);
}
