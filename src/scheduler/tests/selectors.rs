//! What selectors see, and what becomes of their answers.

use crate::harness::World;
use proletariat_protocol::{JobId, JobOptions, Offer, Payload, PeerId};
use proletariat_scheduler::selector::{
    Candidate, Candidates, LeastLoaded, Random, RandomWeighted, Request, RoundRobin, Selector,
};
use proletariat_scheduler::{Config, Event, Scheduler};

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

fn runs(world: &mut World, workers: &[PeerId]) -> Vec<usize> {
    workers.iter().map(|worker| world.assigned_to(*worker).len()).collect()
}

/// Goes on naming the first that it ever saw.
#[derive(Debug, Default)]
struct Loyal(Option<Candidate>);

impl Selector for Loyal {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        let all: Vec<Candidate> = among.iter().collect();
        assert_eq!(all, among.iter().collect::<Vec<_>>(), "the same each time");
        let differ = |one: &Candidate| all.iter().filter(|other| *other == one).count() == 1;
        assert!(all.iter().all(differ), "nobody is there twice");
        Some(*self.0.get_or_insert_with(|| all[0]))
    }
}

#[test]
fn one_that_was_seen_earlier_counts_while_it_still_could_take_something() {
    let mut world = World::with_selector(Config::default(), Loyal::default());
    let client = world.client();
    let workers = [world.worker(Offer::new(2)), world.worker(Offer::new(2))];
    world.submit(client, JobOptions::default(), &["a"]);
    let first = world.assigned_to(workers[0]).remove(0);
    world.submit(client, JobOptions::default(), &["b"]);
    assert_eq!(runs(&mut world, &workers), [1, 0]);
    world.submit(client, JobOptions::default(), &["c"]);
    assert_eq!(runs(&mut world, &workers), [0, 0], "it is full, and the selector names nobody else");
    world.finish(&first, "done");
    world.pass_millis(50);
    assert_eq!(runs(&mut world, &workers), [1, 0]);
    world.leave(workers[0]);
    let other = world.worker(Offer::new(2));
    world.submit(client, JobOptions::default(), &["d"]);
    world.pass_millis(10_000);
    assert_eq!(runs(&mut world, &[workers[1], other]), [0, 0], "who has its place now is another one");
}

#[test]
fn one_of_another_kind_counts_for_nothing() {
    let mut world = World::with_selector(Config::default(), Loyal::default());
    let client = world.client();
    let workers = [world.worker(Offer::new(2).kinds(["a"])), world.worker(Offer::new(2).kinds(["b"]))];
    world.submit(client, of_kind("a"), &["x"]);
    world.submit(client, of_kind("b"), &["x"]);
    world.pass_millis(10_000);
    assert_eq!(runs(&mut world, &workers), [1, 0]);
}

#[test]
fn the_least_loaded_is_found_in_whatever_pool_it_stands() {
    for (any, named) in [(5, 3), (3, 5)] {
        let mut world = World::with_selector(Config::default(), LeastLoaded);
        let client = world.client();
        let workers = [world.worker(Offer::new(any)), world.worker(Offer::new(named).kinds(["k"]))];
        world.submit(client, of_kind("k"), &["x", "y"]);
        assert_eq!(runs(&mut world, &workers), if any > named { [2, 0] } else { [0, 2] });
    }
}

#[test]
fn the_round_goes_through_all_pools() {
    let mut world = World::with_selector(Config::default(), RoundRobin::default());
    let client = world.client();
    let offers = [Offer::new(9), Offer::new(9).kinds(["k"]), Offer::new(9).kinds(["k", "l"])];
    let workers = offers.map(|offer| world.worker(offer));
    for _ in 0..3 {
        world.submit(client, of_kind("k"), &["x", "y", "z"]);
        assert_eq!(runs(&mut world, &workers), [1, 1, 1]);
    }
}

/// The numbers of the jobs that each of so many workers of four slots got first, of so many jobs that came at once.
fn numbers(workers: usize, jobs: usize, seed: u64, selector: impl Selector + 'static) -> Vec<Vec<usize>> {
    let mut world = World::new(Config::default());
    world.scheduler = Scheduler::new(Config::default(), Box::new(selector), seed);
    world.audits = false;
    let client = world.client();
    let workers: Vec<PeerId> = (0..workers).map(|_| world.worker(Offer::new(4))).collect();
    let payloads = (0..jobs).map(|n| Payload::from(n.to_string())).collect();
    world.tell(Event::Submitted { client, first: JobId(0), options: &JobOptions::default(), payloads });
    world.scheduler.audit();
    let text = |payload: &Payload| String::from_utf8_lossy(payload).into_owned();
    let number = |payload: &Payload| text(payload).parse().expect("a number");
    let runs = |worker| world.assigned_to(worker).iter().map(|run| number(&run.payload)).collect();
    workers.into_iter().map(runs).collect()
}

fn in_a_row(numbers: &[usize]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[test]
fn what_came_together_stays_together_where_every_slot_is_taken() {
    for workers in [3, 40] {
        let filled = numbers(workers, 1_000, 1, RandomWeighted);
        assert!(filled.iter().all(|numbers| numbers.len() == 4 && in_a_row(numbers)), "{filled:?}");
        let mut order: Vec<usize> = filled.iter().map(|numbers| numbers[0] / 4).collect();
        assert!(workers == 3 || !order.is_sorted(), "whose turn it is is up to chance");
        order.sort_unstable();
        assert!(order.into_iter().eq(0..workers));
        let asked = numbers(workers, 1_000, 1, RoundRobin::default());
        assert!(asked[0].windows(2).all(|pair| pair[1] == pair[0] + workers), "a selector that heeds more");
    }
}

/// As many jobs as workers, who have four slots each: of so many, this part goes without in the mean.
#[test]
fn where_slots_are_left_each_execution_has_a_draw_of_its_own() {
    for (workers, without) in [(10, 0.2999), (40, 0.3128), (300, 0.3158)] {
        let trials = 12_000 / workers;
        let mut idle = 0;
        for seed in 0..trials {
            let runs = numbers(workers, workers, seed as u64, RandomWeighted);
            assert_eq!(runs.iter().map(Vec::len).sum::<usize>(), workers);
            idle += runs.iter().filter(|runs| runs.is_empty()).count();
        }
        let part = idle as f64 / (trials * workers) as f64;
        assert!((part - without).abs() < 0.01, "{part} of {workers} workers, not {without}");
    }
}
