//! `client demo`: a whole fleet in one process, one worker killed, nothing lost.

use crate::harness::Test;
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn nothing_is_lost_although_a_worker_is_killed() {
    let test = Test::alone();
    let ended = test.run("client", &["demo", "--output", "json"]).expect(0);
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
    let books = ended.json();
    let number = |name: &str| books[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {books}"));
    assert!(number("jobs") >= 2_000, "{books}");
    assert_eq!((number("answers"), number("lost")), (number("jobs"), 0));
    assert!(number("requeued") > 0, "the killed worker had something to do");
    assert!(books["jobs_per_s"].as_f64() > Some(0.0), "{books}");
}

#[test]
fn people_get_a_summary() {
    let test = Test::alone();
    let ended = test.run("client", &["demo", "--jobs", "3000"]).expect(0);
    let text = ended.text();
    for word in ["3,000", "lost", "requeued", "priority"] {
        assert!(text.replace("re-queued", "requeued").contains(word), "{word} is not in {text}");
    }
    assert!(!text.contains('\x1b') && !ended.err.contains('\x1b'), "{ended:?}");
}

#[test]
fn an_interrupted_one_leaves_nothing() {
    let test = Test::alone();
    // Far more jobs than it can do before the signal comes.
    let demo = test.start("client", &["demo", "--jobs", "1000000", "--debug"]);
    demo.until_it_says("listening");
    demo.signal(Signal::INT);
    demo.ended().expect(130);
}
