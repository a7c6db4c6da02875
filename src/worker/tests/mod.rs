//! The library over a stream in memory, with the manager's end played by hand.

use super::*;
use crate::net::hatch::{Hatch, ManagerEnd};
use proletariat_protocol::handshake::{Answer, Refusal};
use proletariat_protocol::message::{AssignedExecution, ManagerMessage, PeerMessage};
use proletariat_protocol::{AssignmentId, PeerId, WorkResult};
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;

mod owner;
mod runs;

/// Starts a worker; the first stream comes through the hatch.
fn start(builder: Builder) -> (Hatch, JoinHandle<Result<Worker, Error>>) {
    let (hatch, connector) = Hatch::open();
    (hatch, tokio::spawn(builder.start_over(connector)))
}

/// A worker whose offer holds.
async fn serving(builder: Builder) -> (Hatch, ManagerEnd, Worker) {
    let (hatch, started) = start(builder);
    let mut manager = hatch.connection().await.welcome(7).await;
    assert!(manager.hello.roles.worker && !manager.hello.roles.client);
    let offer = manager.hear().await;
    assert!(matches!(offer, Some(PeerMessage::Offer(_))), "{offer:?}");
    manager.say(&ManagerMessage::OfferAccepted, &[]).await;
    (hatch, manager, started.await.unwrap().unwrap())
}

impl ManagerEnd {
    async fn assign(&mut self, executions: Vec<AssignedExecution>, payload: &'static [u8]) {
        let bytes = u32::try_from(payload.len()).unwrap();
        let executions: Vec<_> =
            executions.into_iter().map(|execution| AssignedExecution { bytes, ..execution }).collect();
        let payloads = vec![Payload::from_static(payload); executions.len()];
        self.say(&ManagerMessage::Assign { executions }, &payloads).await;
    }

    async fn cancel(&mut self, assignment: u64) {
        self.say(&ManagerMessage::Cancel { assignment: AssignmentId(assignment) }, &[]).await;
    }

    /// The next message that is neither a sign of life nor about a start.
    async fn hear_news(&mut self) -> (PeerMessage, Vec<Payload>) {
        loop {
            let (message, payloads) = self.hear_all().await.expect("the session goes on");
            match message {
                PeerMessage::Ping => self.say(&ManagerMessage::Pong, &[]).await,
                PeerMessage::Started { .. } => {}
                message => return (message, payloads),
            }
        }
    }

    async fn hear_end(&mut self) -> PeerMessage {
        self.hear_news().await.0
    }

    /// The next result, alone in its message.
    async fn result(&mut self) -> (WorkResult, String) {
        let (message, payloads) = self.hear_news().await;
        let (PeerMessage::Finished { runs }, [payload]) = (&message, &payloads[..]) else {
            panic!("{message:?}");
        };
        (runs[0].result, String::from_utf8(payload.to_vec()).unwrap())
    }
}

fn execution(assignment: u64) -> AssignedExecution {
    AssignedExecution {
        assignment: AssignmentId(assignment),
        bytes: 0,
        attempt: 1,
        priority: 0,
        run_limit_ms: 0,
        rest_ms: 0,
        kind: None,
        stream: false,
    }
}
