//! Two thousand peers lose their manager in the same moment, with work under way. They come back to the next one within ten
//! seconds, spread over time, and every job that had no answer gets it.

use crate::harness::{Manager, Test, within};
use proletariat::Worker;
use proletariat::client::{Client, WorkOptions};
use proletariat::worker::{Ending, Run};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// So many workers, and as many clients.
const EACH: usize = 1_000;
const JOBS: usize = 3;
const BACK: Duration = Duration::from_secs(10);
/// They come by chance over 2 s and more, so a tenth of a second sees a twentieth of them. On a machine that has other things to do
/// they pile up while the manager waits for its turn; without chance all would come in one tenth.
const AT_ONCE_MAX: usize = EACH;
/// A manager that leaves in order asks all not to come back earlier.
const HINT_MS: u64 = 500;

/// When this was logged, in milliseconds of the day.
fn time_of(line: &str) -> u64 {
    let clock = line.split_once('T').unwrap_or_else(|| panic!("no time: {line}")).1;
    let number = |from: usize, to: usize| clock[from..to].parse::<u64>().unwrap();
    ((number(0, 2) * 60 + number(3, 5)) * 60 + number(6, 8)) * 1_000 + number(9, 12)
}

/// When each peer joined this manager, and when it began to listen.
fn joined(manager: &Manager<'_>) -> (u64, Vec<u64>) {
    let log = manager.process.err();
    let times =
        |word: &str| -> Vec<u64> { log.lines().filter(|line| line.contains(word)).map(time_of).collect() };
    (times(" listening ")[0], times(" joined peer="))
}

async fn echo_slowly(run: Run) -> Ending {
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ending::Done(run.payload().clone())
}

async fn call(client: Client, number: usize) -> usize {
    let jobs: Vec<String> = (0..JOBS).map(|job| format!("{number} {job}")).collect();
    let outcomes = client.work(jobs.clone(), WorkOptions::default()).await.unwrap();
    let right = |(outcome, job): &(_, &String)| matches!(outcome, Ok(result) if *result == job.as_bytes());
    outcomes.into_iter().zip(&jobs).filter(right).count()
}

fn peers_come_back(signal: Signal) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let test = Test::alone();
    let manager = test.manager(&["--debug", "--drain-timeout", "100ms"]);
    let port = manager.port;
    let runtime = Runtime::new().unwrap();
    let (mut workers, mut clients) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for _ in 0..EACH {
            workers.push(Worker::builder().port(port).slots(2).handler(echo_slowly).start().await.unwrap());
            clients.push(Client::builder().port(port).connect().await.unwrap());
        }
    });
    let mut calls = JoinSet::new();
    for (number, client) in clients.iter().enumerate() {
        calls.spawn_on(call(client.clone(), number), runtime.handle());
    }
    manager.until("work is under way", |status| status["manager"]["finished"].as_u64() > Some(100));
    manager.process.signal(signal);
    let gone = manager.process.ended();
    let manager = test.manager_at(port, &["--debug"]);
    within(2 * BACK, "all peers are back", || (joined(&manager).1.len() >= 2 * EACH).then_some(()));
    let (listens, mut times) = joined(&manager);
    times.sort_unstable();
    let took = Duration::from_millis(times[2 * EACH - 1] - listens);
    assert!(took < BACK, "{took:?}");
    let tenth = |from: &u64| times.iter().filter(|time| (*from..from + 100).contains(*time)).count();
    let most = times.iter().map(tenth).max().unwrap();
    assert!(most <= AT_ONCE_MAX, "{most} came within a tenth of a second");
    if signal == Signal::TERM {
        let told = gone.err.lines().find(|line| line.contains("draining")).map(time_of).unwrap();
        assert!(times[0] >= told + HINT_MS, "the first came {} ms after the farewell", times[0] - told);
    }
    println!(
        "{signal:?}: 2,000 peers were back within {took:?}, at most {most} of them in a tenth of a second"
    );
    let answered: usize = runtime.block_on(calls.join_all()).into_iter().sum();
    assert_eq!(answered, EACH * JOBS, "right answers");
    manager.until_idle();
    drop((workers, clients));
}

#[test]
fn two_thousand_peers_come_back_when_their_manager_was_killed() {
    peers_come_back(Signal::KILL);
}

#[test]
fn two_thousand_peers_come_back_when_their_manager_was_restarted() {
    peers_come_back(Signal::TERM);
}
