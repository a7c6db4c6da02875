//! Lines that are cut, in one direction or both, without a word to either end, and healed late: who is behind one is noticed
//! by its silence, its slots and jobs come back, late answers are for nobody, and when the line is healed all find each other.
//!
//! `PARTITIONS_SECONDS` and `PARTITIONS_SEED` are for the last test, in which lines come and go by chance.

use crate::harness::{
    Chance, Direction, Feeder, Manager, Running, Site, Test, in_network, let_time_pass, time_of, until,
};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Silence is noticed quickly.
const SHORT: [&str; 4] = ["--heartbeat", "200ms", "--heartbeat-timeout", "1s"];
/// And by the peers too.
const SOON: [&str; 2] = ["--manager-timeout", "1s"];
/// What the manager needs at most to notice the silence of a second, on a machine that has other things to do too.
const NOTICED: Duration = Duration::from_secs(6);
const SECONDS: u64 = 4;

fn start_manager<'a>(test: &'a Test, clocks: &[&str]) -> Manager<'a> {
    test.manager(&[&["--host", "0.0.0.0", "--insecure"], clocks].concat())
}

/// A worker in this site, once the manager has its offer.
fn worker_at(site: &Site<'_>, manager: &Manager<'_>, words: &[&str]) -> Running {
    let before = manager.workers().len();
    let host = site.manager_host();
    let worker = site.here(|| manager.worker(&[words, &["--host", &host]].concat()));
    manager.until_workers(before + 1);
    worker
}

fn cut(site: &Site<'_>) {
    Direction::BOTH.into_iter().for_each(|direction| site.cut(direction));
}

fn heal(site: &Site<'_>) {
    Direction::BOTH.into_iter().for_each(|direction| site.heal(direction));
}

/// The manager gives up all workers but so many; no slot is held for who is gone.
fn until_only(manager: &Manager<'_>, workers: usize) {
    let begun = Instant::now();
    manager.until_workers(workers);
    assert!(begun.elapsed() < NOTICED, "{:?}", begun.elapsed());
}

fn all_slots_are_free(manager: &Manager<'_>) {
    manager.until_idle();
    for worker in manager.workers() {
        for range in worker["ranges"].as_array().unwrap() {
            assert_eq!(range["used"], 0, "a slot is still held: {worker}");
        }
    }
}

#[test]
fn a_worker_whose_machine_is_gone_is_noticed_and_its_jobs_run_elsewhere() {
    in_network(|test, network| {
        let (manager, site) = (start_manager(test, &SHORT), network.site(1));
        let lost = worker_at(&site, &manager, &["--builtin", "sleep", "--slots", "2"]);
        let client = manager.client(&["work", "1500ms", "1501ms"]);
        manager.until_assigned(2);
        cut(&site);
        // The end of its connection is never told: half open.
        lost.signal(Signal::KILL);
        until_only(&manager, 0);
        assert_eq!(manager.count("requeued"), 2);
        let _other = manager.ready_worker(&["--builtin", "sleep", "--slots", "2"]);
        assert_eq!(client.ended().expect(0).lines(), ["1500ms", "1501ms"]);
        heal(&site);
        let _back = worker_at(&site, &manager, &["--builtin", "sleep", "--slots", "2"]);
        manager.ask(&["work", "1ms", "2ms", "3ms", "4ms"]).expect(0);
        all_slots_are_free(&manager);
        assert_eq!(manager.count("finished"), 6, "each ran once to its end");
    });
}

#[test]
fn a_worker_that_hears_but_is_not_heard_is_given_up_and_comes_back() {
    in_network(|test, network| {
        let (manager, site) = (start_manager(test, &SHORT), network.site(1));
        let sleep = ["--builtin", "sleep", "--slots", "2"];
        let silent = worker_at(&site, &manager, &[&sleep[..], &SOON].concat());
        let client = manager.client(&["work", "1500ms", "1501ms"]);
        manager.until_assigned(2);
        site.cut(Direction::ToManager);
        until_only(&manager, 0);
        // Its own clock tells it: the end of a session waits in the manager's socket behind what is never acknowledged.
        silent.until_it_says("no manager");
        let _other = manager.ready_worker(&sleep);
        assert_eq!(client.ended().expect(0).lines(), ["1500ms", "1501ms"]);
        assert_eq!(manager.count("requeued"), 2);
        site.heal(Direction::ToManager);
        manager.until_workers(2);
        manager.ask(&["work", "1ms", "2ms", "3ms", "4ms"]).expect(0);
        all_slots_are_free(&manager);
        assert_eq!(manager.count("finished"), 6, "each ran once to its end");
    });
}

#[test]
fn a_worker_that_is_heard_but_does_not_hear_loses_nothing_either() {
    in_network(|test, network| {
        let (manager, site) = (start_manager(test, &SHORT), network.site(1));
        let sleep = ["--builtin", "sleep", "--slots", "4"];
        let deaf = worker_at(&site, &manager, &[&sleep[..], &SOON].concat());
        let heard = manager.client(&["work", "400ms"]);
        manager.until_assigned(1);
        site.cut(Direction::FromManager);
        // This one never arrives there.
        let missed = manager.client(&["work", "1ms"]);
        assert_eq!(heard.ended().expect(0).text(), "400ms\n");
        assert_eq!((manager.count("finished"), manager.count("requeued")), (1, 0), "its result has come");
        until_only(&manager, 0);
        deaf.until_it_says("no manager");
        let other = manager.ready_worker(&sleep);
        assert_eq!(missed.ended().expect(0).text(), "1ms\n");
        drop(other);
        site.heal(Direction::FromManager);
        until("the one that was deaf is back", || {
            manager.workers().iter().any(|worker| worker["withdrawn"] == false).then_some(())
        });
        manager.ask(&["work", "1ms", "2ms"]).expect(0);
        manager.until_workers(1);
        all_slots_are_free(&manager);
        assert_eq!(manager.count("finished"), 4, "each ran once to its end");
    });
}

#[test]
fn a_client_behind_a_cut_line_gets_its_answers_when_it_is_healed() {
    in_network(|test, network| {
        let (manager, site) = (start_manager(test, &SHORT), network.site(1));
        let _worker = manager.ready_worker(&["--builtin", "sleep", "--slots", "2"]);
        let jobs: String = (0..40).map(|job| format!("{}ms\n", 500 + job)).collect();
        let host = site.manager_host();
        let words = [&["work", "-", "--host", &host], &SOON[..]].concat();
        let client = site.here(|| manager.client(&words)).feed(jobs.as_bytes());
        manager.until("some are done", |status| status["manager"]["finished"].as_u64() > Some(3));
        cut(&site);
        // Nobody works for a client that is gone: two slots would need ten seconds for all of it.
        let begun = Instant::now();
        all_slots_are_free(&manager);
        assert!(begun.elapsed() < NOTICED, "{:?}", begun.elapsed());
        client.until_it_says("no manager");
        assert!(client.out().lines().count() < 10, "{}", client.out());
        let _more = manager.ready_worker(&["--builtin", "sleep", "--slots", "40"]);
        heal(&site);
        assert_eq!(client.ended().expect(0).text(), jobs);
        all_slots_are_free(&manager);
    });
}

#[test]
fn an_answer_that_comes_late_out_of_a_partition_is_for_nobody() {
    in_network(|test, network| {
        let (manager, site) = (start_manager(test, &SHORT), network.site(1));
        let done = test.path("done");
        let late = format!("sh -c 'sleep 2; echo late; touch {}'", done.display());
        // It would wait long for its manager, so it does not stop its work.
        let words = ["--run", &late, "--slots", "1", "--manager-timeout", "30s"];
        let _late = worker_at(&site, &manager, &words);
        let client = manager.client(&["work", "x"]);
        manager.until_assigned(1);
        cut(&site);
        until_only(&manager, 0);
        let other = manager.ready_worker(&["--run", "echo in time", "--slots", "1"]);
        until("the late one has done it too", || done.exists().then_some(()));
        heal(&site);
        assert_eq!(client.ended().expect(0).text(), "in time\n");
        manager.until_workers(2);
        assert_eq!(manager.count("finished"), 1, "the late answer was taken");
        drop(other);
        manager.until_workers(1);
        assert_eq!(manager.ask(&["work", "y"]).expect(0).text(), "late\n");
        all_slots_are_free(&manager);
    });
}

#[test]
fn a_cut_that_is_shorter_than_the_clocks_costs_nothing_but_time() {
    in_network(|test, network| {
        let clocks = ["--heartbeat", "300ms", "--heartbeat-timeout", "20s"];
        let (manager, sites) = (start_manager(test, &clocks), [1, 2].map(|number| network.site(number)));
        let _worker = worker_at(&sites[0], &manager, &["--builtin", "sleep", "--slots", "4"]);
        let jobs: String = (0..60).map(|job| format!("{}ms\n", 50 + job)).collect();
        let host = sites[1].manager_host();
        let client = sites[1].here(|| manager.client(&["work", "-", "--host", &host])).feed(jobs.as_bytes());
        manager.until("some are done", |status| status["manager"]["finished"].as_u64() > Some(5));
        let before = manager.workers()[0]["peer"].clone();
        sites.iter().for_each(cut);
        let_time_pass(Duration::from_millis(1_500));
        sites.iter().for_each(heal);
        assert_eq!(client.ended().expect(0).text(), jobs);
        assert_eq!(manager.workers()[0]["peer"], before, "the same session");
        assert_eq!((manager.count("finished"), manager.count("requeued")), (60, 0));
        all_slots_are_free(&manager);
    });
}

#[test]
fn nothing_is_lost_while_lines_come_and_go() {
    in_network(|test, network| {
        let (time, mut chance) = (time_of("PARTITIONS_SECONDS", SECONDS), Chance::of("PARTITIONS_SEED"));
        let manager = start_manager(test, &[&SHORT[..], &["--max-attempts", "0"]].concat());
        let sites: Vec<_> = (1..=5).map(|number| network.site(number)).collect();
        let kinds = ["echo", "sleep", "sleep"];
        let _workers: Vec<_> = kinds
            .iter()
            .zip(&sites)
            .map(|(kind, site)| {
                let words = ["--builtin", kind, "--kinds", kind, "--slots", "10"];
                worker_at(site, &manager, &[&words[..], &SOON].concat())
            })
            .collect();
        let mut feeders: Vec<_> = ["echo", "sleep"]
            .into_iter()
            .zip(&sites[3..])
            .enumerate()
            .map(|(number, (kind, site))| {
                let host = site.manager_host();
                site.here(|| Feeder::start(&manager, number, kind, &[&["--host", &host], &SOON[..]].concat()))
            })
            .collect();
        // One that has never been welcome would give up after a while.
        manager.until("the clients are there", |status| {
            let peers = status["peers"].as_array().unwrap();
            peers.iter().filter(|peer| peer["name"] == "client work").count() == 2
        });
        let (begun, mut cuts) = (Instant::now(), 0);
        while begun.elapsed() < time {
            let site = &sites[chance.below(sites.len() as u64) as usize];
            let direction = Direction::BOTH[chance.below(2) as usize];
            // More are healed than cut, so that work goes on.
            if chance.below(5) < 2 {
                site.cut(direction);
                cuts += 1;
            } else {
                site.heal(direction);
            }
            for feeder in &mut feeders {
                feeder.feed(20);
                feeder.read();
            }
            let_time_pass(Duration::from_millis(50 + chance.below(150)));
        }
        sites.iter().for_each(heal);
        let mut answered = 0;
        for feeder in feeders {
            let (jobs, wrong) = feeder.settle();
            assert_eq!(wrong, Vec::<String>::new());
            answered += jobs;
        }
        manager.until_workers(kinds.len());
        all_slots_are_free(&manager);
        println!(
            "{cuts} cuts in {time:?}, {} requeued, {answered} jobs, each answered once",
            manager.count("requeued")
        );
    });
}
