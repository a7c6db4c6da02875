//! What passes through, seen from outside.

use super::*;
use crate::{Abilities, Action, Assign, Config, Event, Joined, Outcome, selector};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{InstanceId, JobId, JobOptions, Offer, PeerId, Time, WorkResult};

const PEER: PeerId = PeerId(1);

/// A scheduler with one peer, which is client and worker.
fn scheduler() -> Scheduler {
    let mut scheduler = Scheduler::new(Config::default(), Box::new(selector::RandomWeighted), 1);
    scheduler.handle(
        Time::ZERO,
        Event::Joined(Joined {
            peer: PEER,
            instance: InstanceId([7; 16]),
            realm: 0,
            name: String::new(),
            roles: Roles { client: true, worker: true, admin: false },
            abilities: Abilities::NATIVE,
        }),
    );
    scheduler.handle(Time::ZERO, Event::Offered { worker: PEER, offer: Offer::new(10) });
    scheduler
}

fn submit(scheduler: &mut Scheduler, first: u64, payload: Payload) {
    let payloads = core::iter::once(payload).collect();
    let options = &JobOptions::default();
    scheduler.handle(Time::ZERO, Event::Submitted { client: PEER, first: JobId(first), options, payloads });
}

fn decide(scheduler: &mut Scheduler) -> Vec<Action<Parcel>> {
    let mut actions = Vec::new();
    scheduler.decide(Time::ZERO, &mut actions);
    actions
}

fn assigned(actions: &[Action<Parcel>]) -> &Assign<Parcel> {
    let assign =
        actions.iter().find_map(|a| if let Action::Assign(assign) = a { Some(assign) } else { None });
    assign.expect("something was assigned")
}

fn outcomes(actions: &[Action<Parcel>]) -> Vec<Parcel> {
    let outcome = |action: &Action<Parcel>| match action {
        Action::Deliver { outcome, .. } => Some(*outcome.payload()),
        _ => None,
    };
    actions.iter().filter_map(outcome).collect()
}

fn finish(scheduler: &mut Scheduler, assign: &Assign<Parcel>, result: WorkResult, payload: Received<'_>) {
    let (worker, assignment) = (assign.worker, assign.assignment);
    scheduler.handle(Time::ZERO, Event::Finished { worker, assignment, result, payload });
}

#[test]
fn what_is_large_is_shared_and_what_is_small_is_copied() {
    let mut scheduler = scheduler();
    for (number, bytes) in [1, 64, 1_024, 1_025, 100_000].into_iter().enumerate() {
        let payload = Payload::from(vec![number as u8; bytes]);
        submit(&mut scheduler, number as u64, payload.clone());
        let actions = decide(&mut scheduler);
        let assign = assigned(&actions);
        assert_eq!(scheduler.bytes(assign.payload), payload);
        let sent = scheduler.payload(assign.payload);
        assert_eq!(sent, payload);
        assert_eq!(sent.as_ptr() == payload.as_ptr(), bytes > 1_024, "{bytes} bytes");

        let (result, lent) = (Payload::from(vec![1; bytes + 1]), number % 2 == 0);
        let received = if lent { Received::Lent(&result) } else { result.clone().into() };
        assert_eq!(received.len(), bytes + 1);
        finish(&mut scheduler, assign, WorkResult::Done, received);
        let told = outcomes(&decide(&mut scheduler));
        let [told] = told[..] else { panic!("{told:?}") };
        assert_eq!(scheduler.bytes(told), result);
        assert_eq!(scheduler.payload(told).as_ptr() == result.as_ptr(), !lent);
    }
    scheduler.audit();
}

#[test]
fn what_comes_meanwhile_is_of_the_next_step() {
    let mut scheduler = scheduler();
    (0..3).for_each(|number| submit(&mut scheduler, number, Payload::from_static(b"work")));
    let actions = decide(&mut scheduler);
    let assigns: Vec<&Assign<Parcel>> = actions
        .iter()
        .filter_map(|a| if let Action::Assign(assign) = a { Some(assign) } else { None })
        .collect();
    finish(&mut scheduler, assigns[0], WorkResult::Done, Received::Lent(b"first"));
    finish(&mut scheduler, assigns[1], WorkResult::Failed, Payload::from_static(b"why").into());
    let first = outcomes(&decide(&mut scheduler));
    // While the actions of that step are carried out, more is heard.
    finish(&mut scheduler, assigns[2], WorkResult::Done, Received::Lent(b"other"));
    let texts: Vec<&[u8]> = first.iter().map(|parcel| scheduler.bytes(*parcel)).collect();
    assert_eq!(texts, [&b"first"[..], b"why"]);
    let next = outcomes(&decide(&mut scheduler));
    assert_eq!(scheduler.bytes(next[0]), b"other");
    assert_eq!((scheduler.passing.said.copied.len(), scheduler.passing.coming.copied.len()), (5, 0));
}

#[test]
fn nothing_is_held_when_a_step_is_settled() {
    let mut scheduler = scheduler();
    submit(&mut scheduler, 0, Payload::new());
    let actions = decide(&mut scheduler);
    let (large, small) = (Payload::from(vec![1; 1 << 20]), vec![2; 1 << 20]);
    finish(&mut scheduler, assigned(&actions), WorkResult::Done, large.clone().into());
    submit(&mut scheduler, 1, Payload::new());
    let actions = decide(&mut scheduler);
    finish(&mut scheduler, assigned(&actions), WorkResult::Done, Received::Lent(&small));
    assert!(!large.is_unique(), "the step before is not settled");
    scheduler.settle();
    assert!(large.is_unique());
    let told = outcomes(&decide(&mut scheduler));
    assert_eq!(scheduler.bytes(told[0]), small);
    scheduler.settle();
    assert!(scheduler.passing.said.copied.capacity() <= KEEP_BYTES);
}

#[test]
#[should_panic(expected = "carried out before the next")]
fn a_step_is_carried_out_before_the_next() {
    let mut scheduler = scheduler();
    let mut actions = Vec::new();
    scheduler.decide(Time::ZERO, &mut actions);
    scheduler.decide(Time::ZERO, &mut actions);
}

#[test]
fn an_error_has_its_sentence() {
    let mut scheduler = scheduler();
    submit(&mut scheduler, 0, Payload::new());
    scheduler.handle(Time::ZERO, Event::Aborted { client: PEER, first: JobId(0), count: 1 });
    let actions = decide(&mut scheduler);
    let told = actions
        .iter()
        .find_map(|a| if let Action::Deliver { outcome, .. } = a { Some(*outcome) } else { None });
    let Some(Outcome::Error(ErrorCode::Aborted, parcel)) = told else { panic!("{told:?}") };
    assert_eq!(scheduler.bytes(parcel), ErrorCode::Aborted.advice().as_bytes());
    assert_eq!(scheduler.payload(parcel), ErrorCode::Aborted.advice().as_bytes());
}
