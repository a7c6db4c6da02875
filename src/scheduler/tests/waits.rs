//! Who waits for what, where several promises meet: a wait before the dispatch, a reader that is slow, a run that is shared.

use crate::harness::{World, jobs_of};
use proletariat_protocol::{
    ErrorCode, HandBackReason, JobId, JobOptions, Offer, Payload, PeerId, WorkResult,
};
use proletariat_scheduler::selector::{Candidate, Candidates, Random, Request, Selector};
use proletariat_scheduler::{Action, Assign, Config, Event, OutboxLevel};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

fn holding() -> Config {
    Config { hold_similar_work: true, ..Config::default() }
}

fn keyed(key: &str) -> JobOptions {
    JobOptions { key: Some(key.into()), ..JobOptions::default() }
}

fn limited(millis: u32) -> JobOptions {
    JobOptions { run_timeout_ms: millis, ..keyed("k") }
}

fn level(world: &mut World, peer: PeerId, level: OutboxLevel) {
    world.tell(Event::Outbox { peer, level });
}

fn start(world: &mut World, assigned: &Assign) {
    world.tell(Event::Started { worker: assigned.worker, assignment: assigned.assignment });
}

/// Wants nobody for payloads that say no, and counts how often it is asked for them.
#[derive(Debug)]
struct Choosy(Arc<AtomicU32>);

impl Selector for Choosy {
    fn select(&mut self, request: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        if request.payload_bytes == "no".len() {
            self.0.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        among.iter().next()
    }
}

#[test]
fn what_the_selector_has_nobody_for_is_set_aside_ever_longer_and_later_ones_pass_it() {
    let asked = Arc::new(AtomicU32::new(0));
    let mut world = World::with_selector(Config::default(), Choosy(Arc::clone(&asked)));
    let (client, worker) = (world.client(), world.worker(Offer::new(20)));
    world.submit(client, JobOptions::default(), &["no", "yes"]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["yes"]);
    for (before, pause) in (1..).zip([50, 100, 200, 400, 800, 1_600, 2_000, 2_000]) {
        world.submit(client, JobOptions::default(), &["yes"]);
        world.pass_millis(pause - 1);
        assert_eq!(asked.load(Ordering::Relaxed), before, "it rests for {pause} ms");
        world.pass_millis(1);
        assert_eq!(asked.load(Ordering::Relaxed), before + 1);
    }
    assert_eq!(world.assigned_to(worker).len(), 8);
}

#[test]
fn who_does_not_want_to_wait_takes_part_in_the_next_distribution() {
    let gathering = Config { distrib_randmax: Duration::from_millis(100), ..Config::default() };
    let mut world = World::new(gathering);
    let (client, worker) = (world.client(), world.worker(Offer::new(2).kinds(["a"])));
    let hurried = |kind: &str| JobOptions { no_wait: true, kind: Some(kind.into()), ..JobOptions::default() };
    world.submit(client, hurried("b"), &["nobody does this"]);
    assert_eq!(world.errors(client), [(0, ErrorCode::NoWorker)], "to wait would be of no use");
    world.submit(client, hurried("a"), &["x", "y", "one too many"]);
    world.pass_millis(100);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["x", "y"]);
    assert_eq!(world.errors(client), [(3, ErrorCode::NoWorker)]);
    world.submit(client, hurried("a"), &["no slot is free"]);
    assert_eq!(world.errors(client), [(4, ErrorCode::NoWorker)]);
}

#[test]
fn who_does_not_want_to_wait_is_told_when_the_manager_stops_before_the_distribution() {
    let gathering = Config { distrib_randmax: Duration::from_millis(100), ..Config::default() };
    let mut world = World::new(gathering);
    let (client, _worker) = (world.client(), world.worker(Offer::new(2)));
    world.submit(client, JobOptions { no_wait: true, ..JobOptions::default() }, &["x"]);
    world.tell(Event::Draining);
    assert_eq!(world.errors(client), [(0, ErrorCode::NoWorker)]);
}

#[test]
fn what_only_slow_readers_wait_for_is_not_started() {
    let mut world = World::new(holding());
    let (slow, other) = (world.client(), world.client());
    world.submit(slow, keyed("k"), &["shared"]);
    level(&mut world, slow, OutboxLevel::Paused);
    let worker = world.worker(Offer::new(5));
    world.submit(slow, keyed("l"), &["another"]);
    assert!(world.assigned_to(worker).is_empty());
    world.submit(other, keyed("k"), &["the same"]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["shared"], "somebody reads");
    level(&mut world, slow, OutboxLevel::Waiting);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["another"]);
}

#[test]
fn what_only_slow_readers_wait_for_ends_as_anything_that_waits() {
    let mut world = World::new(holding());
    let slow = world.client();
    level(&mut world, slow, OutboxLevel::Paused);
    let worker = world.worker(Offer::new(5));
    world.submit(slow, JobOptions { assign_timeout_ms: 100, ..keyed("k") }, &["a"]);
    world.submit(slow, keyed("l"), &["b"]);
    world.submit(slow, keyed("m"), &["c"]);
    world.pass_millis(100);
    world.abort(slow, 1, 1);
    assert_eq!(world.errors(slow), [(0, ErrorCode::AssignTimeout), (1, ErrorCode::Aborted)]);
    world.leave(slow);
    world.pass_millis(1);
    assert!(world.scheduler.is_idle() && world.assigned_to(worker).is_empty());
}

/// Hands all its runs back as unfit, and keeps its slots.
fn hand_all_back(world: &mut World, worker: PeerId) {
    for run in world.assigned_to(worker) {
        world.hand_back(&run, HandBackReason::Unfit);
    }
}

#[test]
fn who_avoids_a_worker_goes_to_another_one_in_order_and_before_who_came_later() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(3)));
    world.submit(client, JobOptions::default(), &["2", "3"]);
    world.submit(client, JobOptions { priority: 7, ..JobOptions::default() }, &["1"]);
    hand_all_back(&mut world, worker);
    world.submit(client, JobOptions::default(), &["x", "y", "z", "4"]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["x", "y", "z"]);
    let other = world.worker(Offer::new(1));
    for job in ["1", "2", "3", "4"] {
        let runs = world.assigned_to(other);
        assert_eq!(jobs_of(&runs), [job]);
        world.finish(&runs[0], "done");
    }
}

#[test]
fn new_room_is_for_those_of_its_range_among_all_who_avoid_another_worker() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(3)));
    let of_priority = |priority| JobOptions { priority, ..JobOptions::default() };
    world.submit(client, of_priority(0), &["low"]);
    world.submit(client, of_priority(5), &["high", "also high"]);
    hand_all_back(&mut world, worker);
    let other = world.worker(Offer::new(2).guarantee(5, 2));
    assert_eq!(jobs_of(&world.assigned_to(other)), ["high", "also high"]);
    let third = world.worker(Offer::new(1));
    assert_eq!(jobs_of(&world.assigned_to(third)), ["low"]);
}

#[test]
fn who_avoids_a_worker_and_does_not_read_stands_in_nobodys_way() {
    let mut world = World::new(Config::default());
    let (slow, client, worker) = (world.client(), world.client(), world.worker(Offer::new(2)));
    world.submit(slow, JobOptions::default(), &["slow"]);
    world.submit(client, JobOptions::default(), &["quick"]);
    hand_all_back(&mut world, worker);
    level(&mut world, slow, OutboxLevel::Paused);
    let other = world.worker(Offer::new(1));
    let runs = world.assigned_to(other);
    assert_eq!(jobs_of(&runs), ["quick"]);
    level(&mut world, slow, OutboxLevel::Clear);
    assert!(world.assigned_to(other).is_empty() && world.assigned_to(worker).is_empty());
    world.finish(&runs[0], "done");
    assert_eq!(jobs_of(&world.assigned_to(other)), ["slow"]);
}

/// Wants nobody for payloads that say no, once it is told so.
#[derive(Debug)]
struct Fickle(Arc<AtomicBool>);

impl Selector for Fickle {
    fn select(&mut self, request: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        let refuses = self.0.load(Ordering::Relaxed) && request.payload_bytes == "no".len();
        if refuses { None } else { among.iter().next() }
    }
}

#[test]
fn room_that_the_selector_refuses_is_for_the_next_who_avoids_the_same_worker() {
    let refuses = Arc::new(AtomicBool::new(false));
    let mut world = World::with_selector(Config::default(), Fickle(Arc::clone(&refuses)));
    let (client, worker) = (world.client(), world.worker(Offer::new(3)));
    world.submit(client, JobOptions::default(), &["no", "yes", "perhaps"]);
    hand_all_back(&mut world, worker);
    refuses.store(true, Ordering::Relaxed);
    let other = world.worker(Offer::new(1));
    let runs = world.assigned_to(other);
    assert_eq!(jobs_of(&runs), ["yes"]);
    world.finish(&runs[0], "done");
    assert_eq!(jobs_of(&world.assigned_to(other)), ["perhaps"]);
}

#[test]
fn a_shared_run_that_was_stopped_at_the_limit_of_one_is_not_begun_again_for_who_allows_one_attempt() {
    let mut world = World::new(holding());
    let (short, once) = (world.client(), world.client());
    let worker = world.worker(Offer::new(5));
    world.submit(short, JobOptions { run_timeout_ms: 300, ..keyed("k") }, &["x"]);
    let run = world.assigned_to(worker).remove(0);
    start(&mut world, &run);
    world.pass_millis(200);
    world.submit(once, JobOptions { run_timeout_ms: 10_000, max_attempts: Some(1), ..keyed("k") }, &["x"]);
    world.pass_millis(100);
    // It had stopped before it heard of the longer limit.
    let (worker, assignment) = (run.worker, run.assignment);
    world.tell(Event::Finished {
        worker,
        assignment,
        result: WorkResult::RunTimeout,
        payload: Payload::new().into(),
    });
    assert_eq!(world.errors(short), [(0, ErrorCode::RunTimeout)]);
    assert_eq!(world.errors(once), [(0, ErrorCode::Crash)]);
    assert!(world.assigned_to(worker).is_empty());
}

#[test]
fn the_wait_for_a_worker_stands_still_while_a_worker_has_the_job() {
    let mut world = World::new(holding());
    let (first, second) = (world.client(), world.client());
    world.submit(first, JobOptions { assign_timeout_ms: 1_000, ..keyed("k") }, &["x"]);
    world.pass_millis(600);
    let worker = world.worker(Offer::new(1));
    let run = world.assigned_to(worker).remove(0);
    world.pass_millis(5_000);
    world.submit(second, JobOptions { assign_timeout_ms: 1_000, ..keyed("k") }, &["x"]);
    world.pass_millis(5_000);
    world.hand_back(&run, HandBackReason::NotMyKind);
    world.pass_millis(399);
    assert!(world.errors(first).is_empty());
    world.pass_millis(1);
    assert_eq!(world.errors(first), [(0, ErrorCode::AssignTimeout)], "it went on where it was");
    world.pass_millis(599);
    assert!(world.errors(second).is_empty());
    world.pass_millis(1);
    assert_eq!(world.errors(second), [(0, ErrorCode::AssignTimeout)], "it had not begun");
}

#[test]
fn who_came_back_has_a_clock_of_its_own() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(3)));
    let options = JobOptions { assign_timeout_ms: 1_000, ..JobOptions::default() };
    world.submit(client, options, &["x"; 4]);
    let runs = world.assigned_to(worker);
    world.scheduler.handle(world.now, Event::Withdrew { worker });
    for (run, micros) in runs.iter().zip([1, 1, 300]) {
        world.now = world.now + Duration::from_micros(micros);
        world.hand_back(run, HandBackReason::Leaving);
    }
    let mut ended = Vec::new();
    while let Some(due) = world.scheduler.next_deadline().filter(|_| ended.len() < 4) {
        world.now = world.now.max(due);
        world.pass_millis(0);
        ended.extend(world.errors(client).iter().map(|(job, code)| (*job, *code, world.now.0)));
    }
    let over = |job, micros| (job, ErrorCode::AssignTimeout, micros);
    assert_eq!(ended, [over(3, 1_000_000), over(0, 1_000_001), over(1, 1_000_002), over(2, 1_000_302)]);
}

#[test]
fn who_joins_a_run_before_its_first_data_gets_them() {
    let mut world = World::new(holding());
    let (first, second, third) = (world.client(), world.client(), world.client());
    let worker = world.worker(Offer::new(1));
    world.submit(first, keyed("k"), &["x"]);
    let run = world.assigned_to(worker).remove(0);
    assert!(run.stream, "the worker has to send what somebody may want who comes later");
    world.submit(second, JobOptions { stream: true, ..keyed("k") }, &["x"]);
    let data = |world: &mut World| {
        let payload = Payload::from_static(b"some");
        world.tell(Event::Data { worker, assignment: run.assignment, payload });
        let sent = world.take(|action| matches!(action, Action::Data { .. }));
        sent.len()
    };
    assert_eq!(data(&mut world), 1, "to the second alone");
    world.submit(third, JobOptions { stream: true, ..keyed("k") }, &["x"]);
    assert_eq!(data(&mut world), 1, "who joins after the first data gets the outcome only");
}

#[test]
fn a_run_that_begins_anew_may_last_as_long_as_any_of_all_who_wait_allows() {
    let mut world = World::new(holding());
    let (first, second) = (world.client(), world.client());
    let worker = world.worker(Offer::new(1));
    world.submit(first, limited(1_000), &["x"]);
    let run = world.assigned_to(worker).remove(0);
    assert_eq!(run.run_limit_ms, 1_000);
    start(&mut world, &run);
    world.pass_millis(500);
    world.submit(second, limited(5_000), &["x"]);
    world.leave(worker);
    let worker = world.worker(Offer::new(1));
    let run = world.assigned_to(worker).remove(0);
    assert_eq!(run.run_limit_ms, 5_000, "it joined late, and now waits like the other");
}

/// A run whose job may last a second, 200 ms after that; with its client.
fn over_its_limit() -> (World, PeerId, Assign) {
    let mut world = World::new(holding());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, limited(1_000), &["x"]);
    let run = world.assigned_to(worker).remove(0);
    start(&mut world, &run);
    world.pass_millis(1_200);
    assert!(world.errors(client).is_empty(), "the worker ends it, the manager a second later");
    (world, client, run)
}

#[test]
fn who_joins_a_run_that_should_be_over_prolongs_it_for_nobody_else() {
    let (mut world, client, run) = over_its_limit();
    world.submit(client, limited(5_000), &["x"]);
    assert_eq!(world.errors(client), [(0, ErrorCode::RunTimeout)], "the worker now goes on for the other");
    world.finish(&run, "done");
    assert_eq!(world.results(client), [(1, "done".to_owned())]);
}

#[test]
fn who_joins_a_run_that_should_be_over_and_leaves_at_once_changes_nothing_back() {
    let (mut world, client, _) = over_its_limit();
    let (options, payloads) = (&limited(5_000), [Payload::from_static(b"x")].into_iter().collect());
    world.scheduler.handle(world.now, Event::Submitted { client, first: JobId(1), options, payloads });
    world.abort(client, 1, 1);
    assert_eq!(world.errors(client), [(1, ErrorCode::Aborted), (0, ErrorCode::RunTimeout)]);
}

/// Of several alarms for one job the earliest stays when there are many.
#[test]
fn a_run_is_over_in_time_although_the_alarm_of_an_earlier_one_was_the_earliest() {
    let mut world = World::new(holding());
    world.audits = false;
    let (client, other, worker) = (world.client(), world.client(), world.worker(Offer::new(1)));
    world.submit(client, limited(1_000), &["x"]);
    let run = world.assigned_to(worker).remove(0);
    start(&mut world, &run);
    world.pass_millis(600);
    world.hand_back(&run, HandBackReason::Unfit);
    world.pass_millis(100);
    let run = world.assigned_to(worker).remove(0);
    start(&mut world, &run);
    for n in 0..2_000 {
        world.submit(other, JobOptions { timeout_ms: 60_000 + n, ..JobOptions::default() }, &["waits"]);
    }
    world.pass_millis(500);
    world.submit(client, limited(5_000), &["x"]);
    world.pass_millis(499);
    assert!(world.errors(client).is_empty());
    world.pass_millis(1);
    assert_eq!(world.errors(client), [(0, ErrorCode::RunTimeout)], "its own clock, exactly");
    world.scheduler.audit();
}

/// With sacred guarantees a less urgent range may have room where a more urgent one has none.
#[test]
fn who_shared_an_execution_with_one_that_does_not_wait_is_looked_at_again() {
    let mut world =
        World::new(Config { sacred_guarantees: true, hold_similar_work: true, ..Config::default() });
    let client = world.client();
    let worker = world.worker(Offer::new(2).guarantee(1, 1).guarantee(2, 1));
    world.submit(client, JobOptions { priority: 2, ..JobOptions::default() }, &["fills its range"]);
    assert_eq!(world.assigned_to(worker).len(), 1);
    let keyed = |priority| JobOptions { key: Some(b"k".to_vec()), priority, ..JobOptions::default() };
    let hurried = JobOptions { no_wait: true, ..keyed(2) };
    for (number, options) in [(1, &keyed(1)), (2, &hurried)] {
        let payloads = [Payload::from_static(b"shared")].into_iter().collect();
        let first = JobId(number);
        world.scheduler.handle(world.now, Event::Submitted { client, first, options, payloads });
    }
    world.pass_millis(0);
    assert_eq!(world.errors(client), [(2, ErrorCode::NoWorker)]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["shared"]);
}
