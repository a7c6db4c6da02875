//! How sessions and the manager end in order.

use super::peer::{CLIENT, Peer, hello};
use super::{block_on, builder};
use proletariat_protocol::message::{LeavingReason, ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, Offer};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);

#[test]
fn draining_lets_what_runs_finish_and_then_says_goodbye() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"runs", b"waits"]);
    let executions = worker.executions();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| block_on(manager.drain(LONG)));
        let refused = loop {
            if let Err(refusal) = Peer::try_join(manager.local_addr(), &hello(CLIENT)) {
                break refusal;
            }
        };
        assert_eq!((refused.code, refused.retry), (ErrorCode::Shutdown, true));
        worker.finish(&executions[0].0, b"done");
        assert_eq!(&client.outcomes(1)[0].1[..], b"done");
        for peer in [&mut client, &mut worker] {
            let ManagerMessage::Leaving { code, retry, retry_after_ms, .. } = peer.hear_the_end() else {
                panic!()
            };
            assert_eq!((code, retry), (ErrorCode::Shutdown, true));
            assert!(retry_after_ms > 0);
        }
        drop((client, worker));
        drained.join().unwrap();
    });
    assert!(TcpListener::bind(manager.local_addr()).is_ok(), "the port is free again");
}

#[test]
fn draining_has_its_time() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"runs for ever"]);
    worker.executions();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| block_on(manager.drain(Duration::from_millis(100))));
        assert!(matches!(client.hear_the_end(), ManagerMessage::Leaving { code: ErrorCode::Shutdown, .. }));
        drop((client, worker));
    });
    assert!(begun.elapsed() < LONG);
}

#[test]
fn a_second_word_ends_at_once() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"runs for ever"]);
    worker.executions();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| block_on(manager.drain(Duration::from_secs(3_600))));
        manager.stop();
        drained.join().unwrap();
    });
    assert!(block_on(manager.status()).is_err());
}

#[test]
fn a_dropped_manager_is_gone() {
    let manager = builder().start().unwrap();
    let address = manager.local_addr();
    let mut peer = Peer::join(address, CLIENT);
    drop(manager);
    assert!(matches!(peer.hear_the_end(), ManagerMessage::Leaving { code: ErrorCode::Shutdown, .. }));
}

#[test]
fn a_peer_that_leaves_gets_what_waits_for_it_first() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"work"]);
    let executions = worker.executions();
    let result = vec![7; 3_000_000];
    worker.finish(&executions[0].0, &result);
    worker.say(&PeerMessage::Leaving { reason: LeavingReason::Done }, &[]);
    assert_eq!(worker.try_hear(), None, "the manager closes");
    assert!(client.outcomes(1)[0].1 == result[..]);
    client.say(&PeerMessage::Leaving { reason: LeavingReason::Done }, &[]);
    assert_eq!(client.try_hear(), None);
}
