//! System messages and requests for the status.

use super::*;
use proletariat_protocol::MessageId;
use proletariat_protocol::message::Recipient;

#[test]
fn a_system_message_is_sent_once_and_its_report_comes_once() {
    let send = |id| Event::SystemMessage {
        id: MessageId(id),
        to: Recipient::All,
        content: Payload::from_static(b"hello"),
        timeout_ms: 1_000,
    };
    let mut world = World::new();
    world.handle(send(1));
    world.pass(Duration::from_millis(400));
    world.up();
    let sent = Action::SendSystemMessage {
        id: MessageId(1),
        to: Recipient::All,
        content: Payload::from_static(b"hello"),
        timeout_ms: 600,
    };
    assert_eq!(world.actions, [sent]);
    world.actions.clear();
    let report = SystemReport { sent_to: 3, received_by: 2 };
    world.handle(Event::Reported { id: MessageId(1), report });
    world.handle(Event::Reported { id: MessageId(1), report });
    assert_eq!(world.actions, [Action::Report { id: MessageId(1), result: Ok(report) }]);
    // Lost meanwhile: an error, and never again.
    world.handle(send(2));
    world.actions.clear();
    world.down();
    assert!(matches!(&world.actions[..], [Action::Report { id: MessageId(2), result: Err(_) }]));
    world.up();
    assert_eq!(world.actions.len(), 1);
    // Never sent: its own clock.
    world.down();
    world.handle(send(3));
    world.pass(Duration::from_secs(1));
    let Some(Action::Report { id: MessageId(3), result: Err(error) }) = world.actions.last() else {
        panic!("{:?}", world.actions)
    };
    assert_eq!(error.code, ErrorCode::CallTimeout);
    assert!(world.machine.is_idle());
}

#[test]
fn the_status_is_asked_for_again_after_a_loss() {
    let mut world = World::connected();
    world.handle(Event::StatusAsked { id: MessageId(5) });
    world.down();
    world.up();
    let ask = Action::AskStatus { id: MessageId(5) };
    assert_eq!(world.actions, [ask.clone(), ask]);
    world.actions.clear();
    world.handle(Event::Status { id: MessageId(5), text: Payload::from_static(b"{}") });
    world.handle(Event::Status { id: MessageId(5), text: Payload::from_static(b"{}") });
    assert_eq!(world.actions.len(), 1);
}
