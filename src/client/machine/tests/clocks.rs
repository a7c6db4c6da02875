//! The clocks that run here: the whole call, and the wait for a worker while there is no manager.

use super::*;

#[test]
fn the_whole_call_is_timed_while_there_is_no_manager() {
    let mut world = World::new();
    world.open(GROUP, JobOptions { timeout_ms: 500, ..plain() }, &["a", "b"]);
    world.pass(Duration::from_millis(499));
    assert!(world.told.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.codes(), [(0, Some(ErrorCode::CallTimeout)), (1, Some(ErrorCode::CallTimeout))]);
    assert_eq!(world.finished, [GROUP]);
    world.up();
    assert_eq!(world.sent(), []);
}

#[test]
fn at_the_end_of_the_call_the_answered_keep_their_answer_and_the_others_are_aborted() {
    let mut world = World::connected();
    world.open(GROUP, JobOptions { timeout_ms: 500, ..plain() }, &["a", "b", "c", "d"]);
    world.sent();
    world.ended(1, "B");
    world.pass(Duration::from_millis(500));
    let late = Some(ErrorCode::CallTimeout);
    assert_eq!(world.codes(), [(1, None), (0, late), (2, late), (3, late)]);
    assert_eq!(world.actions, [Action::Abort { first: JobId(0), count: 4 }]);
    world.ended(2, "late");
    assert_eq!(world.told.len(), 4);
}

#[test]
fn jobs_added_to_a_call_that_is_over_end_at_once() {
    let mut world = World::connected();
    let options = JobOptions { timeout_ms: 500, ..plain() };
    world.handle(Event::Opened { group: GROUP, options, jobs: vec![job("a")], open: true });
    world.pass(Duration::from_secs(1));
    world.handle(Event::Added { group: GROUP, jobs: vec![job("b")] });
    assert_eq!(world.codes(), [(0, Some(ErrorCode::CallTimeout)), (1, Some(ErrorCode::CallTimeout))]);
    assert!(world.finished.is_empty());
    world.handle(Event::Closed { group: GROUP });
    assert_eq!(world.finished, [GROUP]);
}

#[test]
fn the_wait_for_a_worker_is_timed_while_there_is_no_manager() {
    let mut world = World::new();
    let options = JobOptions { assign_timeout_ms: 1_000, ..plain() };
    world.handle(Event::Opened { group: GROUP, options, jobs: vec![job("a")], open: true });
    world.pass(Duration::from_millis(600));
    world.handle(Event::Added { group: GROUP, jobs: vec![job("b")] });
    world.pass(Duration::from_millis(600));
    assert_eq!(world.codes(), [(0, Some(ErrorCode::AssignTimeout))]);
    // With a manager it is the manager's clock, and after its loss it starts anew here.
    world.up();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.told.len(), 1);
    world.down();
    world.pass(Duration::from_millis(999));
    assert_eq!(world.told.len(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.codes()[1], (1, Some(ErrorCode::AssignTimeout)));
}
