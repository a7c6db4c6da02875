//! Which jobs go out together.

use super::*;

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
