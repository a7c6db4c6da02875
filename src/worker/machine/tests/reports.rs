//! Results and starts: what is gathered, what is left out, and how the endings of handlers are told.

use super::*;
use proletariat_protocol::limits::{ENTRIES_PER_MESSAGE_MAX, SLOTS_MAX};

#[test]
fn results_of_one_turn_go_out_together_and_say_the_starts_too() {
    let mut world = World::serving(Offer::new(10));
    world.instant = true;
    world.assign_all((1..=10).map(execution).collect());
    let [PeerMessage::Finished { runs }] = &world.take_said()[..] else {
        panic!("one message with all results, and nothing about starts");
    };
    let ids: Vec<u64> = runs.iter().map(|run| run.assignment.0).collect();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    world.pass(1_000);
    assert_eq!(world.take_said(), []);
}

#[test]
fn a_start_is_told_after_100_ms_at_the_latest() {
    let mut world = World::serving(Offer::new(10));
    world.assign(execution(1));
    world.pass(50);
    world.assign(execution(2));
    world.pass(49);
    assert_eq!(world.take_said(), []);
    world.pass(1);
    assert_eq!(world.take_said(), [started(&[1, 2])]);
    world.pass(1_000);
    assert_eq!(world.take_said(), []);
}

#[test]
fn a_start_rides_with_what_goes_out_unless_it_is_so_young_that_its_result_may_say_it() {
    let mut world = World::serving(Offer::new(10));
    let first = world.assign(execution(1));
    world.assign(execution(2));
    world.pass(4);
    let third = world.assign(execution(3));
    world.pass(1);
    world.end(first, done("abc"));
    assert_eq!(world.take_said(), [started(&[2]), finished(1, WorkResult::Done, 3)]);
    world.end(third, done(""));
    assert_eq!(world.take_said(), [finished(3, WorkResult::Done, 0)]);
}

#[test]
fn answers_are_gathered_up_to_the_threshold() {
    let mut world = World::new(Offer::new(10), 3);
    world.connect();
    world.receive(ManagerMessage::OfferAccepted);
    let runs: Vec<RunId> = (1..=6).map(|id| world.assign(execution(id))).collect();
    world.take_said();
    world.end(runs[0], done("1"));
    world.end(runs[1], done("2"));
    assert_eq!(world.take_said(), []);
    world.end(runs[2], done("3"));
    assert!(matches!(&world.take_said()[..], [PeerMessage::Finished { runs }] if runs.len() == 3));
}

#[test]
fn answers_do_not_wait_for_the_threshold_longer_than_5_ms_or_when_all_slots_are_free() {
    let mut world = World::new(Offer::new(10), 3);
    world.connect();
    world.receive(ManagerMessage::OfferAccepted);
    let runs: Vec<RunId> = (1..=2).map(|id| world.assign(execution(id))).collect();
    world.take_said();
    world.end(runs[0], done("1"));
    world.pass(4);
    assert_eq!(world.take_said(), []);
    world.pass(1);
    assert_eq!(world.take_said(), [started(&[2]), finished(1, WorkResult::Done, 1)]);
    world.end(runs[1], done("2"));
    assert_eq!(world.take_said(), [finished(2, WorkResult::Done, 1)]);
}

#[test]
fn a_large_result_never_shares_a_message() {
    let mut world = World::serving(Offer::new(10));
    let runs: Vec<RunId> = (1..=3).map(|id| world.assign(execution(id))).collect();
    for (run, bytes) in runs.into_iter().zip([10, 500_000, 20]) {
        let ending = Ending::Done(Payload::from(vec![0; bytes]));
        world.machine.handle(world.now, Event::Ended { run, ending });
    }
    world.turn();
    let lengths = |outgoing: &Outgoing| outgoing.payloads.iter().map(Payload::len).collect::<Vec<_>>();
    assert_eq!(world.said.iter().map(lengths).collect::<Vec<_>>(), [[10], [500_000], [20]]);
}

#[test]
fn a_result_over_the_limit_is_too_large_and_one_at_the_limit_is_not() {
    let mut world = World::serving(Offer::new(10));
    let most = usize::try_from(PAYLOAD_BYTES_MAX).unwrap();
    let fits = world.assign(execution(1));
    world.end(fits, Ending::Done(Payload::from(vec![0; most])));
    assert_eq!(world.take_said(), [finished(1, WorkResult::Done, 1_000_000)]);
    let over = world.assign(execution(2));
    world.end(over, Ending::Done(Payload::from(vec![0; most + 1])));
    let message = String::from_utf8(world.said[0].payloads[0].to_vec()).unwrap();
    assert!(message.contains("1000001") && message.contains("1000000"), "{message}");
    let bytes = u32::try_from(message.len()).unwrap();
    assert_eq!(world.take_said(), [finished(2, WorkResult::TooLarge, bytes)]);
}

#[test]
fn every_ending_has_its_word() {
    let mut world = World::serving(Offer::new(10));
    let runs: Vec<RunId> = (1..=3).map(|id| world.assign(execution(id))).collect();
    world.end(runs[0], Ending::Failed("no".into()));
    assert_eq!(world.said[0].payloads, ["no"]);
    assert_eq!(world.take_said(), [finished(1, WorkResult::Failed, 2)]);
    world.end(runs[1], Ending::HandBack(HandBackReason::NotMyKind));
    assert_eq!(world.take_said(), [hand_back(2, HandBackReason::NotMyKind)]);
    world.end(runs[2], Ending::Crashed("signal 9".into()));
    let crashed = PeerMessage::Crashed { assignment: AssignmentId(3), message: "signal 9".into() };
    assert_eq!(world.take_said(), [crashed]);
    assert_eq!(world.machine.running(), 0);
}

#[test]
fn the_message_of_a_failure_is_cut_between_characters() {
    let mut world = World::serving(Offer::new(10));
    let run = world.assign(execution(1));
    world.end(run, Ending::Failed("ä".repeat(100_000) + "x"));
    let message = std::str::from_utf8(&world.said[0].payloads[0]).unwrap();
    assert_eq!(message.len(), 64 * 1024);
}

#[test]
fn a_message_has_no_more_entries_than_a_sender_may_put_into_one() {
    let slots = SLOTS_MAX;
    let mut world = World::serving(Offer::new(slots));
    let executions: Vec<u64> = (1..=u64::from(slots)).collect();
    world.assign_all(executions.iter().copied().map(execution).collect());
    world.pass(100);
    let mut told = Vec::new();
    for message in world.take_said() {
        let PeerMessage::Started { assignments } = message else { panic!("{message:?}") };
        assert!(assignments.len() <= ENTRIES_PER_MESSAGE_MAX, "{} starts", assignments.len());
        told.extend(assignments.into_iter().map(|assignment| assignment.0));
    }
    assert_eq!(told, executions);
    // They end in one turn.
    for run in world.started.iter().map(|start| start.run) {
        world.machine.handle(world.now, Event::Ended { run, ending: done("") });
    }
    world.turn();
    let mut told = Vec::new();
    for message in world.take_said() {
        let PeerMessage::Finished { runs } = message else { panic!("{message:?}") };
        assert!(runs.len() <= ENTRIES_PER_MESSAGE_MAX, "{} results", runs.len());
        told.extend(runs.into_iter().map(|run| run.assignment.0));
    }
    assert_eq!(told, executions);
}
