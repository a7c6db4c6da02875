//! What a status tells of lines and workers.

use crate::harness::World;
use proletariat_protocol::{JobOptions, Offer};
use proletariat_scheduler::{Config, Event, OutboxLevel, WorkerStatus};
use std::time::Duration;

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

fn queues(world: &World) -> Vec<(Option<String>, u32, u64, bool)> {
    let queues = world.scheduler.status(world.now).queues;
    queues.into_iter().map(|queue| (queue.kind, queue.priority, queue.queued, queue.offered)).collect()
}

fn the_worker(world: &World) -> WorkerStatus {
    let mut workers = world.scheduler.status(world.now).workers;
    assert_eq!(workers.len(), 1);
    workers.remove(0)
}

#[test]
fn the_lines_of_all_clients_are_told_together() {
    let mut world = World::new(Config::default());
    let (one, other) = (world.client(), world.client());
    let worker = world.worker(Offer::new(2).kinds(["k"]));
    world.submit(one, of_kind("k"), &["a", "b", "c"]);
    world.submit(other, of_kind("k"), &["d", "e"]);
    world.submit(one, JobOptions { priority: 7, ..of_kind("absent") }, &["f"]);
    assert_eq!(queues(&world), [(Some("absent".into()), 7, 1, false), (Some("k".into()), 0, 3, true)]);
    for run in world.assigned_to(worker) {
        world.finish(&run, "done");
    }
    assert_eq!(queues(&world), [(Some("absent".into()), 7, 1, false), (Some("k".into()), 0, 1, true)]);
    for run in world.assigned_to(worker) {
        world.finish(&run, "done");
    }
    assert_eq!(queues(&world), [(Some("absent".into()), 7, 1, false)], "an empty line is none");
}

#[test]
fn a_worker_is_told_with_what_runs_and_what_stops() {
    let mut world = World::new(Config::default());
    let client = world.client();
    let worker = world.worker(Offer::new(5).guarantee(1, 2));
    world.submit(client, JobOptions::default(), &["a", "b", "c"]);
    let told = the_worker(&world);
    assert_eq!((told.slots, told.running, told.stopping.len(), told.paused), (5, 3, 0, false));
    let ranges =
        told.ranges.iter().map(|range| (range.from, range.guarantee, range.limit, range.used, range.free));
    assert_eq!(ranges.collect::<Vec<_>>(), [(0, 3, 3, 3, 0), (1, 2, 5, 0, 2)]);
    world.abort(client, 0, 2);
    world.pass_millis(40);
    let told = the_worker(&world);
    assert_eq!((told.running, told.stopping.len()), (1, 2));
    assert!(told.stopping.iter().all(|(_, since)| *since == Duration::from_millis(40)));
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Paused });
    assert!(the_worker(&world).paused);
    world.tell(Event::Outbox { peer: worker, level: OutboxLevel::Waiting });
    assert!(!the_worker(&world).paused);
}
