//! A worker for jobs like `6*7`.
//!
//!     cargo run --release --example worker [HOST:PORT]

use proletariat::Worker;
use proletariat::worker::Run;

fn multiply(work: &str) -> Result<String, String> {
    let (left, right) = work.split_once('*').ok_or("write a*b")?;
    let factor = |text: &str| text.trim().parse::<i64>().map_err(|error| format!("{text}: {error}"));
    let product = factor(left)?.checked_mul(factor(right)?).ok_or("the product is too large")?;
    Ok(product.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), proletariat::worker::Error> {
    let host = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1".into());
    let handler = |run: Run| async move { multiply(&String::from_utf8_lossy(run.payload())) };
    let worker = Worker::builder().host(host).slots(100).kinds(["mult"]).handler(handler).start().await?;
    worker.ended().await
}
