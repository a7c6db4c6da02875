//! Lines of a crowd are cancelled one by one at a cost that does not grow with the crowd.
//!
//! Times are compared within one run, a small crowd against one ten times as large: a square would be a factor of a hundred.

use super::*;
use std::time::Instant;

/// Lines that a child has.
const DEPTH: u32 = 1_000;

fn assert_linear(what: &str, burst: impl Fn(u64) -> Duration) {
    let best = |crowd| (0..3).map(|_| burst(crowd)).min().expect("three of them");
    let (small, large) = (best(6_000), best(60_000));
    assert!(large < 40 * small + Duration::from_millis(50), "{what}: {small:?} grew to {large:?}");
}

/// A machine that was handed in so many lines, with children that can have all of them.
fn with_lines(crowd: u64) -> Machine {
    let children = u32::try_from(crowd).unwrap() / DEPTH;
    let mut machine = Machine::new(Config { depth: Some(DEPTH), ..config(children, false) });
    for id in (0..crowd).map(LineId) {
        machine.handle(Time::ZERO, Event::Line { id, text: "line".into() });
    }
    machine
}

/// Cancels all, the last one first; how long that takes, and what is said to it.
fn cancel(machine: &mut Machine, crowd: u64) -> (Duration, Vec<Action>) {
    let mut said = Vec::new();
    let begin = Instant::now();
    for id in (0..crowd).rev().map(LineId) {
        machine.handle(Time::ZERO, Event::Cancelled { id });
    }
    machine.poll(Time::ZERO, &mut said);
    let took = begin.elapsed();
    machine.audit();
    (took, said)
}

fn stopped(said: &[Action]) -> u64 {
    let is_stopped = |action: &&Action| matches!(action, Action::Over { end: LineEnd::Stopped, .. });
    said.iter().filter(is_stopped).count() as u64
}

#[test]
fn lines_that_wait_are_cancelled_one_by_one() {
    assert_linear("no child is there", |crowd| {
        let mut machine = with_lines(crowd);
        let (took, said) = cancel(&mut machine, crowd);
        assert_eq!(stopped(&said), crowd);
        took
    });
}

#[test]
fn lines_that_children_have_are_cancelled_one_by_one() {
    assert_linear("children have all of them", |crowd| {
        let mut machine = with_lines(crowd);
        let mut said = Vec::new();
        machine.poll(Time::ZERO, &mut said);
        let children = said.len();
        (0..children).for_each(|child| machine.handle(Time::ZERO, Event::Started { child }));
        machine.poll(Time::ZERO, &mut said);
        let (took, said) = cancel(&mut machine, crowd);
        let ends: Vec<_> = (0..children).map(|child| Action::Terminate { child }).collect();
        assert!(said.len() == children && ends.iter().all(|end| said.contains(end)), "{said:?}");
        for child in 0..children {
            machine.handle(Time::ZERO, Event::Ended { child, read_bytes: 0, how: "killed".into() });
        }
        let mut said = Vec::new();
        machine.poll(Time::ZERO, &mut said);
        machine.audit();
        assert_eq!(stopped(&said), crowd);
        took
    });
}

#[test]
fn what_is_cancelled_changes_nothing_in_the_order_of_the_others() {
    let mut bench = Bench::new(config(1, true));
    bench.poll();
    for id in 0..10 {
        bench.line(id, "a");
    }
    for id in [1, 3, 5, 7, 8, 9, 4] {
        assert_eq!(bench.tell(Event::Cancelled { id: LineId(id) }), [over(LineId(id), LineEnd::Stopped)]);
    }
    assert_eq!(bench.tell(Event::Cancelled { id: LineId(4) }), [], "it is over");
    bench.line(10, "b");
    bench.tell(Event::Cancelled { id: LineId(2) });
    assert_eq!(bench.tell(Event::Started { child: 0 }), [write(0, "a\n")]);
    assert_eq!(bench.heard(0, "A\n"), [done(0, "A"), write(0, "a\n")]);
    // It ends before it has read that: the next one has it first.
    assert_eq!(bench.ended(0, 2), [Action::Start { child: 0 }]);
    assert_eq!(bench.tell(Event::Started { child: 0 }), [write(0, "a\n")]);
    assert_eq!(bench.heard(0, "A\n"), [done(6, "A"), write(0, "b\n")]);
    assert_eq!(bench.heard(0, "B\n"), [done(10, "B")]);
}
