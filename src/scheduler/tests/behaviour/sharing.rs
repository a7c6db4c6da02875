//! Runs that several jobs share.

use super::{holding, keyed, urgent};
use crate::harness::{World, jobs_of};
use proletariat_protocol::{ErrorCode, JobOptions, Offer, Payload, WorkResult};
use proletariat_scheduler::{Action, Event};

#[test]
fn similar_jobs_share_one_run() {
    let mut world = World::new(holding());
    let (one, other) = (world.client(), world.client());
    world.submit(one, keyed("k"), &["first"]);
    world.submit(other, JobOptions { priority: 5, ..keyed("k") }, &["second"]);
    world.submit(one, urgent(3), &["between"]);
    let worker = world.worker(Offer::new(1));
    let shared = world.assigned_to(worker).remove(0);
    assert_eq!((&shared.payload[..], shared.priority), (&b"first"[..], 5));
    world.submit(one, keyed("k"), &["third"]);
    world.finish(&shared, "all");
    assert_eq!(world.results(one), [(0, "all".to_owned()), (2, "all".to_owned())]);
    assert_eq!(world.results(other), [(0, "all".to_owned())]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["between"]);
}

#[test]
fn a_similar_job_waits_for_the_stop_and_never_runs_beside_it() {
    let mut world = World::new(holding());
    let (client, worker) = (world.client(), world.worker(Offer::new(5)));
    world.submit(client, keyed("k"), &["first"]);
    let first = world.assigned_to(worker).remove(0);
    world.abort(client, 0, 1);
    world.submit(client, keyed("k"), &["second"]);
    world.submit(client, keyed("k"), &["third"]);
    assert!(world.assigned_to(worker).is_empty());
    world.tell(Event::Stopped { worker, assignment: first.assignment });
    let second = world.assigned_to(worker);
    assert_eq!(jobs_of(&second), ["second"]);
    world.finish(&second[0], "x");
    assert_eq!(world.results(client).len(), 2);
}

#[test]
fn a_similar_job_that_leaves_takes_its_place_and_priority_along() {
    let mut world = World::new(holding());
    let client = world.client();
    world.submit(client, JobOptions { priority: 9, ..keyed("k") }, &["shared"]);
    world.submit(client, urgent(0), &["plain"]);
    world.submit(client, keyed("k"), &["later"]);
    world.abort(client, 0, 1);
    let worker = world.worker(Offer::new(1));
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["plain"], "now it stands behind");
}

#[test]
fn a_run_limit_follows_the_jobs_that_wait() {
    let mut world = World::new(holding());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { run_timeout_ms: 1_000, ..keyed("k") }, &["a"]);
    let assigned = world.assigned_to(worker).remove(0);
    assert_eq!(assigned.run_limit_ms, 1_000);
    world.tell(Event::Started { worker, assignment: assigned.assignment });
    world.pass_millis(500);
    world.submit(client, JobOptions { run_timeout_ms: 2_000, ..keyed("k") }, &["b"]);
    assert!(world.did(
        |a| matches!(a, Action::SetRunLimit { run_limit: Some(limit), .. } if limit.as_millis() == 2_500)
    ));
    world.pass_millis(500);
    assert_eq!(world.errors(client), [(0, ErrorCode::RunTimeout)], "its own clock, exactly");
    world.pass_millis(1_500);
    world.tell(Event::Finished {
        worker,
        assignment: assigned.assignment,
        result: WorkResult::RunTimeout,
        payload: Payload::new().into(),
    });
    assert_eq!(world.errors(client), [(1, ErrorCode::RunTimeout)]);
    assert!(world.scheduler.is_idle());
}

#[test]
fn a_shared_run_of_clients_that_all_left_is_not_started() {
    let mut world = World::new(holding());
    let client = world.client();
    world.submit(client, JobOptions::default(), &["x"; 40_000]);
    world.submit(client, keyed("k"), &["shared"]);
    world.scheduler.handle(world.now, Event::Left { peer: client });
    let worker = world.worker(Offer::new(5));
    assert!(world.assigned_to(worker).is_empty(), "its jobs are removed in portions, but none is dispatched");
    for _ in 0..10 {
        world.pass_millis(1);
    }
    assert!(world.scheduler.is_idle());
}
