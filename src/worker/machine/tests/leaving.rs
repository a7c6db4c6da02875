//! Drain and stop.

use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);

fn drain() -> Event {
    Event::Drain { timeout: TIMEOUT }
}

impl World {
    fn finish(&mut self) -> Option<Finish> {
        let finish = |action| match action {
            Action::Finished(finish) => Some(finish),
            _ => None,
        };
        self.done.drain(..).find_map(finish)
    }
}

#[test]
fn a_drain_withdraws_first_and_lets_running_jobs_finish() {
    let mut world = World::serving(Offer::new(5));
    let runs: Vec<RunId> = (1..=2).map(|id| world.assign(execution(id))).collect();
    world.tell(drain());
    assert_eq!(world.take_said(), [PeerMessage::Withdraw]);
    // This one crosses the withdrawal: it was not started, so somebody else starts it at once.
    world.assign_all(vec![execution(3)]);
    assert_eq!(world.take_said(), [hand_back(3, HandBackReason::Leaving)]);
    world.receive(ManagerMessage::Withdrawn);
    world.pass(29_000);
    assert_eq!(world.take_cancelled(), []);
    world.end(runs[0], done("1"));
    assert_eq!(world.finish(), None);
    world.end(runs[1], done("2"));
    assert_eq!(world.finish(), Some(Finish::Drained));
    let said = world.take_said();
    assert!(
        said.contains(&finished(1, WorkResult::Done, 1)) && said.contains(&finished(2, WorkResult::Done, 1))
    );
}

#[test]
fn a_drain_does_not_end_before_the_withdrawal_is_known() {
    let mut world = World::serving(Offer::new(5));
    world.tell(drain());
    world.pass(10);
    assert_eq!(world.finish(), None);
    world.receive(ManagerMessage::Withdrawn);
    assert_eq!(world.finish(), Some(Finish::Drained));
}

#[test]
fn after_the_drain_timeout_the_rest_is_cancelled_and_handed_back() {
    let mut world = World::serving(Offer::new(5));
    let runs: Vec<RunId> = (1..=3).map(|id| world.assign(execution(id))).collect();
    world.tell(drain());
    world.receive(ManagerMessage::Withdrawn);
    world.take_said();
    world.pass(30_000);
    assert_eq!(world.take_cancelled(), runs);
    world.take_said();
    world.end(runs[0], Ending::Failed("cancelled".into()));
    assert_eq!(world.take_said(), [hand_back(1, HandBackReason::Leaving)]);
    // It was done after all: handing it back would do the work twice.
    world.end(runs[1], done("r"));
    assert_eq!(world.take_said(), [finished(2, WorkResult::Done, 1)]);
    // One that does not stop, even when it is killed after the grace, is lost with the session.
    world.pass(2_999);
    assert_eq!(world.finish(), None);
    world.pass(1);
    assert_eq!(world.finish(), Some(Finish::Drained));
}

#[test]
fn a_run_that_ends_only_when_it_is_killed_is_handed_back() {
    let mut world = World::serving(Offer::new(5));
    let run = world.assign(execution(1));
    world.tell(drain());
    world.receive(ManagerMessage::Withdrawn);
    world.pass(30_000);
    world.take_said();
    // The grace of its process is over, and it is killed.
    world.pass(2_000);
    assert_eq!(world.finish(), None);
    world.end(run, Ending::Failed("cancelled".into()));
    assert_eq!(world.take_said(), [hand_back(1, HandBackReason::Leaving)]);
    assert_eq!(world.finish(), Some(Finish::Drained));
}

#[test]
fn a_stop_in_the_turn_of_an_assignment_leaves_nothing_to_do() {
    let mut world = World::serving(Offer::new(5));
    let message = ManagerMessage::Assign { executions: vec![execution(1)] };
    let payloads = vec![Payload::from_static(b"x")];
    world.machine.handle(world.now, Event::Received { message, payloads });
    world.tell(Event::Stop);
    assert!(world.started.is_empty());
    assert_eq!(world.finish(), Some(Finish::Stopped));
    assert_eq!(world.machine.next_deadline(), None);
}

#[test]
fn gathered_results_are_said_before_a_stop() {
    let mut world = World::new(Offer::new(5), 5);
    world.connect();
    world.receive(ManagerMessage::OfferAccepted);
    let runs: Vec<RunId> = (1..=2).map(|id| world.assign(execution(id))).collect();
    world.take_said();
    world.done.clear();
    world.end(runs[0], done("1"));
    world.tell(Event::Stop);
    assert_eq!(world.take_said(), [finished(1, WorkResult::Done, 1)]);
    assert!(matches!(world.done[..], [Action::Cancel { .. }, Action::Finished(Finish::Stopped)]));
    world.done.clear();
    world.tell(Event::Disconnected);
    world.end(runs[1], done("2"));
    world.pass(100_000);
    assert!(world.done.is_empty() && world.said.is_empty());
}

#[test]
fn a_stop_cuts_a_drain_short_and_a_second_drain_only_shortens() {
    let mut world = World::serving(Offer::new(5));
    world.assign(execution(1));
    world.tell(drain());
    world.tell(Event::Drain { timeout: TIMEOUT * 2 });
    world.tell(Event::Drain { timeout: TIMEOUT / 3 });
    world.receive(ManagerMessage::Withdrawn);
    world.pass(10_000);
    assert_eq!(world.take_cancelled().len(), 1);
    world.tell(Event::Stop);
    assert_eq!(world.finish(), Some(Finish::Stopped));
}

#[test]
fn without_a_manager_a_drain_ends_when_the_work_has_stopped() {
    let mut world = World::serving(Offer::new(5));
    let run = world.assign(execution(1));
    world.tell(drain());
    world.tell(Event::Disconnected);
    assert_eq!(world.take_cancelled(), [run]);
    assert_eq!(world.finish(), None);
    world.end(run, done("r"));
    assert_eq!(world.finish(), Some(Finish::Drained));

    let mut idle = World::new(Offer::new(5), 1);
    idle.tell(drain());
    assert_eq!(idle.finish(), Some(Finish::Drained));
}

#[test]
fn a_session_that_begins_in_a_drain_is_offered_nothing() {
    let mut world = World::serving(Offer::new(5));
    let run = world.assign(execution(1));
    world.tell(drain());
    world.tell(Event::Disconnected);
    world.connect();
    world.pass(5_000);
    assert!(!world.take_said().iter().any(|message| matches!(message, PeerMessage::Offer(_))));
    world.end(run, done("r"));
    assert_eq!(world.finish(), Some(Finish::Drained));
}
