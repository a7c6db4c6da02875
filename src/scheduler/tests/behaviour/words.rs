//! What goes through beside jobs and results: system messages and streams.

use crate::harness::World;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{JobOptions, MessageId, Offer, Payload};
use proletariat_scheduler::{Action, Config, Event};

#[test]
fn a_system_message_is_reported_once_when_all_have_answered_or_left() {
    let mut world = World::new(Config::default());
    let (sender, one, other) = (world.client(), world.client(), world.client());
    let content = Payload::from_static(b"hi");
    let id = MessageId(5);
    world.tell(Event::SystemMessage { from: sender, id, to: Recipient::All, content, timeout: None });
    let sent: Vec<MessageId> = world
        .take(|a| matches!(a, Action::SystemMessage { .. }))
        .into_iter()
        .map(|a| if let Action::SystemMessage { id, .. } = a { id } else { unreachable!() })
        .collect();
    assert_eq!(sent.len(), 2);
    world.tell(Event::Confirmed { by: one, id: sent[0] });
    world.tell(Event::Confirmed { by: one, id: sent[0] });
    assert!(!world.did(|a| matches!(a, Action::SystemReport { .. })));
    world.leave(other);
    assert!(
        world.did(|a| matches!(a, Action::SystemReport { sent_to: 2, received_by: 1, id: MessageId(5), .. }))
    );
}

#[test]
fn stream_data_is_granted_as_its_callers_take_it() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { stream: true, ..JobOptions::default() }, &["a"]);
    let running = world.assigned_to(worker).remove(0);
    let payload = Payload::from_static(b"12345");
    world.tell(Event::Data { worker, assignment: running.assignment, payload });
    assert!(world.did(|a| matches!(a, Action::Data { .. })));
    assert!(!world.did(|a| matches!(a, Action::Grant { .. })));
    let job = proletariat_protocol::JobId(0);
    world.tell(Event::Credited { client, job, bytes: 5 });
    assert!(world.did(|a| matches!(a, Action::Grant { bytes: 5, .. })));
    let payload = Payload::from_static(b"678");
    world.tell(Event::Data { worker, assignment: running.assignment, payload });
    world.tell(Event::Credited { client, job, bytes: 3 });
    assert!(
        world.did(|a| matches!(a, Action::Grant { bytes: 3, .. })),
        "what was granted is not granted again"
    );
    world.leave(worker);
    assert!(world.did(|a| matches!(a, Action::Restarted { .. })));
}
