//! Runs that several jobs share, and their streams.

#[allow(dead_code, reason = "each file of tests uses its part")]
mod harness;

use harness::World;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;
use proletariat_protocol::{ErrorCode, JobOptions, Offer, Payload, PeerId};
use proletariat_scheduler::{Action, Assign, Config, Event};
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
    assert_eq!(run.run_limit, Some(Duration::from_secs(1)));
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

fn send(world: &mut World, run: &Assign, bytes: u64) {
    let payload = Payload::from(vec![b'd'; usize::try_from(bytes).expect("some windows")]);
    world.tell(Event::Data { worker: run.worker, assignment: run.assignment, payload });
}

fn is_expelled(world: &mut World, worker: PeerId) -> bool {
    world.did(|action| matches!(action, Action::Disconnect { peer, code: ErrorCode::Protocol, .. } if *peer == worker))
}

/// A run that streams, for a reader that takes nothing.
fn streaming() -> (World, PeerId, Assign) {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { stream: true, ..JobOptions::default() }, &["x"]);
    let run = world.assigned_to(worker).remove(0);
    (world, worker, run)
}

#[test]
fn a_worker_may_send_two_windows_ahead_and_not_a_byte_more() {
    let (mut world, worker, run) = streaming();
    send(&mut world, &run, 1);
    send(&mut world, &run, 2 * STREAM_WINDOW_BYTES - 1);
    assert!(!is_expelled(&mut world, worker));
    send(&mut world, &run, 1);
    assert!(is_expelled(&mut world, worker));
}

#[test]
fn a_single_chunk_may_be_larger_than_the_window() {
    let (mut world, worker, run) = streaming();
    send(&mut world, &run, 3 * STREAM_WINDOW_BYTES);
    assert!(!is_expelled(&mut world, worker));
    send(&mut world, &run, 1);
    assert!(is_expelled(&mut world, worker));
}
