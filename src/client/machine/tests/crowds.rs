//! One old job keeps the tables long. What a crowd costs at its end is the same beside it as without it.
//!
//! Times are compared within one run. Were the rest of the tables looked through for each of the crowd, the old job would make it many
//! times as dear.

use super::*;
use std::time::Instant;

const OLD: GroupId = GroupId(1);
/// The old job and these fill 512 chunks of a table, so none is left half full, which would be looked through in either case.
const CROWD: u64 = 512 * 1_024 - 1;

/// How long it takes to end a crowd that is under way, with an old job that lives or has had its outcome.
fn time_to_end(is_old_alive: bool, end: impl Fn(&mut Machine, Time)) -> Duration {
    let now = Time::from_millis(1);
    let mut machine = Machine::new();
    let mut actions = Vec::new();
    machine.handle(now, Event::LinkUp { payload_bytes_max: LIMIT });
    machine.handle(now, Event::Opened { group: OLD, options: plain(), jobs: vec![job("old")], open: false });
    machine.poll(now, usize::MAX, &mut actions);
    let options = JobOptions { timeout_ms: 1_000, ..plain() };
    let jobs = (0..CROWD).map(|_| job("x")).collect();
    machine.handle(now, Event::Opened { group: GROUP, options, jobs, open: false });
    machine.poll(now, usize::MAX, &mut actions);
    if !is_old_alive {
        machine.handle(now, Event::Ended { job: JobId(0), outcome: Ok(Payload::new()) });
    }
    let begin = Instant::now();
    end(&mut machine, now);
    let took = begin.elapsed();
    machine.poll(now, usize::MAX, &mut actions);
    assert!(actions.contains(&Action::Abort { first: JobId(1), count: CROWD }), "all of them, in one range");
    machine.audit();
    took
}

fn assert_no_dearer_beside_an_old_job(what: &str, end: impl Fn(&mut Machine, Time)) {
    let best = |is_old_alive| (0..3).map(|_| time_to_end(is_old_alive, &end)).min().expect("three of them");
    let (alone, beside) = (best(false), best(true));
    assert!(beside < 2 * alone + Duration::from_millis(50), "{what}: {alone:?} grew to {beside:?}");
}

#[test]
fn a_crowd_is_dropped_beside_an_old_job() {
    assert_no_dearer_beside_an_old_job("dropped", |machine, now| {
        machine.handle(now, Event::Dropped { group: GROUP });
    });
}

#[test]
fn a_crowd_runs_out_of_time_beside_an_old_job() {
    assert_no_dearer_beside_an_old_job("out of time", |machine, now| machine.expire(now.plus_millis(1_000)));
}
