//! How jobs end: by a result, an abort or a clock, and which of them counts.

use crate::harness::{World, jobs_of};
use proletariat_protocol::{ErrorCode, JobOptions, Offer};
use proletariat_scheduler::{Action, Config, Event};

#[test]
fn an_abort_answers_at_once_and_frees_the_slot_when_the_work_has_stopped() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["a", "b"]);
    let running = world.assigned_to(worker).remove(0);
    world.abort(client, 0, 1);
    assert_eq!(world.errors(client), [(0, ErrorCode::Aborted)]);
    assert!(world.did(
        |action| matches!(action, Action::Cancel { assignment, .. } if *assignment == running.assignment)
    ));
    assert_eq!(world.scheduler.status(world.now).workers[0].stopping.len(), 1);
    assert!(world.assigned_to(worker).is_empty(), "the slot is still held");
    world.tell(Event::Stopped { worker, assignment: running.assignment });
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["b"]);
    world.finish(&running, "late");
    assert!(world.results(client).is_empty(), "late words are ignored");
}

#[test]
fn a_result_counts_before_an_abort_of_the_same_burst() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["a"]);
    let running = world.assigned_to(worker).remove(0);
    let first = proletariat_protocol::JobId(0);
    world.scheduler.handle(world.now, Event::Aborted { client, first, count: 1 });
    world.finish(&running, "done");
    assert_eq!(world.results(client), [(0, "done".to_owned())]);
    assert!(world.errors(client).is_empty());
}

#[test]
fn a_result_counts_before_the_loss_of_its_worker() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { max_attempts: Some(1), ..JobOptions::default() }, &["a"]);
    let running = world.assigned_to(worker).remove(0);
    world
        .scheduler
        .handle(world.now, Event::Crashed { worker, assignment: running.assignment, message: String::new() });
    world.finish(&running, "done");
    assert_eq!(world.results(client).len(), 1);
}

#[test]
fn the_three_clocks_end_jobs_with_their_codes() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(2)));
    let options = JobOptions { run_timeout_ms: 100, timeout_ms: 10_000, ..JobOptions::default() };
    world.submit(client, options, &["slow"]);
    world.submit(client, JobOptions { timeout_ms: 300, ..JobOptions::default() }, &["whole"]);
    world.submit(client, JobOptions { assign_timeout_ms: 200, ..JobOptions::default() }, &["waits"]);
    let running = world.assigned_to(worker);
    for assigned in &running {
        world.tell(Event::Started { worker, assignment: assigned.assignment });
    }
    world.pass_millis(199);
    assert!(world.errors(client).is_empty());
    world.pass_millis(1);
    assert_eq!(world.errors(client), [(2, ErrorCode::AssignTimeout)]);
    world.pass_millis(100);
    assert_eq!(world.errors(client), [(1, ErrorCode::CallTimeout)]);
    world.pass_millis(799);
    assert!(world.errors(client).is_empty(), "the worker enforces the run limit, the manager a second later");
    world.pass_millis(1);
    assert_eq!(world.errors(client), [(0, ErrorCode::RunTimeout)]);
    assert_eq!(world.scheduler.status(world.now).workers[0].stopping.len(), 2);
}
