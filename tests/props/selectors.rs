//! How often each selector picks whom, over many fresh fleets.

use crate::random::Random;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{InstanceId, JobId, JobOptions, Offer, Payload, PeerId, Time};
use proletariat_scheduler::{Abilities, Action, Config, Event, Joined, Scheduler, selector};

/// Fresh fleets for one statistic.
const FLEETS: u64 = 20_000;
/// The bound in standard deviations: a right selector fails here once in three hundred million runs, and the seeds are
/// fixed anyway.
const SIGMAS: f64 = 6.0;

fn join(scheduler: &mut Scheduler, id: u64, offer: Option<Offer>) {
    let peer = PeerId(id);
    scheduler.handle(
        Time::ZERO,
        Event::Joined(Joined {
            peer,
            instance: InstanceId([id as u8; 16]),
            realm: 0,
            name: String::new(),
            roles: Roles { client: offer.is_none(), worker: offer.is_some(), admin: false },
            abilities: Abilities::NATIVE,
        }),
    );
    if let Some(offer) = offer {
        scheduler.handle(Time::ZERO, Event::Offered { worker: peer, offer });
    }
}

/// Who gets each of `jobs` jobs of a priority, pushed at once to a fresh fleet of these offers.
fn given(name: &str, sacred: bool, offers: &[Offer], priority: u32, jobs: usize, seed: u64) -> Vec<usize> {
    let config = Config { sacred_guarantees: sacred, ..Config::default() };
    let selector = selector::by_name(name).expect("one of its own names");
    let mut scheduler = Scheduler::new(config, selector, seed);
    join(&mut scheduler, 99, None);
    for (n, offer) in offers.iter().enumerate() {
        join(&mut scheduler, n as u64 + 1, Some(offer.clone()));
    }
    let options = JobOptions { priority, ..JobOptions::default() };
    let payloads = std::iter::repeat_n(Payload::new(), jobs).collect();
    scheduler.handle(
        Time::ZERO,
        Event::Submitted { client: PeerId(99), first: JobId(0), options: &options, payloads },
    );
    let mut actions = Vec::new();
    scheduler.poll(Time::ZERO, &mut actions);
    let worker = |action: &Action| match action {
        Action::Assign(assign) => Some(assign.worker.0 as usize - 1),
        _ => None,
    };
    actions.iter().filter_map(worker).collect()
}

/// The share of the first worker among the first jobs of many fresh fleets lies within the binomial bound.
fn assert_share(name: &str, sacred: bool, offers: &[Offer], priority: u32, share: f64) {
    let mut seeds = Random::new(share.to_bits());
    let first = |_| given(name, sacred, offers, priority, 1, seeds.next())[0] == 0;
    let hits = (0..FLEETS).map(first).filter(|hit| *hit).count() as f64;
    let (expected, n) = (share * FLEETS as f64, FLEETS as f64);
    let bound = SIGMAS * (n * share * (1.0 - share)).sqrt();
    assert!((hits - expected).abs() <= bound, "{name}: {hits} of {FLEETS}, {expected} ± {bound:.0} expected");
}

#[test]
fn weights_10_to_30_give_a_quarter_and_three_quarters() {
    assert_share("random-weighted", false, &[Offer::new(10), Offer::new(30)], 0, 0.25);
    assert_share("random-weighted", true, &[Offer::new(10), Offer::new(30)], 0, 0.25);
}

/// The weight is what the job's own range could take, not what is free in all.
#[test]
fn the_weight_is_the_room_of_the_range() {
    let guaranteed = Offer::new(40).guarantee(1, 30);
    assert_share("random-weighted", false, &[guaranteed.clone(), Offer::new(30)], 0, 0.25);
    assert_share("random-weighted", false, &[guaranteed.clone(), Offer::new(40)], 1, 0.5);
    let two = Offer::new(40).guarantee(1, 10).guarantee(2, 20);
    assert_share("random-weighted", true, &[two, Offer::new(60)], 1, 0.25);
}

#[test]
fn two_choices_takes_the_freer_of_two_draws() {
    // The small one wins only if it is drawn twice.
    assert_share("two-choices", false, &[Offer::new(10), Offer::new(30)], 0, 0.0625);
}

#[test]
fn least_loaded_fills_the_freest_first_and_round_robin_goes_round() {
    let offers = [Offer::new(2), Offer::new(5), Offer::new(3)];
    let given = |name| given(name, false, &offers, 0, 20, 1);
    assert_eq!(given("least-loaded")[..3], [1, 1, 1], "5, 4, and the first of two that have 3");
    assert_eq!(given("round-robin"), [0, 1, 2, 0, 1, 2, 1, 2, 1, 1]);
    for name in selector::NAMES {
        let mut counts = [0; 3];
        given(name).into_iter().for_each(|worker| counts[worker] += 1);
        assert_eq!(counts, [2, 5, 3], "{name} uses every slot once");
    }
}
