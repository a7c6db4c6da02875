//! `client status`: the manager's state.

use super::{Interrupt, ManagerAt};
use crate::exit::{Exit, Failure};
use crate::output::{Format, status_for_people};
use clap::Args;
use proletariat::client::Client;
use serde_json::Value;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  client status
  client status --watch
  client status --output json | jq '.workers[].ranges'";

/// Between two looks of `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// Home and clear: what a terminal shows is shown anew.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Options of `client status`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusOptions {
    /// Show it again every second, until interrupted
    #[arg(long)]
    watch: bool,
    /// Form of what is printed
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    output: Format,
}

pub(super) async fn run(
    options: &StatusOptions,
    manager: &ManagerAt,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let client = interrupt.or(manager.connect("client status", Duration::ZERO)).await??;
    loop {
        let text = interrupt.or(ask(&client, manager)).await??;
        show(&text, options, manager)?;
        if !options.watch {
            client.shutdown().await;
            return Ok(Exit::Done);
        }
        interrupt.or(tokio::time::sleep(WATCH_INTERVAL)).await?;
    }
}

/// The state, within the time that connecting may take: it is a question of the same kind.
async fn ask(client: &Client, manager: &ManagerAt) -> Result<String, Failure> {
    let limit = manager.connection.connect_timeout;
    let answer = client.status();
    let answer = match limit {
        Duration::ZERO => answer.await,
        limit => tokio::time::timeout(limit, answer).await.map_err(|_| {
            Failure::new(Exit::TimedOut, format!("no answer from {} within {limit:?}", manager.address))
        })?,
    };
    answer.map_err(|error| manager.failure(&error))
}

fn show(text: &str, options: &StatusOptions, manager: &ManagerAt) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match options.output {
        Format::Human => {
            let status: Value = serde_json::from_str(text).map_err(|error| {
                Failure::new(Exit::Failed, format!("the manager's state cannot be read: {error}"))
            })?;
            if options.watch && io::stdout().is_terminal() {
                out.write_all(CLEAR.as_bytes())?;
            }
            out.write_all(status_for_people(&status, manager.color.on_stdout()).as_bytes())?;
        }
        Format::Json | Format::Jsonl => writeln!(out, "{text}")?,
        Format::Quiet => {}
    }
    Ok(out.flush()?)
}
