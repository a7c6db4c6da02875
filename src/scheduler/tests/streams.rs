//! Streams of partial results: who gets them, and how far a worker may go ahead.

use crate::harness::World;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;
use proletariat_protocol::{ErrorCode, JobId, JobOptions, Offer, Payload, PeerId};
use proletariat_scheduler::{Action, Assign, Config, Event, OutboxLevel};

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

/// A run that two clients listen to, and a client that does not yet.
struct Shared {
    world: World,
    run: Assign,
    clients: [PeerId; 3],
}

impl Shared {
    /// As many jobs of the first two clients.
    fn of(jobs: [usize; 2]) -> Self {
        let mut world = World::new(Config { hold_similar_work: true, ..Config::default() });
        let clients = [world.client(), world.client(), world.client()];
        let worker = world.worker(Offer::new(1));
        let shared = |world: &mut World, client, jobs| world.submit(client, listening(), &["x"; 4][..jobs]);
        shared(&mut world, clients[0], jobs[0]);
        shared(&mut world, clients[1], jobs[1]);
        let run = world.assigned_to(worker).remove(0);
        Self { world, run, clients }
    }

    /// The worker sends so many bytes; how often each client gets them.
    fn sent(&mut self, bytes: u64) -> [usize; 3] {
        send(&mut self.world, &self.run, bytes);
        let world = &mut self.world;
        self.clients.map(|to| {
            world.take(|action| matches!(action, Action::Data { client, .. } if *client == to)).len()
        })
    }

    /// A client has taken so many bytes for a job.
    fn took(&mut self, client: usize, job: u64, bytes: u64) {
        self.world.tell(Event::Credited { client: self.clients[client], job: JobId(job), bytes });
    }

    fn level(&mut self, client: usize, level: OutboxLevel) {
        self.world.tell(Event::Outbox { peer: self.clients[client], level });
    }

    /// What the worker was granted since the last look.
    fn granted(&mut self) -> u64 {
        let grants = self.world.take(|action| matches!(action, Action::Grant { .. }));
        let bytes = |action: &Action| if let Action::Grant { bytes, .. } = action { *bytes } else { 0 };
        grants.iter().map(bytes).sum()
    }
}

fn listening() -> JobOptions {
    JobOptions { stream: true, key: Some(b"k".to_vec()), ..JobOptions::default() }
}

#[test]
fn the_slowest_of_those_who_listen_sets_the_pace() {
    let mut shared = Shared::of([1, 1]);
    assert_eq!(shared.sent(100), [1, 1, 0]);
    shared.took(0, 0, 100);
    assert_eq!(shared.granted(), 0, "one has taken nothing yet");
    shared.took(1, 0, 60);
    assert_eq!(shared.granted(), 60);
    shared.took(1, 0, 40);
    assert_eq!(shared.granted(), 40);
    let late = shared.clients[2];
    shared.world.submit(late, listening(), &["x"]);
    assert_eq!(shared.sent(10), [1, 1, 0], "who joins after the first chunk gets the outcome only");
    shared.took(2, 0, 10);
    assert_eq!(shared.granted(), 0);
    shared.took(0, 0, 10);
    shared.took(1, 0, 10);
    assert_eq!(shared.granted(), 10);
}

#[test]
fn a_stream_waits_for_each_job_of_a_client_that_does_not_read() {
    let mut shared = Shared::of([2, 1]);
    assert_eq!(shared.sent(100), [2, 1, 0]);
    shared.level(0, OutboxLevel::Paused);
    for (client, job) in [(0, 0), (0, 1), (1, 0)] {
        shared.took(client, job, 100);
    }
    assert_eq!(shared.granted(), 0);
    shared.level(0, OutboxLevel::Clear);
    assert_eq!(shared.granted(), 100, "it reads again");
    shared.level(1, OutboxLevel::Paused);
    shared.level(1, OutboxLevel::Clear);
    assert_eq!(shared.granted(), 0, "nothing came since");
    assert_eq!(shared.sent(10), [2, 1, 0]);
    for (client, job) in [(0, 0), (0, 1), (1, 0)] {
        shared.took(client, job, 10);
    }
    assert_eq!(shared.granted(), 10);
}

#[test]
fn who_leaves_holds_a_stream_up_no_longer() {
    let mut shared = Shared::of([1, 1]);
    assert_eq!(shared.sent(100), [1, 1, 0]);
    shared.took(0, 0, 100);
    shared.level(1, OutboxLevel::Paused);
    assert_eq!(shared.granted(), 0);
    let slow = shared.clients[1];
    shared.world.abort(slow, 0, 1);
    assert_eq!(shared.granted(), 100);
    assert_eq!(shared.sent(10), [1, 0, 0]);
    shared.took(0, 0, 10);
    assert_eq!(shared.granted(), 10);
}

#[test]
fn who_joins_before_the_first_chunk_sets_the_pace_too() {
    let mut shared = Shared::of([1, 1]);
    let (worker, assignment, late) = (shared.run.worker, shared.run.assignment, shared.clients[2]);
    shared.world.tell(Event::Progress { worker, assignment, done: 1, total: 2 });
    shared.level(2, OutboxLevel::Paused);
    shared.world.submit(late, listening(), &["x"]);
    assert_eq!(shared.sent(100), [1, 1, 1], "a report is no chunk");
    for client in 0..3 {
        shared.took(client, 0, 100);
    }
    assert_eq!(shared.granted(), 0, "the one that joined does not read");
    shared.level(2, OutboxLevel::Waiting);
    assert_eq!(shared.granted(), 100);
}

#[test]
fn who_hears_of_a_run_that_begins_anew_still_waits_for_it() {
    let mut shared = Shared::of([1, 1]);
    assert_eq!(shared.sent(100), [1, 1, 0]);
    let gone = shared.clients[1];
    shared.world.abort(gone, 0, 1);
    shared.world.leave(shared.run.worker);
    let told = shared.world.take(|action| matches!(action, Action::Restarted { .. }));
    assert!(
        matches!(told[..], [Action::Restarted { client, .. }] if client == shared.clients[0]),
        "{told:?}"
    );
}
