//! The machine in virtual time, with the manager's end played by hand.

use super::*;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{JobId, MessageId, Payload};
use std::time::Duration;

mod streams;

const GROUP: GroupId = GroupId(0);
const LIMIT: u64 = 1 << 20;

struct World {
    machine: Machine,
    now: Time,
    /// Deliveries, in order.
    told: Vec<(GroupId, u64, Outcome)>,
    /// What goes to the manager, and everything else.
    actions: Vec<Action>,
    finished: Vec<GroupId>,
}

impl World {
    fn new() -> Self {
        let machine = Machine::new();
        Self {
            machine,
            now: Time::from_millis(1),
            told: Vec::new(),
            actions: Vec::new(),
            finished: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut world = Self::new();
        world.up();
        world
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(self.now, event);
        self.turn();
    }

    fn turn(&mut self) {
        self.turn_with_room(usize::MAX);
    }

    fn turn_with_room(&mut self, room: usize) {
        let mut actions = Vec::new();
        self.machine.poll(self.now, room, &mut actions);
        for action in actions {
            match action {
                Action::Deliver { group, index, outcome } => self.told.push((group, index, outcome)),
                Action::Finished { group } => self.finished.push(group),
                other => self.actions.push(other),
            }
        }
        self.machine.audit();
    }

    /// Lets the time pass from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.next_deadline().filter(|&due| due <= end) {
            assert!(due > self.now || self.machine.next_deadline() == Some(due));
            self.now = self.now.max(due);
            self.machine.expire(self.now);
            self.turn();
            assert!(self.machine.next_deadline() != Some(due), "a deadline that does not go away");
        }
        self.now = end;
    }

    fn up(&mut self) {
        self.handle(Event::LinkUp { payload_bytes_max: LIMIT });
    }

    fn down(&mut self) {
        let why = JobError::new(ErrorCode::Shutdown, "lost");
        self.handle(Event::LinkDown { why, last: false });
    }

    fn open(&mut self, group: GroupId, options: JobOptions, payloads: &[&'static str]) {
        let jobs = payloads.iter().map(|payload| job(payload)).collect();
        self.handle(Event::Opened { group, options, jobs, open: false });
    }

    fn ended(&mut self, number: u64, result: &'static str) {
        self.handle(Event::Ended {
            job: JobId(number),
            outcome: Ok(Payload::from_static(result.as_bytes())),
        });
    }

    fn refused(&mut self, first: u64, count: u64, code: ErrorCode, retry_after_ms: u32) {
        let error = JobError::new(code, "no");
        self.handle(Event::Refused { first: JobId(first), count, error, retry_after_ms });
    }

    /// The submits since the last call: (first number, payloads as text, options).
    fn submits(&mut self) -> Vec<(u64, Vec<String>, JobOptions)> {
        let mut submits = Vec::new();
        self.actions.retain(|action| {
            let Action::Submit(submit) = action else { return true };
            let text = |payload: &Payload| String::from_utf8(payload.to_vec()).unwrap();
            let payloads = submit.payloads.iter().map(text).collect();
            submits.push((submit.first.0, payloads, submit.options.clone()));
            false
        });
        submits
    }

    fn sent(&mut self) -> Vec<(u64, Vec<String>)> {
        self.submits().into_iter().map(|(first, payloads, _)| (first, payloads)).collect()
    }

    fn codes(&self) -> Vec<(u64, Option<ErrorCode>)> {
        self.told.iter().map(|(_, index, outcome)| (*index, outcome.as_ref().err().map(|e| e.code))).collect()
    }
}

fn job(payload: &'static str) -> Job {
    Job { payload: Payload::from_static(payload.as_bytes()), own: None }
}

fn plain() -> JobOptions {
    JobOptions::default()
}

fn texts(payloads: &[&str]) -> Vec<String> {
    payloads.iter().map(|&payload| payload.to_owned()).collect()
}

#[test]
fn jobs_go_out_in_one_submit_and_outcomes_come_back_by_index() {
    let mut world = World::connected();
    world.open(GROUP, plain(), &["a", "b", "c"]);
    assert_eq!(world.sent(), [(0, texts(&["a", "b", "c"]))]);
    world.ended(2, "C");
    world.ended(0, "A");
    assert!(world.finished.is_empty());
    world.handle(Event::Ended { job: JobId(1), outcome: Err(JobError::new(ErrorCode::WorkFailed, "x")) });
    assert_eq!(world.codes(), [(2, None), (0, None), (1, Some(ErrorCode::WorkFailed))]);
    assert_eq!(world.finished, [GROUP]);
    assert!(world.machine.is_idle());
    // The number of the group is free again; those of the jobs go on.
    world.open(GROUP, plain(), &["d"]);
    assert_eq!(world.sent(), [(3, texts(&["d"]))]);
}

#[test]
fn a_second_outcome_is_ignored() {
    let mut world = World::connected();
    world.open(GROUP, plain(), &["a", "b"]);
    world.ended(0, "A");
    world.ended(0, "again");
    world.handle(Event::Ended { job: JobId(0), outcome: Err(JobError::new(ErrorCode::Aborted, "late")) });
    world.ended(99, "of nothing");
    world.refused(0, u64::MAX, ErrorCode::Overload, 0);
    assert_eq!(world.codes(), [(0, None), (1, Some(ErrorCode::Overload))]);
    assert_eq!(world.told[0].2, Ok(Payload::from_static(b"A")));
}

#[test]
fn an_empty_call_is_over_at_once() {
    let mut world = World::new();
    world.open(GROUP, plain(), &[]);
    assert_eq!(world.finished, [GROUP]);
}

#[test]
fn after_a_reconnect_the_unanswered_are_sent_again_in_their_order() {
    let mut world = World::connected();
    let options = JobOptions { timeout_ms: 10_000, assign_timeout_ms: 9_000, ..plain() };
    world.open(GroupId(1), options, &["a", "b", "c", "d"]);
    world.open(GroupId(0), plain(), &["x"]);
    world.sent();
    world.ended(1, "B");
    world.pass(Duration::from_millis(2_500));
    world.down();
    world.ended(0, "of the lost session");
    assert_eq!(world.told.len(), 1);
    world.up();
    let submits = world.submits();
    assert_eq!((submits[0].0, &submits[0].1), (0, &texts(&["a", "c", "d"])));
    assert_eq!((submits[1].0, &submits[1].1), (3, &texts(&["x"])));
    // What is left of the whole call; the wait for a worker anew.
    assert_eq!((submits[0].2.timeout_ms, submits[0].2.assign_timeout_ms), (7_500, 9_000));
    assert_eq!(submits[1].2.timeout_ms, 0);
    world.ended(1, "C");
    assert_eq!(world.told.last().unwrap(), &(GroupId(1), 2, Ok(Payload::from_static(b"C"))));
}

#[test]
fn what_may_run_once_is_not_sent_again_if_it_may_have_run() {
    let mut world = World::connected();
    let once = JobOptions { max_attempts: Some(1), ..plain() };
    world.open(GroupId(0), once, &["sent"]);
    world.turn();
    assert_eq!(world.sent(), [(0, texts(&["sent"]))]);
    world.down();
    let once = JobOptions { max_attempts: Some(1), ..plain() };
    world.open(GroupId(1), once, &["unsent"]);
    world.turn();
    assert_eq!(world.codes(), [(0, Some(ErrorCode::Crash))]);
    world.up();
    world.turn();
    assert_eq!(
        world.submits().last().unwrap().1,
        texts(&["unsent"]),
        "what was never sent waits as all others do"
    );
}

#[test]
fn the_whole_call_is_timed_while_there_is_no_manager() {
    let mut world = World::new();
    world.open(GROUP, JobOptions { timeout_ms: 500, ..plain() }, &["a", "b"]);
    world.pass(Duration::from_millis(499));
    assert!(world.told.is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(world.codes(), [(0, Some(ErrorCode::CallTimeout)), (1, Some(ErrorCode::CallTimeout))]);
    assert_eq!(world.finished, [GROUP]);
    world.up();
    assert_eq!(world.sent(), []);
}

#[test]
fn at_the_end_of_the_call_the_answered_keep_their_answer_and_the_others_are_aborted() {
    let mut world = World::connected();
    world.open(GROUP, JobOptions { timeout_ms: 500, ..plain() }, &["a", "b", "c", "d"]);
    world.sent();
    world.ended(1, "B");
    world.pass(Duration::from_millis(500));
    let late = Some(ErrorCode::CallTimeout);
    assert_eq!(world.codes(), [(1, None), (0, late), (2, late), (3, late)]);
    assert_eq!(world.actions, [Action::Abort { first: JobId(0), count: 4 }]);
    world.ended(2, "late");
    assert_eq!(world.told.len(), 4);
}

#[test]
fn jobs_added_to_a_call_that_is_over_end_at_once() {
    let mut world = World::connected();
    let options = JobOptions { timeout_ms: 500, ..plain() };
    world.handle(Event::Opened { group: GROUP, options, jobs: vec![job("a")], open: true });
    world.pass(Duration::from_secs(1));
    world.handle(Event::Added { group: GROUP, jobs: vec![job("b")] });
    assert_eq!(world.codes(), [(0, Some(ErrorCode::CallTimeout)), (1, Some(ErrorCode::CallTimeout))]);
    assert!(world.finished.is_empty());
    world.handle(Event::Closed { group: GROUP });
    assert_eq!(world.finished, [GROUP]);
}

#[test]
fn the_wait_for_a_worker_is_timed_while_there_is_no_manager() {
    let mut world = World::new();
    let options = JobOptions { assign_timeout_ms: 1_000, ..plain() };
    world.handle(Event::Opened { group: GROUP, options, jobs: vec![job("a")], open: true });
    world.pass(Duration::from_millis(600));
    world.handle(Event::Added { group: GROUP, jobs: vec![job("b")] });
    world.pass(Duration::from_millis(600));
    assert_eq!(world.codes(), [(0, Some(ErrorCode::AssignTimeout))]);
    // With a manager it is the manager's clock, and after its loss it starts anew here.
    world.up();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.told.len(), 1);
    world.down();
    world.pass(Duration::from_millis(999));
    assert_eq!(world.told.len(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.codes()[1], (1, Some(ErrorCode::AssignTimeout)));
}

#[test]
fn a_call_that_does_not_wait_fails_without_a_manager() {
    let mut world = World::new();
    let options = JobOptions { no_wait: true, ..plain() };
    world.open(GROUP, options.clone(), &["a"]);
    assert_eq!(world.codes(), [(0, Some(ErrorCode::NoWorker))]);
    world.up();
    world.open(GROUP, options.clone(), &["b"]);
    world.open(GroupId(1), plain(), &["c"]);
    assert_eq!(world.sent().len(), 2);
    world.down();
    assert_eq!(world.told.last().unwrap().2.as_ref().unwrap_err().code, ErrorCode::Shutdown);
    assert_eq!(world.told.len(), 2);
    world.open(GROUP, options, &["d"]);
    assert_eq!(world.told.len(), 3);
}

#[test]
fn an_overloaded_manager_is_asked_again_after_its_hint() {
    let mut world = World::connected();
    world.open(GROUP, JobOptions { timeout_ms: 10_000, ..plain() }, &["a", "b", "c"]);
    world.sent();
    world.refused(0, 3, ErrorCode::Overload, 250);
    world.open(GroupId(1), plain(), &["later"]);
    world.open(GroupId(2), JobOptions { no_wait: true, ..plain() }, &["now"]);
    assert_eq!(world.sent(), [(3, texts(&["now"]))]);
    world.pass(Duration::from_millis(249));
    assert_eq!(world.sent(), []);
    world.ended(3, "NOW");
    world.pass(Duration::from_millis(1));
    // Three were too many: fewer go out, and with the answers more do.
    let submits = world.submits();
    assert_eq!((submits.len(), submits[0].0, &submits[0].1), (1, 4, &texts(&["a", "b"])));
    assert_eq!(submits[0].2.timeout_ms, 9_750);
    world.ended(4, "A");
    assert_eq!(world.sent(), [(6, texts(&["later"]))]);
    world.ended(5, "B");
    assert_eq!(world.sent(), [(7, texts(&["c"]))]);
    world.ended(6, "LATER");
    world.ended(7, "C");
    assert_eq!(world.finished, [GroupId(2), GroupId(1), GroupId(0)]);
    assert!(world.told.iter().all(|(_, _, outcome)| outcome.is_ok()));
}

#[test]
fn a_refusal_is_final_for_calls_that_do_not_wait_and_without_a_hint() {
    let code_of = |no_wait, code, retry_after_ms| {
        let mut world = World::connected();
        world.open(GROUP, JobOptions { no_wait, ..plain() }, &["a"]);
        world.refused(0, 1, code, retry_after_ms);
        world.codes().first().and_then(|(_, code)| *code)
    };
    assert_eq!(code_of(true, ErrorCode::Overload, 250), Some(ErrorCode::Overload));
    assert_eq!(code_of(true, ErrorCode::Shutdown, 250), Some(ErrorCode::Shutdown));
    assert_eq!(code_of(false, ErrorCode::Overload, 0), Some(ErrorCode::Overload));
    assert_eq!(code_of(false, ErrorCode::Protocol, 250), Some(ErrorCode::Protocol));
    assert_eq!(code_of(false, ErrorCode::Overload, 250), None);
    assert_eq!(code_of(false, ErrorCode::Shutdown, 0), None);
}

#[test]
fn a_manager_that_stops_gets_nothing_more_and_the_next_one_gets_all() {
    let mut world = World::connected();
    world.open(GROUP, plain(), &["a", "b"]);
    world.sent();
    world.refused(1, 1, ErrorCode::Shutdown, 0);
    world.open(GroupId(1), plain(), &["c"]);
    assert_eq!(world.sent(), []);
    world.ended(0, "A");
    world.down();
    world.up();
    assert_eq!(world.sent(), [(0, texts(&["b"])), (1, texts(&["c"]))]);
    assert_eq!(world.codes(), [(0, None)]);
}

#[test]
fn a_bound_of_the_manager_does_not_make_the_client_send_everything_again_and_again() {
    // A manager that holds at most 10 of our jobs and refuses a submit that goes over it whole.
    const JOBS: u64 = 2_000;
    let mut world = World::connected();
    let jobs = (0..JOBS).map(|_| job("x")).collect();
    world.handle(Event::Opened { group: GROUP, options: plain(), jobs, open: false });
    let mut held = std::collections::VecDeque::new();
    let (mut jobs_sent, mut turns) = (0, 0);
    while world.finished.is_empty() {
        for (first, payloads, _) in world.submits() {
            let count = payloads.len() as u64;
            jobs_sent += count;
            if held.len() as u64 + count > 10 {
                world.refused(first, count, ErrorCode::Overload, 5);
            } else {
                held.extend(first..first + count);
            }
        }
        match held.pop_front() {
            Some(number) => world.ended(number, "done"),
            None => world.pass(Duration::from_millis(5)),
        }
        world.pass(Duration::from_millis(1));
        turns += 1;
        assert!(turns < 10 * JOBS, "{jobs_sent} sent, {} told", world.told.len());
    }
    assert_eq!(world.told.len() as u64, JOBS);
    assert!(jobs_sent < 4 * JOBS, "{jobs_sent} sent for {JOBS}");
}

#[test]
fn a_payload_over_the_limit_is_not_sent() {
    let mut world = World::new();
    let large = Payload::from(vec![0; usize::try_from(LIMIT).unwrap() + 1]);
    let jobs = vec![job("a"), Job { payload: large, own: None }, job("b")];
    world.handle(Event::Opened { group: GROUP, options: plain(), jobs, open: false });
    world.up();
    assert_eq!(world.sent(), [(0, texts(&["a", "b"]))]);
    assert_eq!(world.codes(), [(1, Some(ErrorCode::TooLarge))]);
}

#[test]
fn large_payloads_go_alone_and_groups_take_turns() {
    let mut world = World::connected();
    let large = || Job { payload: Payload::from(vec![b'x'; 200_000]), own: None };
    let jobs = vec![job("a"), large(), large(), job("b")];
    world.machine.handle(world.now, Event::Opened { group: GROUP, options: plain(), jobs, open: false });
    world.machine.handle(
        world.now,
        Event::Opened { group: GroupId(1), options: plain(), jobs: vec![job("c")], open: false },
    );
    world.turn();
    let lengths: Vec<_> = world
        .sent()
        .into_iter()
        .map(|(first, payloads)| (first, payloads.len(), payloads[0].len()))
        .collect();
    assert_eq!(lengths, [(0, 1, 1), (1, 1, 1), (2, 1, 200_000), (3, 1, 200_000), (4, 1, 1)]);
}

#[test]
fn a_full_outbox_keeps_the_rest_here() {
    let mut world = World::connected();
    let jobs = (0..100_000).map(|_| job("0123456789")).collect();
    world.machine.handle(world.now, Event::Opened { group: GROUP, options: plain(), jobs, open: false });
    world.turn_with_room(100_000);
    let sent: usize = world.sent().into_iter().map(|(_, payloads)| payloads.len()).sum();
    assert!(sent > 4_000 && sent < 15_000, "{sent}");
    // What was not sent needs no abort.
    world.machine.handle(world.now, Event::Dropped { group: GROUP });
    world.turn_with_room(0);
    assert_eq!(world.actions, [Action::Abort { first: JobId(0), count: sent as u64 }]);
    assert_eq!(world.finished, [GROUP]);
}

#[test]
fn jobs_with_options_of_their_own_go_in_submits_of_their_own() {
    let mut world = World::connected();
    let own = |key: &[u8]| Some(Box::new(OwnOptions { key: Some(key.to_vec()), ..OwnOptions::default() }));
    let keyed = |payload, key| Job { own: own(key), ..job(payload) };
    let jobs = vec![job("a"), keyed("b", b"k"), keyed("c", b"k"), keyed("d", b"l"), job("e")];
    let options = JobOptions { key: Some(b"group".to_vec()), ..plain() };
    world.handle(Event::Opened { group: GROUP, options, jobs, open: false });
    let submits = world.submits();
    let keys: Vec<_> =
        submits.iter().map(|(_, payloads, options)| (payloads.len(), options.key.clone().unwrap())).collect();
    assert_eq!(
        keys,
        [(1, b"group".to_vec()), (2, b"k".to_vec()), (1, b"l".to_vec()), (1, b"group".to_vec())]
    );
}

#[test]
fn an_abort_names_ranges_without_touching_others() {
    let mut world = World::connected();
    world.handle(Event::Opened {
        group: GROUP,
        options: plain(),
        jobs: vec![job("a"), job("b")],
        open: true,
    });
    world.open(GroupId(1), plain(), &["other"]);
    world.handle(Event::Added { group: GROUP, jobs: vec![job("c"), job("d"), job("e")] });
    world.sent();
    world.ended(4, "D");
    world.handle(Event::Aborted { group: GROUP, first: 1, count: u64::MAX });
    let aborted = Some(ErrorCode::Aborted);
    assert_eq!(world.codes(), [(3, None), (1, aborted), (2, aborted), (4, aborted)]);
    let expected = [Action::Abort { first: JobId(1), count: 1 }, Action::Abort { first: JobId(3), count: 3 }];
    assert_eq!(world.actions, expected);
    // What the manager says to that is late.
    world.handle(Event::Ended { job: JobId(1), outcome: Err(JobError::new(ErrorCode::Aborted, "")) });
    world.handle(Event::Dropped { group: GROUP });
    assert_eq!(world.actions.last(), Some(&Action::Abort { first: JobId(0), count: 1 }));
    world.ended(2, "OTHER");
    assert_eq!(world.finished, [GROUP, GroupId(1)]);
    assert_eq!(world.told.len(), 5);
}

#[test]
fn an_abort_before_the_submit_sends_nothing() {
    let mut world = World::new();
    world.open(GROUP, plain(), &["a", "b"]);
    world.handle(Event::Aborted { group: GROUP, first: 0, count: 1 });
    world.up();
    assert_eq!(world.sent(), [(0, texts(&["b"]))]);
    assert_eq!(world.actions, []);
    assert_eq!(world.codes(), [(0, Some(ErrorCode::Aborted))]);
}

#[test]
fn the_end_of_all_attempts_ends_all_calls() {
    let mut world = World::new();
    world.open(GROUP, plain(), &["a"]);
    world.handle(Event::StatusAsked { id: MessageId(1) });
    let why = JobError::new(ErrorCode::Unauthorized, "no token");
    world.handle(Event::LinkDown { why: why.clone(), last: true });
    world.open(GROUP, plain(), &["b"]);
    assert_eq!(world.told, [(GROUP, 0, Err(why.clone())), (GROUP, 0, Err(why.clone()))]);
    assert_eq!(world.actions, [Action::Status { id: MessageId(1), result: Err(why) }]);
}

#[test]
fn a_system_message_is_sent_once_and_its_report_comes_once() {
    let send = |id| Event::SystemMessage {
        id: MessageId(id),
        to: Recipient::All,
        content: Payload::from_static(b"hello"),
        timeout_ms: 1_000,
    };
    let mut world = World::new();
    world.handle(send(1));
    world.pass(Duration::from_millis(400));
    world.up();
    let sent = Action::SendSystemMessage {
        id: MessageId(1),
        to: Recipient::All,
        content: Payload::from_static(b"hello"),
        timeout_ms: 600,
    };
    assert_eq!(world.actions, [sent]);
    world.actions.clear();
    let report = SystemReport { sent_to: 3, received_by: 2 };
    world.handle(Event::Reported { id: MessageId(1), report });
    world.handle(Event::Reported { id: MessageId(1), report });
    assert_eq!(world.actions, [Action::Report { id: MessageId(1), result: Ok(report) }]);
    // Lost meanwhile: an error, and never again.
    world.handle(send(2));
    world.actions.clear();
    world.down();
    assert!(matches!(&world.actions[..], [Action::Report { id: MessageId(2), result: Err(_) }]));
    world.up();
    assert_eq!(world.actions.len(), 1);
    // Never sent: its own clock.
    world.down();
    world.handle(send(3));
    world.pass(Duration::from_secs(1));
    let Some(Action::Report { id: MessageId(3), result: Err(error) }) = world.actions.last() else {
        panic!("{:?}", world.actions)
    };
    assert_eq!(error.code, ErrorCode::CallTimeout);
    assert!(world.machine.is_idle());
}

#[test]
fn the_status_is_asked_for_again_after_a_loss() {
    let mut world = World::connected();
    world.handle(Event::StatusAsked { id: MessageId(5) });
    world.down();
    world.up();
    let ask = Action::AskStatus { id: MessageId(5) };
    assert_eq!(world.actions, [ask.clone(), ask]);
    world.actions.clear();
    world.handle(Event::Status { id: MessageId(5), text: Payload::from_static(b"{}") });
    world.handle(Event::Status { id: MessageId(5), text: Payload::from_static(b"{}") });
    assert_eq!(world.actions.len(), 1);
}

#[test]
fn a_million_jobs_in_one_call() {
    const JOBS: u64 = 1_000_000;
    // An ordinary turn, without the audit of the others: it would make this quadratic.
    let mut machine = Machine::new();
    let mut now = Time::from_millis(1);
    let mut actions = Vec::new();
    machine.handle(now, Event::LinkUp { payload_bytes_max: LIMIT });
    let jobs = (0..JOBS).map(|_| job("payload")).collect();
    let options = JobOptions { timeout_ms: 60_000, ..plain() };
    machine.handle(now, Event::Opened { group: GROUP, options, jobs, open: false });
    for session in 0..2 {
        let mut numbers = 0;
        while numbers < JOBS {
            machine.poll(now, 1 << 20, &mut actions);
            for action in actions.drain(..) {
                let Action::Submit(submit) = action else { panic!("{action:?}") };
                assert_eq!(submit.first, JobId(numbers));
                numbers += submit.payloads.len() as u64;
            }
        }
        if session == 0 {
            let why = JobError::new(ErrorCode::Shutdown, "lost");
            machine.handle(now, Event::LinkDown { why, last: false });
            now = now.plus_millis(10);
            machine.handle(now, Event::LinkUp { payload_bytes_max: LIMIT });
        }
    }
    // Every third one first, then the rest backwards.
    let order = (0..JOBS).filter(|n| n % 3 == 0).chain((0..JOBS).rev().filter(|n| n % 3 != 0));
    for number in order {
        machine.handle(now, Event::Ended { job: JobId(number), outcome: Ok(Payload::new()) });
    }
    machine.poll(now, 1 << 20, &mut actions);
    assert_eq!(actions.len() as u64, JOBS + 1);
    assert_eq!(actions.last(), Some(&Action::Finished { group: GROUP }));
    assert!(machine.is_idle() && machine.next_deadline().is_none());
    machine.audit();
}
