//! What is for many peers is made once, and they share it; and of what a peer sends nothing is kept that is not taken.

use super::super::{
    Dialect, FRAME_BYTES_MAX, LastShown, Piece, Question, Refused, RidBytes, Rules, Survey, Times, World,
};
use crate::manager::dialect::ROLES;
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{JobOutcome, ManagerMessage};
use proletariat_protocol::{ErrorCode, MessageId, Payload, PeerId};
use proletariat_scheduler::{Event, PeerStatus, RangeStatus, Status, WorkerStatus};
use serde_json::Value;
use std::cell::Cell;
use std::time::Duration;

const RULES: Rules = Rules { payload_bytes_max: FRAME_BYTES_MAX as u64, hold_similar_work: true };
const CROWD: u64 = 5;
/// An error tells so many bytes of its sentence.
const SENTENCE_BYTES: usize = 64 * 1024;

/// Where a payload lies, and its length.
type Place = (usize, usize);

fn crowd(last_shown: &LastShown) -> Vec<Dialect> {
    let rid_bytes = RidBytes::default();
    (1..=CROWD).map(|peer| Dialect::new(PeerId(peer), RULES, last_shown.clone(), rid_bytes.clone())).collect()
}

/// The place of the one large payload that each of them is to be told; they are poured when all of them have it.
fn large(crowd: &mut [Dialect]) -> Vec<Place> {
    let mut places = Vec::new();
    for dialect in crowd {
        dialect.pour(|piece| {
            if let Piece::Payload(payload) = piece {
                places.push((payload.as_ptr().addr(), payload.len()));
            }
        });
    }
    assert_eq!(places.len() as u64, CROWD, "one for each");
    places
}

/// All of them wait for the same work, which ends so.
fn ended(outcome: OutcomeKind, payload: &Payload) -> Vec<Place> {
    let mut crowd = crowd(&LastShown::default());
    for dialect in &mut crowd {
        let job = dialect.requests.add("sr", 1, 0);
        let bytes = u32::try_from(payload.len()).unwrap();
        dialect.say_outcome(&JobOutcome { job, outcome, bytes }, payload, None);
    }
    large(&mut crowd)
}

/// Bytes that are no JSON: what is told is not what came.
fn no_json(bytes: usize) -> Payload {
    Payload::from("x".repeat(bytes))
}

#[test]
fn a_message_to_many_is_one_text() {
    let last_shown = LastShown::default();
    let mut crowd = crowd(&last_shown);
    let content = no_json(1_000_000);
    let message = ManagerMessage::SystemMessage { id: MessageId(1), from: PeerId(9), bytes: 1_000_000 };
    for dialect in &mut crowd {
        dialect.say(&message, Some(&content));
    }
    let places = large(&mut crowd);
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert_eq!(places[0].1, 1_000_002);
    last_shown.forget();
    assert!(content.is_unique(), "nothing is kept after the turn");
}

#[test]
fn the_end_of_work_that_many_wait_for_is_one_text() {
    for (outcome, told) in
        [(OutcomeKind::Result, 1_000_002), (OutcomeKind::Error(ErrorCode::WorkFailed), SENTENCE_BYTES + 2)]
    {
        let places = ended(outcome, &no_json(1_000_000));
        assert!(places.iter().all(|place| *place == places[0]), "{outcome:?}: {places:?}");
        assert_eq!(places[0].1, told);
    }
}

/// Peers of which every second one is a worker, and every third one waits for a job.
fn status(peers: u64) -> Status {
    let worker = |peer| WorkerStatus {
        peer: PeerId(peer),
        name: "json".into(),
        slots: 1,
        withdrawn: false,
        paused: false,
        kinds: None,
        paused_kinds: Vec::new(),
        ranges: vec![RangeStatus { from: 0, guarantee: 1, limit: 1, used: 0, free: 1 }],
        running: 0,
        stopping: Vec::new(),
    };
    let peer = |peer: u64| PeerStatus {
        peer: PeerId(peer),
        name: "json".into(),
        roles: ROLES,
        open_jobs: u64::from(peer.is_multiple_of(3)),
        queued_jobs: 0,
    };
    Status {
        workers: (1..=peers).filter(|peer| peer.is_multiple_of(2)).map(worker).collect(),
        peers: (1..=peers).map(peer).collect(),
        ..Status::default()
    }
}

#[test]
fn a_state_that_many_ask_for_is_one_text_in_which_each_finds_itself() {
    const PEERS: u64 = 60;
    let status = status(PEERS);
    let survey = Survey::new(&status, Times { boot: 0, now: 0 }, false);
    let nobody = survey.answer(Question::All, PeerId(0), 0);
    let text = nobody[0].as_ptr_range();
    assert_eq!(nobody.len(), 1);
    for peer in 1..=PEERS {
        let parts = survey.answer(Question::All, PeerId(peer), 0);
        let own: usize = parts.iter().filter(|part| !text.contains(&part.as_ptr())).map(Payload::len).sum();
        assert!(own < 50, "{own} bytes of the answer to {peer} are for it alone");
        let told: Value = serde_json::from_slice(&parts.concat()).unwrap();
        let (works, waits) = (peer.is_multiple_of(2), peer.is_multiple_of(3));
        for (list, is_there) in [("workers", works), ("clients", !works || waits)] {
            let rows = told[list].as_array().unwrap();
            let you: Vec<&Value> = rows.iter().filter(|row| row["you"] == true).collect();
            assert_eq!(you.len(), usize::from(is_there), "{peer} among the {list}");
            let id = peer.to_string();
            assert!(you.iter().all(|row| row["id"] == id));
        }
    }
}

#[test]
fn a_state_that_fits_into_no_frame_is_an_error() {
    let mut dialect = crowd(&LastShown::default()).remove(0);
    let half = Payload::from(vec![b' '; FRAME_BYTES_MAX / 2 + 1]);
    dialect.say_text(&[half.clone(), half]);
    let mut said = Vec::new();
    dialect.pour(|piece| match piece {
        Piece::Text(text) => said.extend_from_slice(text),
        Piece::Payload(payload) => said.extend_from_slice(payload),
    });
    assert!(said.len() < 200 && String::from_utf8_lossy(&said).contains("ELARGEMSG"));
}

/// A manager that takes what comes, or nothing, and notes what it is told.
#[derive(Default)]
struct Ears {
    full: bool,
    /// Jobs and bytes that it was asked for.
    asked: Cell<(u64, u64)>,
    /// The first, the kind and the payloads of each submit.
    submits: Vec<(u64, Option<String>, Vec<String>)>,
}

impl World for Ears {
    fn tell(&mut self, event: Event<'_>) {
        let Event::Submitted { first, options, payloads, .. } = event else {
            panic!("a push alone was heard")
        };
        let texts = payloads.iter().map(|payload| String::from_utf8_lossy(payload).into_owned()).collect();
        self.submits.push((first.0, options.kind.clone(), texts));
    }

    fn refusal(&self, _: PeerId, jobs: u64, bytes: u64) -> Option<Refused> {
        self.asked.set((jobs, bytes));
        let retry_after = Duration::from_millis(250);
        self.full.then(|| Refused { code: ErrorCode::Overload, message: "full".into(), retry_after })
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn failed(&mut self, _: &Payload, _: Payload) {}

    fn ask(&mut self, _: Question) {}

    fn unix_millis(&self) -> u64 {
        0
    }
}

#[test]
fn jobs_in_a_row_for_which_the_same_holds_are_told_together_and_all_are_weighed_before() {
    let [a, b, c] = [r#"{"_kind":"a","_key":"k"}"#, r#"{"_kind":"bb"}"#, r#"{"_kind":"bb","x":1}"#];
    let push = format!(r#"{{"command":"push","rid":"r","work":[{a},{a},{b},{c},7,{a}]}}"#);
    for full in [true, false] {
        let mut dialect = crowd(&LastShown::default()).remove(0);
        let mut ears = Ears { full, ..Ears::default() };
        assert!(dialect.hear(push.as_bytes(), &mut ears));
        // Three times a kind and a key of one byte each, and twice a kind of two; and the rid, with what tells it from a number.
        let bytes = 3 * (a.len() + 2) + b.len() + c.len() + 2 * 2 + 1 + 2;
        assert_eq!(ears.asked.get(), (6, bytes as u64));
        let submit = |first: u64, kind: Option<&str>, jobs: &[&str]| {
            (first, kind.map(str::to_owned), jobs.iter().map(|job| (*job).to_owned()).collect::<Vec<_>>())
        };
        let wanted = [
            submit(0, Some("a"), &[a, a]),
            submit(2, Some("bb"), &[b, c]),
            submit(4, None, &["7"]),
            submit(5, Some("a"), &[a]),
        ];
        let wanted: &[_] = if full { &[] } else { &wanted };
        assert_eq!(ears.submits, wanted);
    }
}
