//! Whom the manager picks, counted.

use crate::harness::{CLIENT, Crowd, Test};

/// Jobs given out one at a time to workers with so many slots: how many each got.
fn shares(selector: &str, slots: &[u32], jobs: u32) -> Vec<f64> {
    let test = Test::new();
    let manager = test.manager(&["--selector", selector]);
    let crowd = Crowd::of(&manager, slots);
    let mut client = manager.peer(CLIENT);
    for _ in 0..jobs {
        // Its answer means that all slots are free again.
        client.submit(&[b"x"]);
        assert!(client.outcome().result.is_ok());
    }
    let shares = crowd.answered().into_iter().map(|count| f64::from(u32::try_from(count).unwrap())).collect();
    drop(crowd);
    shares
}

/// Five standard deviations of a binomial distribution: chance passes them once in 1.7 million runs.
fn bound(jobs: u32, share: f64) -> f64 {
    5.0 * (f64::from(jobs) * share * (1.0 - share)).sqrt()
}

#[test]
fn random_weighted_picks_in_proportion_to_the_slots() {
    const JOBS: u32 = 4_000;
    let shares = shares("random-weighted", &[10, 30], JOBS);
    for (got, share) in shares.iter().zip([0.25, 0.75]) {
        let expected = f64::from(JOBS) * share;
        assert!((got - expected).abs() <= bound(JOBS, share), "{shares:?}");
    }
}

#[test]
fn random_weighted_over_many_workers() {
    const JOBS: u32 = 4_000;
    let slots = [1, 2, 3, 4, 30];
    let shares = shares("random-weighted", &slots, JOBS);
    for (got, slots) in shares.iter().zip(slots) {
        let share = f64::from(slots) / 40.0;
        assert!((got - f64::from(JOBS) * share).abs() <= bound(JOBS, share), "{shares:?}");
    }
}

#[test]
fn round_robin_is_fair_to_the_job() {
    assert_eq!(shares("round-robin", &[10, 30, 5], 600), [200.0, 200.0, 200.0]);
}

#[test]
fn all_of_them_use_every_slot_that_there_is() {
    for selector in ["random-weighted", "least-loaded", "two-choices", "round-robin"] {
        let test = Test::new();
        let manager = test.manager(&["--selector", selector]);
        let mut workers: Vec<_> =
            [3, 1, 5].map(|slots| manager.raw_worker(proletariat_protocol::Offer::new(slots))).into();
        let mut client = manager.peer(CLIENT);
        client.submit(&[&b"x"[..]; 12]);
        client.until_accepted();
        let given: Vec<_> =
            workers.iter_mut().zip([3, 1, 5]).map(|(w, n)| w.executions_until(n).len()).collect();
        assert_eq!(given, [3, 1, 5], "{selector}");
        assert_eq!(manager.count("queued_jobs"), 3);
    }
}
