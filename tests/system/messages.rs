//! System messages: to all, to one, to the manager, to somebody who leaves, to nobody.

use crate::harness::{CLIENT, LIMIT, Test, WORKER, let_time_pass, until};
use proletariat_protocol::PeerId;
use proletariat_protocol::message::{PeerMessage, Recipient};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn to_everybody_else_and_the_manager() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _worker = manager.ready_worker(&[]);
    let listeners: Vec<_> =
        (0..2).map(|_| manager.client(&["sysmsg", "--listen", "--output", "jsonl"])).collect();
    let mut raw = manager.peer(CLIENT);
    manager.until("all are there", |status| status["peers"].as_array().unwrap().len() == 5);
    let sender = manager.client(&["sysmsg", "{\"do\":\"something\"}", "--output", "json"]);
    let (id, from, content) = raw.system_message();
    assert_eq!(content, b"{\"do\":\"something\"}"[..]);
    for listener in &listeners {
        listener.until_it_prints("something");
        assert!(listener.out().contains(&from.to_string()), "{} has no sender {from}", listener.out());
    }
    raw.say(&PeerMessage::Confirm { id }, &[]);
    let report = sender.ended().expect(0).json();
    // The worker, the two listeners and the raw peer; the manager is not counted.
    assert_eq!(report, json!({"sentTo": 4, "receivedBy": 4}));
}

#[test]
fn to_one_alone() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let (mut one, mut other) = (manager.peer(CLIENT), manager.peer(WORKER));
    let sender = manager.client(&["sysmsg", "psst", "--to", &one.id.to_string(), "--output", "json"]);
    let (id, _, content) = one.system_message();
    assert_eq!(content, b"psst"[..]);
    one.say(&PeerMessage::Confirm { id }, &[]);
    assert_eq!(sender.ended().expect(0).json(), json!({"sentTo": 1, "receivedBy": 1}));
    other.sync();
}

#[test]
fn to_the_manager_alone() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut other = manager.peer(CLIENT);
    let report = manager.ask(&["sysmsg", "hello", "--to", "MANAGER", "--output", "json"]).expect(0).json();
    assert_eq!(report, json!({"sentTo": 1, "receivedBy": 1}));
    other.sync();
}

#[test]
fn to_all_while_nobody_is_there() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let report = manager.ask(&["sysmsg", "hello", "--output", "json"]).expect(0).json();
    assert_eq!(report, json!({"sentTo": 0, "receivedBy": 0}));
}

#[test]
fn to_somebody_unknown() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let report = manager.ask(&["sysmsg", "hello", "--to", "999999", "--output", "json"]).expect(0).json();
    assert_eq!(report, json!({"sentTo": 0, "receivedBy": 0}));
    let mut sender = manager.peer(CLIENT);
    sender.tell(Recipient::Peer(PeerId(999_999)), b"x", 0);
    assert_eq!(sender.report(), (0, 0));
}

#[test]
fn who_leaves_without_confirming_was_sent_to_and_has_not_received() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut sender = manager.peer(CLIENT);
    let (mut stays, mut leaves) = (manager.peer(CLIENT), manager.peer(WORKER));
    sender.tell(Recipient::All, b"x", 0);
    let (id, from, _) = stays.system_message();
    assert_eq!(from, sender.id);
    stays.say(&PeerMessage::Confirm { id }, &[]);
    leaves.system_message();
    drop(leaves);
    assert_eq!(sender.report(), (2, 1));
}

#[test]
fn confirmations_count_once_and_only_from_those_who_got_the_message() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut sender = manager.peer(CLIENT);
    let (mut one, mut two, mut stranger) = (manager.peer(CLIENT), manager.peer(CLIENT), manager.peer(CLIENT));
    sender.tell(Recipient::Peer(one.id), b"x", 0);
    let (id, ..) = one.system_message();
    stranger.say(&PeerMessage::Confirm { id }, &[]);
    stranger.sync();
    sender.sync();
    one.say(&PeerMessage::Confirm { id }, &[]);
    assert_eq!(sender.report(), (1, 1));
    drop(stranger);
    manager.until("the stranger is gone", |status| status["peers"].as_array().unwrap().len() == 4);
    sender.tell(Recipient::All, b"y", 0);
    let (id, ..) = one.system_message();
    one.say(&PeerMessage::Confirm { id }, &[]);
    one.say(&PeerMessage::Confirm { id }, &[]);
    one.sync();
    sender.sync();
    let (id, ..) = two.system_message();
    two.say(&PeerMessage::Confirm { id }, &[]);
    assert_eq!(sender.report(), (2, 2));
}

#[test]
fn a_timeout_ends_the_wait_for_confirmations() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let _deaf = manager.peer(CLIENT);
    let begun = Instant::now();
    let ended = manager.ask(&["sysmsg", "x", "--timeout", "200ms", "--output", "json"]).expect(4);
    assert_eq!(ended.json(), json!({"sentTo": 1, "receivedBy": 0}));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert!(begun.elapsed() < LIMIT / 2, "{:?}", begun.elapsed());
}

#[test]
fn a_lost_manager_is_an_error_and_the_message_is_not_sent_again() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port;
    let mut deaf = manager.peer(CLIENT);
    let sender = manager.client(&["sysmsg", "x"]);
    deaf.system_message();
    manager.kill();
    let manager = test.manager_at(port, &[]);
    let mut again = manager.peer(CLIENT);
    let ended = sender.ended();
    assert!(ended.code != Some(0) && !ended.err.is_empty(), "{ended:?}");
    again.sync();
}

#[test]
fn either_a_content_or_listening() {
    let test = Test::new();
    for words in [&["sysmsg"][..], &["sysmsg", "--listen=false"], &["sysmsg", "x", "--listen"]] {
        test.run("client", words).expect(2).said(&["CONTENT", "--listen"]);
    }
    let manager = test.manager(&[]);
    let told = manager.ask(&["sysmsg", "x", "--listen=false", "--to", "MANAGER"]).expect(0);
    assert_eq!(told.text(), "sentTo 1, receivedBy 1\n");
    // Listening can be switched on where every option can be.
    let mut command = test.command("client", &["sysmsg", "--port", &manager.port.to_string()]);
    command.env("PROLETARIAT_LISTEN", "true");
    test.spawn(command).until_it_says("listening as peer ");
}

#[test]
fn who_listens_ends_with_the_last_attempt_to_reach_a_manager() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let listener = manager.client(&["sysmsg", "--listen", "--max-retries", "1"]);
    listener.until_it_says("listening as peer ");
    manager.kill();
    listener.ended().expect(1).said(&["error: no connection to 127.0.0.1"]);
}

#[test]
fn the_end_of_the_link_is_seen_behind_a_message_that_takes_long_to_be_printed() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let port = manager.port.to_string();
    let client = test.command("client", &["sysmsg", "--listen", "--max-retries", "0", "--port", &port]);
    // Nobody reads on after the first byte until the gate is there.
    let (seen, gate) = (test.path("seen"), test.path("gate"));
    let reader = "{ head -c 1 > \"$seen\"; until [ -e \"$gate\" ]; do sleep 0.01; done; cat > /dev/null; }";
    let mut command = Command::new("bash");
    command.args(["-c", &format!("\"$0\" \"$@\" | {reader}; exit ${{PIPESTATUS[0]}}")]);
    command.arg(client.get_program()).args(client.get_args()).env("seen", &seen).env("gate", &gate);
    let listener = test.spawn(command);
    listener.until_it_says("listening as peer ");
    let mut sender = manager.peer(CLIENT);
    sender.tell(Recipient::All, &vec![b'x'; 1 << 20], 0);
    until("it prints", || (std::fs::metadata(&seen).ok()?.len() > 0).then_some(()));
    drop(sender);
    manager.kill();
    // Long enough for the only attempt, which comes within a fifth of a second.
    let_time_pass(Duration::from_secs(1));
    std::fs::write(gate, "").unwrap();
    listener.close_input().ended().expect(1).said(&["error: no connection to 127.0.0.1"]);
}

#[test]
fn the_largest_message_passes_where_payloads_are_small() {
    let test = Test::new();
    let manager = test.manager(&["--max-payload", "1KiB"]);
    let listener = manager.client(&["sysmsg", "--listen"]);
    manager.until("it listens", |status| status["peers"].as_array().unwrap().len() == 2);
    let mut sender = manager.peer(CLIENT);
    sender.tell(Recipient::All, &vec![b'x'; 1 << 20], 0);
    assert_eq!(sender.report(), (1, 1));
    listener.until_it_prints(&"x".repeat(1 << 20));
}

#[test]
fn a_message_to_the_manager_is_told_in_its_log_or_its_events_and_large_ones_are_refused() {
    let test = Test::new();
    let manager = test.manager(&[]);
    let mut receiver = manager.peer(CLIENT);
    let mut sender = manager.peer(CLIENT);
    let large = vec![b'x'; 1 << 20];
    sender.tell(Recipient::Peer(receiver.id), &large, 0);
    let (id, _, content) = receiver.system_message();
    assert!(content == large[..]);
    receiver.say(&PeerMessage::Confirm { id }, &[]);
    assert_eq!(sender.report(), (1, 1));
    let over = vec![b'x'; (1 << 20) + 1];
    sender.tell(Recipient::Peer(receiver.id), &over, 0);
    let farewell = sender.hear_the_end();
    assert!(
        matches!(farewell, proletariat_protocol::message::ManagerMessage::Leaving { .. }),
        "{farewell:?}"
    );
    receiver.sync();
}
