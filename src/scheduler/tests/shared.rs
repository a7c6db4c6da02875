//! Runs that several jobs share.

use crate::harness::World;
use proletariat_protocol::{JobOptions, Offer, PeerId};
use proletariat_scheduler::{Action, Config};
use std::time::Duration;

fn holding() -> World {
    World::new(Config { hold_similar_work: true, ..Config::default() })
}

fn limited(millis: u32) -> JobOptions {
    JobOptions { key: Some(b"k".to_vec()), run_timeout_ms: millis, ..JobOptions::default() }
}

/// The run limits that a worker was told since the last look.
fn told(world: &mut World) -> Vec<Option<Duration>> {
    let told = world.take(|action| matches!(action, Action::SetRunLimit { .. }));
    let limit = |action: &Action| match action {
        Action::SetRunLimit { run_limit, .. } => *run_limit,
        _ => None,
    };
    told.iter().map(limit).collect()
}

#[test]
fn a_shared_run_may_last_as_long_as_any_that_waits_allows_and_no_longer() {
    let mut world = holding();
    let clients: Vec<PeerId> = (0..4).map(|_| world.client()).collect();
    let worker = world.worker(Offer::new(1));
    world.submit(clients[0], limited(1_000), &["x"]);
    let run = world.assigned_to(worker).remove(0);
    assert_eq!(run.run_limit_ms, 1_000);
    world.submit(clients[1], limited(500), &["x"]);
    assert_eq!(told(&mut world), [], "it allows less");
    world.submit(clients[2], limited(5_000), &["x"]);
    assert_eq!(told(&mut world), [Some(Duration::from_secs(5))]);
    world.submit(clients[3], limited(0), &["x"]);
    assert_eq!(told(&mut world), [None], "it allows any time");
    world.abort(clients[3], 0, 1);
    assert_eq!(told(&mut world), [Some(Duration::from_secs(5))]);
    world.abort(clients[1], 0, 1);
    assert_eq!(told(&mut world), [], "it was not the one that allowed the most");
    world.abort(clients[2], 0, 1);
    assert_eq!(told(&mut world), [Some(Duration::from_secs(1))]);
}
