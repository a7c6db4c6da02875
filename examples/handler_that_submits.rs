//! A handler that has parts of its work done by others: it submits jobs with a client of its own and waits for them.
//!
//!     cargo run --release --example handler_that_submits [HOST:PORT]
//!     client work --kind sum '1*2 3*4 5*6'
//!
//! Beware of parents that wait for children while they hold all slots: no child ever gets one, and all wait for ever. The
//! guarantee below prevents it. Children have priority 1, and 4 of the 10 slots are guaranteed to priorities from 1 up.
//! Parents have priority 0, and a lower range never borrows from a higher one: at most 6 slots can hold parents, so at least
//! 4 are there for children, however many parents wait. (Other workers for `mult` alone would do as well.)
//!
//! When a parent is cancelled it drops its call, and that aborts the children: nobody works for an answer that nobody
//! wants.

use proletariat::Worker;
use proletariat::client::{Client, Job, Outcome, WorkOptions};
use proletariat::worker::{Ending, Run};

/// `1*2 3*4`: each product is a job of its own, the sum is ours.
async fn sum(client: &Client, run: &Run) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let text = std::str::from_utf8(run.payload())?;
    let products = text.split_whitespace().map(|part| Job::new(part.to_owned()).kind("mult"));
    // The children have no use for more time than the parent has.
    let mut options = WorkOptions::default().priority(1);
    if let Some(deadline) = run.deadline() {
        options = options.timeout(deadline.saturating_duration_since(std::time::Instant::now()));
    }
    let outcomes: Vec<Outcome> = client.work(products, options).await?;
    let mut sum: i64 = 0;
    for outcome in outcomes {
        sum += std::str::from_utf8(&outcome?)?.parse::<i64>()?;
    }
    Ok(sum.to_string())
}

fn product(text: &str) -> Option<i64> {
    let (left, right) = text.split_once('*')?;
    left.parse::<i64>().ok()?.checked_mul(right.parse().ok()?)
}

async fn handle(client: Client, run: Run) -> Ending {
    match run.kind() {
        Some("sum") => match run.unless_cancelled(sum(&client, &run)).await {
            Ok(sum) => sum.into(),
            Err(cancelled) => Ending::Failed(cancelled.to_string()),
        },
        _ => {
            let product = product(&String::from_utf8_lossy(run.payload())).map(|product| product.to_string());
            product.ok_or("write a*b").into()
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1".into());
    let client = Client::connect(&host).await?;
    let worker = Worker::builder()
        .host(host)
        .slots(10)
        .priority_slots([(1, 4)])
        .kinds(["sum", "mult"])
        .handler(move |run| handle(client.clone(), run))
        .start()
        .await?;
    worker.ended().await?;
    Ok(())
}
