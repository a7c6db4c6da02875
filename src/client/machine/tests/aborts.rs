//! Jobs that their caller does not want any more.

use super::*;

#[test]
fn an_abort_names_ranges_without_touching_others() {
    let mut world = World::connected();
    world.handle(Event::Opened {
        group: GROUP,
        options: plain(),
        jobs: vec![job("a"), job("b")],
        open: true,
    });
    world.open(GroupId(1), plain(), &["other"]);
    world.handle(Event::Added { group: GROUP, jobs: vec![job("c"), job("d"), job("e")] });
    world.sent();
    world.ended(4, "D");
    world.handle(Event::Aborted { group: GROUP, first: 1, count: u64::MAX });
    let aborted = Some(ErrorCode::Aborted);
    assert_eq!(world.codes(), [(3, None), (1, aborted), (2, aborted), (4, aborted)]);
    let expected = [Action::Abort { first: JobId(1), count: 1 }, Action::Abort { first: JobId(3), count: 3 }];
    assert_eq!(world.actions, expected);
    // What the manager says to that is late.
    world.handle(Event::Ended { job: JobId(1), outcome: Err(JobError::new(ErrorCode::Aborted, "")) });
    world.handle(Event::Dropped { group: GROUP });
    assert_eq!(world.actions.last(), Some(&Action::Abort { first: JobId(0), count: 1 }));
    world.ended(2, "OTHER");
    assert_eq!(world.finished, [GROUP, GroupId(1)]);
    assert_eq!(world.told.len(), 5);
}

#[test]
fn an_abort_before_the_submit_sends_nothing() {
    let mut world = World::new();
    world.open(GROUP, plain(), &["a", "b"]);
    world.handle(Event::Aborted { group: GROUP, first: 0, count: 1 });
    world.up();
    assert_eq!(world.sent(), [(0, texts(&["b"]))]);
    assert_eq!(world.actions, []);
    assert_eq!(world.codes(), [(0, Some(ErrorCode::Aborted))]);
}
