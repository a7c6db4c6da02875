//! A client: some jobs whose answers are wanted in order, then many whose answers are taken as they come.
//!
//!     cargo run --release --example client [HOST:PORT]

#![allow(clippy::print_stdout, reason = "an example shows what it got")]

use futures_util::StreamExt;
use proletariat::client::{Client, WorkOptions};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1917".into());
    let client = Client::connect(host).await?;

    let urgent = WorkOptions::default().priority(7).timeout(Duration::from_secs(10));
    for outcome in client.work(["hello", "world"], urgent).await? {
        println!("{}", String::from_utf8_lossy(&outcome?));
    }

    let mut outcomes = client.work_individual((0..1_000).map(|n| n.to_string()), WorkOptions::default())?;
    while let Some((index, outcome)) = outcomes.next().await {
        println!("{index}: {}", String::from_utf8_lossy(&outcome?));
    }
    Ok(())
}
