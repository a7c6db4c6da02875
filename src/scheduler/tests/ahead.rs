//! What comes next is brought near before its turn: that changes no answer and no order.

use crate::harness::World;
use proletariat_protocol::{AssignmentId, JobId, JobOptions, Offer, Payload, PeerId, WorkResult};
use proletariat_scheduler::{Config, Event};

/// As one of the events of a burst, which ends when time passes.
fn handle(world: &mut World, event: Event) {
    world.scheduler.handle(world.now, event);
}

fn handle_done(world: &mut World, worker: PeerId, assignment: AssignmentId) {
    let payload = Payload::new().into();
    handle(world, Event::Finished { worker, assignment, result: WorkResult::Done, payload });
}

#[test]
fn looking_ahead_changes_nothing() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(5_000)));
    world.submit(client, JobOptions::default(), &["x"; 6_000]);
    let runs: Vec<AssignmentId> = world.assigned_to(worker).iter().map(|run| run.assignment).collect();
    assert_eq!(runs.len(), 5_000);
    let before = world.scheduler.status(world.now);
    let unknown = [0, 4_999, 5_000, u64::MAX].map(AssignmentId);
    world.scheduler.look_ahead(runs.iter().copied().rev().chain(unknown));
    assert_eq!(format!("{:?}", world.scheduler.status(world.now)), format!("{before:?}"));
    world.scheduler.audit();
    for assignment in runs {
        handle_done(&mut world, worker, assignment);
    }
    world.pass_millis(0);
    assert_eq!(world.assigned_to(worker).len(), 1_000);
    world.scheduler.audit();
}

/// What stands in a line is looked at ahead of its turn once thousands have come after it: gaps in the line, payloads of all sizes and
/// none make no difference.
#[test]
fn a_backlog_with_gaps_comes_in_order_and_whole() {
    let mut world = World::new(Config::default());
    world.audits = false;
    let client = world.client();
    let payload = |number: u64| match number % 5 {
        0 => Payload::new(),
        4 => vec![number as u8; 2_000].into(),
        size => format!("{number:0width$}", width = 16 * size as usize).into(),
    };
    for first in (0..12_000).step_by(100) {
        let payloads = (first..first + 100).map(payload).collect();
        let options = &JobOptions::default();
        handle(&mut world, Event::Submitted { client, first: JobId(first), options, payloads });
    }
    for gap in (0..12_000).step_by(3) {
        handle(&mut world, Event::Aborted { client, first: JobId(gap), count: 1 + gap % 2 });
    }
    world.pass_millis(0);
    let worker = world.worker(Offer::new(70));
    let mut expected = (0..12_000).filter(|number| number % 3 == 2 || number % 6 == 1);
    loop {
        let runs = world.assigned_to(worker);
        if runs.is_empty() {
            break;
        }
        for run in runs {
            assert_eq!(Some(run.payload), expected.next().map(payload));
            handle_done(&mut world, worker, run.assignment);
        }
        world.pass_millis(0);
    }
    assert_eq!(expected.next(), None);
    world.scheduler.audit();
}
