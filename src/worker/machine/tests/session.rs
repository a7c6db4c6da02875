//! Sessions come and go; the offer; system messages.

use super::*;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, PeerId};

fn offer(slots: u32) -> PeerMessage {
    PeerMessage::Offer(Offer::new(slots))
}

#[test]
fn without_its_manager_a_worker_cancels_and_offers_again_when_all_has_stopped() {
    let mut world = World::serving(Offer::new(3));
    let runs: Vec<RunId> = (1..=2).map(|id| world.assign(execution(id))).collect();
    world.tell(Event::Disconnected);
    assert_eq!(world.take_cancelled(), runs);
    world.pass(100);
    world.connect();
    world.end(runs[0], done("of an old session"));
    assert_eq!(world.take_said(), []);
    world.end(runs[1], Ending::Failed("too".into()));
    assert_eq!(world.take_said(), [offer(3)]);
}

#[test]
fn a_handler_that_ignores_its_cancel_keeps_its_slot_out_of_the_offer() {
    let mut world = World::serving(Offer::new(3).guarantee(5, 3));
    let run = world.assign(execution(1));
    world.tell(Event::Disconnected);
    world.pass(1_000);
    world.connect();
    world.pass(999);
    assert_eq!(world.take_said(), []);
    world.pass(1);
    assert_eq!(world.take_said(), [PeerMessage::Offer(Offer::new(2).guarantee(5, 2))]);
    world.receive(ManagerMessage::OfferAccepted);
    // The new manager may count anew: the old run must not be taken for the new one.
    let again = world.assign(execution(1));
    world.assign(execution(2));
    assert_ne!(run, again);
    assert_eq!(world.machine.running(), 3);
    world.end(run, done("old"));
    assert_eq!(world.take_said(), [PeerMessage::Offer(Offer::new(3).guarantee(5, 3))]);
    world.end(again, done("new"));
    assert_eq!(world.take_said(), [finished(1, WorkResult::Done, 3)]);
}

#[test]
fn a_worker_of_one_stuck_slot_offers_nothing_until_it_is_free() {
    let mut world = World::serving(Offer::new(1));
    let run = world.assign(execution(1));
    world.tell(Event::Disconnected);
    world.connect();
    world.pass(10_000);
    assert_eq!(world.take_said(), []);
    world.end(run, done("r"));
    assert_eq!(world.take_said(), [offer(1)]);
}

#[test]
fn nothing_of_a_lost_session_reaches_the_next() {
    let mut world = World::new(Offer::new(5), 5);
    world.connect();
    world.receive(ManagerMessage::OfferAccepted);
    let runs: Vec<RunId> = (1..=2).map(|id| world.assign(execution(id))).collect();
    world.end(runs[0], done("gathered"));
    world.take_said();
    world.tell(Event::Disconnected);
    world.end(runs[1], done("late"));
    world.connect();
    world.pass(1_000);
    assert_eq!(world.take_said(), [offer(5)]);
}

#[test]
fn an_assignment_in_the_burst_of_the_loss_is_never_started() {
    let mut world = World::serving(Offer::new(5));
    let message = ManagerMessage::Assign { executions: vec![execution(1)] };
    let payloads = vec![Payload::new()];
    world.machine.handle(world.now, Event::Received { message, payloads });
    world.tell(Event::Disconnected);
    assert!(world.started.is_empty());
    assert_eq!(world.machine.running(), 0);
}

#[test]
fn the_refusal_of_the_first_offer_ends_the_worker_and_a_later_one_is_tried_again() {
    let refused =
        || ManagerMessage::OfferRefused { code: ErrorCode::InvalidSlots, message: "range 1".into() };
    let mut first = World::new(Offer::new(5), 1);
    first.connect();
    first.receive(refused());
    let finish = Finish::OfferRefused { code: ErrorCode::InvalidSlots, message: "range 1".into() };
    assert_eq!(first.take_done(), [format!("{:?}", Action::Finished(finish))]);

    let mut later = World::serving(Offer::new(5));
    later.tell(Event::Disconnected);
    later.connect();
    later.receive(refused());
    assert_eq!(later.take_said(), [offer(5)]);
    later.pass(1_999);
    assert_eq!(later.take_said(), []);
    later.pass(1);
    assert_eq!(later.take_said(), [offer(5)]);
}

#[test]
fn the_offer_can_be_changed_and_a_refused_change_leaves_the_old_one() {
    let mut world = World::serving(Offer::new(5));
    world.tell(Event::Offer(Offer::new(2)));
    assert_eq!(world.take_said(), [offer(2)]);
    // Until the manager has answered, what it gave by the old offer is right.
    world.assign_all((1..=5).map(execution).collect());
    assert_eq!(world.started.len(), 5);
    world.receive(ManagerMessage::OfferAccepted);
    assert_eq!(world.take_done(), ["OfferAccepted { wishes: 1 }"]);
    world.assign_all(vec![execution(6)]);
    assert_eq!(world.take_said(), [hand_back(6, HandBackReason::Busy)]);

    world.tell(Event::Offer(Offer::new(9)));
    world.take_said();
    let message = String::from("no");
    world.receive(ManagerMessage::OfferRefused { code: ErrorCode::InvalidSlots, message });
    assert_eq!(world.take_done(), [r#"OfferRefused { wishes: 1, message: "no" }"#]);
    world.tell(Event::Disconnected);
    world.pass(500);
    world.connect();
    for start in core::mem::take(&mut world.started) {
        world.end(start.run, done("r"));
    }
    assert_eq!(world.take_said(), [offer(2)]);
}

#[test]
fn each_of_several_offers_has_an_answer_of_its_own() {
    let mut world = World::serving(Offer::new(5));
    let refused = || ManagerMessage::OfferRefused { code: ErrorCode::InvalidSlots, message: "no".into() };
    let (accepted, one, two) = (
        "OfferAccepted { wishes: 1 }",
        r#"OfferRefused { wishes: 1, message: "no" }"#,
        r#"OfferRefused { wishes: 2, message: "no" }"#,
    );
    for slots in [6, 7, 8] {
        world.tell(Event::Offer(Offer::new(slots)));
    }
    assert_eq!(world.take_said(), [offer(6), offer(7), offer(8)]);
    world.receive(ManagerMessage::OfferAccepted);
    world.receive(refused());
    assert_eq!(world.take_done(), [accepted, one], "the third is not answered yet");
    world.tell(Event::Offer(Offer::new(8)));
    assert_eq!(world.take_said(), [], "the manager has been told that");
    world.receive(refused());
    assert_eq!(world.take_done(), [two]);
    world.tell(Event::Offer(Offer::new(6)));
    assert_eq!(world.take_done(), [accepted], "that one holds");
    assert_eq!(world.take_said(), []);

    world.tell(Event::Offer(Offer::new(7)));
    world.take_said();
    world.machine.handle(world.now, Event::Offer(Offer::new(8)));
    world.receive(refused());
    assert_eq!(world.take_done(), [one]);
    assert_eq!(world.take_said(), [offer(8)], "a later wish is not lost with the one before");
}

#[test]
fn an_offer_that_changes_nothing_is_answered_all_the_same() {
    let mut world = World::serving(Offer::new(5));
    world.tell(Event::Offer(Offer::new(5)));
    assert_eq!(world.take_done(), ["OfferAccepted { wishes: 1 }"]);
    assert_eq!(world.take_said(), []);
}

#[test]
fn a_system_message_is_confirmed_in_its_own_session_only() {
    let mut world = World::serving(Offer::new(5));
    let message = ManagerMessage::SystemMessage { id: MessageId(7), from: PeerId(3), bytes: 2 };
    let deliver = |world: &mut World| {
        let payloads = vec![Payload::from_static(b"hi")];
        world.tell(Event::Received { message: message.clone(), payloads });
        match world.done.pop() {
            Some(Action::Deliver { delivery, from, content }) => {
                assert_eq!((from, &content[..]), (PeerId(3), &b"hi"[..]));
                delivery
            }
            other => panic!("{other:?}"),
        }
    };
    let first = deliver(&mut world);
    world.tell(Event::Confirmed(first));
    assert_eq!(world.take_said(), [PeerMessage::Confirm { id: MessageId(7) }]);
    let second = deliver(&mut world);
    world.tell(Event::Disconnected);
    world.connect();
    world.take_said();
    world.tell(Event::Confirmed(second));
    assert_eq!(world.take_said(), []);
}

#[test]
fn a_system_message_of_our_own_is_reported_once_or_lost_with_the_manager() {
    let mut world = World::serving(Offer::new(5));
    let send = |id| Event::SystemMessage {
        id: MessageId(id),
        to: Recipient::All,
        timeout_ms: 0,
        content: Payload::from_static(b"hi"),
    };
    world.tell(send(1));
    world.tell(send(2));
    assert_eq!(world.take_said().len(), 2);
    let report = ManagerMessage::SystemReport { id: MessageId(1), sent_to: 2, received_by: 1 };
    world.receive(report.clone());
    world.receive(report);
    assert_eq!(world.take_done(), ["Reported { id: MessageId(1), report: Some((2, 1)) }"]);
    world.tell(Event::Disconnected);
    world.tell(send(3));
    let lost = ["Reported { id: MessageId(2), report: None }", "Reported { id: MessageId(3), report: None }"];
    assert_eq!(world.take_done(), lost);
}
