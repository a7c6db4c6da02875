//! What the scheduler does for itself: when it wants to be woken, and when it gives memory back.

use crate::harness::World;
use core::time::Duration;
use proletariat_protocol::{HandBackReason, JobOptions, Offer, PeerId, Time};
use proletariat_scheduler::{Action, Config, Event};

fn do_one(world: &mut World, client: PeerId, worker: PeerId, options: JobOptions) {
    world.submit(client, options, &["x"]);
    let run = world.assigned_to(worker).remove(0);
    world.finish(&run, "done");
    assert_eq!(world.results(client).len(), 1);
}

fn gave_back(world: &mut World) -> bool {
    world.did(|action| matches!(action, Action::ReleaseMemory))
}

#[test]
fn memory_goes_back_after_so_many_jobs_or_after_the_interval_and_not_without_a_job() {
    let interval = Duration::from_secs(60);
    let mut world = World::new(Config { cleanup_reqs: 3, cleanup_checkint: interval, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    assert_eq!(world.scheduler.next_deadline(), None, "nothing was done yet");
    for _ in 0..3 {
        do_one(&mut world, client, worker, JobOptions::default());
    }
    world.pass_millis(4_999);
    assert!(!gave_back(&mut world), "not more often than that");
    world.pass_millis(1);
    assert!(gave_back(&mut world));
    world.pass_millis(100_000);
    assert!(!gave_back(&mut world), "nothing was done since");
    do_one(&mut world, client, worker, JobOptions::default());
    world.pass_millis(0);
    assert!(gave_back(&mut world), "the interval was over long ago");
    do_one(&mut world, client, worker, JobOptions::default());
    world.pass_millis(59_000);
    world.submit(client, JobOptions::default(), &["y"]);
    world.pass_millis(2_000);
    assert!(!gave_back(&mut world), "a job is open");
    let run = world.assigned_to(worker).remove(0);
    world.finish(&run, "done");
    assert!(gave_back(&mut world));
}

#[test]
fn a_job_that_has_ended_wakes_nobody_when_its_clocks_would_have() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    let clocks = JobOptions { timeout_ms: 200, assign_timeout_ms: 300, ..JobOptions::default() };
    do_one(&mut world, client, worker, clocks);
    world.pass_millis(100);
    let due = world.scheduler.next_deadline().expect("memory is given back some time");
    assert!(due >= Time::from_millis(5_000), "{due:?}");
}

#[test]
fn a_gate_wakes_nobody_who_drains() {
    let wait = Duration::from_millis(100);
    let mut world = World::new(Config { distrib_randmax: wait, ..Config::default() });
    let (client, _worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["x"]);
    assert!(world.scheduler.next_deadline().is_some_and(|due| due <= world.now + wait));
    world.tell(Event::Draining);
    world.now = world.now.plus_millis(200);
    world.tell(Event::Draining);
    assert!(world.scheduler.next_deadline().is_none_or(|due| due > world.now), "it would spin");
}

#[test]
fn the_ancestor_gathered_slots() {
    let classic = Config::classic();
    assert_eq!((classic.avail_threshold, classic.distrib_randmax), (50, Duration::from_millis(100)));
    let modern = Config::default();
    assert_eq!((modern.avail_threshold, modern.distrib_randmax), (1, Duration::ZERO));
}

#[test]
fn what_was_set_aside_is_counted() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(3)));
    let set_aside = |world: &World| world.scheduler.status(world.now).set_aside;
    world.submit(client, JobOptions::default(), &["x", "y"]);
    let runs = world.assigned_to(worker);
    assert_eq!(set_aside(&world), 0);
    world.hand_back(&runs[0], HandBackReason::Unfit);
    world.hand_back(&runs[1], HandBackReason::Unfit);
    assert_eq!(set_aside(&world), 2, "nobody else is there who could take them");
    world.pass_millis(60_000);
    assert_eq!(set_aside(&world), 0);
}

#[test]
fn slots_gather_for_a_random_time_up_to_the_one_that_is_set() {
    let most = Duration::from_millis(100);
    let mut world = World::new(Config { distrib_randmax: most, ..Config::default() });
    let (client, _) = (world.client(), world.worker(Offer::new(50)));
    let mut waits = Vec::new();
    for _ in 0..20 {
        world.submit(client, JobOptions::default(), &["x"]);
        let opens = world.scheduler.next_deadline().expect("the pass is due some time");
        waits.push(opens.since(world.now));
        world.pass_millis(100);
    }
    assert!(waits.iter().all(|wait| *wait <= most), "{waits:?}");
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 10 && waits[10] > most / 10, "{waits:?}");
}
