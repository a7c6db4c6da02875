//! Words of JSON peers, in lines. Whatever comes, nothing panics, the scheduler's tables agree (`House` audits them after each turn), only
//! JSON is said, no job ends twice or before its client was told of it, and what is said is in proportion to what came.

use super::tests::house::House;
use super::text::Json;
use crate::hostile::input::Input;
use proletariat_protocol::{JobId, JobOptions, Payload};
use proletariat_scheduler::{Config, Event};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who there is.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// One of the four says this.
    Says(u8, Vec<u8>),
    /// So many milliseconds pass.
    Waits(u64),
    /// One of the four leaves.
    Leaves(u8),
    /// A native client submits a job.
    Submits,
}

/// Each job whose id a client was told ends once at most, and not before.
#[derive(Default)]
struct Books(BTreeMap<String, bool>);

/// The first byte has the settings. Each line after it is what happens: `a{…}` to `d{…}` say it, `w50` waits, `la` leaves, `n` submits.
pub(crate) fn json(data: &[u8]) {
    let mut input = Input(data);
    let settings = input.byte();
    let happenings = input.0.split(|byte| *byte == b'\n').map(happening);
    run(happenings, settings & 1 != 0, settings & 2 != 0);
}

fn happening(line: &[u8]) -> Happening {
    match line {
        [who @ b'a'..=b'd', text @ ..] => Happening::Says(who - b'a', text.to_vec()),
        [b'w', millis @ ..] => {
            let digits = millis.iter().take(6).take_while(|digit| digit.is_ascii_digit());
            Happening::Waits(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
        }
        [b'l', who, ..] => Happening::Leaves(who % 4),
        [b'n', ..] => Happening::Submits,
        other => Happening::Says(0, other.to_vec()),
    }
}

/// Lets all of it happen, with a turn of the manager after each.
pub(super) fn run(
    happenings: impl IntoIterator<Item = Happening>,
    hold_similar_work: bool,
    sacred_guarantees: bool,
) {
    let config = Config { hold_similar_work, sacred_guarantees, queued_jobs_max: 50, ..Config::default() };
    let (mut house, mut books, mut submitted) = (House::new(config), Books::default(), 0);
    let (mut heard_bytes, mut said_bytes) = (0, 0);
    for happening in happenings {
        match happening {
            Happening::Says(who, text) => {
                heard_bytes += text.len() + 4;
                house.hear(NAMES[usize::from(who)], &text);
            }
            Happening::Waits(millis) => house.wait(Duration::from_millis(millis)),
            Happening::Leaves(who) => {
                house.peer(NAMES[usize::from(who)]);
                house.leave(NAMES[usize::from(who)]);
            }
            Happening::Submits => {
                let client = house.native_peer("native");
                let payloads = std::iter::once(Payload::from_static(b"\xff\x00")).collect();
                let (first, options) = (JobId(submitted), &JobOptions::default());
                house.tell(Event::Submitted { client, first, options, payloads });
                submitted += 1;
            }
        }
        for (_, text) in house.turn() {
            said_bytes += text.len();
            books.hear(&text);
        }
    }
    // A status names each peer and range: some kilobytes for a question of thirty bytes.
    assert!(said_bytes <= 200 * heard_bytes + 10_000, "{said_bytes} bytes said, {heard_bytes} heard");
}

impl Books {
    fn hear(&mut self, text: &str) {
        let object = Json::read(text.as_bytes()).expect("only JSON is said");
        let member = |object: Json<'_>, name: &str| {
            object
                .members()
                .find(|(key, _)| key.string().as_deref() == Some(name))
                .map(|(_, value)| value.text().to_owned())
        };
        let is =
            |name: &str, value: &str| member(object, name).is_some_and(|text| text == format!("\"{value}\""));
        let work = member(object, "work").unwrap_or_default();
        let entries = Json::read(work.as_bytes()).and_then(Json::elements).into_iter().flatten();
        if is("command", "answer") && is("to", "push") {
            entries.for_each(|id| {
                self.0.entry(id.text().to_owned()).or_insert(false);
            });
        } else if is("command", "done") {
            for entry in entries {
                let id = member(entry, "id").expect("an end names its job");
                let ended = self.0.get_mut(&id).expect("told before its end");
                assert!(!std::mem::replace(ended, true), "{id} ended twice");
            }
        }
    }
}
