//! System messages, and the status.

use super::*;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{MessageId, PeerId};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Returns when the client has done what it was asked for before, if nothing was said meanwhile.
async fn settle(client: &Client, manager: &mut ManagerEnd) {
    let client = client.clone();
    let status = tokio::spawn(async move { client.status().await });
    let heard = manager.hear().await;
    let Some(PeerMessage::StatusRequest { id }) = heard else { panic!("{heard:?}") };
    manager.say(&ManagerMessage::Status { id, bytes: 2 }, &["{}".into()]).await;
    status.await.unwrap().unwrap();
}

/// Has a callback that shows what it is called with, and returns when it gets a permit.
fn listen(client: &Client) -> (UnboundedReceiver<SystemMessage>, Arc<Semaphore>) {
    let (seen, sees) = unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let callback_gate = Arc::clone(&gate);
    let callback = move |message: SystemMessage| {
        let (seen, gate) = (seen.clone(), Arc::clone(&callback_gate));
        async move {
            seen.send(message).unwrap();
            gate.acquire().await.unwrap().forget();
        }
    };
    client.on_system_message(callback).unwrap();
    (sees, gate)
}

#[tokio::test(start_paused = true)]
async fn system_messages_go_both_ways() {
    let (client, _hatch, mut manager) = stage().await;
    let incoming = |id| ManagerMessage::SystemMessage { id: MessageId(id), from: PeerId(9), bytes: 2 };
    // Without a callback they are confirmed at once.
    manager.say(&incoming(1), &["hi".into()]).await;
    assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(1) }));
    let (mut sees, gate) = listen(&client);
    settle(&client, &mut manager).await;
    manager.say(&incoming(2), &["ho".into()]).await;
    assert_eq!(sees.recv().await, Some(SystemMessage { from: PeerId(9), content: "ho".into() }));
    gate.add_permits(1);
    assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(2) }));

    let sender = client.clone();
    let sent =
        tokio::spawn(
            async move { sender.system_message("all", Recipient::All, Duration::from_secs(1)).await },
        );
    let Some((PeerMessage::SystemMessage { id, to, timeout_ms, .. }, content)) = manager.hear_all().await
    else {
        panic!("no system message")
    };
    assert_eq!((to, timeout_ms, &content[..]), (Recipient::All, 1_000, &[Payload::from("all")][..]));
    manager.say(&ManagerMessage::SystemReport { id, sent_to: 2, received_by: 1 }, &[]).await;
    assert_eq!(sent.await.unwrap().unwrap(), SystemReport { sent_to: 2, received_by: 1 });
    let large = vec![0; (1 << 20) + 1];
    let refused = client.system_message(large, Recipient::Manager, Duration::ZERO).await;
    assert!(matches!(refused, Err(Error::InvalidOption(_))));
    // Lost meanwhile: an error.
    let sent =
        tokio::spawn(async move { client.system_message("x", Recipient::Manager, Duration::ZERO).await });
    manager.hear().await.unwrap();
    drop(manager);
    assert!(matches!(sent.await.unwrap(), Err(Error::Unanswered(_))));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_has_handled_its_message() {
    let (client, _hatch, mut manager) = stage().await;
    let callback = |message: SystemMessage| {
        assert!(message.content != "at once", "before its future");
        async move { assert!(message.content != "later", "in its future") }
    };
    client.on_system_message(callback).unwrap();
    settle(&client, &mut manager).await;
    for (id, content) in (1..).zip(["at once", "later", "fine"]) {
        let bytes = u32::try_from(content.len()).unwrap();
        let message = ManagerMessage::SystemMessage { id: MessageId(id), from: PeerId(9), bytes };
        manager.say(&message, &[content.into()]).await;
        assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(id) }), "{content}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_confirmation_is_not_taken_for_one_of_the_next_session() {
    let (client, hatch, mut manager) = stage().await;
    let (mut sees, gate) = listen(&client);
    settle(&client, &mut manager).await;
    let message = ManagerMessage::SystemMessage { id: MessageId(1), from: PeerId(9), bytes: 2 };
    manager.say(&message, &["hi".into()]).await;
    assert_eq!(sees.recv().await.unwrap().content, "hi");
    drop(manager);
    let mut manager = hatch.connection().await.welcome(8).await;
    client.wait_for_session(Duration::from_secs(5)).await.unwrap();
    // The same number, and another message.
    manager.say(&message, &["ho".into()]).await;
    gate.add_permits(1);
    assert_eq!(sees.recv().await.unwrap().content, "ho");
    settle(&client, &mut manager).await;
    gate.add_permits(1);
    assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(1) }));
}

#[tokio::test(start_paused = true)]
async fn the_status_is_the_manager_s_text() {
    let (client, _hatch, mut manager) = stage().await;
    let status = tokio::spawn(async move { client.status().await });
    let Some(PeerMessage::StatusRequest { id }) = manager.hear().await else { panic!("no request") };
    manager.say(&ManagerMessage::Status { id, bytes: 2 }, &["{}".into()]).await;
    assert_eq!(status.await.unwrap().unwrap(), "{}");
}
