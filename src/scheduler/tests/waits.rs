//! Who waits for what, where several promises meet: a wait before the dispatch, a reader that is slow, a run that is shared.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod harness;

use harness::{World, jobs_of};
use proletariat_protocol::{ErrorCode, JobOptions, Offer, PeerId};
use proletariat_scheduler::{Config, Event, OutboxLevel};

fn holding() -> Config {
    Config { hold_similar_work: true, ..Config::default() }
}

fn keyed(key: &str) -> JobOptions {
    JobOptions { key: Some(key.into()), ..JobOptions::default() }
}

fn level(world: &mut World, peer: PeerId, level: OutboxLevel) {
    world.tell(Event::Outbox { peer, level });
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
