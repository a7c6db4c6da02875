//! Many JSON peers at once: what is for all of them reaches each as its own.

use super::builder;
use super::json::Json;
use super::peer::Peer;
use proletariat_protocol::message::{ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{MessageId, Offer};
use serde_json::{Value, json};

const CROWD: usize = 20;

#[test]
fn each_of_a_crowd_is_told_what_is_for_it() {
    let manager = builder().hold_similar_work(true).start().unwrap();
    let address = manager.local_addr();
    let mut crowd: Vec<Json> = (0..CROWD).map(|_| Json::connect(address)).collect();
    // One run for all of them. What it ends with is no JSON, and too large to be copied.
    for peer in &mut crowd {
        peer.say(&json!({"command": "push", "rid": "r", "work": [{"_key": "k"}]}));
    }
    let jobs: Vec<Value> = crowd.iter_mut().map(|peer| peer.hear_of("push")["work"][0].clone()).collect();
    let mut worker = Peer::worker(address, Offer::new(1));
    let (execution, _) = worker.executions().remove(0);
    let result = "no JSON ".repeat(10_000);
    worker.finish(&execution, result.as_bytes());
    for (peer, job) in crowd.iter_mut().zip(&jobs) {
        let done = peer.hear_of("done")["work"][0].clone();
        assert_eq!((&done["id"], done["result"]["data"].as_str()), (job, Some(&*result)));
    }

    let content = "a message ".repeat(10_000);
    let bytes = u32::try_from(content.len()).unwrap();
    let to_all = PeerMessage::SystemMessage { id: MessageId(7), to: Recipient::All, timeout_ms: 0, bytes };
    worker.say(&to_all, &[content.as_bytes()]);
    for peer in &mut crowd {
        let message = peer.hear_of("sysmsg");
        assert_eq!(message["content"].as_str(), Some(&*content));
        peer.say(&json!({"command": "answer", "to": "sysmsg", "id": message["id"]}));
    }
    let (report, _) = worker.hear();
    let ManagerMessage::SystemReport { id, sent_to, received_by } = report else { panic!("no report") };
    assert_eq!((id, sent_to as usize, received_by as usize), (MessageId(7), CROWD, CROWD));

    for question in ["mystatus", "status"] {
        crowd.iter_mut().for_each(|peer| peer.say(&json!({"command": question})));
    }
    for peer in &mut crowd {
        let id = peer.hear_of("mystatus")["id"].clone();
        let all = peer.hear_of("status");
        let rows = all["clients"].as_array().unwrap();
        let you: Vec<&Value> = rows.iter().filter(|row| row["you"] == true).collect();
        assert!(rows.len() == CROWD && you.len() == 1 && you[0]["id"] == id, "{id}: {rows:?}");
    }
}
