//! How things stand, as the ancestor's programs read it.
//!
//! Thousands may ask at the same time, and a `status` names everybody. So its text is written once for all who ask, and an answer is
//! parts of that text, around what tells its asker which row is its own.

use super::FRAME_BYTES_MAX;
use super::moment::iso;
use proletariat_protocol::{Payload, PeerId};
use proletariat_scheduler::{PeerStatus, RangeStatus, Status, WorkerStatus};
use serde_json::{Map, Value, json};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// What stands at the end of the asker's own row.
const YOU: &[u8] = br#","you":true"#;

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
    pub(in crate::manager) now: u64,
}

/// How things stood at one time, for all who asked.
#[derive(Debug)]
pub(in crate::manager) struct Survey<'a> {
    status: &'a Status,
    times: Times,
    sacred: bool,
    workers: BTreeMap<PeerId, &'a WorkerStatus>,
    peers: BTreeMap<PeerId, &'a PeerStatus>,
    /// There when somebody has asked for it.
    listing: OnceCell<Listing>,
}

/// The text of a `status` in which nobody is the asker, and where in it each row of a peer ends.
#[derive(Debug)]
struct Listing {
    text: Payload,
    ends: BTreeSet<(PeerId, usize)>,
}

impl<'a> Survey<'a> {
    pub(in crate::manager) fn new(status: &'a Status, times: Times, sacred: bool) -> Self {
        let workers = status.workers.iter().map(|row| (row.peer, row)).collect();
        let peers = status.peers.iter().map(|row| (row.peer, row)).collect();
        Self { status, times, sacred, workers, peers, listing: OnceCell::new() }
    }

    /// The text of the answer to a peer that is connected since then, in parts.
    pub(in crate::manager) fn answer(
        &self,
        question: Question,
        peer: PeerId,
        connected: u64,
    ) -> Vec<Payload> {
        match question {
            Question::Own => vec![Payload::from(self.own(peer, connected).to_string())],
            Question::All => self.listing.get_or_init(|| self.list()).told_to(peer),
        }
    }

    fn own(&self, peer: PeerId, connected: u64) -> Value {
        let worker = self.workers.get(&peer).copied();
        let client = self.peers.get(&peer).copied();
        let state = worker.map_or_else(|| client.map_or("gone", client_state), worker_state);
        json!({
            "command": "answer",
            "to": "mystatus",
            "id": peer.to_string(),
            "type": if worker.is_some() { "worker" } else { "client" },
            "connected": iso(connected),
            "current": iso(self.times.now),
            "status": state,
            "ranges": worker.map_or_else(Vec::new, |worker| worker.ranges.iter().map(range).collect()),
        })
    }

    fn list(&self) -> Listing {
        let status = self.status;
        let offering = || status.workers.iter().filter(|worker| !worker.withdrawn);
        let free = |worker: &WorkerStatus| {
            let used: u32 = worker.ranges.iter().map(|range| range.used).sum();
            u64::from(worker.slots.saturating_sub(used))
        };
        let figures = json!({
            "command": "answer",
            "to": "status",
            "isClean": status.open_jobs == 0 && status.assignments == 0,
            "pendingWorks": status.queued_jobs,
            "globalAvailableSlots": offering().map(free).sum::<u64>(),
            "globalRunningWorks": status.assignments,
            "globalWorksOnHold": status.open_jobs.saturating_sub(status.queued_jobs + status.assignments),
            "finishCount": status.finished,
            "sacredRanges": self.sacred,
            "ranges": merged(offering()),
        })
        .to_string();
        let is_client = |row: &&PeerStatus| row.open_jobs > 0 || !self.workers.contains_key(&row.peer);
        let clients = status.peers.iter().filter(is_client);
        let mut text = format!(r#"{{"bootTime":{},"canCleanup":true,"clients":["#, self.times.boot);
        let mut ends = BTreeSet::new();
        put_rows(&mut text, &mut ends, clients.map(|row| (row.peer, client(row))));
        text.extend(["],", &figures[1..figures.len() - 1], r#","workers":["#]);
        put_rows(&mut text, &mut ends, status.workers.iter().map(|row| (row.peer, worker(row))));
        text.push_str("]}");
        Listing { text: Payload::from(text), ends }
    }
}

impl Listing {
    /// The text with the rows of this peer marked.
    fn told_to(&self, peer: PeerId) -> Vec<Payload> {
        let (mut parts, mut from) = (Vec::new(), 0);
        for &(_, end) in self.ends.range((peer, 0)..=(peer, usize::MAX)) {
            parts.extend([self.text.slice(from..end), Payload::from_static(YOU)]);
            from = end;
        }
        parts.push(self.text.slice(from..));
        parts
    }
}

/// Adds rows, and notes where each ends. A text that fits into no frame is told to nobody, so it grows no further.
fn put_rows(
    text: &mut String,
    ends: &mut BTreeSet<(PeerId, usize)>,
    rows: impl Iterator<Item = (PeerId, Value)>,
) {
    for (place, (peer, row)) in rows.enumerate() {
        if text.len() > FRAME_BYTES_MAX {
            return;
        }
        if place > 0 {
            text.push(',');
        }
        text.push_str(&row.to_string());
        // What is added to a row stands before its last bracket.
        ends.insert((peer, text.len() - 1));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_into_no_frame_is_not_written_to_its_end() {
        let row = Value::from("x".repeat(1 << 20));
        let (mut text, mut ends, mut made) = (String::new(), BTreeSet::new(), 0);
        let rows = (0..100).map(|peer| {
            made += 1;
            (PeerId(peer), row.clone())
        });
        put_rows(&mut text, &mut ends, rows);
        assert!(text.len() > FRAME_BYTES_MAX && made <= FRAME_BYTES_MAX / (1 << 20) + 1, "{made} rows");
    }

    #[test]
    fn the_rows_of_the_asker_are_marked_wherever_they_are() {
        let (mut text, mut ends) = (String::new(), BTreeSet::new());
        let row = |peer| (PeerId(peer), json!({ "id": peer }));
        put_rows(&mut text, &mut ends, [7, 8].map(row).into_iter());
        text.push(';');
        put_rows(&mut text, &mut ends, [9, 7].map(row).into_iter());
        let listing = Listing { text: Payload::from(text), ends };
        let told = |peer| String::from_utf8(listing.told_to(PeerId(peer)).concat()).unwrap();
        assert_eq!(told(7), r#"{"id":7,"you":true},{"id":8};{"id":9},{"id":7,"you":true}"#);
        assert_eq!(told(9), r#"{"id":7},{"id":8};{"id":9,"you":true},{"id":7}"#);
        assert_eq!(told(0), r#"{"id":7},{"id":8};{"id":9},{"id":7}"#);
    }
}
