//! What peers may do to a manager that keeps its promises: grow no table, keep nobody busy for nothing, cheat no rule.

use crate::harness::World;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, HandBackReason, JobId, JobOptions, MessageId, Offer, Payload, PeerId};
use proletariat_scheduler::selector::{Candidate, Candidates, Random, Request, Selector};
use proletariat_scheduler::{Action, Assign, Config, Event, OutboxLevel};

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

fn start(world: &mut World, assigned: &Assign) {
    world.tell(Event::Started { worker: assigned.worker, assignment: assigned.assignment });
}

#[test]
fn alarms_do_not_pile_up_however_often_an_execution_comes_back() {
    const MONTH: u32 = 30 * 24 * 3_600 * 1_000;
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    let patient = JobOptions {
        timeout_ms: MONTH,
        assign_timeout_ms: MONTH,
        run_timeout_ms: MONTH,
        ..JobOptions::default()
    };
    world.submit(client, patient, &["x"]);
    for _ in 0..5_000 {
        let assigned = world.assigned_to(worker).pop().expect("it comes again after each pause");
        start(&mut world, &assigned);
        world.hand_back(&assigned, HandBackReason::Unfit);
        world.pass_millis(60);
    }
    let alarms = world.scheduler.status(world.now).alarms;
    assert!(alarms < 3_000, "{alarms} alarms for one job");
}

#[test]
fn kinds_that_a_worker_handed_back_do_not_pile_up() {
    // Some 4,096 empty lines keep theirs, and a worker 256 pauses and 4,096 kinds that are not its own.
    let cases = [(HandBackReason::Busy, 5_000, 4_400), (HandBackReason::NotMyKind, 9_000, 8_300)];
    for (reason, count, most) in cases {
        let mut world = World::new(Config::default());
        let (client, worker) = (world.client(), world.worker(Offer::new(1)));
        world.audits = false;
        for n in 0..count {
            world.submit(client, of_kind(&format!("kind-{n}")), &["x"]);
            let assigned = world.assigned_to(worker).pop().expect("no pause is for a kind that is new");
            world.hand_back(&assigned, reason);
            world.abort(client, n, 1);
            world.pass_millis(60);
        }
        world.scheduler.audit();
        let kinds = world.scheduler.status(world.now).kinds;
        assert!(kinds < most, "{kinds} names are kept after {reason:?}");
    }
}

#[test]
fn many_pauses_at_a_time_are_kept_as_pauses_of_executions() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    for n in 0..300 {
        world.submit(client, of_kind(&format!("kind-{n}")), &["x"]);
        let assigned = world.assigned_to(worker).pop().expect("another kind is not paused");
        world.hand_back(&assigned, HandBackReason::Busy);
        assert!(world.assigned_to(worker).is_empty(), "what was just handed back waits");
    }
    assert!(world.scheduler.status(world.now).workers[0].paused_kinds.len() <= 256);
    world.pass_millis(60);
    assert_eq!(world.assigned_to(worker).len(), 1, "the pauses are over");
}

/// Names the same worker whatever the question is, once it has seen it.
#[derive(Debug)]
struct Stubborn(PeerId, Option<Candidate>);

impl Selector for Stubborn {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        self.1 = self.1.or_else(|| among.iter().find(|candidate| candidate.worker == self.0));
        self.1
    }
}

#[test]
fn a_selector_cannot_name_a_worker_that_may_not_take_it() {
    let config = Config::default;
    let mut world = World::with_selector(config(), Stubborn(PeerId(2), None));
    let client = world.client();
    let (named, other) = (world.worker(Offer::new(5).kinds(["a"])), world.worker(Offer::new(5)));
    assert_eq!(named, PeerId(2));
    world.submit(client, of_kind("b"), &["b"]);
    assert!(world.assigned_to(named).is_empty(), "it does not do this kind");
    world.submit(client, of_kind("a"), &["a"]);
    assert_eq!(world.assigned_to(named).len(), 1);
    world.tell(Event::Withdrew { worker: named });
    world.submit(client, of_kind("a"), &["a2"]);
    assert!(world.assigned_to(named).is_empty(), "nothing follows the acknowledgement of a withdrawal");
    assert!(world.assigned_to(other).is_empty(), "an answer that is no candidate counts as none");

    let mut world = World::with_selector(config(), Stubborn(PeerId(2), None));
    let client = world.client();
    let (named, _other) = (world.worker(Offer::new(5)), world.worker(Offer::new(5)));
    world.submit(client, of_kind("a"), &["seen"]);
    assert_eq!(world.assigned_to(named).len(), 1);
    world.tell(Event::Outbox { peer: named, level: OutboxLevel::Paused });
    world.submit(client, of_kind("a"), &["a"]);
    assert!(world.assigned_to(named).is_empty(), "its outbox is over the mark");
}

#[test]
fn messages_that_nobody_confirms_do_not_pile_up() {
    let mut world = World::new(Config::default());
    world.audits = false;
    let silent = world.client();
    let say = |world: &mut World, from, n| {
        let (id, content, to) = (MessageId(n), Payload::new(), Recipient::Peer(silent));
        world.tell(Event::SystemMessage { from, id, to, content, timeout: None });
    };
    let ended = |world: &mut World| world.did(|action| matches!(action, Action::Disconnect { .. }));
    for _ in 0..400 {
        let sender = world.client();
        (0..64).for_each(|n| say(&mut world, sender, n));
        assert!(!ended(&mut world), "so many may wait for their report");
        say(&mut world, sender, 64);
        assert!(ended(&mut world), "a sender that does not wait for reports is sent away");
    }
    world.scheduler.audit();
    let open = world.scheduler.status(world.now).unconfirmed_messages;
    assert!(open <= 16_384, "{open} messages wait for one who confirms none");
    let sender = world.client();
    say(&mut world, sender, 0);
    world.leave(silent);
    let report = |a: &Action| matches!(a, Action::SystemReport { to, sent_to: 1, received_by: 0, .. } if *to == sender);
    assert!(world.did(report), "who leaves counts as sent and not received");
}

#[test]
fn streams_pause_for_a_client_that_does_not_read() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions { stream: true, ..JobOptions::default() }, &["x"]);
    let Assign { assignment, .. } = world.assigned_to(worker).pop().expect("a worker is free");
    let grants = |world: &mut World| world.did(|action| matches!(action, Action::Grant { .. }));
    world.tell(Event::Data { worker, assignment, payload: vec![0; 9_000].into() });
    world.tell(Event::Outbox { peer: client, level: OutboxLevel::Paused });
    world.tell(Event::Credited { client, job: proletariat_protocol::JobId(0), bytes: u64::MAX });
    assert!(!grants(&mut world), "whatever credit it gives, its stream pauses while it does not read");
    world.tell(Event::Progress { worker, assignment, done: 1, total: 2 });
    assert!(
        !world.did(|a| matches!(a, Action::Progress { .. })),
        "and so do reports, which nothing else bounds"
    );
    world.tell(Event::Outbox { peer: client, level: OutboxLevel::Waiting });
    assert!(grants(&mut world), "it has read: the run goes on");
    world.tell(Event::Progress { worker, assignment, done: 2, total: 2 });
    assert!(world.did(|a| matches!(a, Action::Progress { .. })));
}

#[test]
fn a_worker_that_leaves_in_the_burst_of_its_offer_is_not_looked_for() {
    let mut world = World::new(Config::default());
    let worker = world.client();
    world.scheduler.handle(world.now, Event::Offered { worker, offer: Offer::new(1) });
    world.leave(worker);
    assert!(world.scheduler.status(world.now).workers.is_empty());
}

#[test]
fn a_pause_or_a_new_offer_is_not_taken_for_a_full_fleet() {
    let config = Config { avail_threshold: 3, ..Config::default() };
    let mut world = World::new(config);
    let (client, worker) = (world.client(), world.worker(Offer::new(6)));
    world.submit(client, of_kind("a"), &["1", "2", "3", "4", "5"]);
    let assigned = world.assigned_to(worker);
    assert_eq!(assigned.len(), 5);
    world.hand_back(&assigned[0], HandBackReason::Busy);
    world.submit(client, of_kind("b"), &["6"]);
    assert_eq!(world.assigned_to(worker).len(), 1, "two slots were free all the time");
    world.tell(Event::Offered { worker, offer: Offer::new(6) });
    world.submit(client, of_kind("b"), &["7"]);
    assert_eq!(world.assigned_to(worker).len(), 1, "one slot was free all the time");
}

#[test]
fn work_that_had_begun_when_its_worker_left_is_not_run_again_if_once_is_the_most() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(2)));
    world.submit(client, JobOptions { max_attempts: Some(1), ..JobOptions::default() }, &["begun", "fresh"]);
    let assigned = world.assigned_to(worker);
    start(&mut world, &assigned[0]);
    world.tell(Event::Withdrew { worker });
    world.hand_back(&assigned[0], HandBackReason::Leaving);
    world.hand_back(&assigned[1], HandBackReason::Leaving);
    assert_eq!(world.errors(client), [(0, ErrorCode::Crash)], "nobody knows how far it came");
    let other = world.worker(Offer::new(2));
    assert_eq!(crate::harness::jobs_of(&world.assigned_to(other)), ["fresh"]);
}

#[test]
fn kinds_and_keys_count_as_queued_bytes() {
    let config = Config { queued_bytes_max: 1_000, hold_similar_work: true, ..Config::default() };
    let mut world = World::new(config);
    let client = world.client();
    let long = |number: usize| JobOptions {
        kind: Some(format!("{number:0100}")),
        key: Some(vec![b'k'; 300]),
        ..JobOptions::default()
    };
    for number in 0..4 {
        world.submit(client, long(number), &["x"]);
    }
    let refused = world.take(|action| matches!(action, Action::Refuse { .. }));
    assert_eq!(refused.len(), 2, "each takes 401 bytes");
}

#[test]
fn who_takes_back_more_than_its_share_waits_with_its_next_jobs_and_nobody_else_does() {
    let mut world = World::new(Config { aborts_per_second_max: 10, ..Config::default() });
    let (client, other) = (world.client(), world.client());
    let refused = |world: &mut World| {
        let refusal = world.take(|action| matches!(action, Action::Refuse { .. })).pop();
        refusal.map(|action| match action {
            Action::Refuse { code, message, retry_after, .. } => {
                assert_eq!(code, ErrorCode::Overload);
                assert!(message.contains("max_aborts_per_second (10)"), "{message}");
                retry_after.as_millis()
            }
            _ => unreachable!(),
        })
    };
    // Ten seconds' worth at once is no churn, and neither is an abort of nothing.
    for n in 0..100 {
        assert_eq!(refused(&mut world), None, "{n} taken back");
        world.submit(client, JobOptions::default(), &["x"]);
        world.abort(client, n, 1);
        world.abort(client, 0, u64::MAX);
    }
    world.submit(client, JobOptions::default(), &["x", "y"]);
    assert_eq!(refused(&mut world), Some(250), "just over its share");
    world.submit(other, JobOptions::default(), &["x"]);
    assert_eq!(refused(&mut world), None, "the other has taken nothing back");
    world.pass_millis(100);
    // Two numbers went with the refusal.
    world.submit(client, JobOptions::default(), &["a"; 30]);
    assert_eq!(refused(&mut world), None, "a tenth of a second is worth one job");
    world.abort(client, 102, 30);
    world.submit(client, JobOptions::default(), &["x"]);
    assert_eq!(refused(&mut world), Some(2_900), "the hint says when it makes sense");
    world.abort(client, 0, u64::MAX);
    world.pass_millis(2_899);
    world.submit(client, JobOptions::default(), &["x"]);
    assert_eq!(refused(&mut world), Some(250));
    world.pass_millis(2);
    world.submit(client, JobOptions::default(), &["x"]);
    assert_eq!(refused(&mut world), None);
    assert_eq!(world.errors(client).len(), 130, "every abort was done");
}

#[test]
fn an_abort_is_for_what_was_submitted_before_it_also_where_numbers_are_missing() {
    let mut world = World::new(Config::default());
    let client = world.client();
    let submit = |world: &mut World, first, count| {
        let payloads = std::iter::repeat_n(Payload::from_static(b"x"), count).collect();
        let (first, options) = (JobId(first), &JobOptions::default());
        world.scheduler.handle(world.now, Event::Submitted { client, first, options, payloads });
    };
    let abort = |world: &mut World, first, count| {
        world.scheduler.handle(world.now, Event::Aborted { client, first: JobId(first), count });
    };
    submit(&mut world, 5, 2);
    world.pass_millis(0);
    // One burst: two jobs come out of the gap, one follows the others, and one of the two is taken back after it has come.
    abort(&mut world, 0, 100);
    submit(&mut world, 2, 2);
    submit(&mut world, 7, 1);
    abort(&mut world, 3, 1);
    world.pass_millis(0);
    let mut ended = world.errors(client);
    ended.sort_unstable_by_key(|(job, _)| *job);
    assert_eq!(ended, [3, 5, 6].map(|job| (job, ErrorCode::Aborted)), "what came later is not meant");
    assert_eq!(world.scheduler.status(world.now).open_jobs, 2);
    world.abort(client, 0, u64::MAX);
    assert_eq!(world.errors(client).len(), 2, "in a burst of its own it is for all of them");
}

#[test]
fn what_runs_is_bounded_too() {
    let config = Config { open_jobs_max: 3, open_bytes_max: 40, ..Config::default() };
    let mut world = World::new(config);
    let (client, worker) = (world.client(), world.worker(Offer::new(100)));
    let refusal = |world: &mut World| match world.take(|a| matches!(a, Action::Refuse { .. })).pop() {
        Some(Action::Refuse { message, .. }) => message,
        _ => String::new(),
    };
    world.submit(client, JobOptions::default(), &["1", "2", "3"]);
    let assigned = world.assigned_to(worker);
    assert_eq!(assigned.len(), 3, "all of them run, none waits");
    world.submit(client, JobOptions::default(), &["4"]);
    assert!(refusal(&mut world).contains("max_open_jobs (3)"));
    world.finish(&assigned[0], "done");
    world.submit(client, JobOptions::default(), &["a payload of more than forty bytes in all"]);
    assert!(refusal(&mut world).contains("max_open_bytes (40)"));
    world.submit(client, JobOptions::default(), &["a payload of thirty-eight bytes in all"]);
    assert_eq!(refusal(&mut world), "");
    assert_eq!(world.scheduler.status(world.now).open_bytes, 40);
}
