//! The state of the manager as JSON text. The scheduler's part is copied by the thread that owns it; the text is made on
//! another thread, so that a large fleet costs the jobs as little as possible.

use super::clerk::Clerk;
use super::config::Config;
use super::handle::Command;
use super::ready::Doorbell;
use super::room::Held;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::hint::likely;
use proletariat_protocol::{MessageId, PeerId, Time, limits};
use proletariat_scheduler::{PeerStatus, QueueStatus, RangeStatus, Scheduler, Status, WorkerStatus};
use serde_json::{Value, json};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Nobody reads more than this, whatever a message may have.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Who wants to know.
#[derive(Debug)]
pub(super) enum Asker {
    /// A peer, by its own number for the request.
    Peer(PeerId, MessageId),
    /// The owner.
    Owner(oneshot::Sender<String>),
}

/// What the driver itself knows.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) held: Held,
    /// Connections that were not let in.
    pub(super) refused: u64,
    /// Connections that a bound or a clock has ended.
    pub(super) given_up: u64,
    /// Connections that a fault of ours has ended.
    pub(super) faults: u64,
}

/// Collects who wants to know, and answers all of them with one text.
#[derive(Debug, Default)]
pub(super) struct StatusDesk {
    askers: Vec<Asker>,
    /// Those who are told nothing of others.
    restricted: Vec<Asker>,
    /// A text is being made; those who ask meanwhile get the next one.
    busy: bool,
    limits: Value,
    bytes_max: usize,
}

impl StatusDesk {
    /// For a manager with these settings.
    pub(super) fn new(config: &Config) -> Self {
        // What a peer of this manager takes as one message.
        let bytes_max = config.scheduler.payload_bytes_max.max(limits::SYSTEM_MESSAGE_BYTES_MAX as u64);
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX).min(TEXT_BYTES_MAX);
        Self { limits: limits_in_force(config), bytes_max, ..Self::default() }
    }

    /// Who is no administrator of a manager with tokens is told nothing of the queues and the peers.
    pub(super) fn ask(&mut self, asker: Asker, sees_all: bool) {
        if sees_all { self.askers.push(asker) } else { self.restricted.push(asker) }
    }

    /// The text that was being made is ready.
    pub(super) fn ready(&mut self) {
        self.busy = false;
    }

    /// Begins an answer if somebody waits for one. It comes back as a command.
    pub(super) fn answer(
        &mut self,
        now: Time,
        scheduler: &Scheduler,
        figures: impl FnOnce() -> Figures,
        doorbell: &Arc<Doorbell<Command>>,
        clerk: &mut Clerk,
    ) {
        if likely(self.busy | (self.askers.is_empty() & self.restricted.is_empty())) {
            return;
        }
        self.busy = true;
        let (askers, restricted) = (mem::take(&mut self.askers), mem::take(&mut self.restricted));
        let Figures { address, connections, held, refused, given_up, faults } = figures();
        let status = scheduler.status(now);
        let manager = json!({
            "software": super::SOFTWARE,
            "address": address.to_string(),
            "uptime_ms": now.0 / 1_000,
            "draining": status.draining,
            "connections": connections,
            "workers": status.workers.len(),
            "queued_jobs": status.queued_jobs,
            "queued_bytes": status.queued_bytes,
            "open_jobs": status.open_jobs,
            "assignments": status.assignments,
            "set_aside": status.set_aside,
            "finished": status.finished,
            "requeued": status.requeued,
            "unconfirmed_messages": status.unconfirmed_messages,
            "incomplete_bytes": held.incomplete_bytes,
            "outbox_bytes": held.outbox_bytes,
            "open_bytes": status.open_bytes,
            "connections_refused": refused,
            "connections_given_up": given_up,
            "connection_faults": faults,
        });
        let (limits, bytes_max, doorbell) = (self.limits.clone(), self.bytes_max, Arc::clone(doorbell));
        clerk.hand(move || {
            let mut texts = Vec::new();
            if !restricted.is_empty() {
                let status =
                    Status { queues: Vec::new(), lines_omitted: 0, peers: Vec::new(), ..status.clone() };
                texts.push((restricted, text(&manager, &status, &limits, bytes_max)));
            }
            if !askers.is_empty() {
                texts.push((askers, text(&manager, &status, &limits, bytes_max)));
            }
            // A manager that has ended owes nobody its state.
            let _ = doorbell.send(Command::StatusTexts(texts));
        });
    }
}

/// The text, of at most so many bytes: where there is more to tell, the first of each list.
fn text(manager: &Value, status: &Status, limits: &Value, bytes_max: usize) -> String {
    let lists = [status.workers.len(), status.queues.len(), status.peers.len()];
    let mut rows_max = lists.into_iter().max().unwrap_or(0);
    loop {
        let workers: Vec<Value> = status.workers.iter().take(rows_max).map(worker).collect();
        let queues: Vec<Value> = status.queues.iter().take(rows_max).map(queue).collect();
        let peers: Vec<Value> = status.peers.iter().take(rows_max).map(peer).collect();
        let [more_workers, more_queues, more_peers] = lists.map(|rows| rows.saturating_sub(rows_max));
        let mut all = json!({ "manager": manager, "workers": workers, "queues": queues, "peers": peers, "limits": limits });
        if more_workers + more_queues + more_peers + status.lines_omitted > 0 {
            let queues = more_queues + status.lines_omitted;
            all["omitted"] = json!({ "workers": more_workers, "queues": queues, "peers": more_peers });
        }
        let text = all.to_string();
        if text.len() <= bytes_max || rows_max == 0 {
            return text;
        }
        rows_max /= 2;
    }
}

fn worker(worker: &WorkerStatus) -> Value {
    let range = |range: &RangeStatus| {
        json!({
            "from": range.from,
            "guarantee": range.guarantee,
            "limit": range.limit,
            "used": range.used,
            "free": range.free,
        })
    };
    let stopping: Vec<Value> = worker
        .stopping
        .iter()
        .map(|(assignment, age)| json!({ "assignment": assignment.0, "age_ms": millis(*age) }))
        .collect();
    json!({
        "peer": worker.peer.0,
        "name": worker.name,
        "slots": worker.slots,
        "withdrawn": worker.withdrawn,
        "paused": worker.paused,
        "kinds": worker.kinds,
        "paused_kinds": worker.paused_kinds,
        "ranges": worker.ranges.iter().map(range).collect::<Vec<_>>(),
        "running": worker.running,
        "stopping": stopping,
    })
}

fn queue(queue: &QueueStatus) -> Value {
    json!({
        "kind": queue.kind,
        "priority": queue.priority,
        "queued": queue.queued,
        "offered": queue.offered,
    })
}

fn peer(peer: &PeerStatus) -> Value {
    json!({
        "peer": peer.peer.0,
        "name": peer.name,
        "roles": role_names(peer.roles),
        "open_jobs": peer.open_jobs,
        "queued_jobs": peer.queued_jobs,
    })
}

pub(super) fn role_names(roles: Roles) -> Vec<&'static str> {
    [("client", roles.client), ("worker", roles.worker), ("admin", roles.admin)]
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect()
}

/// Every bound in force; 0: none.
fn limits_in_force(config: &Config) -> Value {
    let scheduler = &config.scheduler;
    json!({
        "max_connections": config.connections_max,
        "max_connections_per_address": config.connections_per_address_max,
        "handshake_timeout_ms": millis(config.handshake_timeout),
        "frame_timeout_ms": millis(config.frame_timeout),
        "heartbeat_ms": millis(config.heartbeat),
        "heartbeat_timeout_ms": millis(config.heartbeat_timeout),
        "max_payload": scheduler.payload_bytes_max,
        "max_queued_jobs": scheduler.queued_jobs_max,
        "max_queued_jobs_per_client": scheduler.queued_jobs_per_client_max,
        "max_queued_bytes": scheduler.queued_bytes_max,
        "max_open_jobs": scheduler.open_jobs_max,
        "max_open_bytes": scheduler.open_bytes_max,
        "max_aborts_per_second": scheduler.aborts_per_second_max,
        "max_attempts": scheduler.max_attempts,
        "outbox_pause_bytes": config.outbox_pause_bytes,
        "outbox_stall_ms": millis(config.outbox_stall),
        "max_outbox_bytes": config.outbox_bytes_max,
        "max_outboxes_bytes": config.outboxes_bytes_max,
        "max_incomplete_bytes": config.incomplete_bytes_max,
        "max_slots": limits::SLOTS_MAX,
        "max_ranges": limits::RANGES_MAX,
        "max_kinds": limits::KINDS_MAX,
        "max_name_bytes": limits::NAME_BYTES_MAX,
        "max_key_bytes": limits::KEY_BYTES_MAX,
        "max_system_message_bytes": limits::SYSTEM_MESSAGE_BYTES_MAX,
        "max_open_system_messages": limits::SYSTEM_MESSAGES_OPEN_MAX,
        "max_frame_bytes": limits::FRAME_BYTES_MAX,
        "max_jobs_per_submit": limits::JOBS_PER_SUBMIT_MAX,
        "max_clock_ms": limits::CLOCK_MILLIS_MAX,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
