//! How things stand, as the ancestor's programs read it.

use super::moment::iso;
use proletariat_protocol::{Payload, PeerId};
use proletariat_scheduler::{PeerStatus, RangeStatus, Status, WorkerStatus};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a peer wants to know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::manager) enum Question {
    /// `mystatus`.
    Own,
    /// `status`.
    All,
}

/// What is not in the scheduler's status.
#[derive(Clone, Copy, Debug)]
pub(in crate::manager) struct Times {
    /// When the manager started, in milliseconds since 1970 like the others.
    pub(in crate::manager) boot: u64,
    /// When the peer that asks connected.
    pub(in crate::manager) connected: u64,
    pub(in crate::manager) now: u64,
}

/// The text of the answer to a peer.
pub(in crate::manager) fn answer(
    question: Question,
    peer: PeerId,
    times: Times,
    sacred: bool,
    status: &Status,
) -> Payload {
    let value = match question {
        Question::Own => own(peer, times, status),
        Question::All => all(peer, times, sacred, status),
    };
    Payload::from(value.to_string())
}

fn own(peer: PeerId, times: Times, status: &Status) -> Value {
    let worker = status.workers.iter().find(|worker| worker.peer == peer);
    let client = status.peers.iter().find(|row| row.peer == peer);
    let state = worker.map_or_else(|| client.map_or("gone", client_state), worker_state);
    json!({
        "command": "answer",
        "to": "mystatus",
        "id": peer.to_string(),
        "type": if worker.is_some() { "worker" } else { "client" },
        "connected": iso(times.connected),
        "current": iso(times.now),
        "status": state,
        "ranges": worker.map_or_else(Vec::new, |worker| worker.ranges.iter().map(range).collect()),
    })
}

fn all(peer: PeerId, times: Times, sacred: bool, status: &Status) -> Value {
    let offering = || status.workers.iter().filter(|worker| !worker.withdrawn);
    let free = |worker: &WorkerStatus| {
        let used: u32 = worker.ranges.iter().map(|range| range.used).sum();
        u64::from(worker.slots.saturating_sub(used))
    };
    let is_worker = |id: PeerId| status.workers.iter().any(|worker| worker.peer == id);
    let clients = status.peers.iter().filter(|client| client.open_jobs > 0 || !is_worker(client.peer));
    let you = |mut entry: Value, id: PeerId| {
        if id == peer {
            entry["you"] = true.into();
        }
        entry
    };
    json!({
        "command": "answer",
        "to": "status",
        "bootTime": times.boot,
        "canCleanup": true,
        "isClean": status.open_jobs == 0 && status.assignments == 0,
        "pendingWorks": status.queued_jobs,
        "globalAvailableSlots": offering().map(free).sum::<u64>(),
        "globalRunningWorks": status.assignments,
        "globalWorksOnHold": status.open_jobs.saturating_sub(status.queued_jobs + status.assignments),
        "finishCount": status.finished,
        "sacredRanges": sacred,
        "ranges": merged(offering()),
        "workers": status.workers.iter().map(|row| you(worker(row), row.peer)).collect::<Vec<_>>(),
        "clients": clients.map(|row| you(client(row), row.peer)).collect::<Vec<_>>(),
    })
}

fn worker(worker: &WorkerStatus) -> Value {
    let offer: Map<String, Value> =
        worker.ranges.iter().map(|range| (range.from.to_string(), range.guarantee.into())).collect();
    json!({
        "id": worker.peer.to_string(),
        "status": worker_state(worker),
        "ranges": worker.ranges.iter().map(range).collect::<Vec<_>>(),
        "offer": offer,
    })
}

fn client(client: &PeerStatus) -> Value {
    json!({ "id": client.peer.to_string(), "status": client_state(client) })
}

fn range(range: &RangeStatus) -> Value {
    json!({ "from": range.from, "limit": range.limit, "used": range.used })
}

/// The ranges of all workers by their lower bounds, added up.
fn merged<'a>(workers: impl Iterator<Item = &'a WorkerStatus>) -> Vec<Value> {
    let mut ranges: BTreeMap<u32, (u64, u64, Vec<String>)> = BTreeMap::new();
    for worker in workers {
        for range in &worker.ranges {
            let (limit, used, ids) = ranges.entry(range.from).or_default();
            *limit += u64::from(range.limit);
            *used += u64::from(range.used);
            ids.push(worker.peer.to_string());
        }
    }
    let row = |(from, (limit, used, workers))| json!({ "from": from, "limit": limit, "used": used, "workers": workers });
    ranges.into_iter().map(row).collect()
}

fn worker_state(worker: &WorkerStatus) -> &'static str {
    match (worker.withdrawn, worker.running) {
        (true, _) => "leaving",
        (false, 0) => "idle",
        (false, _) => "working",
    }
}

fn client_state(client: &PeerStatus) -> &'static str {
    if client.open_jobs > 0 { "waiting" } else { "idle" }
}
