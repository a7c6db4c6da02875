//! Small jobs beside a large message that is under way, to peers whose outboxes are over their mark for it alone.

use super::peer::{CLIENT, Peer};
use super::{Builder, builder};
use proletariat_protocol::Offer;
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use std::thread;
use std::time::{Duration, Instant};

static LARGE: [u8; 16 << 20] = [7; 16 << 20];
const SMALL: &[u8] = b"small";

/// The mark is far below a large message, and above a fragment.
fn marked() -> Builder {
    builder().outbox_pause_bytes(1 << 20)
}

/// Until the manager has done what this client has said so far, and has written what came of it.
fn wait_for_a_turn(client: &mut Peer) {
    client.say(&PeerMessage::Ping, &[]);
    while client.hear().0 != ManagerMessage::Pong {}
}

#[test]
fn a_worker_that_is_taking_a_large_payload_gets_small_ones_before_it_has_all() {
    let manager = marked().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(2));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[&LARGE]);
    wait_for_a_turn(&mut client);
    client.submit(&[SMALL]);
    wait_for_a_turn(&mut client);
    assert_eq!(worker.executions()[0].1, SMALL);
    let read = worker.received_bytes();
    assert!(read < LARGE.len() as u64 / 2, "{read} bytes were before it");
    assert_eq!(worker.executions()[0].1.len(), LARGE.len());
}

#[test]
fn a_client_that_is_taking_a_large_result_has_its_small_jobs_done_before_it_has_all() {
    let manager = marked().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(2));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"give"]);
    let (given, _) = worker.executions().remove(0);
    worker.finish(&given, &LARGE);
    // The manager has it all, and has begun to write it.
    worker.say(&PeerMessage::Ping, &[]);
    assert_eq!(worker.hear().0, ManagerMessage::Pong);
    client.submit(&[SMALL]);
    let (given, payload) = worker.executions().remove(0);
    worker.finish(&given, &payload);
    worker.say(&PeerMessage::Ping, &[]);
    assert_eq!(worker.hear().0, ManagerMessage::Pong);
    let sizes: Vec<usize> = client.outcomes(2).iter().map(|(_, result)| result.len()).collect();
    assert_eq!(sizes, [SMALL.len(), LARGE.len()]);
}

/// It would keep what it gets for as long as it stays away.
#[test]
fn a_worker_that_has_stopped_taking_a_large_payload_gets_no_more() {
    const JOBS: usize = 40;
    let manager = marked().start().unwrap();
    let _stuck = Peer::worker(manager.local_addr(), Offer::new(100));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[&LARGE]);
    wait_for_a_turn(&mut client);
    thread::sleep(Duration::from_secs(2));
    let mut good = Peer::worker(manager.local_addr(), Offer::new(100));
    client.submit(&[SMALL; JOBS]);
    let begun = Instant::now();
    let mut given = 0;
    while given < JOBS {
        given += good.executions().len();
    }
    // When the stuck one is given up, everything comes here.
    assert!(begun.elapsed() < Duration::from_secs(5), "the others waited for {:?}", begun.elapsed());
}
