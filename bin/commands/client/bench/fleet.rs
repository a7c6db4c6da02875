//! The workers of a measurement, and the crowd that has nothing to do.

use super::Bench;
use super::books::reply_to;
use super::shape::URGENT;
use crate::exit::{Exit, Failure};
use proletariat::worker::{Builder, Run, Worker};
use std::time::Duration;

/// The kind that the crowd takes; no job has it.
const CROWD_KIND: &str = "crowd";
/// Of the crowd so many connect at a time: a listening socket has a queue of a hundred or so.
const CROWD_STEP: usize = 64;

/// The workers that do the jobs. `busy`: so long takes one that is not urgent.
pub(super) async fn workers(bench: &Bench, busy: Duration) -> Result<Vec<Worker>, Failure> {
    let mut workers = Vec::new();
    for _ in 0..bench.shape.workers {
        let reply_bytes = bench.shape.reply_bytes;
        let worker = builder(bench).handler(move |run: Run| answer(run, reply_bytes, busy));
        workers.push(worker.start().await.map_err(|error| failed(&error))?);
    }
    Ok(workers)
}

/// Workers that wait for a kind of job that never comes.
pub(super) async fn crowd(bench: &Bench) -> Result<Vec<Worker>, Failure> {
    let mut crowd = Vec::new();
    let count = usize::try_from(bench.shape.crowd).unwrap_or(usize::MAX);
    while crowd.len() < count {
        let step = (count - crowd.len()).min(CROWD_STEP);
        let starting = (0..step).map(|_| {
            let builder = builder(bench).kinds([CROWD_KIND]);
            builder.handler(|_: Run| async { Err::<Vec<u8>, _>("no job is of this kind".to_owned()) }).start()
        });
        for worker in futures_util::future::join_all(starting).await {
            crowd.push(worker.map_err(|error| failed(&error))?);
        }
    }
    Ok(crowd)
}

fn builder(bench: &Bench) -> Builder {
    let (manager, shape) = (&bench.place.manager, &bench.shape);
    let mut builder = Worker::builder()
        .host(manager.address.to_string())
        .name("client bench")
        .slots(shape.slots)
        .priority_slots(shape.guarantees.iter().copied());
    if let Some(token) = &manager.token {
        builder = builder.token(token.as_str());
    }
    if let Some(tls) = &manager.tls {
        builder = builder.tls(tls.clone());
    }
    builder
}

async fn answer(run: Run, reply_bytes: usize, busy: Duration) -> Result<Vec<u8>, &'static str> {
    if !busy.is_zero() && run.priority() < URGENT {
        tokio::time::sleep(busy).await;
    }
    reply_to(run.payload(), reply_bytes).ok_or("the payload is not what was sent")
}

fn failed(error: &proletariat::worker::Error) -> Failure {
    Failure::new(Exit::Failed, format!("a worker cannot start: {error}"))
}
