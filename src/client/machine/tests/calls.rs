//! Jobs and their outcomes, from the call to its end.

use super::*;

#[test]
fn jobs_go_out_in_one_submit_and_outcomes_come_back_by_index() {
    let mut world = World::connected();
    world.open(GROUP, plain(), &["a", "b", "c"]);
    assert_eq!(world.sent(), [(0, texts(&["a", "b", "c"]))]);
    world.ended(2, "C");
    world.ended(0, "A");
    assert!(world.finished.is_empty());
    world.handle(Event::Ended { job: JobId(1), outcome: Err(JobError::new(ErrorCode::WorkFailed, "x")) });
    assert_eq!(world.codes(), [(2, None), (0, None), (1, Some(ErrorCode::WorkFailed))]);
    assert_eq!(world.finished, [GROUP]);
    assert!(world.machine.is_idle());
    // The number of the group is free again; those of the jobs go on.
    world.open(GROUP, plain(), &["d"]);
    assert_eq!(world.sent(), [(3, texts(&["d"]))]);
}

#[test]
fn a_second_outcome_is_ignored() {
    let mut world = World::connected();
    world.open(GROUP, plain(), &["a", "b"]);
    world.ended(0, "A");
    world.ended(0, "again");
    world.handle(Event::Ended { job: JobId(0), outcome: Err(JobError::new(ErrorCode::Aborted, "late")) });
    world.ended(99, "of nothing");
    world.refused(0, u64::MAX, ErrorCode::Overload, 0);
    assert_eq!(world.codes(), [(0, None), (1, Some(ErrorCode::Overload))]);
    assert_eq!(world.told[0].2, Ok(Payload::from_static(b"A")));
}

#[test]
fn an_empty_call_is_over_at_once() {
    let mut world = World::new();
    world.open(GROUP, plain(), &[]);
    assert_eq!(world.finished, [GROUP]);
}

#[test]
fn a_million_jobs_in_one_call() {
    const JOBS: u64 = 1_000_000;
    // An ordinary turn, without the audit of the others: it would make this quadratic.
    let mut machine = Machine::new();
    let mut now = Time::from_millis(1);
    let mut actions = Vec::new();
    machine.handle(now, Event::LinkUp { payload_bytes_max: LIMIT });
    let jobs = (0..JOBS).map(|_| job("payload")).collect();
    let options = JobOptions { timeout_ms: 60_000, ..plain() };
    machine.handle(now, Event::Opened { group: GROUP, options, jobs, open: false });
    for session in 0..2 {
        let mut numbers = 0;
        while numbers < JOBS {
            machine.poll(now, 1 << 20, &mut actions);
            for action in actions.drain(..) {
                let Action::Submit(submit) = action else { panic!("{action:?}") };
                assert_eq!(submit.first, JobId(numbers));
                numbers += submit.payloads.len() as u64;
            }
        }
        if session == 0 {
            let why = JobError::new(ErrorCode::Shutdown, "lost");
            machine.handle(now, Event::LinkDown { why, last: false });
            now = now.plus_millis(10);
            machine.handle(now, Event::LinkUp { payload_bytes_max: LIMIT });
        }
    }
    // Every third one first, then the rest backwards.
    let order = (0..JOBS).filter(|n| n % 3 == 0).chain((0..JOBS).rev().filter(|n| n % 3 != 0));
    for number in order {
        machine.handle(now, Event::Ended { job: JobId(number), outcome: Ok(Payload::new()) });
    }
    machine.poll(now, 1 << 20, &mut actions);
    assert_eq!(actions.len() as u64, JOBS + 1);
    assert_eq!(actions.last(), Some(&Action::Finished { group: GROUP }));
    assert!(machine.is_idle() && machine.next_deadline().is_none());
    machine.audit();
}
