//! Which job goes first, where to, and when.

use super::{of_kind, urgent};
use crate::harness::{World, jobs_of};
use proletariat_protocol::{ErrorCode, JobOptions, Offer};
use proletariat_scheduler::{Action, Config, Event, OutboxLevel, selector};

#[test]
fn a_job_goes_to_a_worker_and_its_result_comes_back() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["hello"]);
    let assigned = world.assigned_to(worker);
    assert_eq!(assigned.len(), 1);
    assert_eq!(&assigned[0].payload[..], b"hello");
    world.finish(&assigned[0], "HELLO");
    assert_eq!(world.results(client), [(0, "HELLO".to_owned())]);
    assert!(world.scheduler.is_idle());
}

#[test]
fn the_most_urgent_goes_first_and_the_earliest_among_equals() {
    let mut world = World::new(Config::default());
    let client = world.client();
    for (priority, name) in [(0, "low"), (7, "high"), (0, "low2"), (7, "high2")] {
        world.submit(client, urgent(priority), &[name]);
    }
    let worker = world.worker(Offer::new(1));
    let mut order = Vec::new();
    while let Some(assigned) = world.assigned_to(worker).pop() {
        order.push(String::from_utf8_lossy(&assigned.payload).into_owned());
        world.finish(&assigned, "");
    }
    assert_eq!(order, ["high", "high2", "low", "low2"]);
}

#[test]
fn what_nobody_can_take_blocks_nobody() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(5).kinds(["b"])));
    world.submit(client, JobOptions { priority: 9, ..of_kind("a") }, &["a"]);
    world.submit(client, urgent(9), &["none"]);
    world.submit(client, of_kind("b"), &["b"]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["b"]);
    let any = world.worker(Offer::new(5));
    assert_eq!(jobs_of(&world.assigned_to(any)), ["a", "none"]);
}

#[test]
fn guarantees_keep_slots_for_higher_ranges_only() {
    let mut world = World::new(Config::default());
    let client = world.client();
    let worker = world.worker(Offer::new(10).guarantee(1, 3).guarantee(2, 2));
    world.submit(client, urgent(0), &["low"; 20]);
    assert_eq!(world.assigned_to(worker).len(), 5);
    world.submit(client, urgent(2), &["top"; 20]);
    assert_eq!(world.assigned_to(worker).len(), 5, "range 2 takes its own and what range 1 does not use");
}

#[test]
fn sacred_guarantees_are_kept_against_higher_ranges_too() {
    let mut world = World::new(Config { sacred_guarantees: true, ..Config::default() });
    let client = world.client();
    let worker = world.worker(Offer::new(10).guarantee(1, 3).guarantee(2, 2));
    world.submit(client, urgent(2), &["top"; 20]);
    assert_eq!(world.assigned_to(worker).len(), 7, "its own 2 and all 5 of range 0");
    world.submit(client, urgent(1), &["middle"; 20]);
    let middle = world.assigned_to(worker);
    assert_eq!(jobs_of(&middle), ["middle"; 3], "a lower job passes higher ones that nobody can take");
}

#[test]
fn a_slow_reader_is_dispatched_again_when_it_has_read() {
    let mut world = World::new(Config::default());
    let (slow, quick) = (world.client(), world.client());
    world.submit(slow, JobOptions::default(), &["slow"]);
    world.tell(Event::Outbox { peer: slow, level: OutboxLevel::Paused });
    world.submit(quick, JobOptions::default(), &["quick"]);
    let worker = world.worker(Offer::new(5));
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["quick"]);
    world.tell(Event::Outbox { peer: slow, level: OutboxLevel::Waiting });
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["slow"]);
}

#[test]
fn bounds_refuse_a_frame_whole_and_say_when_to_come_back() {
    let mut world = World::new(Config { queued_jobs_max: 10, ..Config::default() });
    let client = world.client();
    world.submit(client, JobOptions::default(), &["x"; 8]);
    world.submit(client, JobOptions::default(), &["y"; 3]);
    assert!(world.did(|a| matches!(
        a,
        Action::Refuse { count: 3, code: ErrorCode::Overload, retry_after, .. } if !retry_after.is_zero()
    )));
    world.submit(client, JobOptions::default(), &["z"; 2]);
    assert_eq!(world.scheduler.status(world.now).queued_jobs, 10);
}

#[test]
fn slots_gather_after_the_fleet_was_full() {
    let mut world = World::new(Config { avail_threshold: 50, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(8)));
    world.submit(client, JobOptions::default(), &["x"; 20]);
    let running = world.assigned_to(worker);
    assert_eq!(running.len(), 8);
    for (count, assigned) in running.iter().enumerate() {
        world.finish(assigned, "");
        let gathered = if count + 1 == 4 { 4 } else { 0 };
        if count < 4 {
            assert_eq!(world.assigned_to(worker).len(), gathered, "half of all slots at most");
        }
    }
}

#[test]
fn a_random_wait_before_dispatch_has_its_limit() {
    let wait = std::time::Duration::from_millis(100);
    let mut world = World::new(Config { distrib_randmax: wait, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(8)));
    world.submit(client, JobOptions::default(), &["x"]);
    let due = world.scheduler.next_deadline().expect("the gate opens some time");
    assert!(due <= world.now + wait);
    world.pass_millis(100);
    assert_eq!(world.assigned_to(worker).len(), 1);
}

#[test]
fn every_selector_is_found_by_its_name() {
    for name in selector::NAMES {
        assert!(selector::by_name(name).is_some(), "{name}");
    }
    assert!(selector::by_name("best").is_none());
}

#[test]
fn who_leaves_from_the_middle_of_a_line_is_passed() {
    let mut world = World::new(Config::default());
    let client = world.client();
    world.submit(client, JobOptions::default(), &["a", "b", "c", "d"]);
    world.abort(client, 0, 1);
    world.abort(client, 2, 1);
    let worker = world.worker(Offer::new(1));
    let second = world.assigned_to(worker).remove(0);
    world.finish(&second, "");
    let fourth = world.assigned_to(worker);
    assert_eq!((&second.payload[..], jobs_of(&fourth)), (&b"b"[..], vec!["d".to_owned()]));
}
