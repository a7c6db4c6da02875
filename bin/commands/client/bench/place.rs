//! Where the manager is: a process of ours, or one that runs already.
//!
//! Ours is this executable again, with a word that nobody types. The guard of child processes starts it and sees to its end,
//! whatever becomes of us.

use super::super::{Interrupt, ManagerAt};
use super::shape::BenchOptions;
use super::usage::Usage;
use crate::exit::{Exit, Failure};
use crate::options::{Address, Layer, Sources};
use crate::terminal::say;
use proletariat::Manager;
use proletariat::supervisor::guard::{Child, Guard, Program};
use std::io::Write;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};

/// The word that makes this executable a manager for a bench.
pub(in super::super) const WORD: &str = "bench-manager";
/// A process of ours listens after a few milliseconds.
const START_LIMIT: Duration = Duration::from_secs(20);

/// The manager that is measured.
pub(super) struct Place {
    pub(super) manager: ManagerAt,
    process: Option<u32>,
    /// Dropped, it is ended.
    _child: Option<Child>,
}

impl Place {
    /// Starts a manager, unless the options name one.
    pub(super) async fn new(
        options: &BenchOptions,
        manager: ManagerAt,
        sources: &Sources,
    ) -> Result<Self, Failure> {
        let is_elsewhere = ["host", "port"].iter().any(|option| sources.of(option) == Layer::Flag);
        if is_elsewhere {
            return Ok(Self { manager, process: options.manager_pid, _child: None });
        }
        let failed = |why: String| Failure::new(Exit::Failed, format!("the manager cannot start: {why}"));
        let executable = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let program = Program::new(executable).argument(WORD).without_input();
        let mut child = Guard::new().spawn(&program).await.map_err(|error| failed(error.to_string()))?;
        let output = child.stdout.take().expect("nobody else has taken it");
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(START_LIMIT, lines.next_line()).await;
        let line = line.ok().and_then(Result::ok).flatten();
        let complaints = child.stderr.take().expect("nobody else has taken it");
        let mut complaints = BufReader::new(complaints).lines();
        let Some(port) = line.and_then(|line| line.parse().ok()) else {
            let complaint = complaints.next_line().await.ok().flatten();
            return Err(failed(complaint.unwrap_or_else(|| "it says nothing".into())));
        };
        tokio::spawn(async move {
            while let Ok(Some(line)) = complaints.next_line().await {
                say(&line);
            }
        });
        let address = Address { host: "127.0.0.1".into(), port };
        let manager = ManagerAt { address, token: None, tls: None, ..manager };
        let process = u32::try_from(child.pid()).ok();
        Ok(Self { manager, process, _child: Some(child) })
    }

    /// What the manager has taken so far, if it can be told.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.process.and_then(Usage::of)
    }
}

/// The process of ours: a manager with its defaults on any port, which it prints. It ends by a signal of the guard's.
pub(in super::super) async fn serve(mut interrupt: Interrupt) -> Result<Exit, Failure> {
    let manager = Manager::builder().port(0).start();
    let manager = manager.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    writeln!(std::io::stdout(), "{}", manager.local_addr().port())?;
    interrupt.or(manager.ended()).await?;
    Err(Failure::new(Exit::Failed, "the manager has ended unexpectedly"))
}
