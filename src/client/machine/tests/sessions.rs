//! What becomes of the calls when the manager is lost, found again, or gone for good.

use super::*;
use proletariat_protocol::MessageId;

#[test]
fn after_a_reconnect_the_unanswered_are_sent_again_in_their_order() {
    let mut world = World::connected();
    let options = JobOptions { timeout_ms: 10_000, assign_timeout_ms: 9_000, ..plain() };
    world.open(GroupId(1), options, &["a", "b", "c", "d"]);
    world.open(GroupId(0), plain(), &["x"]);
    world.sent();
    world.ended(1, "B");
    world.pass(Duration::from_millis(2_500));
    world.down();
    world.ended(0, "of the lost session");
    assert_eq!(world.told.len(), 1);
    world.up();
    let submits = world.submits();
    assert_eq!((submits[0].0, &submits[0].1), (0, &texts(&["a", "c", "d"])));
    assert_eq!((submits[1].0, &submits[1].1), (3, &texts(&["x"])));
    // What is left of the whole call; the wait for a worker anew.
    assert_eq!((submits[0].2.timeout_ms, submits[0].2.assign_timeout_ms), (7_500, 9_000));
    assert_eq!(submits[1].2.timeout_ms, 0);
    world.ended(1, "C");
    assert_eq!(world.told.last().unwrap(), &(GroupId(1), 2, Ok(Payload::from_static(b"C"))));
}

#[test]
fn what_may_run_once_is_not_sent_again_if_it_may_have_run() {
    let mut world = World::connected();
    let once = JobOptions { max_attempts: Some(1), ..plain() };
    world.open(GroupId(0), once, &["sent"]);
    world.turn();
    assert_eq!(world.sent(), [(0, texts(&["sent"]))]);
    world.down();
    let once = JobOptions { max_attempts: Some(1), ..plain() };
    world.open(GroupId(1), once, &["unsent"]);
    world.turn();
    assert_eq!(world.codes(), [(0, Some(ErrorCode::Crash))]);
    world.up();
    world.turn();
    assert_eq!(
        world.submits().last().unwrap().1,
        texts(&["unsent"]),
        "what was never sent waits as all others do"
    );
}

#[test]
fn a_call_that_does_not_wait_fails_without_a_manager() {
    let mut world = World::new();
    let options = JobOptions { no_wait: true, ..plain() };
    world.open(GROUP, options.clone(), &["a"]);
    assert_eq!(world.codes(), [(0, Some(ErrorCode::NoWorker))]);
    world.up();
    world.open(GROUP, options.clone(), &["b"]);
    world.open(GroupId(1), plain(), &["c"]);
    assert_eq!(world.sent().len(), 2);
    world.down();
    assert_eq!(world.told.last().unwrap().2.as_ref().unwrap_err().code, ErrorCode::Shutdown);
    assert_eq!(world.told.len(), 2);
    world.open(GROUP, options, &["d"]);
    assert_eq!(world.told.len(), 3);
}

#[test]
fn the_end_of_all_attempts_ends_all_calls() {
    let mut world = World::new();
    world.open(GROUP, plain(), &["a"]);
    world.handle(Event::StatusAsked { id: MessageId(1) });
    let why = JobError::new(ErrorCode::Unauthorized, "no token");
    world.handle(Event::LinkDown { why: why.clone(), last: true });
    world.open(GROUP, plain(), &["b"]);
    assert_eq!(world.told, [(GROUP, 0, Err(why.clone())), (GROUP, 0, Err(why.clone()))]);
    assert_eq!(world.actions, [Action::Status { id: MessageId(1), result: Err(why) }]);
}
