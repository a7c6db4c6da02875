//! The whole client over a stream in memory, with the manager's end played by hand and the clock paused.

mod calls;
mod messages;
mod sessions;

use super::*;
use crate::net::hatch::{Hatch, ManagerEnd};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{JobOutcome, ManagerMessage, PeerMessage};
use proletariat_protocol::{JobId, Payload};
use std::time::Duration;

async fn stage() -> (Client, Hatch, ManagerEnd) {
    let (hatch, connector) = Hatch::open();
    let client = Client::builder().name("tester").over(connector);
    let manager = hatch.connection().await.welcome(7).await;
    client.wait_for_session(Duration::from_secs(5)).await.unwrap();
    (client, hatch, manager)
}

/// The next submit: its first number and its payloads.
async fn submit(manager: &mut ManagerEnd) -> (u64, Vec<Payload>) {
    match manager.hear_all().await {
        Some((PeerMessage::Submit { first, .. }, payloads)) => (first.0, payloads),
        other => panic!("{other:?}"),
    }
}

async fn end(manager: &mut ManagerEnd, job: u64, outcome: OutcomeKind, payload: &Payload) {
    let bytes = u32::try_from(payload.len()).unwrap();
    let jobs = vec![JobOutcome { job: JobId(job), outcome, bytes }];
    manager.say(&ManagerMessage::Outcomes { jobs }, std::slice::from_ref(payload)).await;
}
