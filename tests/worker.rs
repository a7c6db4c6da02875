//! The worker library against a real manager and a real client, over TCP.

use futures_util::StreamExt;
use proletariat::client::{Client, ErrorCode, Update, WorkOptions};
use proletariat::worker::{Builder, Cancelled, Ending, Run, handlers};
use proletariat::{Manager, Worker};
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// More than any test needs, so that a hang is a failure and not a wait for ever.
const LIMIT: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("it takes too long")
}

fn manager() -> Manager {
    Manager::builder().port(0).start().expect("any port is free")
}

fn at(manager: &Manager) -> Builder {
    Worker::builder().port(manager.local_addr().port()).retry_time(Duration::from_millis(20))
}

async fn client(manager: &Manager) -> Client {
    soon(Client::builder().port(manager.local_addr().port()).connect()).await.expect("the manager is there")
}

#[tokio::test]
async fn a_hundred_thousand_jobs_are_answered_each_with_its_own_result() {
    let manager = manager();
    let _worker = soon(at(&manager).slots(1_000).handler(handlers::Echo).start()).await.unwrap();
    let client = client(&manager).await;
    let jobs: Vec<String> = (0..100_000).map(|number| format!("job {number}")).collect();
    let outcomes = soon(client.work(jobs.clone(), WorkOptions::default())).await.unwrap();
    assert_eq!(outcomes.len(), jobs.len());
    assert!(outcomes.iter().zip(&jobs).all(|(outcome, job)| outcome.as_ref().unwrap() == job.as_bytes()));
}

#[tokio::test]
async fn failures_panics_and_run_limits_reach_the_caller_by_their_codes() {
    let manager = manager();
    let handler = |run: Run| async move {
        match &run.payload()[..] {
            b"fail" => Ending::Failed("cannot".into()),
            b"panic" => panic!("at the handler"),
            b"large" => Ending::Done(vec![0; 21 << 20].into()),
            _ => {
                run.cancelled().await;
                Ending::Done("too late".into())
            }
        }
    };
    let _worker = soon(at(&manager).handler(handler).start()).await.unwrap();
    let client = client(&manager).await;
    let options = WorkOptions::default().run_timeout(Duration::from_millis(50));
    let outcomes = soon(client.work(["fail", "panic", "large", "forever"], options)).await.unwrap();
    let errors: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap_err()).collect();
    let codes: Vec<ErrorCode> = errors.iter().map(|error| error.code).collect();
    let expected = [ErrorCode::WorkFailed, ErrorCode::WorkFailed, ErrorCode::TooLarge, ErrorCode::RunTimeout];
    assert_eq!(codes, expected);
    assert!(errors[0].to_string().contains("cannot"), "{}", errors[0]);
    assert!(errors[1].to_string().contains("panicked: at the handler"), "{}", errors[1]);
}

#[tokio::test]
async fn a_dropped_call_cancels_its_handlers_and_frees_their_slots() {
    let manager = manager();
    let (tell, mut told) = mpsc::unbounded_channel();
    let handler = move |run: Run| {
        let tell = tell.clone();
        async move {
            if run.payload() != "stay" {
                return Ok(run.payload().clone());
            }
            tell.send("started").unwrap();
            run.cancelled().await;
            tell.send("cancelled").unwrap();
            Err(Cancelled)
        }
    };
    let _worker = soon(at(&manager).slots(1).handler(handler).start()).await.unwrap();
    let client = client(&manager).await;
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.work(["stay"], WorkOptions::default()).await }
    });
    assert_eq!(soon(told.recv()).await, Some("started"));
    call.abort();
    assert_eq!(soon(told.recv()).await, Some("cancelled"));
    let outcomes = soon(client.work(["next"], WorkOptions::default())).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), "next");
}

#[tokio::test]
async fn a_caller_that_looks_away_holds_the_handler_back_and_gets_every_chunk_in_order() {
    const CHUNKS: u32 = 300;
    const CHUNK_BYTES: usize = 64 * 1024;
    let manager = manager();
    let sent = Arc::new(AtomicU32::new(0));
    let still = Arc::new(Notify::new());
    let handler = {
        let (sent, still) = (Arc::clone(&sent), Arc::clone(&still));
        move |run: Run| {
            let (sent, still) = (Arc::clone(&sent), Arc::clone(&still));
            async move {
                for number in 0..CHUNKS {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    chunk[..4].copy_from_slice(&number.to_be_bytes());
                    let mut sending = Box::pin(run.send(chunk));
                    if tokio::time::timeout(Duration::from_millis(500), &mut sending).await.is_err() {
                        // Held back: nothing went for half a second.
                        still.notify_one();
                        sending.await?;
                    }
                    sent.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, Cancelled>("end")
            }
        }
    };
    let _worker = soon(at(&manager).handler(handler).start()).await.unwrap();
    let client = client(&manager).await;
    let mut updates = client.work_updates(["go"], WorkOptions::default()).unwrap();
    soon(still.notified()).await;
    // Windows and buffers of three hops, far below what there is to send.
    assert!(sent.load(Ordering::SeqCst) < 100, "{sent:?}");
    let mut next = 0_u32;
    while let Some((_, update)) = soon(updates.next()).await {
        match update {
            Update::Data(chunk) => {
                assert_eq!(chunk[..4], next.to_be_bytes());
                next += 1;
            }
            Update::Outcome(outcome) => assert_eq!(outcome.unwrap(), "end"),
            _ => {}
        }
    }
    assert_eq!(next, CHUNKS);
}

#[tokio::test]
async fn a_rolling_restart_under_load_fails_nothing_and_runs_nothing_twice() {
    const JOBS: usize = 4_000;
    let manager = manager();
    let runs = Arc::new(AtomicUsize::new(0));
    let start = || {
        let runs = Arc::clone(&runs);
        let handler = move |run: Run| {
            runs.fetch_add(1, Ordering::SeqCst);
            async move {
                let pause = u64::from(run.payload().last().copied().unwrap_or(0) % 5);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                Ok::<_, Cancelled>(run.payload().clone())
            }
        };
        at(&manager).slots(20).handler(handler).start()
    };
    let mut workers = vec![soon(start()).await.unwrap(), soon(start()).await.unwrap()];
    let client = client(&manager).await;
    let jobs = (0..JOBS).map(|number| number.to_string());
    let mut outcomes = client.work_individual(jobs, WorkOptions::default().max_attempts(1)).unwrap();
    let mut seen = BTreeSet::new();
    while let Some((index, outcome)) = soon(outcomes.next()).await {
        assert_eq!(outcome.unwrap(), index.to_string());
        assert!(seen.insert(index));
        if seen.len() % 500 == 0 {
            workers.push(soon(start()).await.unwrap());
            let old = workers.remove(0);
            soon(old.drain(Duration::from_secs(30))).await.unwrap();
        }
    }
    assert_eq!(seen.len(), JOBS);
    assert_eq!(runs.load(Ordering::SeqCst), JOBS);
}

#[tokio::test]
async fn what_a_lost_worker_held_is_run_again_elsewhere() {
    let manager = manager();
    let (tell, mut told) = mpsc::unbounded_channel();
    let stuck = move |_| {
        tell.send(()).unwrap();
        std::future::pending::<Ending>()
    };
    let lost = soon(at(&manager).slots(1).handler(stuck).start()).await.unwrap();
    let client = client(&manager).await;
    let call = tokio::spawn(async move { client.work(["job"], WorkOptions::default()).await });
    soon(told.recv()).await.unwrap();
    let attempt = |run: Run| async move { Ok::<_, Cancelled>(format!("attempt {}", run.attempt())) };
    let _other = soon(at(&manager).handler(attempt).start()).await.unwrap();
    drop(lost);
    assert_eq!(soon(call).await.unwrap().unwrap()[0].as_ref().unwrap(), "attempt 2");
}

#[tokio::test]
async fn a_worker_comes_back_when_its_manager_does() {
    let first = manager();
    let port = first.local_addr().port();
    let _worker = soon(at(&first).handler(handlers::Echo).start()).await.unwrap();
    first.stop();
    soon(first.ended()).await;
    drop(first);
    let second = Manager::builder().port(port).start().unwrap();
    let client = client(&second).await;
    let outcomes = soon(client.work(["again"], WorkOptions::default())).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap(), "again");
}

#[tokio::test]
async fn a_blocking_handler_serves_as_many_jobs_at_once_as_it_has_slots() {
    let manager = manager();
    let barrier = Arc::new(std::sync::Barrier::new(4));
    let handler = move |run: Run| {
        barrier.wait();
        Ending::Done(run.payload().clone())
    };
    let _worker = soon(at(&manager).slots(4).blocking_handler(handler).start()).await.unwrap();
    let client = client(&manager).await;
    let jobs = (0..40).map(|number| number.to_string());
    let outcomes = soon(client.work(jobs, WorkOptions::default())).await.unwrap();
    assert!(
        outcomes.iter().enumerate().all(|(index, outcome)| *outcome.as_ref().unwrap() == index.to_string())
    );
}

#[tokio::test]
async fn parents_that_wait_for_children_do_not_starve_them_where_a_guarantee_holds() {
    let manager = manager();
    let client = client(&manager).await;
    let handler = {
        let client = client.clone();
        move |run: Run| {
            let client = client.clone();
            async move {
                if run.priority() == 1 {
                    return Ok(run.payload().clone());
                }
                let child = client.work([run.payload().clone()], WorkOptions::default().priority(1)).await;
                child.map_err(|error| error.to_string())?.remove(0).map_err(|error| error.to_string())
            }
        }
    };
    let _worker =
        soon(at(&manager).slots(4).priority_slots([(1, 1)]).handler(handler).start()).await.unwrap();
    let jobs = (0..100).map(|number| number.to_string());
    let outcomes = soon(client.work(jobs, WorkOptions::default())).await.unwrap();
    assert!(
        outcomes.iter().enumerate().all(|(index, outcome)| *outcome.as_ref().unwrap() == index.to_string())
    );
}
