//! Clients that do not read what they get: nothing new is begun for them, and too much ends them.

use super::peer::{CLIENT, LIMIT, Peer};
use super::{block_on, builder};
use crate::Manager;
use bytes::BytesMut;
use proletariat_protocol::fragment::{put_begin, put_data_start};
use proletariat_protocol::limits::FRAGMENT_STREAMS_MAX;
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, JobOptions, Offer};
use std::time::Instant;

/// More than the sockets of a connection hold, in results of [`RESULT`] bytes.
const JOBS: usize = 200;
static RESULT: [u8; 200 * 1024] = [7; 200 * 1024];

/// Urgent jobs of one that does not read, and a job of another one behind them.
fn submit(slow: &mut Peer, other: &mut Peer, keyed: bool) {
    for job in 0..JOBS {
        let key = keyed.then(|| job.to_string().into_bytes());
        slow.submit_with(JobOptions { key, priority: 1, ..JobOptions::default() }, &[b"slow"]);
    }
    other.submit(&[b"other"]);
}

/// Does what is given to the worker until the other one's turn has come; how many jobs were before it.
fn work_until_the_other(worker: &mut Peer) -> usize {
    for done in 0..=JOBS {
        let (execution, payload) = worker.executions().remove(0);
        if &payload[..] == b"other" {
            worker.finish(&execution, b"done");
            return done;
        }
        worker.finish(&execution, &RESULT);
    }
    panic!("the other one never had its turn");
}

#[test]
fn who_does_not_read_gets_nothing_more_begun_and_loses_nothing() {
    for keyed in [false, true] {
        let manager = builder().outbox_pause_bytes(64 * 1024).hold_similar_work(true).start().unwrap();
        let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
        let (mut slow, mut other) =
            (Peer::join(manager.local_addr(), CLIENT), Peer::join(manager.local_addr(), CLIENT));
        submit(&mut slow, &mut other, keyed);
        let done = work_until_the_other(&mut worker);
        assert!(done < JOBS, "all {done} were begun for one who reads nothing (keyed: {keyed})");
        assert_eq!(&other.outcomes(1)[0].1[..], b"done");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in done..JOBS {
                    let (execution, _) = worker.executions().remove(0);
                    worker.finish(&execution, &RESULT);
                }
            });
            assert!(slow.outcomes(JOBS).iter().all(|(_, result)| result[..] == RESULT));
        });
    }
}

/// Of two clients one reads nothing, and more waits for it than this manager allows: it goes, and the other is served.
fn the_slow_one_goes(manager: &Manager) {
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let (mut slow, mut other) =
        (Peer::join(manager.local_addr(), CLIENT), Peer::join(manager.local_addr(), CLIENT));
    submit(&mut slow, &mut other, false);
    let done = work_until_the_other(&mut worker);
    assert!(done < JOBS, "{done} results for one who reads nothing");
    assert_eq!(&other.outcomes(1)[0].1[..], b"done");
    while slow.try_hear().is_some() {}
}

#[test]
fn for_whom_too_much_waits_is_dropped_and_nobody_else_notices() {
    let bound = 1024 * 1024;
    the_slow_one_goes(&builder().outbox_pause_bytes(bound).max_outbox_bytes(bound).start().unwrap());
}

#[test]
fn when_all_outboxes_together_are_over_their_bound_the_fullest_goes() {
    the_slow_one_goes(&builder().max_outboxes_bytes(1024 * 1024).start().unwrap());
}

/// What the manager holds of messages that are not complete.
fn incomplete_bytes(manager: &Manager) -> u64 {
    let status: serde_json::Value = serde_json::from_str(&block_on(manager.status()).unwrap()).unwrap();
    status["manager"]["incomplete_bytes"].as_u64().unwrap()
}

#[test]
fn when_too_much_has_begun_to_come_who_held_the_most_for_the_longest_goes() {
    const MIB: usize = 1024 * 1024;
    let manager = builder().max_incomplete_bytes(3 * MIB as u64).start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let held = || incomplete_bytes(&manager);
    // A message of 10 MiB of which a part comes, twice.
    let begun = |part: usize| {
        let mut peer = Peer::join(manager.local_addr(), CLIENT);
        let mut bytes = BytesMut::new();
        put_begin(&mut bytes, 1, 10 * MIB as u64);
        for _ in 0..part / (MIB / 2) {
            put_data_start(&mut bytes, 1, MIB / 2);
            bytes.extend_from_slice(&vec![0; MIB / 2]);
        }
        peer.write_raw(&bytes);
        peer
    };
    let mut first = begun(2 * MIB);
    while held() < 2 * MIB as u64 {}
    let mut second = begun(MIB / 2);
    while held() < 5 * MIB as u64 / 2 {}
    let mut good = Peer::join(manager.local_addr(), CLIENT);
    good.submit(&[&vec![7; MIB]]);
    let (execution, payload) = worker.executions().remove(0);
    assert_eq!(payload.len(), MIB, "what is complete is held no longer");
    worker.finish(&execution, b"done");
    assert_eq!(&good.outcomes(1)[0].1[..], b"done");
    let ManagerMessage::Leaving { code, message, retry, retry_after_ms } = first.hear_the_end() else {
        panic!("no farewell")
    };
    assert_eq!((code, retry), (ErrorCode::Overload, true));
    assert!(message.contains("max_incomplete_bytes") && retry_after_ms > 0, "{message}");
    second.say(&PeerMessage::Ping, &[]);
    assert_eq!(second.hear().0, ManagerMessage::Pong, "the others are there");
    drop(second);
    while held() > 0 {}
}

/// Each takes a row of a table, which is several times its announcement.
#[test]
fn messages_that_are_announced_and_do_not_come_are_held_too() {
    let streams = u32::try_from(FRAGMENT_STREAMS_MAX).unwrap();
    let row_bytes = size_of::<(u32, usize, Vec<u8>)>() as u64;
    let all_rows_bytes = u64::from(streams) * row_bytes;
    let manager = builder().max_incomplete_bytes(4 * all_rows_bytes).start().unwrap();
    let mut announcements = BytesMut::new();
    (0..streams).for_each(|stream| put_begin(&mut announcements, stream, 1_000));
    let mut first = Peer::join(manager.local_addr(), CLIENT);
    first.write_raw(&announcements);
    let begun = Instant::now();
    while incomplete_bytes(&manager) < all_rows_bytes {
        assert!(begun.elapsed() < LIMIT, "{} bytes", incomplete_bytes(&manager));
    }
    let mut others: Vec<Peer> = (0..3).map(|_| Peer::join(manager.local_addr(), CLIENT)).collect();
    others.iter_mut().for_each(|peer| peer.write_raw(&announcements));
    let word = first.hear_the_end();
    assert!(matches!(word, ManagerMessage::Leaving { code: ErrorCode::Overload, .. }), "{word:?}");
}
