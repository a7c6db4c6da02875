//! Waiting lines that close as soon as they are empty, since many others are empty already.

use crate::harness::{World, jobs_of};
use proletariat_protocol::{HandBackReason, JobId, JobOptions, Kinds, Offer, Payload, PeerId};
use proletariat_scheduler::{Config, Event};

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
