//! Waiting lines that close as soon as they are empty, since many others are empty already.

use crate::harness::{World, jobs_of};
use proletariat_protocol::{HandBackReason, JobId, JobOptions, Kinds, Offer, Payload, PeerId, Time};
use proletariat_scheduler::{Assign, Config, Event, OutboxLevel};

fn of_priority(priority: u32) -> JobOptions {
    JobOptions { priority, ..JobOptions::default() }
}

/// As many empty lines are kept for their next job as there may be: from now on each that gets empty closes.
fn use_many_lines(world: &mut World, client: PeerId, worker: PeerId) {
    for priority in 1..=64 {
        world.submit(client, of_priority(priority), &["before"]);
        let run = world.assigned_to(worker).remove(0);
        world.finish(&run, "done");
    }
}

/// A client, and a worker of many slots that has handed its only job back as unfit.
fn handed_back(world: &mut World) -> (PeerId, PeerId) {
    let (client, worker) = (world.client(), world.worker(Offer::new(100)));
    use_many_lines(world, client, worker);
    world.submit(client, of_priority(1_000), &["first"]);
    let run = world.assigned_to(worker).remove(0);
    world.hand_back(&run, HandBackReason::Unfit);
    (client, worker)
}

#[test]
fn a_job_that_avoids_its_only_worker_and_one_that_comes_after_it_share_a_line() {
    let mut world = World::new(Config::default());
    let (client, worker) = handed_back(&mut world);
    world.submit(client, of_priority(1_000), &["second"]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["second"]);
    world.pass_millis(1_000);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["first"]);
}

#[test]
fn a_job_that_avoids_a_worker_goes_to_another_one_that_has_room() {
    let mut world = World::new(Config::default());
    handed_back(&mut world);
    let other = world.worker(Offer::new(1));
    assert_eq!(jobs_of(&world.assigned_to(other)), ["first"]);
}

#[test]
fn a_worker_may_change_its_kinds_while_jobs_come() {
    let mut world = World::new(Config::default());
    let client = world.client();
    let worker = world.worker(Offer::new(100));
    use_many_lines(&mut world, client, worker);
    let only = |kind: &str| Offer { kinds: Kinds::Only(vec![kind.into()]), ..Offer::new(100) };
    let job = |kind: &str| JobOptions { kind: Some(kind.into()), priority: 1_000, ..JobOptions::default() };
    world.tell(Event::Offered { worker, offer: only("a") });
    // In one burst: a job for the pool that the worker leaves, and one for the pool that takes its place.
    for (number, kind) in [(64, "a"), (65, "b")] {
        let options = &job(kind);
        let payloads = [Payload::from_static(b"job")].into_iter().collect();
        world
            .scheduler
            .handle(world.now, Event::Submitted { client, first: JobId(number), options, payloads });
    }
    world.tell(Event::Offered { worker, offer: only("b") });
    let runs = world.assigned_to(worker);
    assert_eq!(runs.iter().map(|run| run.kind.as_deref()).collect::<Vec<_>>(), [Some("b")]);
    world.tell(Event::Offered { worker, offer: only("a") });
    let runs = world.assigned_to(worker);
    assert_eq!(runs.iter().map(|run| run.kind.as_deref()).collect::<Vec<_>>(), [Some("a")]);
}

/// More lines than anything looks at in one step.
const MANY: u32 = 30_000;

/// A client with a line for each priority from 1,000 on, and a worker of one slot that has the most urgent of them.
fn many_lines() -> (World, PeerId, PeerId) {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.client());
    world.audits = false;
    for priority in 0..MANY {
        world.submit(client, of_priority(1_000 + priority), &["of many"]);
    }
    world.audits = true;
    world.tell(Event::Offered { worker, offer: Offer::new(1) });
    (world, client, worker)
}

fn priorities(runs: &[Assign]) -> Vec<u32> {
    runs.iter().map(|run| run.priority - 1_000).collect()
}

/// Whether the scheduler has something left over, of which it does one more portion then.
fn goes_on(world: &mut World) -> bool {
    let left_over = world.scheduler.next_deadline() == Some(Time::ZERO);
    if left_over {
        world.tell(Event::Withdrew { worker: PeerId(u64::MAX) });
    }
    left_over
}

#[test]
fn a_worker_waits_until_it_can_have_the_most_urgent_of_many_lines() {
    let (mut world, _, worker) = many_lines();
    assert!(world.assigned_to(worker).is_empty(), "not all lines were looked at");
    while goes_on(&mut world) {}
    assert_eq!(priorities(&world.assigned_to(worker)), [MANY - 1]);
}

#[test]
fn who_does_not_want_to_wait_is_not_refused_while_a_worker_waits_for_the_lines() {
    let (mut world, _, worker) = many_lines();
    let other = world.client();
    world.submit(other, JobOptions { no_wait: true, ..of_priority(2_000_000) }, &["at once"]);
    assert!(world.errors(other).is_empty(), "the worker is idle");
    while goes_on(&mut world) {}
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["at once"]);
    world.submit(other, JobOptions { no_wait: true, ..of_priority(2_000_000) }, &["too late"]);
    assert_eq!(world.errors(other).len(), 1);
}

#[test]
fn nothing_of_a_client_with_many_lines_is_dispatched_once_it_has_left() {
    let (mut world, client, worker) = many_lines();
    while goes_on(&mut world) {}
    let run = world.assigned_to(worker).remove(0);
    let other = world.client();
    world.submit(other, of_priority(0), &["of another"]);
    world.submit(other, JobOptions { no_wait: true, ..of_priority(0) }, &["at once"]);
    assert_eq!(world.errors(other).len(), 1, "the worker is busy");
    world.submit(other, JobOptions { no_wait: true, ..of_priority(0) }, &["not behind it"]);
    world.errors(other);
    world.leave(client);
    world.tell(Event::Stopped { worker, assignment: run.assignment });
    while goes_on(&mut world) {}
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["of another"]);
}

#[test]
fn a_client_that_ceases_to_read_is_passed_over_at_once_and_gets_its_turn_when_it_reads_again() {
    let (mut world, client, worker) = many_lines();
    while goes_on(&mut world) {}
    let run = world.assigned_to(worker).remove(0);
    let other = world.client();
    world.tell(Event::Outbox { peer: client, level: OutboxLevel::Paused });
    world.finish(&run, "done");
    world.submit(other, JobOptions { no_wait: true, ..of_priority(0) }, &["of another"]);
    assert!(world.assigned_to(worker).is_empty() && world.errors(other).is_empty(), "many are before it");
    while goes_on(&mut world) {}
    let run = world.assigned_to(worker).remove(0);
    assert_eq!(jobs_of(std::slice::from_ref(&run)), ["of another"]);
    // It changes its mind before all of its lines have followed, and once more.
    for level in [OutboxLevel::Clear, OutboxLevel::Paused, OutboxLevel::Clear] {
        world.tell(Event::Outbox { peer: client, level });
        assert!(goes_on(&mut world));
    }
    while goes_on(&mut world) {}
    world.finish(&run, "done");
    for place in 2..5 {
        let runs = world.assigned_to(worker);
        assert_eq!(priorities(&runs), [MANY - place]);
        world.finish(&runs[0], "done");
    }
}

#[test]
fn who_changes_without_end_keeps_nobody_else_from_being_gone_round() {
    let (mut world, client, worker) = many_lines();
    while goes_on(&mut world) {}
    let run = world.assigned_to(worker).remove(0);
    let (other, level) = (world.client(), OutboxLevel::Paused);
    world.tell(Event::Outbox { peer: other, level });
    world.submit(other, of_priority(2 * MANY), &["of another"]);
    for n in 0..20 {
        let level = if n % 2 == 0 { OutboxLevel::Paused } else { OutboxLevel::Clear };
        world.tell(Event::Outbox { peer: client, level });
        if n == 10 {
            world.tell(Event::Outbox { peer: other, level: OutboxLevel::Waiting });
        }
    }
    world.finish(&run, "done");
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["of another"]);
}

#[test]
fn a_worker_that_offers_the_same_again_or_more_slots_or_other_ranges_is_there_at_once() {
    let (mut world, client, worker) = many_lines();
    while goes_on(&mut world) {}
    world.assigned_to(worker);
    world.tell(Event::Offered { worker, offer: Offer::new(1) });
    assert!(world.assigned_to(worker).is_empty());
    world.tell(Event::Offered { worker, offer: Offer::new(2) });
    assert_eq!(priorities(&world.assigned_to(worker)), [MANY - 2]);
    world.tell(Event::Offered { worker, offer: Offer::new(4).guarantee(500_000, 1) });
    assert_eq!(priorities(&world.assigned_to(worker)), [MANY - 3]);
    world.submit(client, of_priority(500_000), &["urgent"]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["urgent"]);
}

#[test]
fn a_worker_that_takes_one_kind_of_many_waits_for_its_lines_alone() {
    let (mut world, client, worker) = many_lines();
    while goes_on(&mut world) {}
    world.assigned_to(worker);
    let kind = || Some(String::from("own"));
    world.submit(client, JobOptions { kind: kind(), ..of_priority(0) }, &["of its kind"]);
    let other = world.worker(Offer::new(1).kinds(kind()));
    assert_eq!(jobs_of(&world.assigned_to(other)), ["of its kind"]);
    // All kinds but one, which it finds out while it learns what waits.
    world.tell(Event::Offered { worker, offer: Offer::new(3) });
    let runs = world.assigned_to(worker);
    world.hand_back(&runs[0], HandBackReason::NotMyKind);
    while goes_on(&mut world) {}
    assert!(world.scheduler.next_deadline().is_none_or(|due| due > world.now));
}
