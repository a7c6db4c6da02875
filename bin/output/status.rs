//! The manager's state for people, and the reason why a call waits. Both read the JSON that the manager sends; what a
//! newer or older manager leaves out is shown as `-`, never as a failure.

use crate::terminal::bold;
use proletariat_protocol::shown::safe;
use serde_json::Value;
use std::fmt::Write;

/// Tables for people.
#[must_use]
pub fn human(status: &Value, color: bool) -> String {
    let mut out = String::new();
    pairs(&mut out, "manager", &status["manager"], color);
    workers(&mut out, status, color);
    queues(&mut out, status, color);
    peers(&mut out, status, color);
    pairs(&mut out, "too many to list", &status["omitted"], color);
    pairs(&mut out, "limits", &status["limits"], color);
    out
}

fn items<'a>(status: &'a Value, key: &str) -> &'a [Value] {
    status[key].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        // Names and kinds are those of peers.
        Value::String(text) => safe(text),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn pairs(out: &mut String, title: &str, object: &Value, color: bool) {
    let Some(object) = object.as_object() else { return };
    heading(out, title, color);
    let width = object.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    for (key, value) in object {
        let _ = writeln!(out, "  {key:width$}  {}", text(value));
    }
}

fn workers(out: &mut String, status: &Value, color: bool) {
    let workers = items(status, "workers");
    heading(out, &format!("workers: {}", workers.len()), color);
    let mut rows = Vec::new();
    for worker in workers {
        let kinds = if worker["kinds"].is_array() { text(&worker["kinds"]) } else { "any".to_owned() };
        let own = [
            text(&worker["peer"]),
            text(&worker["name"]),
            kinds,
            text(&worker["slots"]),
            text(&worker["running"]),
            stopping(&worker["stopping"]),
        ];
        for (line, range) in items(worker, "ranges").iter().enumerate() {
            let range = ["from", "guarantee", "limit", "used", "free"].map(|key| text(&range[key]));
            // The worker stands on the line of its first range only.
            let own = if line == 0 { own.clone() } else { [const { String::new() }; 6] };
            rows.push(own.into_iter().chain(range).collect());
        }
        if items(worker, "ranges").is_empty() {
            rows.push(own.to_vec());
        }
    }
    let head = [
        "worker",
        "name",
        "kinds",
        "slots",
        "running",
        "stopping",
        "from",
        "guarantee",
        "limit",
        "used",
        "free",
    ];
    table(out, &head, &rows);
}

/// How many assignments are being stopped, and for how long the oldest.
fn stopping(value: &Value) -> String {
    let ages: Vec<_> =
        value.as_array().map_or(&[][..], Vec::as_slice).iter().map(|one| one["age_ms"].as_u64()).collect();
    match ages.iter().flatten().max() {
        Some(oldest) => format!("{} ({oldest} ms)", ages.len()),
        None => ages.len().to_string(),
    }
}

fn queues(out: &mut String, status: &Value, color: bool) {
    let queues = items(status, "queues");
    let queued: u64 = queues.iter().filter_map(|queue| queue["queued"].as_u64()).sum();
    heading(out, &format!("queues: {queued} queued"), color);
    let row = |queue: &Value| ["kind", "priority", "queued"].map(|key| text(&queue[key])).to_vec();
    table(out, &["kind", "priority", "queued"], &queues.iter().map(row).collect::<Vec<_>>());
}

fn peers(out: &mut String, status: &Value, color: bool) {
    let peers = items(status, "peers");
    heading(out, &format!("peers: {}", peers.len()), color);
    let row = |peer: &Value| ["peer", "name", "roles"].map(|key| text(&peer[key])).to_vec();
    table(out, &["peer", "name", "roles"], &peers.iter().map(row).collect::<Vec<_>>());
}

fn heading(out: &mut String, title: &str, color: bool) {
    let _ = writeln!(out, "{}", bold(title, color));
}

/// Columns as wide as their widest cell; no table at all without rows.
fn table(out: &mut String, head: &[&str], rows: &[Vec<String>]) {
    if rows.is_empty() {
        return;
    }
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, " {cell:width$} ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Why queued jobs of this kind do not get on, from the manager's state; `None` if none of them is queued, or if that cannot be
/// seen: who is no administrator of a manager with tokens sees workers alone, and a state that is too large is not told whole.
/// No counts in it, so that an unchanged reason is an unchanged sentence.
#[must_use]
pub fn waiting_reason(status: &Value, kind: Option<&str>) -> Option<String> {
    let is_ours = |value: &Value| value.as_str().filter(|name| !name.is_empty()) == kind;
    let is_whole = |list: &str| status["omitted"][list].as_u64().unwrap_or(0) == 0;
    let mut queues = items(status, "queues").iter();
    let is_queued = queues.any(|queue| is_ours(&queue["kind"]) && queue["queued"].as_u64() != Some(0));
    // Whoever sees the peers sees itself.
    let sees_queues = !items(status, "peers").is_empty() && is_whole("queues");
    if !is_queued && (sees_queues || status["workers"].is_null()) {
        return None;
    }
    let workers = items(status, "workers");
    let takes = |worker: &&Value| match (worker["kinds"].as_array(), kind) {
        (None, _) => true,
        (Some(kinds), Some(kind)) => kinds.iter().any(|offered| offered == kind),
        (Some(_), None) => false,
    };
    let able: Vec<_> = workers.iter().filter(takes).collect();
    let has_free =
        |worker: &Value| items(worker, "ranges").iter().any(|range| range["free"].as_u64() > Some(0));
    if able.is_empty() && !is_whole("workers") || !able.is_empty() && !is_queued {
        return None;
    }
    Some(match kind {
        _ if workers.is_empty() => "no worker is connected".to_owned(),
        Some(kind) if able.is_empty() => format!("no worker offers kind {kind}"),
        None if able.is_empty() => "no worker takes jobs without a kind".to_owned(),
        _ if able.iter().any(|worker| has_free(worker)) => {
            "no worker has a slot for this priority yet".to_owned()
        }
        _ => "all slots are taken".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example() -> Value {
        let ranges = json!([
            {"from": 0, "guarantee": 50, "limit": 50, "used": 2, "free": 48},
            {"from": 1, "guarantee": 30, "limit": 80, "used": 0, "free": 78},
        ]);
        json!({
            "manager": {"version": "0.1.0", "uptime_ms": 1234},
            "workers": [
                {"peer": 1, "name": "w1", "slots": 100, "kinds": null, "ranges": ranges, "running": 2, "stopping": [{"age_ms": 70}, {"age_ms": 30}]},
                {"peer": 2, "name": "", "slots": 2, "kinds": ["hang", "mult"],
                 "ranges": [{"from": 0, "guarantee": 2, "limit": 2, "used": 2, "free": 0}], "running": 2, "stopping": []},
            ],
            "queues": [{"kind": "hang", "priority": 7, "queued": 3}, {"kind": null, "priority": 0, "queued": 1}],
            "peers": [{"peer": 1, "name": "w1", "roles": ["worker"]}],
            "limits": {"max_payload": 20_971_520},
        })
    }

    #[test]
    fn tables_for_people() {
        let expected = "\
manager
  uptime_ms  1234
  version    0.1.0
workers: 2
  worker  name  kinds      slots  running  stopping   from  guarantee  limit  used  free
  1       w1    any        100    2        2 (70 ms)  0     50         50     2     48
                                                      1     30         80     0     78
  2       -     hang,mult  2      2        0          0     2          2      2     0
queues: 4 queued
  kind  priority  queued
  hang  7         3
  -     0         1
peers: 1
  peer  name  roles
  1     w1    worker
limits
  max_payload  20971520
";
        assert_eq!(human(&example(), false), expected);
        assert!(human(&example(), true).starts_with("\x1b[1mmanager\x1b[0m\n"));
    }

    #[test]
    fn no_peer_writes_to_the_terminal_of_others() {
        let mut status = example();
        status["queues"][0]["kind"] = json!("\u{1b}]0;owned\u{7}\u{202e}x\ny");
        status["workers"][0]["name"] = json!("a\u{1b}[2Jb");
        status["workers"][0]["kinds"] = json!(["\r1"]);
        let shown = human(&status, false);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{shown:?}");
        assert!(
            shown.contains("_]0;owned__x_y") && shown.contains("a_[2Jb") && shown.contains("_1"),
            "{shown}"
        );
    }

    #[test]
    fn a_manager_that_says_nothing_is_no_failure() {
        assert_eq!(human(&json!({}), false), "workers: 0\nqueues: 0 queued\npeers: 0\n");
        assert_eq!(human(&json!([1]), false), "workers: 0\nqueues: 0 queued\npeers: 0\n");
    }

    #[test]
    fn reasons_to_wait() {
        let mut status = example();
        let reason = |status: &Value, kind| waiting_reason(status, kind).unwrap_or_default();
        assert_eq!(waiting_reason(&json!({}), Some("hang")), None);
        assert_eq!(waiting_reason(&status, Some("mult")), None, "none of them is queued");
        assert_eq!(reason(&status, Some("hang")), "no worker has a slot for this priority yet");
        let mut restricted = status.clone();
        (restricted["queues"], restricted["peers"]) = (json!([]), json!([]));
        assert_eq!(waiting_reason(&restricted, Some("hang")), None, "it may be running");
        restricted["workers"].as_array_mut().unwrap().remove(0);
        assert_eq!(reason(&restricted, Some("add")), "no worker offers kind add", "it cannot");
        restricted["omitted"] = json!({"workers": 1, "queues": 0, "peers": 0});
        assert_eq!(waiting_reason(&restricted, Some("add")), None, "not all workers are listed");
        status["workers"].as_array_mut().unwrap().remove(0);
        assert_eq!(reason(&status, Some("hang")), "all slots are taken");
        assert_eq!(reason(&status, None), "no worker takes jobs without a kind");
        status["workers"][0]["kinds"] = json!(["mult"]);
        assert_eq!(reason(&status, Some("hang")), "no worker offers kind hang");
        status["workers"] = json!([]);
        assert_eq!(reason(&status, Some("hang")), "no worker is connected");
    }
}
