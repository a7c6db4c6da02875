//! The wait for the report of a start: 30 s from when the last byte of the assignment left, whatever the outbox does later.

use crate::harness::World;
use proletariat_protocol::{JobOptions, Offer};
use proletariat_scheduler::{Action, Config, Event, OutboxLevel};

#[test]
fn a_start_that_is_not_reported_is_not_believed_in() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["a"]);
    let first = world.assigned_to(worker).remove(0);
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Waiting });
    world.pass_millis(40_000);
    assert!(!world.did(|a| matches!(a, Action::Cancel { .. })), "its last byte has not left");
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Clear });
    world.pass_millis(30_000);
    assert!(world.did(|a| matches!(a, Action::Cancel { .. })));
    world.finish(&first, "late");
    assert!(world.results(client).is_empty());
    assert_eq!(world.assigned_to(worker)[0].attempt, 2);
}

#[test]
fn an_outbox_that_fills_again_and_again_postpones_no_start() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(2)));
    world.submit(client, JobOptions::default(), &["a"]);
    let first = world.assigned_to(worker).remove(0);
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Waiting });
    world.pass_millis(5_000);
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Clear });
    for _ in 0..2 {
        world.pass_millis(10_000);
        world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Waiting });
        world.pass_millis(4_999);
        world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Clear });
    }
    world.pass_millis(1);
    assert!(!world.did(|a| matches!(a, Action::Cancel { .. })), "29.999 s");
    world.pass_millis(1);
    assert!(
        world.did(|a| matches!(a, Action::Cancel { assignment, .. } if *assignment == first.assignment)),
        "its last byte left 30 s ago"
    );
    assert_eq!(world.assigned_to(worker)[0].attempt, 2);
}

#[test]
fn what_waits_behind_older_work_is_not_out_with_it() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(2)));
    world.submit(client, JobOptions::default(), &["out"]);
    let first = world.assigned_to(worker).remove(0);
    world.pass_millis(10_000);
    world.submit(client, JobOptions::default(), &["stuck"]);
    let second = world.assigned_to(worker).remove(0);
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Waiting });
    let cancelled = |world: &mut World, id| {
        world.did(|a| matches!(a, Action::Cancel { assignment, .. } if *assignment == id))
    };
    world.pass_millis(20_000);
    assert!(cancelled(&mut world, first.assignment), "it had left before the outbox filled");
    world.pass_millis(20_000);
    assert!(!cancelled(&mut world, second.assignment), "it has not left yet");
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Clear });
    world.pass_millis(29_999);
    assert!(!cancelled(&mut world, second.assignment));
    world.pass_millis(1);
    assert!(cancelled(&mut world, second.assignment));
}
