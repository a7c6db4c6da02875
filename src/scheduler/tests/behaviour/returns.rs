//! What comes back from a worker unfinished, and who does not want to wait for another one.

use super::{of_kind, urgent};
use crate::harness::{World, code, jobs_of};
use proletariat_protocol::{ErrorCode, HandBackReason, JobOptions, Offer};
use proletariat_scheduler::Config;

#[test]
fn a_lost_worker_gives_its_work_back_in_the_old_order() {
    let mut world = World::new(Config::default());
    let (client, first) = (world.client(), world.worker(Offer::new(2)));
    world.submit(client, JobOptions::default(), &["1", "2", "3"]);
    assert_eq!(world.assigned_to(first).len(), 2);
    world.leave(first);
    let second = world.worker(Offer::new(3));
    let assigned = world.assigned_to(second);
    assert_eq!(jobs_of(&assigned), ["1", "2", "3"]);
    assert_eq!(assigned.iter().map(|a| a.attempt).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn a_job_that_loses_its_worker_too_often_ends() {
    let mut world = World::new(Config { max_attempts: 3, ..Config::default() });
    let client = world.client();
    world.submit(client, JobOptions::default(), &["poison"]);
    world.submit(client, JobOptions { max_attempts: Some(1), ..JobOptions::default() }, &["once"]);
    for _ in 0..3 {
        let worker = world.worker(Offer::new(2));
        assert!(!world.assigned_to(worker).is_empty());
        world.leave(worker);
    }
    let errors = world.errors(client);
    assert_eq!(errors, [(1, ErrorCode::Crash), (0, ErrorCode::Crash)]);
    assert!(world.scheduler.is_idle());
}

#[test]
fn the_wait_for_a_worker_begins_anew_after_a_loss_but_not_after_a_hand_back() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, urgent(1), &["in its way"]);
    let before = world.assigned_to(worker).remove(0);
    world.submit(client, JobOptions { assign_timeout_ms: 1_000, ..JobOptions::default() }, &["a"]);
    world.pass_millis(900);
    world.finish(&before, "done");
    let assigned = world.assigned_to(worker).remove(0);
    world.pass_millis(5_000);
    world.hand_back(&assigned, HandBackReason::NotMyKind);
    world.pass_millis(99);
    assert!(world.errors(client).is_empty());
    world.pass_millis(1);
    assert_eq!(code(&world.errors(client)), Some(ErrorCode::AssignTimeout));

    world.submit(client, JobOptions { assign_timeout_ms: 1_000, ..JobOptions::default() }, &["b"]);
    world.pass_millis(900);
    let other = world.worker(Offer::new(1));
    assert_eq!(world.assigned_to(other).len(), 1);
    world.leave(other);
    world.pass_millis(999);
    assert!(world.errors(client).is_empty());
    world.pass_millis(1);
    assert_eq!(code(&world.errors(client)), Some(ErrorCode::AssignTimeout));
}

#[test]
fn a_busy_worker_gets_none_of_that_kind_for_a_growing_pause() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, of_kind("a"), &["a"]);
    world.submit(client, of_kind("b"), &["b"]);
    for pause in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
        let assigned = world.assigned_to(worker).remove(0);
        assert_eq!(assigned.kind.as_deref(), Some("a"));
        world.hand_back(&assigned, HandBackReason::Busy);
        let other = world.assigned_to(worker).remove(0);
        assert_eq!(other.kind.as_deref(), Some("b"), "other kinds go on");
        world.hand_back(&other, HandBackReason::Busy);
        world.pass_millis(pause - 1);
        assert!(world.assigned_to(worker).is_empty());
        world.pass_millis(1);
    }
    assert_eq!(world.scheduler.status(world.now).workers[0].slots, 1);
}

#[test]
fn an_unfit_execution_goes_to_others_at_once() {
    let mut world = World::new(Config::default());
    let (client, first) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["a"]);
    let assigned = world.assigned_to(first).remove(0);
    world.hand_back(&assigned, HandBackReason::Unfit);
    assert!(world.assigned_to(first).is_empty());
    let second = world.worker(Offer::new(1));
    let other = world.assigned_to(second);
    assert_eq!(jobs_of(&other), ["a"]);
    assert_eq!(other[0].attempt, 1, "a hand-back is no attempt");
    world.hand_back(&other[0], HandBackReason::Unfit);
    world.pass_millis(50);
    let again = world.assigned_to(first).len() + world.assigned_to(second).len();
    assert_eq!(again, 1, "after the pause either may try again");
}

#[test]
fn who_does_not_want_to_wait_is_told_at_once() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    let options = JobOptions { no_wait: true, ..JobOptions::default() };
    world.submit(client, options, &["a", "b"]);
    assert_eq!(world.assigned_to(worker).len(), 1);
    assert_eq!(world.errors(client), [(1, ErrorCode::NoWorker)]);
}

#[test]
fn who_does_not_want_to_wait_does_not_wait_after_a_hand_back_or_a_loss_either() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    let options = JobOptions { no_wait: true, ..JobOptions::default() };
    world.submit(client, options.clone(), &["a"]);
    let assigned = world.assigned_to(worker).remove(0);
    world.hand_back(&assigned, HandBackReason::Busy);
    assert_eq!(world.errors(client), [(0, ErrorCode::NoWorker)]);
    let (first, second) = (world.worker(Offer::new(1)), world.worker(Offer::new(1)));
    world.submit(client, options, &["b"]);
    let on_first = !world.assigned_to(first).is_empty();
    let (holder, other) = if on_first { (first, second) } else { (second, first) };
    world.leave(holder);
    assert_eq!(world.assigned_to(other).len(), 1, "whoever can take it at once gets it");
    world.leave(other);
    assert_eq!(world.errors(client), [(1, ErrorCode::NoWorker)]);
}
