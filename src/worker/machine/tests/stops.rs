//! Cancels, run limits, deadlines, and the slots that they free.

use super::*;

#[test]
fn a_cancelled_run_keeps_its_slot_until_its_work_has_stopped() {
    let mut world = World::serving(Offer::new(1));
    let run = world.assign(execution(1));
    world.receive(cancel(1));
    assert_eq!(world.take_cancelled(), [run]);
    world.pass(60_000);
    assert_eq!(world.take_said(), [started(&[1])]);
    assert_eq!(world.machine.running(), 1);
    world.receive(cancel(1));
    assert_eq!(world.take_cancelled(), [], "it knows");
    world.end(run, Ending::Failed("cancelled".into()));
    assert_eq!(world.take_said(), [stopped(1)]);
    assert_eq!(world.machine.running(), 0);
    world.assign(execution(2));
}

#[test]
fn an_end_that_crosses_a_cancel_is_not_told_twice() {
    let mut world = World::serving(Offer::new(1));
    let run = world.assign(execution(1));
    world.end(run, done("r"));
    world.receive(cancel(1));
    world.end(run, done("r"));
    assert_eq!(world.take_said(), [finished(1, WorkResult::Done, 1)]);
    assert_eq!(world.take_cancelled(), []);
}

#[test]
fn more_than_the_offered_slots_is_handed_back_as_busy() {
    let mut world = World::serving(Offer::new(2));
    world.assign_all((1..=3).map(execution).collect());
    assert_eq!(world.started.len(), 2);
    assert_eq!(world.take_said(), [hand_back(3, HandBackReason::Busy)]);
}

#[test]
fn an_assignment_that_is_running_is_never_started_again() {
    let mut world = World::serving(Offer::new(2));
    world.assign(execution(1));
    world.assign_all(vec![execution(1)]);
    assert_eq!(world.started.len(), 1);
}

#[test]
fn at_the_run_limit_the_handler_is_cancelled_and_the_timeout_told_when_it_has_stopped() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(AssignedExecution { run_limit_ms: 500, ..execution(1) });
    world.pass(499);
    assert_eq!(world.take_cancelled(), []);
    world.pass(1);
    assert_eq!(world.take_cancelled(), [run]);
    assert_eq!(world.take_said(), [started(&[1])]);
    world.pass(300);
    world.end(run, done("too late"));
    assert_eq!(world.take_said(), [finished(1, WorkResult::RunTimeout, 0)]);
}

#[test]
fn a_result_in_the_burst_of_the_run_limit_wins() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(AssignedExecution { run_limit_ms: 500, ..execution(1) });
    world.now = world.now.plus_millis(600);
    world.end(run, done("r"));
    assert_eq!(world.take_cancelled(), []);
    assert!(world.take_said().contains(&finished(1, WorkResult::Done, 1)));
}

#[test]
fn an_abort_after_the_run_limit_ends_with_stopped() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(AssignedExecution { run_limit_ms: 50, ..execution(1) });
    world.pass(60);
    world.receive(cancel(1));
    world.end(run, done("r"));
    assert!(matches!(&world.take_said()[..], [.., last] if *last == stopped(1)));
}

#[test]
fn the_deadline_is_the_nearer_of_run_limit_and_rest() {
    let mut world = World::serving(Offer::new(9));
    let now = world.now;
    let cases = [
        (0, 0, None),
        (500, 0, Some(500)),
        (0, 300, Some(300)),
        (500, 300, Some(300)),
        (200, 300, Some(200)),
    ];
    for (assignment, (run_limit_ms, rest_ms, deadline)) in (0..).zip(cases) {
        world.assign(AssignedExecution { run_limit_ms, rest_ms, ..execution(assignment) });
        let start = world.started.last().unwrap();
        assert_eq!(start.deadline, deadline.map(|millis| now.plus_millis(millis)));
    }
    world.pass(400);
    assert_eq!(world.take_cancelled(), [world.started[4].run], "the rest is the manager's to enforce");
}

#[test]
fn a_new_run_limit_counts_from_the_start() {
    let mut world = World::serving(Offer::new(2));
    let begin = world.now;
    let run = world.assign(AssignedExecution { run_limit_ms: 500, ..execution(1) });
    world.pass(400);
    let longer = ManagerMessage::SetRunLimit { assignment: AssignmentId(1), run_limit_ms: 1_000 };
    world.receive(longer);
    let deadline = Some(begin.plus_millis(1_000));
    assert_eq!(world.take_done(), [format!("{:?}", Action::SetDeadline { run, deadline })]);
    world.pass(599);
    assert_eq!(world.take_cancelled(), []);
    world.pass(1);
    assert_eq!(world.take_cancelled(), [run]);

    let other = world.assign(AssignedExecution { run_limit_ms: 500, ..execution(2) });
    let none = ManagerMessage::SetRunLimit { assignment: AssignmentId(2), run_limit_ms: 0 };
    world.receive(none);
    world.pass(100_000);
    assert_eq!(world.take_cancelled(), []);
    let passed = ManagerMessage::SetRunLimit { assignment: AssignmentId(2), run_limit_ms: 10 };
    world.receive(passed);
    world.turn();
    assert_eq!(world.take_cancelled(), [other]);
}

/// Otherwise a job that may be tried once only would be taken for one that never began, and begin elsewhere.
#[test]
fn a_young_run_that_leaving_has_stopped_is_told_as_started() {
    let mut world = World::serving(Offer::new(5));
    let run = world.assign(execution(1));
    world.tell(Event::Drain { timeout: Duration::ZERO });
    assert_eq!(world.take_cancelled(), [run]);
    world.take_said();
    world.end(run, Ending::Failed("cancelled".into()));
    assert_eq!(world.take_said(), [started(&[1]), hand_back(1, HandBackReason::Leaving)]);
}
