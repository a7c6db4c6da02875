//! A manager that takes no more, for a while or for good.

use super::*;

#[test]
fn an_overloaded_manager_is_asked_again_after_its_hint() {
    let mut world = World::connected();
    world.open(GROUP, JobOptions { timeout_ms: 10_000, ..plain() }, &["a", "b", "c"]);
    world.sent();
    world.refused(0, 3, ErrorCode::Overload, 250);
    world.open(GroupId(1), plain(), &["later"]);
    world.open(GroupId(2), JobOptions { no_wait: true, ..plain() }, &["now"]);
    assert_eq!(world.sent(), [(3, texts(&["now"]))]);
    world.pass(Duration::from_millis(249));
    assert_eq!(world.sent(), []);
    world.ended(3, "NOW");
    world.pass(Duration::from_millis(1));
    // Three were too many: fewer go out, and with the answers more do.
    let submits = world.submits();
    assert_eq!((submits.len(), submits[0].0, &submits[0].1), (1, 4, &texts(&["a", "b"])));
    assert_eq!(submits[0].2.timeout_ms, 9_750);
    world.ended(4, "A");
    assert_eq!(world.sent(), [(6, texts(&["later"]))]);
    world.ended(5, "B");
    assert_eq!(world.sent(), [(7, texts(&["c"]))]);
    world.ended(6, "LATER");
    world.ended(7, "C");
    assert_eq!(world.finished, [GroupId(2), GroupId(1), GroupId(0)]);
    assert!(world.told.iter().all(|(_, _, outcome)| outcome.is_ok()));
}

#[test]
fn a_refusal_is_final_for_calls_that_do_not_wait_and_without_a_hint() {
    let code_of = |no_wait, code, retry_after_ms| {
        let mut world = World::connected();
        world.open(GROUP, JobOptions { no_wait, ..plain() }, &["a"]);
        world.refused(0, 1, code, retry_after_ms);
        world.codes().first().and_then(|(_, code)| *code)
    };
    assert_eq!(code_of(true, ErrorCode::Overload, 250), Some(ErrorCode::Overload));
    assert_eq!(code_of(true, ErrorCode::Shutdown, 250), Some(ErrorCode::Shutdown));
    assert_eq!(code_of(false, ErrorCode::Overload, 0), Some(ErrorCode::Overload));
    assert_eq!(code_of(false, ErrorCode::Protocol, 250), Some(ErrorCode::Protocol));
    assert_eq!(code_of(false, ErrorCode::Overload, 250), None);
    assert_eq!(code_of(false, ErrorCode::Shutdown, 0), None);
}

#[test]
fn a_manager_that_stops_gets_nothing_more_and_the_next_one_gets_all() {
    let mut world = World::connected();
    world.open(GROUP, plain(), &["a", "b"]);
    world.sent();
    world.refused(1, 1, ErrorCode::Shutdown, 0);
    world.open(GroupId(1), plain(), &["c"]);
    assert_eq!(world.sent(), []);
    world.ended(0, "A");
    world.down();
    world.up();
    assert_eq!(world.sent(), [(0, texts(&["b"])), (1, texts(&["c"]))]);
    assert_eq!(world.codes(), [(0, None)]);
}

#[test]
fn a_bound_of_the_manager_does_not_make_the_client_send_everything_again_and_again() {
    // A manager that holds at most 10 of our jobs and refuses a submit that goes over it whole.
    const JOBS: u64 = 2_000;
    let mut world = World::connected();
    let jobs = (0..JOBS).map(|_| job("x")).collect();
    world.handle(Event::Opened { group: GROUP, options: plain(), jobs, open: false });
    let mut held = std::collections::VecDeque::new();
    let (mut jobs_sent, mut turns) = (0, 0);
    while world.finished.is_empty() {
        for (first, payloads, _) in world.submits() {
            let count = payloads.len() as u64;
            jobs_sent += count;
            if held.len() as u64 + count > 10 {
                world.refused(first, count, ErrorCode::Overload, 5);
            } else {
                held.extend(first..first + count);
            }
        }
        match held.pop_front() {
            Some(number) => world.ended(number, "done"),
            None => world.pass(Duration::from_millis(5)),
        }
        world.pass(Duration::from_millis(1));
        turns += 1;
        assert!(turns < 10 * JOBS, "{jobs_sent} sent, {} told", world.told.len());
    }
    assert_eq!(world.told.len() as u64, JOBS);
    assert!(jobs_sent < 4 * JOBS, "{jobs_sent} sent for {JOBS}");
}
