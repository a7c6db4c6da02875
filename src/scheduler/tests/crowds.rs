//! Bursts about a crowd cost as much as the crowd is large, and not its square: many who wait for one key, many streams, many
//! executions that avoid a worker, many lines that a worker is not for.
//!
//! Times are compared within one run, a small crowd against one ten times as large: a square would be a factor of a hundred.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod harness;

use harness::World;
use proletariat_protocol::{HandBackReason, JobId, JobOptions, Offer, Payload, PeerId, Time, WorkResult};
use proletariat_scheduler::selector::{Candidate, Candidates, Random, Request, Selector};
use proletariat_scheduler::{Action, Assign, Config, Event, OutboxLevel};
use std::time::{Duration, Instant};

/// Without the audit, which looks at everybody each time.
fn tell(world: &mut World, event: Event) {
    world.scheduler.handle(world.now, event);
}

fn poll(world: &mut World) -> Vec<Action> {
    let mut actions = Vec::new();
    world.scheduler.poll(world.now, &mut actions);
    actions
}

fn assigned(actions: &[Action]) -> Vec<Assign> {
    actions
        .iter()
        .filter_map(|a| if let Action::Assign(assign) = a { Some(assign.clone()) } else { None })
        .collect()
}

fn submit(world: &mut World, client: PeerId, first: u64, count: u64, options: &JobOptions) {
    let payloads = std::iter::repeat_n(Payload::from_static(b"x"), count as usize).collect();
    tell(world, Event::Submitted { client, first: JobId(first), options, payloads });
}

fn assert_linear(what: &str, crowd: u64, mut burst: impl FnMut(u64) -> Duration) {
    let mut best = |crowd| (0..3).map(|_| burst(crowd)).min().expect("three of them");
    let (small, large) = (best(crowd), best(10 * crowd));
    assert!(large < 40 * small + Duration::from_millis(50), "{what}: {small:?} grew to {large:?}");
}

/// So many wait for one run that has started; every one allows it another time.
fn one_run(crowd: u64, options: impl Fn(u64) -> JobOptions) -> (World, PeerId, Assign) {
    let mut world = World::new(Config { hold_similar_work: true, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    for n in 0..crowd {
        submit(&mut world, client, n, 1, &JobOptions { key: Some(vec![7]), ..options(n) });
    }
    let assign = assigned(&poll(&mut world)).pop().expect("a worker is free");
    tell(&mut world, Event::Started { worker, assignment: assign.assignment });
    poll(&mut world);
    (world, client, assign)
}

#[test]
fn those_who_wait_for_one_run_leave_one_by_one() {
    let limited = |n: u64| JobOptions { run_timeout_ms: 60_000 + n as u32, ..JobOptions::default() };
    assert_linear("the most patient leave first", 1_000, |crowd| {
        let (mut world, client, _) = one_run(crowd, limited);
        let begin = Instant::now();
        for n in (0..crowd).rev() {
            tell(&mut world, Event::Aborted { client, first: JobId(n), count: 1 });
        }
        poll(&mut world);
        assert_eq!(world.scheduler.status(world.now).open_jobs, 0);
        begin.elapsed()
    });
    let same = |_| JobOptions { run_timeout_ms: 60_000, ..JobOptions::default() };
    assert_linear("all are over at once", 1_000, |crowd| {
        let (mut world, _, _) = one_run(crowd, same);
        world.now = world.now.plus_millis(62_000);
        let begin = Instant::now();
        poll(&mut world);
        assert_eq!(world.scheduler.status(world.now).open_jobs, 0);
        begin.elapsed()
    });
}

#[test]
fn those_who_get_one_stream_take_it_and_leave_one_by_one() {
    let listening = |_| JobOptions { stream: true, ..JobOptions::default() };
    assert_linear("credit of each, then the end of each", 1_000, |crowd| {
        let (mut world, client, Assign { worker, assignment, .. }) = one_run(crowd, listening);
        let begin = Instant::now();
        tell(&mut world, Event::Data { worker, assignment, payload: vec![0; 1_000].into() });
        for n in 0..crowd {
            tell(&mut world, Event::Credited { client, job: JobId(n), bytes: 1_000 });
        }
        assert!(poll(&mut world).iter().any(|a| matches!(a, Action::Grant { bytes: 1_000, .. })));
        tell(&mut world, Event::Aborted { client, first: JobId(0), count: crowd });
        poll(&mut world);
        begin.elapsed()
    });
}

#[test]
fn executions_that_avoid_a_worker_come_back_one_by_one() {
    assert_linear("executions avoid a worker until their pauses end", 1_000, |crowd| {
        let mut world = World::new(Config::default());
        let (client, worker) = (world.client(), world.worker(Offer::new(crowd as u32)));
        submit(&mut world, client, 0, crowd, &JobOptions::default());
        for assign in assigned(&poll(&mut world)) {
            let reason = HandBackReason::Unfit;
            tell(&mut world, Event::HandedBack { worker, assignment: assign.assignment, reason });
        }
        let begin = Instant::now();
        let mut done = 0;
        while done < crowd {
            let actions = poll(&mut world);
            for Assign { assignment, .. } in assigned(&actions) {
                let payload = Payload::new().into();
                tell(&mut world, Event::Finished { worker, assignment, result: WorkResult::Done, payload });
                done += 1;
            }
            let due = world.scheduler.next_deadline().unwrap_or(world.now);
            world.now = world.now.max(due);
        }
        begin.elapsed()
    });
}

/// So many executions avoid the one worker that there is, which has room for all of them.
fn all_avoid_one(world: &mut World, crowd: u64, priority: impl Fn(u64) -> u32) {
    let (client, worker) = (world.client(), world.worker(Offer::new(crowd as u32)));
    for n in 0..crowd {
        submit(world, client, n, 1, &JobOptions { priority: priority(n), ..JobOptions::default() });
    }
    for Assign { assignment, .. } in assigned(&poll(world)) {
        // Who begins what it hands back does not count as busy.
        tell(world, Event::Started { worker, assignment });
        tell(world, Event::HandedBack { worker, assignment, reason: HandBackReason::Unfit });
    }
    assert!(assigned(&poll(world)).is_empty());
    assert_eq!(world.scheduler.status(world.now).set_aside, crowd);
}

fn go_to_another_one_by_one(what: &str, priority: impl Fn(u64) -> u32) {
    assert_linear(what, 300, |crowd| {
        let mut world = World::new(Config::default());
        all_avoid_one(&mut world, crowd, &priority);
        let worker = world.worker(Offer::new(1));
        let mut run = world.assigned_to(worker).pop().expect("it has a slot");
        let begin = Instant::now();
        for _ in 1..crowd {
            let (assignment, payload) = (run.assignment, Payload::new().into());
            tell(&mut world, Event::Finished { worker, assignment, result: WorkResult::Done, payload });
            run = assigned(&poll(&mut world)).pop().expect("its slot is free again");
            assert_eq!(run.worker, worker);
        }
        begin.elapsed()
    });
}

#[test]
fn executions_that_avoid_a_worker_go_to_another_one_by_one() {
    go_to_another_one_by_one("all are as urgent", |_| 0);
    go_to_another_one_by_one("each has a priority of its own", |n| n as u32);
}

#[test]
fn workers_come_and_go_and_nobody_looks_at_all_who_avoid_another() {
    assert_linear("as many come and go as executions avoid one", 1_000, |crowd| {
        let mut world = World::new(Config::default());
        all_avoid_one(&mut world, crowd, |_| 0);
        world.audits = false;
        let begin = Instant::now();
        for _ in 0..crowd {
            let worker = world.worker(Offer::new(1).kinds(["another"]));
            world.leave(worker);
        }
        begin.elapsed()
    });
}

/// Wants nobody.
#[derive(Debug)]
struct Nobody;

impl Selector for Nobody {
    fn select(&mut self, _: &Request<'_>, _: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        None
    }
}

#[test]
fn those_who_wait_for_one_execution_are_not_counted_at_each_look_for_a_worker() {
    assert_linear("as many looks in vain as jobs", 1_000, |crowd| {
        let config = Config { hold_similar_work: true, ..Config::default() };
        let mut world = World::with_selector(config, Nobody);
        let (client, _) = (world.client(), world.worker(Offer::new(1)));
        submit(&mut world, client, 0, crowd, &JobOptions { key: Some(vec![7]), ..JobOptions::default() });
        let begin = Instant::now();
        for _ in 0..crowd {
            assert!(assigned(&poll(&mut world)).is_empty());
            world.now = world.now.plus_millis(2_000);
        }
        assert_eq!(world.scheduler.status(world.now).queued_jobs, crowd);
        begin.elapsed()
    });
}

#[test]
fn those_who_want_one_execution_at_once_are_not_all_looked_at_for_each_of_them() {
    assert_linear("none of them wants to wait, and slots gather", 3_000, |crowd| {
        let distrib_randmax = Duration::from_millis(100);
        let mut world = World::new(Config { hold_similar_work: true, distrib_randmax, ..Config::default() });
        let (client, _) = (world.client(), world.worker(Offer::new(1)));
        let options = JobOptions { key: Some(vec![7]), no_wait: true, ..JobOptions::default() };
        submit(&mut world, client, 0, crowd, &options);
        let begin = Instant::now();
        assert!(assigned(&poll(&mut world)).is_empty());
        assert_eq!(world.scheduler.status(world.now).queued_jobs, crowd, "they take part in the next pass");
        begin.elapsed()
    });
}

/// A client that does not read, with another one and a worker that has room.
fn one_does_not_read() -> (World, PeerId, PeerId) {
    let mut world = World::new(Config { hold_similar_work: true, ..Config::default() });
    let (slow, other, _) = (world.client(), world.client(), world.worker(Offer::new(1)));
    tell(&mut world, Event::Outbox { peer: slow, level: OutboxLevel::Paused });
    (world, slow, other)
}

#[test]
fn what_nobody_reads_is_not_looked_at_when_somebody_else_reads() {
    assert_linear("another client stops and goes on as often as executions wait", 300, |crowd| {
        let (mut world, slow, other) = one_does_not_read();
        for n in 0..crowd {
            let key = Some(n.to_le_bytes().to_vec());
            submit(&mut world, slow, n, 1, &JobOptions { key, ..JobOptions::default() });
        }
        poll(&mut world);
        assert_eq!(world.scheduler.status(world.now).set_aside, crowd);
        let begin = Instant::now();
        for _ in 0..crowd {
            tell(&mut world, Event::Outbox { peer: other, level: OutboxLevel::Paused });
            tell(&mut world, Event::Outbox { peer: other, level: OutboxLevel::Clear });
            assert!(assigned(&poll(&mut world)).is_empty());
        }
        begin.elapsed()
    });
}

#[test]
fn those_who_do_not_read_join_an_execution_one_by_one() {
    assert_linear("a client asks for the same again and again, and does not read", 3_000, |crowd| {
        let (mut world, slow, other) = one_does_not_read();
        let options = JobOptions { key: Some(vec![7]), ..JobOptions::default() };
        let begin = Instant::now();
        for n in 0..crowd {
            submit(&mut world, slow, n, 1, &options);
            assert!(assigned(&poll(&mut world)).is_empty());
        }
        let spent = begin.elapsed();
        tell(&mut world, Event::Outbox { peer: other, level: OutboxLevel::Paused });
        submit(&mut world, other, 0, 1, &options);
        assert!(assigned(&poll(&mut world)).is_empty(), "it does not read either");
        tell(&mut world, Event::Outbox { peer: other, level: OutboxLevel::Waiting });
        assert_eq!(assigned(&poll(&mut world)).len(), 1, "it has joined, and reads now");
        spent
    });
}

#[test]
fn a_worker_that_takes_ever_other_kinds_looks_at_what_waits_for_these_alone() {
    assert_linear("as many offers as lines", 2_000, |crowd| {
        let mut world = World::new(Config::default());
        let (client, worker) = (world.client(), world.client());
        for n in 0..crowd {
            let (kind, priority) = (Some(String::from("waiting")), n as u32);
            submit(&mut world, client, n, 1, &JobOptions { kind, priority, ..JobOptions::default() });
        }
        poll(&mut world);
        let offer = |world: &mut World, kinds: &[String]| {
            tell(world, Event::Offered { worker, offer: Offer::new(1).kinds(kinds.iter().cloned()) });
            let mut runs = assigned(&poll(world));
            // What waits is shown in portions.
            while world.scheduler.next_deadline() == Some(Time::ZERO) {
                runs.extend(assigned(&poll(world)));
            }
            runs
        };
        let begin = Instant::now();
        for n in 0..crowd {
            assert!(offer(&mut world, &[format!("own-{n}")]).is_empty());
        }
        let runs = offer(&mut world, &[String::from("own"), String::from("waiting")]);
        assert_eq!(runs.iter().map(|run| u64::from(run.priority)).collect::<Vec<_>>(), [crowd - 1]);
        begin.elapsed()
    });
}

#[test]
fn jobs_that_go_from_one_worker_to_another_one_by_one_are_not_all_looked_at_each_time() {
    assert_linear("each waits for half as long as it may", 1_000, |crowd| {
        let mut world = World::new(Config::default());
        let (client, worker) = (world.client(), world.worker(Offer::new(crowd as u32)));
        submit(&mut world, client, 0, crowd, &JobOptions { assign_timeout_ms: 1, ..JobOptions::default() });
        let runs = assigned(&poll(&mut world));
        assert_eq!(runs.len() as u64, crowd);
        tell(&mut world, Event::Withdrew { worker });
        let (other, another) = (world.client(), world.worker(Offer::new(1)));
        submit(&mut world, other, 0, 1, &JobOptions::default());
        let begin = Instant::now();
        let mut own = assigned(&poll(&mut world)).remove(0).assignment;
        for run in &runs {
            let (assignment, reason) = (run.assignment, HandBackReason::Leaving);
            tell(&mut world, Event::HandedBack { worker, assignment, reason });
            assert!(assigned(&poll(&mut world)).is_empty(), "the other worker is busy");
            world.now = world.now + Duration::from_micros(500);
            poll(&mut world);
            let (assignment, payload) = (own, Payload::new().into());
            let result = WorkResult::Done;
            tell(&mut world, Event::Finished { worker: another, assignment, result, payload });
            own = assigned(&poll(&mut world)).pop().expect("it has waited for half of its time").assignment;
        }
        begin.elapsed()
    });
}
