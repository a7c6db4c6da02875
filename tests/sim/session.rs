//! A connection as the manager has it, and how what waits in an outbox gets into the network.

use crate::environment::Environment;
use crate::liveness::Liveness;
use crate::network::Side;
use crate::translate::Speaker;
use proletariat::net::{Inbox, Order, Outbox};
use proletariat_protocol::batch::Batch;
use proletariat_protocol::handshake::Refusal;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{Payload, Time};
use proletariat_scheduler::OutboxLevel;
use std::io::IoSlice;

/// A connection.
pub struct Session {
    pub greeting: Vec<u8>,
    /// There was no place for it.
    pub closed: Option<Refusal>,
    /// Goes before all messages.
    pub first: Vec<u8>,
    pub inbox: Inbox,
    pub outbox: Outbox,
    /// Executions of a turn.
    pub batch: Batch,
    pub liveness: Liveness,
    pub look: Time,
    pub speaker: Option<Speaker>,
    pub level: OutboxLevel,
}

impl Session {
    pub fn new(now: Time, payload_bytes_max: u64) -> Self {
        Self {
            greeting: Vec::new(),
            closed: None,
            first: Vec::new(),
            inbox: Inbox::new(payload_bytes_max),
            outbox: Outbox::new(),
            batch: Batch::default(),
            liveness: Liveness::new(now),
            look: now,
            speaker: None,
            level: OutboxLevel::Clear,
        }
    }

    pub fn waiting(&self) -> usize {
        self.first.len() + self.outbox.bytes()
    }

    pub fn push(&mut self, message: &ManagerMessage, payloads: &[Payload], order: Order) {
        self.seal();
        self.outbox.push(message, payloads, order);
    }

    /// What was gathered becomes messages.
    pub fn seal(&mut self) {
        if self.batch.of().is_some() {
            self.outbox.push_batch(&mut self.batch);
            self.batch.clear();
        }
    }
}

/// Writes what waits, as far as there is room; whether anything was written and there may be more.
pub fn write_some(env: &mut Environment, connection: u64, from: Side, outbox: &mut Outbox) -> bool {
    let mut slices = [IoSlice::new(&[]); 16];
    let count = outbox.slices(&mut slices);
    let bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
    if bytes.is_empty() {
        return false;
    }
    let taken = env.write(connection, from, &bytes);
    outbox.advance(taken);
    taken > 0
}
