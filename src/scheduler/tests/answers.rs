//! What the scheduler answers to whoever asks it, and what it tells of ends that are rare.

use crate::harness::{World, jobs_of};
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{
    AssignmentId, ErrorCode, HandBackReason, JobId, JobOptions, MessageId, Offer, Payload, PeerId, WorkResult,
};
use proletariat_scheduler::{Action, Assign, Config, Event, Ledger, MANAGER, Notice, Outcome};
use std::time::Duration;

fn keyed(key: &str) -> JobOptions {
    JobOptions { key: Some(key.as_bytes().to_vec()), ..JobOptions::default() }
}

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

#[test]
fn who_waits_longest_is_the_caller_of_a_run() {
    let mut world = World::new(Config { hold_similar_work: true, ..Config::default() });
    let (one, other) = (world.client(), world.client());
    let worker = world.worker(Offer::new(1));
    world.submit(other, JobOptions::default(), &["in the way"]);
    let first = world.assigned_to(worker).remove(0);
    assert_eq!(world.scheduler.caller_of(first.assignment), Some((other, JobId(0))));
    world.submit(one, keyed("k"), &["shared"]);
    world.submit(other, keyed("k"), &["shared"]);
    world.finish(&first, "done");
    assert_eq!(world.scheduler.caller_of(first.assignment), None, "it is over");
    let run = world.assigned_to(worker).remove(0);
    assert_eq!(world.scheduler.caller_of(run.assignment), Some((one, JobId(0))));
    world.abort(one, 0, 1);
    assert_eq!(world.scheduler.caller_of(run.assignment), Some((other, JobId(1))));
    // Half of the id says where, the other half which.
    assert_eq!(world.scheduler.caller_of(AssignmentId(run.assignment.0 ^ 1 << 40)), None);
    assert_eq!(world.scheduler.caller_of(AssignmentId(run.assignment.0 ^ 1)), None);
    world.abort(other, 1, 1);
    assert_eq!(world.scheduler.caller_of(run.assignment), None, "nobody waits for what is being stopped");
}

#[test]
fn what_would_be_refused_can_be_asked_before() {
    let mut world = World::new(Config { queued_jobs_max: 5, ..Config::default() });
    let client = world.client();
    world.submit(client, JobOptions::default(), &["1", "2", "3"]);
    let refusal = |world: &World, jobs| world.scheduler.refusal(world.now, client, jobs, 0);
    assert_eq!(refusal(&world, 2), None);
    let (code, message, wait) = refusal(&world, 3).expect("one too many");
    assert_eq!((code, wait.is_zero()), (ErrorCode::Overload, false));
    assert!(message.contains("max_queued_jobs (5)"), "{message}");
    assert_eq!(world.scheduler.refusal(world.now, PeerId(9_999), 3, 0), None, "nobody has that name");
    assert!(!world.scheduler.is_draining());
    world.tell(Event::Draining);
    assert!(world.scheduler.is_draining());
    let (code, _, wait) = refusal(&world, 1).expect("it takes nothing more");
    assert_eq!((code, wait.is_zero()), (ErrorCode::Shutdown, false));
}

#[test]
fn it_is_idle_when_no_job_is_open_and_no_slot_is_held() {
    let mut world = World::new(Config::default());
    let client = world.client();
    let state = |world: &World| (world.scheduler.is_idle(), world.scheduler.assigned());
    assert_eq!(state(&world), (true, 0));
    world.submit(client, JobOptions::default(), &["one", "two"]);
    assert_eq!(state(&world), (false, 0));
    let worker = world.worker(Offer::new(2));
    let runs = world.assigned_to(worker);
    assert_eq!(state(&world), (false, 2));
    world.finish(&runs[0], "done");
    assert_eq!(state(&world), (false, 1));
    world.abort(client, 1, 1);
    assert_eq!(state(&world), (false, 1), "its slot is held until it has stopped");
    world.tell(Event::Stopped { worker, assignment: runs[1].assignment });
    assert_eq!(state(&world), (true, 0));
}

#[test]
fn notices_are_told_while_they_are_wanted() {
    let mut world = World::new(Config::default());
    let client = world.client();
    let received = |action: &Action| matches!(action, Action::Notice(Notice::Receive { .. }));
    world.submit(client, JobOptions::default(), &["a"]);
    assert!(!world.did(received));
    world.scheduler.want_notices(true);
    world.submit(client, JobOptions::default(), &["b"]);
    assert!(world.did(received));
    world.scheduler.want_notices(false);
    world.submit(client, JobOptions::default(), &["c"]);
    assert!(!world.did(received));
}

/// How a run ended for its client, with the bytes that came with it.
fn outcome(world: &mut World, client: PeerId) -> (Option<ErrorCode>, Vec<u8>) {
    let mut told = world.take(|action| matches!(action, Action::Deliver { client: to, .. } if *to == client));
    match told.pop() {
        Some(Action::Deliver { outcome: Outcome::Result(bytes), .. }) => (None, bytes.to_vec()),
        Some(Action::Deliver { outcome: Outcome::Error(code, bytes), .. }) => (Some(code), bytes.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn results_that_are_too_large_are_errors_with_a_sentence() {
    let mut world = World::new(Config { payload_bytes_max: 10, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    let mut end = |result, payload: &'static [u8]| {
        world.submit(client, JobOptions::default(), &["x"]);
        let assignment = world.assigned_to(worker).remove(0).assignment;
        let payload = Payload::from_static(payload).into();
        world.tell(Event::Finished { worker, assignment, result, payload });
        outcome(&mut world, client)
    };
    let advice = ErrorCode::TooLarge.advice().as_bytes().to_vec();
    assert_eq!(end(WorkResult::Done, b"0123456789"), (None, b"0123456789".to_vec()));
    assert_eq!(end(WorkResult::Done, b"0123456789a"), (Some(ErrorCode::TooLarge), advice.clone()));
    assert_eq!(end(WorkResult::TooLarge, b""), (Some(ErrorCode::TooLarge), advice));
    let own = (Some(ErrorCode::TooLarge), b"it is 12 long".to_vec());
    assert_eq!(end(WorkResult::TooLarge, b"it is 12 long"), own, "a handler has its own words");
    assert_eq!(end(WorkResult::Failed, b"why"), (Some(ErrorCode::WorkFailed), b"why".to_vec()));
}

/// Milliseconds until the worker is given something again.
fn pause(world: &mut World, worker: PeerId) -> (u64, Assign) {
    for millis in 0..=4_000 {
        if let Some(run) = world.assigned_to(worker).pop() {
            return (millis, run);
        }
        world.pass_millis(1);
    }
    panic!("it is not given anything any more");
}

#[test]
fn pauses_double_until_the_worker_begins_something() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, of_kind("k"), &["x"]);
    let mut pauses = Vec::new();
    let mut run = world.assigned_to(worker).remove(0);
    for _ in 0..3 {
        world.hand_back(&run, HandBackReason::Busy);
        let millis;
        (millis, run) = pause(&mut world, worker);
        pauses.push(millis);
    }
    assert_eq!(pauses, [50, 100, 200]);
    world.tell(Event::Started { worker, assignment: run.assignment });
    world.hand_back(&run, HandBackReason::Busy);
    let (millis, run) = pause(&mut world, worker);
    assert_eq!(millis, 50, "it has begun something since");
    // What it finished without a word about its start was begun, too.
    world.hand_back(&run, HandBackReason::Busy);
    let (millis, run) = pause(&mut world, worker);
    assert_eq!(millis, 100);
    world.finish(&run, "done");
    world.submit(client, of_kind("k"), &["y"]);
    let run = world.assigned_to(worker).remove(0);
    world.hand_back(&run, HandBackReason::Busy);
    assert_eq!(pause(&mut world, worker).0, 50);
}

#[test]
fn too_many_unfit_in_a_row_are_a_worker_that_is_busy() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    // Each time another job, so that it is the worker that has too much and not a job that nobody wants.
    for n in 0..8 {
        world.submit(client, JobOptions::default(), &["x"]);
        let run = world.assigned_to(worker).remove(0);
        world.hand_back(&run, HandBackReason::Unfit);
        world.abort(client, n, 1);
    }
    world.submit(client, JobOptions::default(), &["the ninth"]);
    let (millis, run) = pause(&mut world, worker);
    assert_eq!((millis, jobs_of(&[run])), (50, vec!["the ninth".to_owned()]));
}

#[test]
fn an_unfit_job_comes_again_after_pauses_that_double() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["x"]);
    let mut run = world.assigned_to(worker).remove(0);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        world.hand_back(&run, HandBackReason::Unfit);
        let millis;
        (millis, run) = pause(&mut world, worker);
        pauses.push(millis);
    }
    assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 2_000]);
}

#[test]
fn a_client_that_left_with_many_jobs_is_cleared_away_in_portions() {
    let mut world = World::new(Config::default());
    world.audits = false;
    let client = world.client();
    for _ in 0..4 {
        world.submit(client, JobOptions::default(), &["x"; 10_000]);
    }
    world.leave(client);
    let mut left = vec![world.scheduler.status(world.now).open_jobs];
    while world.scheduler.next_deadline() == Some(proletariat_protocol::Time::ZERO) {
        world.tell(Event::Left { peer: PeerId(9_999) });
        left.push(world.scheduler.status(world.now).open_jobs);
    }
    assert_eq!(left, [40_000 - 16_384, 40_000 - 2 * 16_384, 0]);
    world.scheduler.audit();
}

fn message(world: &mut World, from: PeerId, to: Recipient, id: u64, timeout: Option<Duration>) {
    let content = Payload::from_static(b"hi");
    world.tell(Event::SystemMessage { from, id: MessageId(id), to, content, timeout });
}

/// The numbers under which the scheduler passed messages on to a peer.
fn passed_to(world: &mut World, peer: PeerId) -> Vec<MessageId> {
    let passed = world.take(|action| matches!(action, Action::SystemMessage { to, .. } if *to == peer));
    let number = |action| if let Action::SystemMessage { id, .. } = action { id } else { unreachable!() };
    passed.into_iter().map(number).collect()
}

fn reports(world: &mut World, peer: PeerId) -> Vec<(u32, u32)> {
    let told = world.take(|action| matches!(action, Action::SystemReport { to, .. } if *to == peer));
    let counts = |action| {
        let Action::SystemReport { sent_to, received_by, .. } = action else { unreachable!() };
        (sent_to, received_by)
    };
    told.into_iter().map(counts).collect()
}

#[test]
fn messages_that_are_reported_count_no_longer() {
    let mut world = World::new(Config::default());
    let (one, other) = (world.client(), world.client());
    for id in 0..200 {
        message(&mut world, one, Recipient::Peer(other), id, None);
        assert_eq!(world.scheduler.status(world.now).unconfirmed_messages, 1);
        let passed = passed_to(&mut world, other);
        world.tell(Event::Confirmed { by: other, id: passed[0] });
        assert_eq!(reports(&mut world, one), [(1, 1)], "message {id}");
    }
    assert_eq!(world.scheduler.status(world.now).unconfirmed_messages, 0);
    for id in 200..264 {
        message(&mut world, one, Recipient::Peer(other), id, None);
    }
    let expelled = |action: &Action| matches!(action, Action::Disconnect { .. });
    assert!(!world.did(expelled), "64 may wait for their reports");
    message(&mut world, one, Recipient::Peer(other), 264, None);
    assert!(world.did(expelled));
}

#[test]
fn a_report_comes_with_the_timeout_and_not_before() {
    let mut world = World::new(Config::default());
    let (one, other, third) = (world.client(), world.client(), world.client());
    message(&mut world, one, Recipient::All, 7, Some(Duration::from_millis(300)));
    let passed = passed_to(&mut world, other);
    world.tell(Event::Confirmed { by: other, id: passed[0] });
    world.pass_millis(299);
    assert_eq!(reports(&mut world, one), []);
    world.pass_millis(1);
    assert_eq!(reports(&mut world, one), [(2, 1)]);
    let late = passed_to(&mut world, third);
    world.tell(Event::Confirmed { by: third, id: late[0] });
    assert_eq!(reports(&mut world, one), [], "one report for each");
}

#[test]
fn reports_go_to_the_manager_and_to_senders_that_are_there() {
    let mut world = World::new(Config::default());
    world.scheduler.want_notices(true);
    let (one, other) = (world.client(), world.client());
    let noticed = |action: &Action| matches!(action, Action::Notice(Notice::SystemMessage { .. }));
    message(&mut world, MANAGER, Recipient::Peer(other), 1, None);
    assert!(!world.did(noticed), "what goes to one peer is between the two");
    let passed = passed_to(&mut world, other);
    world.tell(Event::Confirmed { by: other, id: passed[0] });
    assert_eq!(reports(&mut world, MANAGER), [(1, 1)]);
    message(&mut world, one, Recipient::Peer(other), 1, None);
    world.leave(one);
    let passed = passed_to(&mut world, other);
    world.tell(Event::Confirmed { by: other, id: passed[0] });
    assert_eq!(reports(&mut world, one), [], "its sender has gone");
    message(&mut world, other, Recipient::Manager, 2, None);
    assert!(world.did(noticed));
    assert_eq!(reports(&mut world, other), [(1, 1)]);
    message(&mut world, other, Recipient::All, 3, None);
    assert!(world.did(noticed));
    assert_eq!(reports(&mut world, other), [(0, 0)], "nobody else is there");
}

#[test]
fn a_ledger_tells_what_is_offered() {
    let ledger = Ledger::new(&Offer::new(10).guarantee(3, 4).guarantee(7, 2));
    assert_eq!((ledger.ranges(), ledger.rows(), ledger.slots()), (3, 3, 10));
    assert_eq!(ledger.bounds(), [0, 3, 7]);
    assert_eq!([0, 1, 2, 3].map(|range| ledger.guaranteed(range)), [4, 4, 2, 0]);
    assert_eq!([0, 2, 3, 6, 7, 100].map(|priority| ledger.range_of(priority)), [0, 0, 1, 1, 2, 2]);
}
