//! Every message of the manager, and its bytes.

use super::ASSIGNMENT;
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{AssignedExecution, JobOutcome, ManagerMessage};
use proletariat_protocol::{ErrorCode, JobId, MessageId, PeerId};

#[allow(clippy::too_many_lines, reason = "a table")]
pub(crate) fn messages() -> Vec<(ManagerMessage, &'static str)> {
    let (job, message) = (JobId(5), String::from("no"));
    let (code, retry_after_ms) = (ErrorCode::Overload, 250);
    let failed = OutcomeKind::Error(ErrorCode::WorkFailed);
    let execution = AssignedExecution {
        assignment: ASSIGNMENT,
        bytes: 3,
        attempt: 1,
        priority: 7,
        run_limit_ms: 1_000,
        rest_ms: 2_000,
        kind: None,
        stream: true,
    };
    let of_kind = AssignedExecution { kind: Some("k".into()), stream: false, ..execution.clone() };
    let outcomes = vec![
        JobOutcome { job, outcome: OutcomeKind::Result, bytes: 1 },
        JobOutcome { job: JobId(6), outcome: failed, bytes: 2 },
    ];
    vec![
        (ManagerMessage::Accepted { through: job }, "00000000 0500000000000000"),
        (
            ManagerMessage::Refused { first: job, count: 2, code, message: message.clone(), retry_after_ms },
            "01000000 0500000000000000 0200000000000000 0c000000 0200000000000000 6e6f fa000000",
        ),
        (
            ManagerMessage::Outcomes { jobs: outcomes },
            "02000000 0200000000000000
             0500000000000000 00000000 01000000
             0600000000000000 01000000 08000000 02000000",
        ),
        (ManagerMessage::Data { job, bytes: 9 }, "03000000 0500000000000000 09000000"),
        (
            ManagerMessage::Progress { job, done: 1, total: 0 },
            "04000000 0500000000000000 0100000000000000 0000000000000000",
        ),
        (ManagerMessage::Restarted { job }, "05000000 0500000000000000"),
        (
            ManagerMessage::Assign { executions: vec![execution, of_kind] },
            "06000000 0200000000000000
             0102030405060708 03000000 01000000 07000000 e8030000 d0070000 00 01
             0102030405060708 03000000 01000000 07000000 e8030000 d0070000 01 0100000000000000 6b 00",
        ),
        (ManagerMessage::Cancel { assignment: ASSIGNMENT }, "07000000 0102030405060708"),
        (
            ManagerMessage::SetRunLimit { assignment: ASSIGNMENT, run_limit_ms: 1_000 },
            "08000000 0102030405060708 e8030000",
        ),
        (
            ManagerMessage::Grant { assignment: ASSIGNMENT, bytes: 0x1_0000 },
            "09000000 0102030405060708 0000010000000000",
        ),
        (ManagerMessage::OfferAccepted, "0a000000"),
        (
            ManagerMessage::OfferRefused { code: ErrorCode::InvalidSlots, message: message.clone() },
            "0b000000 03000000 0200000000000000 6e6f",
        ),
        (ManagerMessage::Withdrawn, "0c000000"),
        (
            ManagerMessage::SystemMessage { id: MessageId(3), from: PeerId(4), bytes: 2 },
            "0d000000 0300000000000000 0400000000000000 02000000",
        ),
        (
            ManagerMessage::SystemReport { id: MessageId(3), sent_to: 2, received_by: 1 },
            "0e000000 0300000000000000 02000000 01000000",
        ),
        (ManagerMessage::Status { id: MessageId(3), bytes: 2 }, "0f000000 0300000000000000 02000000"),
        (ManagerMessage::Ping, "10000000"),
        (ManagerMessage::Pong, "11000000"),
        (
            ManagerMessage::Leaving { code: ErrorCode::Shutdown, message, retry: true, retry_after_ms },
            "12000000 0b000000 0200000000000000 6e6f 01 fa000000",
        ),
    ]
}
