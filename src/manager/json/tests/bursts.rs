//! Several words of one peer in one turn: each is understood as if those before it had been answered.

use super::house::House;
use proletariat_scheduler::Config;

const PUSH: &str = r#"{"command":"push","rid":"R","work":["a","b"]}"#;
const PUSH_OTHER: &str = r#"{"command":"push","rid":"R","work":["other"]}"#;
/// The same rid, written in another way.
const ABORT: &str = r#"{"command":"abort","rid":"\u0052"}"#;
const ABORTED: &str = r#"c < {"command":"answer","to":"abort","ok":true,"rid":"\u0052"}"#;

/// What everybody is told when `c` has said all of this in one turn.
fn told(house: &mut House, words: &[&str]) -> Vec<String> {
    for word in words {
        house.hear("c", word.as_bytes());
    }
    house.turn().into_iter().map(|(name, text)| format!("{name} < {text}")).collect()
}

fn pushed(ids: &str) -> String {
    format!(r#"c < {{"command":"answer","to":"push","rid":"R","work":[{ids}]}}"#)
}

/// Aborts jobs by their ids.
fn abort(ids: &str) -> String {
    format!(r#"{{"command":"abort","work":[{ids}]}}"#)
}

fn aborted(ids: &str) -> String {
    format!(r#"c < {{"command":"answer","to":"abort","ok":true,"work":[{ids}]}}"#)
}

#[test]
fn behind_the_abort_of_its_request_a_rid_stands_for_a_new_one() {
    let mut house = House::new(Config::default());
    assert_eq!(told(&mut house, &[PUSH]), [pushed(r#""J1.0","J1.1""#)]);
    assert_eq!(told(&mut house, &[ABORT, PUSH]), [ABORTED.to_owned(), pushed(r#""J1.2","J1.3""#)]);

    house.hear("w", br#"{"command":"offer","slots":1}"#);
    let offered = told(&mut house, &[]);
    assert_eq!(offered.last().unwrap(), r#"w < {"command":"push","work":[{"id":"J1.2","args":"a"}]}"#);

    let stopped = r#"w < {"command":"abort","work":["J1.2"]}"#;
    assert_eq!(
        told(&mut house, &[ABORT, PUSH_OTHER, ABORT]),
        [ABORTED.to_owned(), pushed(r#""J1.4""#), ABORTED.to_owned(), stopped.to_owned()]
    );
    let unknown = told(&mut house, &[ABORT]);
    assert!(unknown.len() == 1 && unknown[0].contains("EABRNOFO"), "{unknown:?}");
}

#[test]
fn behind_the_abort_of_all_its_jobs_a_rid_stands_for_a_new_request() {
    let mut house = House::new(Config::default());
    assert_eq!(told(&mut house, &[PUSH]), [pushed(r#""J1.0","J1.1""#)]);
    let (all, some, rest) = (abort(r#""J1.1","J1.0""#), abort(r#""J1.2""#), abort(r#""J1.3""#));
    assert_eq!(told(&mut house, &[&all, PUSH]), [pushed(r#""J1.2","J1.3""#), aborted(r#""J1.1","J1.0""#)]);
    assert_eq!(
        told(&mut house, &[&some, PUSH]),
        [pushed(r#""J1.2","J1.3""#), aborted(r#""J1.2""#)],
        "one of its jobs is open"
    );
    assert_eq!(told(&mut house, &[&rest, PUSH]), [pushed(r#""J1.4","J1.5""#), aborted(r#""J1.3""#)]);
    assert_eq!(told(&mut house, &[PUSH]), [pushed(r#""J1.4","J1.5""#)], "sent again");
}
