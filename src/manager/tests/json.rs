//! Peers that speak JSON: who is one, how they mix with native ones, how they are sent away.

use super::peer::{CLIENT, LIMIT, Peer, connect, greeting, hello, read_to_end};
use super::{block_on, builder};
use crate::security::Tokens;
use proletariat_protocol::handshake::{Answer, PREAMBLE_BYTES};
use proletariat_protocol::message::{ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{MessageId, Offer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(100);
/// Who says nothing for so long is taken for a JSON peer.
const SILENCE: Duration = Duration::from_secs(2);

/// A JSON peer, one step at a time.
pub(super) struct Json(TcpStream);

fn framed(text: &str) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

impl Json {
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self(connect(address))
    }

    pub(super) fn worker(address: SocketAddr, slots: u32) -> Self {
        let mut worker = Self::connect(address);
        worker.say(&json!({"command": "offer", "slots": slots}));
        assert!(worker.hear()["you"].is_string());
        worker
    }

    pub(super) fn say(&mut self, message: &Value) {
        self.0.write_all(&framed(&message.to_string())).unwrap();
    }

    pub(super) fn try_hear(&mut self) -> Option<Value> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).ok()?;
        Some(serde_json::from_slice(&body).unwrap())
    }

    fn hear(&mut self) -> Value {
        self.try_hear().expect("the connection stays open")
    }

    /// The next message that is this command, or the answer to it.
    pub(super) fn hear_of(&mut self, command: &str) -> Value {
        loop {
            let message = self.hear();
            if message["command"] == command || message["to"] == command {
                return message;
            }
        }
    }

    fn is_closed(&mut self) -> bool {
        self.try_hear().is_none()
    }
}

#[test]
fn both_dialects_share_the_port_and_the_jobs() {
    let manager = builder().start().unwrap();
    let address = manager.local_addr();
    let mut json_client = Json::connect(address);
    let mut native_client = Peer::join(address, CLIENT);
    json_client.say(&json!({"command": "push", "rid": "r", "work": [{"_kind": "mult", "a": 1}, "plain"]}));
    assert_eq!(json_client.hear()["work"].as_array().unwrap().len(), 2);

    // A worker of kinds gets what names one, any other the rest.
    let mut native_worker = Peer::worker(address, Offer::new(1).kinds(["mult"]));
    let (execution, payload) = native_worker.executions().remove(0);
    assert_eq!((execution.kind.as_deref(), &payload[..]), (Some("mult"), &br#"{"_kind":"mult","a":1}"#[..]));
    native_worker.finish(&execution, b"\xff\xfe");
    let done = json_client.hear_of("done");
    assert_eq!(done["work"][0]["result"], json!({"err": null, "data": {"base64": "//4="}}));

    native_client.submit(&[b"two words"]);
    let mut json_worker = Json::worker(address, 2);
    let work = json_worker.hear_of("push")["work"].clone();
    assert_eq!((&work[0]["args"], &work[1]["args"]), (&json!("plain"), &json!("two words")));
    let ended = |id: &Value, data: &str| json!({"id": id, "result": {"err": null, "data": data}});
    let ends = [ended(&work[0]["id"], "a"), ended(&work[1]["id"], "b")];
    json_worker.say(&json!({"command": "done", "work": ends}));
    assert_eq!(json_client.hear_of("done")["work"][0]["result"]["data"], "a");
    assert_eq!(&native_client.outcomes(1)[0].1[..], b"\"b\"", "the JSON text of the value");
}

#[test]
fn one_connection_may_be_worker_and_client() {
    let manager = builder().start().unwrap();
    let mut both = Json::connect(manager.local_addr());
    both.say(&json!({"command": "push", "rid": 1, "work": [7]}));
    both.say(&json!({"command": "offer", "slots": 1}));
    let pushed = loop {
        let message = both.hear();
        if message["command"] == "push" {
            break message;
        }
    };
    let id = &pushed["work"][0]["id"];
    both.say(&json!({"command": "done", "work": [{"id": id, "result": {"err": null, "data": 8}}]}));
    let done = loop {
        let message = both.hear();
        if message["command"] == "done" {
            break message;
        }
    };
    assert_eq!(done["work"][0]["result"]["data"], 8);
}

#[test]
fn the_first_frame_must_be_an_object_within_the_limit() {
    let manager = builder().start().unwrap();
    for (said, code) in
        [(framed("{ no json"), "EPROTO"), ([&[1, 0x40, 0, 1][..], b"{"].concat(), "ELARGEMSG")]
    {
        let mut peer = Json::connect(manager.local_addr());
        peer.0.write_all(&said).unwrap();
        assert_eq!(peer.hear()["error"]["code"], code);
        assert!(peer.is_closed());
    }
}

#[test]
fn the_first_frame_has_the_time_of_a_handshake_unless_it_is_large() {
    let manager = builder().handshake_timeout(2 * SHORT).start().unwrap();
    let body = format!(r#"{{"command":"ping","pad":"{}"}}"#, "x".repeat(60_000));
    let frame = framed(&body);
    let mut slow = Json::connect(manager.local_addr());
    slow.0.write_all(&frame[..20]).unwrap();
    let begun = Instant::now();
    assert!(read_to_end(&slow.0).is_empty());
    assert!((2 * SHORT..Duration::from_secs(4)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let mut large = Json::connect(manager.local_addr());
    for part in frame.chunks(6_000) {
        large.0.write_all(part).unwrap();
        std::thread::sleep(SHORT / 2);
    }
    assert_eq!(large.hear()["to"], "ping");
}

#[test]
fn who_is_silent_listens() {
    let manager = builder().start().unwrap();
    let mut silent = Json::connect(manager.local_addr());
    let mut late = connect(manager.local_addr());
    let mut too_late = connect(manager.local_addr());
    let mut sender = Peer::join(manager.local_addr(), CLIENT);
    let peers = || {
        let status: Value = serde_json::from_str(&block_on(manager.status()).unwrap()).unwrap();
        status["peers"].as_array().unwrap().len()
    };
    assert_eq!(peers(), 1, "too early");
    let begun = Instant::now();
    while peers() < 4 {
        assert!(begun.elapsed() < 5 * SILENCE, "all three become peers");
        std::thread::yield_now();
    }
    assert!(begun.elapsed() > SILENCE / 2, "{:?}", begun.elapsed());
    // A native peer that was only slow, and has not been told anything, comes in; it is the second of three that were silent.
    late.write_all(&greeting(&hello(CLIENT))).unwrap();
    let mut answer = vec![0; PREAMBLE_BYTES];
    late.read_exact(&mut answer).unwrap();
    let mut welcome = Vec::new();
    while Answer::decode(&welcome).unwrap().is_none() {
        let mut byte = [0];
        late.read_exact(&mut byte).unwrap();
        welcome.push(byte[0]);
    }
    assert!(matches!(Answer::decode(&welcome), Ok(Some((Answer::Welcome(_), _)))));
    drop(late);

    let all = PeerMessage::SystemMessage { id: MessageId(99), to: Recipient::All, timeout_ms: 300, bytes: 4 };
    sender.say(&all, &[b"hear"]);
    let message = silent.hear();
    assert_eq!((&message["command"], &message["content"]), (&json!("sysmsg"), &json!("hear")));
    silent.say(&json!({"command": "answer", "to": "sysmsg", "id": message["id"]}));
    let ManagerMessage::SystemReport { sent_to, received_by, .. } = sender.hear().0 else { panic!() };
    assert_eq!((sent_to, received_by), (2, 1));
    // The third has been told something that a native peer cannot read.
    too_late.write_all(&greeting(&hello(CLIENT))).unwrap();
    assert!(read_to_end(&too_late).starts_with(&[0, 0]), "it sees the message, and the end");
    // The first speaks at last.
    silent.say(&json!({"command": "ping"}));
    assert_eq!(silent.hear()["to"], "ping");
}

#[test]
fn one_too_many_is_told_so_in_json() {
    let manager = builder().max_connections(1).start().unwrap();
    let _native = Peer::join(manager.local_addr(), CLIENT);
    let mut peer = Json::connect(manager.local_addr());
    peer.say(&json!({"command": "ping"}));
    let error = &peer.hear()["error"];
    assert_eq!((&error["code"], &error["retryAfter"]), (&json!("EOVERLOAD"), &json!(1_000)));
    assert!(error["description"].as_str().unwrap().contains("max_connections"));
    assert!(peer.is_closed());
}

#[test]
fn tokens_send_json_peers_away() {
    let manager = builder().start().unwrap();
    let mut peer = Json::connect(manager.local_addr());
    peer.say(&json!({"command": "ping"}));
    peer.hear();
    manager.set_tokens(Tokens::default()).unwrap();
    assert_eq!(peer.hear()["error"]["code"], "EAUTH");
    assert!(peer.is_closed());
    let mut again = Json::connect(manager.local_addr());
    again.say(&json!({"command": "ping"}));
    assert_eq!(again.hear()["error"]["code"], "EPROTO");
}

#[test]
fn a_manager_that_drains_answers_what_runs_and_says_so() {
    let manager = builder().start().unwrap();
    let mut worker = Json::worker(manager.local_addr(), 1);
    let mut client = Json::connect(manager.local_addr());
    client.say(&json!({"command": "push", "rid": "r", "work": ["runs", "waits"]}));
    client.hear_of("push");
    let id = worker.hear_of("push")["work"][0]["id"].clone();
    std::thread::scope(|scope| {
        scope.spawn(|| block_on(manager.drain(Duration::from_secs(10))));
        // Until it drains: then a push is not answered, and a ping is.
        loop {
            client.say(&json!({"command": "push", "rid": "late", "work": ["late"]}));
            client.say(&json!({"command": "ping"}));
            if client.hear()["to"] == "ping" {
                break;
            }
            client.hear_of("ping");
            client.say(&json!({"command": "abort", "rid": "late"}));
            client.hear_of("abort");
        }
        worker.say(&json!({"command": "done", "work": [{"id": id, "result": {"err": null, "data": 1}}]}));
        assert_eq!(client.hear_of("done")["work"][0]["id"], id);
        for peer in [&mut client, &mut worker] {
            let error = loop {
                let message = peer.hear();
                if message["error"].is_object() {
                    break message["error"].clone();
                }
            };
            assert_eq!((&error["code"], &error["retryAfter"]), (&json!("ESHUTDOWN"), &json!(500)));
            assert!(peer.is_closed());
        }
    });
}

#[test]
fn nothing_is_said_to_who_was_silent_when_the_manager_began_to_drain() {
    let manager = builder().heartbeat(SHORT).heartbeat_timeout(100 * SHORT).start().unwrap();
    let mut worker = Json::worker(manager.local_addr(), 1);
    let mut client = Json::connect(manager.local_addr());
    client.say(&json!({"command": "push", "rid": "r", "work": ["never ends"]}));
    worker.hear_of("push");
    let silent = connect(manager.local_addr());
    block_on(manager.drain(SILENCE + 5 * SHORT));
    assert_eq!(read_to_end(&silent), b"", "no tongue is known that it would understand");
}

#[test]
fn who_asks_for_more_than_it_reads_is_sent_away() {
    let manager = builder().outbox_pause_bytes(64 * 1024).start().unwrap();
    let _workers: Vec<Json> = (0..40).map(|_| Json::worker(manager.local_addr(), 3)).collect();
    let mut asker = Json::connect(manager.local_addr());
    let questions = framed(r#"{"command":"status"}"#).repeat(20_000);
    // It may be closed before it has asked everything.
    let _ = asker.0.write_all(&questions);
    let mut answers = 0;
    while let Some(message) = asker.try_hear() {
        answers += usize::from(message["to"] == "status");
    }
    assert!(answers < 20_000, "{answers}");
    let mut other = Json::connect(manager.local_addr());
    other.say(&json!({"command": "status"}));
    assert_eq!(other.hear()["workers"].as_array().unwrap().len(), 40);
}

/// The answer is made when the connection is written, which is when the jobs have ended, also where a worker is told to stop in the
/// same step.
#[test]
fn the_answer_to_an_abort_names_the_jobs_that_it_ended() {
    let manager = builder().start().unwrap();
    let address = manager.local_addr();
    let (mut worker, mut client) = (Json::worker(address, 1), Json::connect(address));
    client.say(&json!({"command": "push", "rid": "r", "work": ["runs", "waits"]}));
    let ids = client.hear_of("push")["work"].clone();
    assert_eq!(ids.as_array().unwrap().len(), 2);
    worker.hear_of("push");
    client.say(&json!({"command": "abort", "work": ids}));
    assert_eq!(client.hear_of("abort")["work"], ids);
}

/// A push of one job under a rid of a thousand bytes; its answer.
fn push_under_long_rid(client: &mut Json, rid: u32) -> Value {
    client.say(&json!({"command": "push", "rid": format!("{rid:01000}"), "work": [7]}));
    client.hear_of("push")
}

#[test]
fn rids_of_unfinished_requests_count_whoever_sent_them() {
    let manager = builder().max_queued_bytes(10_000).start().unwrap();
    let (mut one, mut other) = (Json::connect(manager.local_addr()), Json::connect(manager.local_addr()));
    let push_in_turns =
        |rid: u32| push_under_long_rid(if rid.is_multiple_of(2) { &mut one } else { &mut other }, rid);
    let answers: Vec<Value> = (0..12).map(push_in_turns).collect();
    let taken = answers.iter().take_while(|answer| answer["error"].is_null()).count();
    assert_eq!(taken, 9, "each keeps a thousand bytes");
    let error = &answers[taken]["error"];
    assert_eq!((&error["code"], &error["retryAfter"]), (&json!("EOVERLOAD"), &json!(250)));
    assert!(error["description"].as_str().unwrap().contains("max_queued_bytes"));

    one.say(&json!({"command": "abort", "rid": format!("{:01000}", 0)}));
    assert_eq!(one.hear_of("abort")["ok"], true);
    assert!(push_under_long_rid(&mut one, 20)["error"].is_null(), "there is room for one again");
    assert_eq!(push_under_long_rid(&mut one, 21)["error"]["code"], "EOVERLOAD");
    drop(other);
    let begun = Instant::now();
    while !push_under_long_rid(&mut one, 22)["error"].is_null() {
        assert!(begun.elapsed() < LIMIT, "the rids of who has gone still count");
    }
}
