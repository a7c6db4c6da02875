//! The rules of dispatch, ends and membership, one by one, in virtual time.

use crate::harness::{World, code, jobs_of};
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, HandBackReason, JobOptions, MessageId, Offer, Payload, WorkResult};
use proletariat_scheduler::{Action, Config, Event, Notice, OutboxLevel, selector};

fn urgent(priority: u32) -> JobOptions {
    JobOptions { priority, ..JobOptions::default() }
}

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

fn keyed(key: &str) -> JobOptions {
    JobOptions { key: Some(key.into()), ..JobOptions::default() }
}

fn holding() -> Config {
    Config { hold_similar_work: true, ..Config::default() }
}

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
fn similar_jobs_share_one_run() {
    let mut world = World::new(holding());
    let (one, other) = (world.client(), world.client());
    world.submit(one, keyed("k"), &["first"]);
    world.submit(other, JobOptions { priority: 5, ..keyed("k") }, &["second"]);
    world.submit(one, urgent(3), &["between"]);
    let worker = world.worker(Offer::new(1));
    let shared = world.assigned_to(worker).remove(0);
    assert_eq!((&shared.payload[..], shared.priority), (&b"first"[..], 5));
    world.submit(one, keyed("k"), &["third"]);
    world.finish(&shared, "all");
    assert_eq!(world.results(one), [(0, "all".to_owned()), (2, "all".to_owned())]);
    assert_eq!(world.results(other), [(0, "all".to_owned())]);
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["between"]);
}

#[test]
fn a_similar_job_waits_for_the_stop_and_never_runs_beside_it() {
    let mut world = World::new(holding());
    let (client, worker) = (world.client(), world.worker(Offer::new(5)));
    world.submit(client, keyed("k"), &["first"]);
    let first = world.assigned_to(worker).remove(0);
    world.abort(client, 0, 1);
    world.submit(client, keyed("k"), &["second"]);
    world.submit(client, keyed("k"), &["third"]);
    assert!(world.assigned_to(worker).is_empty());
    world.tell(Event::Stopped { worker, assignment: first.assignment });
    let second = world.assigned_to(worker);
    assert_eq!(jobs_of(&second), ["second"]);
    world.finish(&second[0], "x");
    assert_eq!(world.results(client).len(), 2);
}

#[test]
fn a_similar_job_that_leaves_takes_its_place_and_priority_along() {
    let mut world = World::new(holding());
    let client = world.client();
    world.submit(client, JobOptions { priority: 9, ..keyed("k") }, &["shared"]);
    world.submit(client, urgent(0), &["plain"]);
    world.submit(client, keyed("k"), &["later"]);
    world.abort(client, 0, 1);
    let worker = world.worker(Offer::new(1));
    assert_eq!(jobs_of(&world.assigned_to(worker)), ["plain"], "now it stands behind");
}

#[test]
fn a_run_limit_follows_the_jobs_that_wait() {
    let mut world = World::new(holding());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { run_timeout_ms: 1_000, ..keyed("k") }, &["a"]);
    let assigned = world.assigned_to(worker).remove(0);
    assert_eq!(assigned.run_limit_ms, 1_000);
    world.tell(Event::Started { worker, assignment: assigned.assignment });
    world.pass_millis(500);
    world.submit(client, JobOptions { run_timeout_ms: 2_000, ..keyed("k") }, &["b"]);
    assert!(world.did(
        |a| matches!(a, Action::SetRunLimit { run_limit: Some(limit), .. } if limit.as_millis() == 2_500)
    ));
    world.pass_millis(500);
    assert_eq!(world.errors(client), [(0, ErrorCode::RunTimeout)], "its own clock, exactly");
    world.pass_millis(1_500);
    world.tell(Event::Finished {
        worker,
        assignment: assigned.assignment,
        result: WorkResult::RunTimeout,
        payload: Payload::new().into(),
    });
    assert_eq!(world.errors(client), [(1, ErrorCode::RunTimeout)]);
    assert!(world.scheduler.is_idle());
}

#[test]
fn a_client_that_left_gets_nothing_dispatched_and_its_work_is_stopped() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["x"; 50_000]);
    let running = world.assigned_to(worker).remove(0);
    world.leave(client);
    assert!(world.did(|a| matches!(a, Action::Cancel { .. })));
    world.tell(Event::Stopped { worker, assignment: running.assignment });
    assert!(world.assigned_to(worker).is_empty());
    for _ in 0..10 {
        world.pass_millis(1);
    }
    let status = world.scheduler.status(world.now);
    assert_eq!((status.open_jobs, status.queued_jobs, status.queued_bytes), (0, 0, 0));
}

#[test]
fn a_shared_run_of_clients_that_all_left_is_not_started() {
    let mut world = World::new(holding());
    let client = world.client();
    world.submit(client, JobOptions::default(), &["x"; 40_000]);
    world.submit(client, keyed("k"), &["shared"]);
    world.scheduler.handle(world.now, Event::Left { peer: client });
    let worker = world.worker(Offer::new(5));
    assert!(world.assigned_to(worker).is_empty(), "its jobs are removed in portions, but none is dispatched");
    for _ in 0..10 {
        world.pass_millis(1);
    }
    assert!(world.scheduler.is_idle());
}

#[test]
fn whoever_watches_sees_the_jobs_of_a_client_that_left_end() {
    let mut world = World::new(Config { notices: true, ..Config::default() });
    let client = world.client();
    world.submit(client, JobOptions::default(), &["a", "b"]);
    world.leave(client);
    let ended =
        world.take(|a| matches!(a, Action::Notice(Notice::Abort { client: of, .. }) if *of == client));
    assert_eq!(ended.len(), 2);
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
fn a_new_session_of_an_instance_ends_the_old_one() {
    let mut world = World::new(Config::default());
    let (client, old) = (world.client(), world.worker_of_instance(7, Offer::new(1)));
    world.submit(client, JobOptions::default(), &["a"]);
    assert_eq!(world.assigned_to(old).len(), 1);
    let new = world.worker_of_instance(7, Offer::new(1));
    assert!(world.did(|a| matches!(a, Action::Disconnect { peer, .. } if *peer == old)));
    assert_eq!(world.assigned_to(new)[0].attempt, 2);
    assert_eq!(world.scheduler.status(world.now).workers.len(), 1);
}

#[test]
fn an_impossible_offer_is_refused_with_the_range() {
    let mut world = World::new(Config::default());
    world.worker(Offer::new(10).guarantee(1, 8).guarantee(5, 3));
    assert!(
        world.did(|a| matches!(a, Action::RefuseOffer { message, .. } if message.contains("range from 5")))
    );
}

#[test]
fn after_a_withdrawal_nothing_is_assigned() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(5)));
    world.tell(Event::Withdrew { worker });
    assert!(world.did(|a| matches!(a, Action::ConfirmWithdrawal { .. })));
    world.submit(client, JobOptions::default(), &["a"]);
    assert!(world.assigned_to(worker).is_empty());
    world.tell(Event::Offered { worker, offer: Offer::new(5) });
    assert_eq!(world.assigned_to(worker).len(), 1);
}

#[test]
fn a_system_message_is_reported_once_when_all_have_answered_or_left() {
    let mut world = World::new(Config::default());
    let (sender, one, other) = (world.client(), world.client(), world.client());
    let content = Payload::from_static(b"hi");
    let id = MessageId(5);
    world.tell(Event::SystemMessage { from: sender, id, to: Recipient::All, content, timeout: None });
    let sent: Vec<MessageId> = world
        .take(|a| matches!(a, Action::SystemMessage { .. }))
        .into_iter()
        .map(|a| if let Action::SystemMessage { id, .. } = a { id } else { unreachable!() })
        .collect();
    assert_eq!(sent.len(), 2);
    world.tell(Event::Confirmed { by: one, id: sent[0] });
    world.tell(Event::Confirmed { by: one, id: sent[0] });
    assert!(!world.did(|a| matches!(a, Action::SystemReport { .. })));
    world.leave(other);
    assert!(
        world.did(|a| matches!(a, Action::SystemReport { sent_to: 2, received_by: 1, id: MessageId(5), .. }))
    );
}

#[test]
fn nothing_is_left_of_the_kinds_of_those_who_have_gone() {
    let mut world = World::new(Config::default());
    for kind in ["a", "b", "c"] {
        let client = world.client();
        world.submit(client, JobOptions { kind: Some(kind.into()), ..JobOptions::default() }, &["x"]);
        let worker = world.worker(Offer::new(1).kinds([kind, "d"]));
        assert_eq!(world.assigned_to(worker).len(), 1);
        world.leave(client);
        world.leave(worker);
    }
    assert_eq!(world.scheduler.status(world.now).kinds, 0);
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

#[test]
fn stream_data_is_granted_as_its_callers_take_it() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { stream: true, ..JobOptions::default() }, &["a"]);
    let running = world.assigned_to(worker).remove(0);
    let payload = Payload::from_static(b"12345");
    world.tell(Event::Data { worker, assignment: running.assignment, payload });
    assert!(world.did(|a| matches!(a, Action::Data { .. })));
    assert!(!world.did(|a| matches!(a, Action::Grant { .. })));
    let job = proletariat_protocol::JobId(0);
    world.tell(Event::Credited { client, job, bytes: 5 });
    assert!(world.did(|a| matches!(a, Action::Grant { bytes: 5, .. })));
    let payload = Payload::from_static(b"678");
    world.tell(Event::Data { worker, assignment: running.assignment, payload });
    world.tell(Event::Credited { client, job, bytes: 3 });
    assert!(
        world.did(|a| matches!(a, Action::Grant { bytes: 3, .. })),
        "what was granted is not granted again"
    );
    world.leave(worker);
    assert!(world.did(|a| matches!(a, Action::Restarted { .. })));
}

#[test]
fn memory_is_given_back_at_an_idle_moment() {
    let mut world = World::new(Config { cleanup_reqs: 10, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(100)));
    world.pass_millis(6_000);
    world.submit(client, JobOptions::default(), &["x"; 10]);
    assert!(!world.did(|a| matches!(a, Action::ReleaseMemory)));
    for assigned in world.assigned_to(worker) {
        world.finish(&assigned, "");
    }
    assert!(world.did(|a| matches!(a, Action::ReleaseMemory)));
}
