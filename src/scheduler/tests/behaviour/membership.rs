//! Peers come and go, offer and withdraw; what is left of them, and of work that is over.

use crate::harness::World;
use proletariat_protocol::{JobOptions, Offer};
use proletariat_scheduler::{Action, Config, Event, Notice};

#[test]
fn a_client_that_left_gets_nothing_dispatched_and_its_work_is_stopped() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(1)));
    world.submit(client, JobOptions::default(), &["x"; 50_000]);
    let running = world.assigned_to(worker).remove(0);
    world.leave(client);
    assert!(world.did(|a| matches!(a, Action::Cancel { .. })));
    world.tell(Event::Stopped { worker, assignment: running.assignment });
    assert!(world.assigned_to(worker).is_empty());
    for _ in 0..10 {
        world.pass_millis(1);
    }
    let status = world.scheduler.status(world.now);
    assert_eq!((status.open_jobs, status.queued_jobs, status.queued_bytes), (0, 0, 0));
}

#[test]
fn whoever_watches_sees_the_jobs_of_a_client_that_left_end() {
    let mut world = World::new(Config { notices: true, ..Config::default() });
    let client = world.client();
    world.submit(client, JobOptions::default(), &["a", "b"]);
    world.leave(client);
    let ended =
        world.take(|a| matches!(a, Action::Notice(Notice::Abort { client: of, .. }) if *of == client));
    assert_eq!(ended.len(), 2);
}

#[test]
fn a_new_session_of_an_instance_ends_the_old_one() {
    let mut world = World::new(Config::default());
    let (client, old) = (world.client(), world.worker_of_instance(7, Offer::new(1)));
    world.submit(client, JobOptions::default(), &["a"]);
    assert_eq!(world.assigned_to(old).len(), 1);
    let new = world.worker_of_instance(7, Offer::new(1));
    assert!(world.did(|a| matches!(a, Action::Disconnect { peer, .. } if *peer == old)));
    assert_eq!(world.assigned_to(new)[0].attempt, 2);
    assert_eq!(world.scheduler.status(world.now).workers.len(), 1);
}

#[test]
fn an_impossible_offer_is_refused_with_the_range() {
    let mut world = World::new(Config::default());
    world.worker(Offer::new(10).guarantee(1, 8).guarantee(5, 3));
    assert!(
        world.did(|a| matches!(a, Action::RefuseOffer { message, .. } if message.contains("range from 5")))
    );
}

#[test]
fn after_a_withdrawal_nothing_is_assigned() {
    let mut world = World::new(Config::default());
    let (client, worker) = (world.client(), world.worker(Offer::new(5)));
    world.tell(Event::Withdrew { worker });
    assert!(world.did(|a| matches!(a, Action::ConfirmWithdrawal { .. })));
    world.submit(client, JobOptions::default(), &["a"]);
    assert!(world.assigned_to(worker).is_empty());
    world.tell(Event::Offered { worker, offer: Offer::new(5) });
    assert_eq!(world.assigned_to(worker).len(), 1);
}

#[test]
fn nothing_is_left_of_the_kinds_of_those_who_have_gone() {
    let mut world = World::new(Config::default());
    for kind in ["a", "b", "c"] {
        let client = world.client();
        world.submit(client, JobOptions { kind: Some(kind.into()), ..JobOptions::default() }, &["x"]);
        let worker = world.worker(Offer::new(1).kinds([kind, "d"]));
        assert_eq!(world.assigned_to(worker).len(), 1);
        world.leave(client);
        world.leave(worker);
    }
    assert_eq!(world.scheduler.status(world.now).kinds, 0);
}

#[test]
fn memory_is_given_back_at_an_idle_moment() {
    let mut world = World::new(Config { cleanup_reqs: 10, ..Config::default() });
    let (client, worker) = (world.client(), world.worker(Offer::new(100)));
    world.pass_millis(6_000);
    world.submit(client, JobOptions::default(), &["x"; 10]);
    assert!(!world.did(|a| matches!(a, Action::ReleaseMemory)));
    for assigned in world.assigned_to(worker) {
        world.finish(&assigned, "");
    }
    assert!(world.did(|a| matches!(a, Action::ReleaseMemory)));
}
