//! Words that nobody should say: wrong types for every field, values of any size and depth, keys twice, cut texts. Whatever comes,
//! nothing panics, the scheduler's tables agree (`House` audits them after each turn), only JSON is said, and what is held is in
//! proportion to what came.

use super::super::FRAME_BYTES_MAX;
use super::super::hostile::{Happening, run};
use super::house::House;
use proletariat_protocol::{JobId, JobOptions, Payload};
use proletariat_scheduler::{Config, Event};
use proptest::prelude::*;
use proptest::sample::select;

/// JSON values that are trouble somewhere.
const VALUES: &[&str] = &[
    "null",
    "true",
    "-1",
    "-0",
    "0",
    "1",
    "3.7",
    "1e308",
    "1e999",
    "-1e999",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "\"\"",
    "\"x\"",
    "\"7\"",
    "\"__proto__\"",
    "\"\\ud83d\"",
    "\"\\u0000\"",
    "\"J1.0\"",
    "\"J1.1\"",
    "\"J2.0\"",
    "\"J0.0\"",
    "\"MANAGER\"",
    "\"1\"",
    "[]",
    "[[]]",
    "[null]",
    "[{}]",
    "[1,2,3]",
    "[\"J1.0\",\"J1.1\",\"J1.0\"]",
    "{}",
    "{\"0\":2}",
    "{\"0\":1,\"1\":1}",
    "{\"0\":null}",
    "{\"id\":\"J1.0\"}",
    "[{\"id\":\"J1.0\",\"result\":{\"err\":null,\"data\":1}}]",
    "[{\"id\":\"J1.1\",\"result\":{\"err\":{\"code\":\"ETO\"}}}]",
    "[{\"id\":\"J2.0\",\"result\":null},{\"id\":\"J1.2\",\"result\":{\"data\":{}}}]",
    "[{\"_key\":\"k\"},{\"_key\":7},{\"_kind\":\"k\"}]",
    "[{\"_key\":\"k\",\"_key\":null}]",
];
const COMMANDS: &[&str] = &[
    "\"push\"",
    "\"push\"",
    "\"push\"",
    "\"offer\"",
    "\"done\"",
    "\"done\"",
    "\"abort\"",
    "\"abort\"",
    "\"answer\"",
    "\"answer\"",
    "\"sysmsg\"",
    "\"ping\"",
    "\"status\"",
    "\"mystatus\"",
    "\"cleanup\"",
    "\"gc\"",
    "\"dumpall\"",
    "\"nonsense\"",
    "null",
    "7",
    "{}",
];
const FIELDS: &[&str] = &[
    "to",
    "rid",
    "work",
    "priority",
    "timeout",
    "assigntimeout",
    "slots",
    "id",
    "content",
    "accepted",
    "rejected",
    "error",
    "command",
    "\\u0072id",
    "nonsense",
];

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(VALUES).prop_map(str::to_owned),
        1 => any::<f64>().prop_map(|number| serde_json::Value::from(number).to_string()),
        1 => any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        1 => (1_usize..2_000).prop_map(|depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth))),
        1 => (1_usize..2_000).prop_map(|depth| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth))),
        1 => "[0-9]{1,400}".prop_map(|digits| format!("1{digits}")),
    ]
}

/// A message: a command that mostly is one, and members of any value, some of them twice; sensible ones first, so that often
/// something comes of it.
fn message() -> impl Strategy<Value = String> {
    let sensible = select(vec![
        r#""rid":"r","work":[1,"two",{"_key":"k"}]"#,
        r#""rid":5,"work":[[]],"priority":3,"timeout":50,"assigntimeout":40"#,
        r#""slots":2"#,
        r#""slots":{"0":1,"3":1}"#,
        r#""work":[{"id":"J1.0","result":{"err":null,"data":"x"}},{"id":"J2.0","result":{"err":{"message":"m"},"data":0}}]"#,
        r#""to":"push","rejected":["J1.0","J2.0"],"accepted":["J1.1","J2.1"]"#,
        r#""to":"sysmsg","id":"0""#,
        r#""id":"m","content":[1]"#,
        r#""rid":"r""#,
        r#""x":0"#,
    ]);
    let odd = proptest::collection::vec((select(FIELDS), value()), 0..3);
    (select(COMMANDS), sensible, odd).prop_map(|(command, sensible, odd)| {
        let odd: String = odd.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        format!("{{\"command\":{command},{sensible}{odd}}}")
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let text = prop_oneof![
        12 => message().prop_map(String::into_bytes),
        1 => value().prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (message(), any::<proptest::sample::Index>()).prop_map(|(text, cut)| text.as_bytes()[..cut.index(text.len())].to_vec()),
    ];
    prop_oneof![
        20 => (0_u8..4, text).prop_map(|(who, text)| Happening::Says(who, text)),
        2 => (0_u64..200).prop_map(Happening::Waits),
        1 => (0_u8..4).prop_map(Happening::Leaves),
        1 => Just(Happening::Submits),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_is_said_nothing_breaks(
        happenings in proptest::collection::vec(happening(), 1..60),
        hold_similar_work in any::<bool>(),
        sacred_guarantees in any::<bool>(),
    ) {
        run(happenings, hold_similar_work, sacred_guarantees);
    }
}

/// Values that are trouble by their size, in one frame of the largest size each.
#[test]
fn the_largest_frames_are_taken_or_refused_and_leave_nothing_behind() {
    let room = FRAME_BYTES_MAX - 200;
    let bodies = [
        format!(
            r#"{{"command":"push","rid":"deep","work":[{}1{}]}}"#,
            "[".repeat(room / 2),
            "]".repeat(room / 2)
        ),
        format!(r#"{{"command":"push","rid":"digits","work":[1{}]}}"#, "0".repeat(room)),
        format!(r#"{{"command":"push","rid":{},"work":[1]}}"#, "1".repeat(room)),
        format!(r#"{{"command":"push","rid":"many","work":[0{}]}}"#, ",0".repeat(room / 2)),
        format!(r#"{{"command":"{}"}}"#, "x".repeat(room)),
        format!(r#"{{"command":"sysmsg","id":"{}","content":0}}"#, "x".repeat(room)),
        format!(r#"{{"command":"sysmsg","id":"m","content":"{}"}}"#, "x".repeat(room)),
        format!(r#"{{"command":"abort","work":["J1.0"{}]}}"#, r#","J1.0""#.repeat(room / 7)),
        format!(r#"{{"command":"offer","slots":{{"0":1{}}}}}"#, r#","1":1"#.repeat(room / 6)),
        format!(r#"{{"command":"ping"{}}}"#, r#","ping":0"#.repeat(room / 9)),
        "[".repeat(FRAME_BYTES_MAX),
    ];
    let mut house = House::new(Config::default());
    for body in bodies {
        assert!(body.len() <= FRAME_BYTES_MAX);
        house.hear("a", body.as_bytes());
        let said: usize = house.turn().iter().map(|(_, text)| text.len()).sum();
        assert!(said < 2_000, "{said} bytes are said of {}", &body[..60]);
    }
    assert!(house.hear("b", br#"{"command":"offer","slots":9}"#));
    let pushed = house.turn();
    let is_push = |text: &String| text.starts_with(r#"{"command":"push""#);
    assert_eq!(pushed.iter().filter(|(name, text)| name == "b" && is_push(text)).count(), 1);
    let digits = pushed.iter().find(|(_, text)| is_push(text)).unwrap();
    assert!(digits.1.len() > room, "the other one was aborted among these");
}

/// A list that fits into no frame together goes in several.
#[test]
fn no_frame_is_over_the_limit() {
    let mut house = House::new(Config::default());
    let large = "x".repeat(FRAME_BYTES_MAX / 3);
    for rid in 0..5 {
        house.hear("c", format!(r#"{{"command":"push","rid":"{rid}","work":["{large}"]}}"#).as_bytes());
    }
    house.turn();
    house.hear("w", br#"{"command":"offer","slots":5}"#);
    let pushed =
        house.turn().into_iter().filter(|(name, text)| name == "w" && text.contains(r#""args""#)).count();
    assert_eq!(pushed, 5);
    // As large as a frame can be: there is no room for the name of the job around it.
    let native = house.native_peer("n");
    let most = Payload::from(vec![b'7'; FRAME_BYTES_MAX]);
    let payloads = [most, Payload::from(vec![0xff; FRAME_BYTES_MAX])].into_iter().collect();
    house.hear("v", br#"{"command":"offer","slots":5}"#);
    house.tell(Event::Submitted {
        client: native,
        first: JobId(0),
        options: &JobOptions::default(),
        payloads,
    });
    assert!(house.turn().iter().all(|(_, text)| !text.contains(r#""args""#)));
    assert_eq!(house.native.len(), 2, "both end, with the reason");
}
