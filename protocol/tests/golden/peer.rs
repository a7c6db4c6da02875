//! Every message of a peer, and its bytes.

use super::ASSIGNMENT;
use proletariat_protocol::message::{FinishedRun, LeavingReason, PeerMessage, Recipient};
use proletariat_protocol::{
    AssignmentId, HandBackReason, JobId, JobOptions, MessageId, Offer, PeerId, WorkResult,
};

#[allow(clippy::too_many_lines, reason = "a table")]
pub(crate) fn messages() -> Vec<(PeerMessage, &'static str)> {
    let options = JobOptions {
        priority: 7,
        kind: Some("mult".into()),
        key: Some(vec![0xaa, 0xbb]),
        timeout_ms: 60_000,
        assign_timeout_ms: 5_000,
        run_timeout_ms: 10_000,
        max_attempts: Some(3),
        no_wait: true,
        stream: false,
    };
    let plain = JobOptions::default();
    let (first, offer) = (JobId(5), Offer::new(100).guarantee(1, 30));
    let run = |result| FinishedRun { assignment: AssignmentId(9), result, bytes: 4 };
    let runs = [WorkResult::Done, WorkResult::Failed, WorkResult::RunTimeout, WorkResult::TooLarge].map(run);
    vec![
        (
            PeerMessage::Submit { first, options, payload_bytes: vec![3, 0x0102] },
            "00000000 0500000000000000
             07000000 01 0400000000000000 6d756c74 01 0200000000000000 aabb
             60ea0000 88130000 10270000 01 0300 01 00
             0200000000000000 03000000 02010000",
        ),
        (
            PeerMessage::Submit { first, options: plain, payload_bytes: vec![] },
            "00000000 0500000000000000 00000000 00 00 00000000 00000000 00000000 00 00 00 0000000000000000",
        ),
        (PeerMessage::Abort { first, count: 2 }, "01000000 0500000000000000 0200000000000000"),
        (PeerMessage::Credit { job: first, bytes: 0x1_0000 }, "02000000 0500000000000000 0000010000000000"),
        (PeerMessage::Offer(offer), "03000000 64000000 0100000000000000 01000000 1e000000 00000000"),
        (
            PeerMessage::Offer(Offer::new(1).kinds(["a", "bc"])),
            "03000000 01000000 0000000000000000 01000000 0200000000000000
             0100000000000000 61 0200000000000000 6263",
        ),
        (PeerMessage::Withdraw, "04000000"),
        (
            PeerMessage::Started { assignments: vec![ASSIGNMENT] },
            "05000000 0100000000000000 0102030405060708",
        ),
        (
            PeerMessage::Finished { runs: runs.to_vec() },
            "06000000 0400000000000000
             0900000000000000 00000000 04000000
             0900000000000000 01000000 04000000
             0900000000000000 02000000 04000000
             0900000000000000 03000000 04000000",
        ),
        (hand_back(HandBackReason::Busy), "07000000 0102030405060708 00000000"),
        (hand_back(HandBackReason::NotMyKind), "07000000 0102030405060708 01000000"),
        (hand_back(HandBackReason::Unfit), "07000000 0102030405060708 02000000"),
        (hand_back(HandBackReason::Leaving), "07000000 0102030405060708 03000000"),
        (
            PeerMessage::Crashed { assignment: ASSIGNMENT, message: "é".into() },
            "08000000 0102030405060708 0200000000000000 c3a9",
        ),
        (PeerMessage::Stopped { assignment: ASSIGNMENT }, "09000000 0102030405060708"),
        (PeerMessage::Data { assignment: ASSIGNMENT, bytes: 5 }, "0a000000 0102030405060708 05000000"),
        (
            PeerMessage::Progress { assignment: ASSIGNMENT, done: 1, total: 2 },
            "0b000000 0102030405060708 0100000000000000 0200000000000000",
        ),
        (system_message(Recipient::All), "0c000000 0300000000000000 00000000 e8030000 02000000"),
        (system_message(Recipient::Manager), "0c000000 0300000000000000 01000000 e8030000 02000000"),
        (
            system_message(Recipient::Peer(PeerId(4))),
            "0c000000 0300000000000000 02000000 0400000000000000 e8030000 02000000",
        ),
        (PeerMessage::Confirm { id: MessageId(3) }, "0d000000 0300000000000000"),
        (PeerMessage::StatusRequest { id: MessageId(3) }, "0e000000 0300000000000000"),
        (PeerMessage::Ping, "0f000000"),
        (PeerMessage::Pong, "10000000"),
        (PeerMessage::Leaving { reason: LeavingReason::Done }, "11000000 00000000"),
        (PeerMessage::Leaving { reason: LeavingReason::Draining }, "11000000 01000000"),
        (PeerMessage::Leaving { reason: LeavingReason::Refused }, "11000000 02000000"),
    ]
}

fn hand_back(reason: HandBackReason) -> PeerMessage {
    PeerMessage::HandBack { assignment: ASSIGNMENT, reason }
}

fn system_message(to: Recipient) -> PeerMessage {
    PeerMessage::SystemMessage { id: MessageId(3), to, timeout_ms: 1_000, bytes: 2 }
}
