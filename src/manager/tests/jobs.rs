//! Jobs on their way through.

use super::peer::{CLIENT, Peer, WORKER};
use super::{block_on, builder};
use crate::manager::{Notice, Watched};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{JobId, MessageId, Offer};

#[test]
fn a_job_goes_there_and_back() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(2));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"work"]);
    let executions = worker.executions();
    assert_eq!((executions.len(), &executions[0].1[..]), (1, &b"work"[..]));
    assert_eq!(executions[0].0.attempt, 1);
    worker.finish(&executions[0].0, b"done");
    let outcomes = client.outcomes(1);
    assert_eq!((outcomes[0].0.job, outcomes[0].0.outcome), (JobId(0), OutcomeKind::Result));
    assert_eq!(&outcomes[0].1[..], b"done");
}

#[test]
fn many_jobs_share_messages_and_each_is_answered_once() {
    const JOBS: usize = 5_000;
    const SLOTS: u32 = 1_000;
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(SLOTS));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    let payloads: Vec<Vec<u8>> = (0..JOBS).map(|job| job.to_string().into_bytes()).collect();
    client.submit(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let (mut done, mut messages) = (0, 0);
    while done < JOBS {
        let executions = worker.executions();
        let ends = executions.iter().map(|(execution, payload)| (execution, &payload[..]));
        worker.finish_all(&ends.collect::<Vec<_>>());
        done += executions.len();
        messages += 1;
    }
    // What comes in one message goes on in one, as far as there are slots.
    assert_eq!(messages, JOBS / SLOTS as usize);
    let mut outcomes = client.outcomes(JOBS);
    outcomes.sort_by_key(|(outcome, _)| outcome.job);
    for (number, (outcome, payload)) in outcomes.iter().enumerate() {
        assert_eq!((outcome.job, &payload[..]), (JobId(number as u64), number.to_string().as_bytes()));
    }
}

#[test]
fn large_payloads_arrive_whole() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(8));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    for bytes in [64 * 1024, 300_000, 3_000_000] {
        let payload: Vec<u8> = (0..bytes).map(|at: u32| at.to_le_bytes()[1]).collect();
        client.submit(&[&payload]);
        let executions = worker.executions();
        assert!(executions[0].1 == payload[..], "{bytes} bytes on their way there");
        worker.finish(&executions[0].0, &payload);
        assert!(client.outcomes(1)[0].1 == payload[..], "{bytes} bytes on their way back");
    }
}

/// Small payloads are lent to the scheduler where they were received, large ones given, and so are those of one message.
#[test]
fn payloads_of_all_sizes_share_a_message() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(16));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    for sizes in [vec![0], vec![0, 1, 1_024], vec![1_025, 0, 1_024, 1_025, 9_000, 7], vec![70_000, 3]] {
        let payloads: Vec<Vec<u8>> =
            sizes.iter().map(|bytes| (0..*bytes).map(|at| at as u8).collect()).collect();
        client.submit(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mut done = Vec::new();
        while done.len() < payloads.len() {
            for (execution, payload) in worker.executions() {
                worker.finish(&execution, &payload);
                done.push(payload.len());
            }
        }
        assert_eq!(done, sizes, "first come, first served");
        let mut outcomes = client.outcomes(payloads.len());
        outcomes.sort_by_key(|(outcome, _)| outcome.job);
        let results: Vec<&[u8]> = outcomes.iter().map(|(_, payload)| &payload[..]).collect();
        assert_eq!(results, payloads);
    }
}

#[test]
fn a_lost_worker_gives_its_jobs_back() {
    let manager = builder().start().unwrap();
    let mut first = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"work"]);
    assert_eq!(first.executions().len(), 1);
    drop(first);
    let mut second = Peer::worker(manager.local_addr(), Offer::new(1));
    let executions = second.executions();
    assert_eq!(executions[0].0.attempt, 2);
    second.finish(&executions[0].0, b"done");
    assert_eq!(&client.outcomes(1)[0].1[..], b"done");
}

#[test]
fn a_withdrawal_is_confirmed_after_the_last_assignment() {
    let manager = builder().start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    worker.say(&PeerMessage::Withdraw, &[]);
    assert_eq!(worker.hear().0, ManagerMessage::Withdrawn);
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"work"]);
    assert!(matches!(client.hear().0, ManagerMessage::Accepted { through: JobId(0) }));
    worker.say(&PeerMessage::Ping, &[]);
    assert_eq!(worker.hear().0, ManagerMessage::Pong, "and no assignment before it");
}

#[test]
fn the_state_is_told_as_json() {
    let manager = builder().max_queued_jobs(77).start().unwrap();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(100).guarantee(1, 30).guarantee(2, 20));
    worker.say(&PeerMessage::StatusRequest { id: MessageId(9) }, &[]);
    let (message, payloads) = worker.hear();
    assert!(matches!(message, ManagerMessage::Status { id: MessageId(9), .. }), "{message:?}");
    let state: serde_json::Value = serde_json::from_slice(&payloads[0]).unwrap();
    assert_eq!(state["limits"]["max_queued_jobs"], 77);
    assert_eq!(state["manager"]["address"], manager.local_addr().to_string());
    let ranges = &state["workers"][0]["ranges"];
    let limits: Vec<u64> = (0..3).map(|range| ranges[range]["limit"].as_u64().unwrap()).collect();
    assert_eq!(limits, [50, 80, 100]);
    assert_eq!(state["peers"][0]["roles"], serde_json::json!(["worker"]));
    let own = block_on(manager.status()).unwrap();
    assert!(own.contains("\"workers\""), "{own}");
}

#[test]
fn the_manager_speaks_to_its_peers_and_is_watched() {
    let manager = builder().start().unwrap();
    let mut events = manager.events();
    let mut peer = Peer::join(manager.local_addr(), WORKER);
    assert!(matches!(block_on(events.next()), Some(Watched::Event(Notice::Join { .. }))));
    std::thread::scope(|scope| {
        let report = scope.spawn(|| block_on(manager.system_message("hello", Recipient::All, None)));
        let (message, payloads) = peer.hear();
        let ManagerMessage::SystemMessage { id, .. } = message else { panic!("{message:?}") };
        assert_eq!(&payloads[0][..], b"hello");
        peer.say(&PeerMessage::Confirm { id }, &[]);
        let report = report.join().unwrap().unwrap();
        assert_eq!((report.sent_to, report.received_by), (1, 1));
    });
    manager.stop();
    while block_on(events.next()).is_some() {}
}

#[test]
fn any_stream_of_bytes_can_be_a_peer() {
    use super::peer::{greeting, hello};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let manager = builder().start().unwrap();
    let (mut ours, theirs) = tokio::io::duplex(64);
    manager.adopt(theirs).unwrap();
    block_on(async {
        ours.write_all(&greeting(&hello(WORKER))).await.unwrap();
        let mut preamble = [0; 8];
        ours.read_exact(&mut preamble).await.unwrap();
        assert_eq!(preamble[..4], proletariat_protocol::handshake::MAGIC);
    });
}

#[test]
fn a_slow_reader_of_the_events_is_told_how_many_it_missed() {
    const MESSAGES: u64 = 5_000;
    let manager = builder().start().unwrap();
    let mut events = manager.events();
    let mut peer = Peer::join(manager.local_addr(), CLIENT);
    for id in 0..MESSAGES {
        let message =
            PeerMessage::SystemMessage { id: MessageId(id), to: Recipient::Manager, timeout_ms: 0, bytes: 0 };
        peer.say(&message, &[b""]);
        assert!(matches!(peer.hear().0, ManagerMessage::SystemReport { .. }));
    }
    let Some(Watched::Missed(missed)) = block_on(events.next()) else { panic!("it missed many") };
    for _ in missed..=MESSAGES {
        assert!(matches!(block_on(events.next()), Some(Watched::Event(Notice::SystemMessage { .. }))));
    }
}
