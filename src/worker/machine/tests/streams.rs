//! Data and progress: order, credit, rate.

use super::*;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;

fn streaming(assignment: u64) -> AssignedExecution {
    AssignedExecution { stream: true, ..execution(assignment) }
}

fn data(assignment: u64, bytes: u32) -> PeerMessage {
    PeerMessage::Data { assignment: AssignmentId(assignment), bytes }
}

fn progress(assignment: u64, done: u64) -> PeerMessage {
    PeerMessage::Progress { assignment: AssignmentId(assignment), done, total: 100 }
}

fn grant(assignment: u64, bytes: u64) -> ManagerMessage {
    ManagerMessage::Grant { assignment: AssignmentId(assignment), bytes }
}

impl World {
    fn chunk(&mut self, run: RunId, bytes: usize) {
        self.tell(Event::Data { run, payload: Payload::from(vec![7; bytes]) });
    }

    fn report(&mut self, run: RunId, done: u64) {
        self.tell(Event::Progress { run, done, total: 100 });
    }

    fn taken(&mut self) -> usize {
        let bytes = |action: Action| match action {
            Action::Taken { bytes, .. } => bytes,
            _ => 0,
        };
        self.done.drain(..).map(bytes).sum()
    }
}

#[test]
fn data_is_said_after_its_start_and_before_its_result_in_one_order() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(streaming(1));
    world.chunk(run, 10);
    world.report(run, 50);
    world.chunk(run, 20);
    world.report(run, 99);
    world.end(run, done("r"));
    assert!(world.said.iter().all(|outgoing| outgoing.order == Order::Keyed(1)));
    let expected = [
        started(&[1]),
        data(1, 10),
        progress(1, 50),
        data(1, 20),
        progress(1, 99),
        finished(1, WorkResult::Done, 1),
    ];
    assert_eq!(world.take_said(), expected);
    assert_eq!(world.taken(), 30);
}

#[test]
fn chunks_wait_for_credit_and_the_result_waits_for_them() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(streaming(1));
    let half = STREAM_WINDOW_BYTES / 2;
    for _ in 0..4 {
        world.chunk(run, usize::try_from(half).unwrap());
    }
    world.end(run, done("r"));
    assert_eq!(world.take_said().len(), 3, "start and two chunks");
    assert_eq!(world.taken() as u64, STREAM_WINDOW_BYTES);
    world.receive(grant(1, half - 1));
    assert_eq!(world.take_said(), []);
    world.receive(grant(1, 1));
    assert_eq!(world.take_said(), [data(1, 131_072)]);
    assert_eq!(world.machine.running(), 1, "the slot is held until all is said");
    world.receive(grant(1, half));
    assert_eq!(world.take_said(), [data(1, 131_072), finished(1, WorkResult::Done, 1)]);
    assert_eq!(world.machine.running(), 0);
}

#[test]
fn a_chunk_larger_than_the_window_goes_alone() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(streaming(1));
    world.chunk(run, 1);
    world.chunk(run, 600_000);
    world.chunk(run, 1);
    assert_eq!(world.take_said(), [started(&[1]), data(1, 1)]);
    world.receive(grant(1, 1));
    assert_eq!(world.take_said(), [data(1, 600_000)]);
    world.receive(grant(1, 400_000));
    assert_eq!(world.take_said(), [data(1, 1)]);
}

#[test]
fn nothing_is_sent_where_nobody_listens() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(execution(1));
    world.chunk(run, 5_000_000);
    world.report(run, 1);
    assert_eq!(world.take_said(), []);
    assert_eq!(world.taken(), 5_000_000);
}

#[test]
fn of_progress_the_latest_counts_and_not_too_often() {
    let mut world = World::serving(Offer::new(2));
    let run = world.assign(streaming(1));
    for done in 0..50 {
        world.report(run, done);
    }
    assert_eq!(world.take_said(), [started(&[1]), progress(1, 0)]);
    world.pass(99);
    assert_eq!(world.take_said(), []);
    world.pass(1);
    assert_eq!(world.take_said(), [progress(1, 49)]);
    world.pass(1_000);
    assert_eq!(world.take_said(), []);
}

#[test]
fn a_cancel_frees_a_result_that_waits_behind_its_data() {
    let mut world = World::serving(Offer::new(1));
    let run = world.assign(streaming(1));
    for _ in 0..2 {
        world.chunk(run, 200_000);
    }
    world.end(run, done("r"));
    world.take_said();
    world.receive(cancel(1));
    assert_eq!(world.take_said(), [stopped(1)]);
    assert_eq!(world.take_cancelled(), [], "its handler has ended");
    assert_eq!(world.machine.running(), 0);
}

#[test]
fn data_of_a_cancelled_run_is_dropped_and_never_blocks_its_handler() {
    let mut world = World::serving(Offer::new(1));
    let run = world.assign(streaming(1));
    world.receive(cancel(1));
    world.chunk(run, 900_000);
    assert_eq!(world.taken(), 900_000);
    world.end(run, done("r"));
    assert_eq!(world.take_said(), [stopped(1)]);
}

#[test]
fn a_chunk_over_the_payload_limit_ends_the_run_as_too_large() {
    let mut world = World::serving(Offer::new(1));
    let run = world.assign(streaming(1));
    world.chunk(run, usize::try_from(PAYLOAD_BYTES_MAX).unwrap() + 1);
    assert!(world.done.iter().any(|action| matches!(action, Action::Cancel { run: of } if *of == run)));
    assert_eq!(world.taken() as u64, PAYLOAD_BYTES_MAX + 1);
    world.end(run, done("r"));
    let said = world.take_said();
    assert!(
        matches!(&said[..], [PeerMessage::Finished { runs }] if runs[0].result == WorkResult::TooLarge),
        "{said:?}"
    );
}
