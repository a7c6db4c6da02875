//! `manager`: takes jobs from clients and gives them to workers.

mod bounds;
mod dispatch;

use super::secrets::{ManagerSecrets, SecretCommand};
use super::{CommonOptions, DrainOptions, begin, block_on};
use crate::exit::{Exit, Failure};
use crate::options::value::duration;
use crate::options::{Parsed, Surroundings, parse};
use crate::port_file::PortFile;
use crate::signals::{Reload, Signals};
use crate::terminal::ended;
use bounds::BoundOptions;
use clap::{Args, Parser};
use dispatch::DispatchOptions;
use proletariat::Manager;
use proletariat::manager::{Builder, Error};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder as Runtime;

const EXAMPLES: &str = "\
Examples:
  manager                                     listens on 127.0.0.1:1917
  manager --port 0 --port-file manager.port   any free port, its number written to a file
  manager --host 0.0.0.0 --insecure           for other hosts, in a network that is trusted
  manager token new secrets                   makes secrets/tokens, and a token for each role
  manager --host 0.0.0.0 --token-file secrets/tokens
  manager certificate new certificates broker.example
                                              makes certificates to begin with
  manager --host 0.0.0.0 --tls-cert certificates/manager.pem --tls-key certificates/manager.key
  manager --hold-similar-work --max-attempts 3
  manager --config manager.toml --debug";

/// The manager: takes jobs from clients, gives them to workers, and brings the answers back.
#[derive(Parser, Debug)]
#[command(name = "manager", version, after_help = format!("{EXAMPLES}\n\n{}", super::OPTIONS_NOTE))]
pub struct ManagerOptions {
    #[command(flatten)]
    common: CommonOptions,
    /// Write the port to this file (decimal, one line); it is removed at the end
    #[arg(long, value_name = "FILE")]
    port_file: Option<PathBuf>,
    /// Allow an address that is not loopback, without tokens or TLS
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    secrets: ManagerSecrets,
    #[command(flatten)]
    dispatch: DispatchOptions,
    #[command(flatten)]
    cleanup: CleanupOptions,
    #[command(flatten)]
    drain: DrainOptions,
    #[command(flatten)]
    bounds: BoundOptions,
    #[command(subcommand)]
    command: Option<SecretCommand>,
}

/// When memory is given back.
#[derive(Args, Debug)]
struct CleanupOptions {
    /// Give memory back after so many finished jobs
    #[arg(long, value_name = "JOBS", default_value_t = 1000)]
    cleanup_reqs: u64,
    /// Give memory back after so long
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    cleanup_checkint: Duration,
}

/// The executable `manager`.
#[must_use]
pub fn main() -> ExitCode {
    ended(run(&Surroundings::of_this_process()))
}

fn run(surroundings: &Surroundings) -> Result<Exit, Failure> {
    let parsed = parse::<ManagerOptions>(surroundings)?;
    if let Some(command) = &parsed.options.command {
        return command.run();
    }
    let _log = begin(&parsed.options.common, &parsed.warnings, "info");
    let builder = builder(&parsed)?;
    let options = parsed.options;
    let secrets = options.secrets;
    block_on(Runtime::new_current_thread(), async {
        // Taken over before anybody can know that we are here.
        let signals = Signals::new()?;
        let mut reload = Reload::new()?;
        let manager = builder.start().map_err(cannot_start)?;
        let port = manager.local_addr().port();
        let _port_file = options.port_file.as_deref().map(|path| write_port(path, port)).transpose()?;
        tokio::select! {
            exit = until_told(&manager, signals, options.drain.drain_timeout) => exit,
            never = read_again(&manager, &mut reload, &secrets) => match never {},
        }
    })
}

/// Reads the secrets again whenever it is told to.
async fn read_again(manager: &Manager, reload: &mut Reload, secrets: &ManagerSecrets) -> Infallible {
    loop {
        reload.next().await;
        match (secrets.tokens(), secrets.tls()) {
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "SIGHUP: tokens and certificates stay as they were");
            }
            (Ok(tokens), Ok(tls)) => {
                tracing::info!("SIGHUP: files of tokens and certificates have been read again");
                // A manager that has ended meanwhile is noticed by the other half.
                tokens.into_iter().for_each(|tokens| drop(manager.set_tokens(tokens)));
                tls.into_iter().for_each(|tls| drop(manager.set_tls(tls)));
            }
        }
    }
}

/// Serves until a signal comes, then drains; a second signal ends it at once.
async fn until_told(
    manager: &Manager,
    mut signals: Signals,
    drain_timeout: Duration,
) -> Result<Exit, Failure> {
    tokio::select! {
        () = signals.next() => {}
        () = manager.ended() => return Err(Failure::new(Exit::Failed, "the manager has ended unexpectedly")),
    }
    tracing::info!("told to end; a second signal ends it at once");
    tokio::select! {
        () = manager.drain(drain_timeout) => Ok(Exit::Done),
        () = signals.next() => Ok(Exit::Interrupted),
    }
}

fn write_port(path: &Path, port: u16) -> Result<PortFile, Failure> {
    let failed = |error| Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()));
    PortFile::write(path, port).map_err(failed)
}

fn cannot_start(error: Error) -> Failure {
    let exit = match error {
        Error::Setting(_) | Error::Selector(..) | Error::NotLoopback(_) => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

fn builder(parsed: &Parsed<ManagerOptions>) -> Result<Builder, Failure> {
    let ManagerOptions { common, insecure, secrets, dispatch, cleanup, bounds, .. } = &parsed.options;
    let address = common.address(&parsed.sources)?;
    let mut builder = Manager::builder()
        .host(address.host)
        .port(address.port)
        .insecure(*insecure)
        .cleanup_reqs(cleanup.cleanup_reqs)
        .cleanup_checkint(cleanup.cleanup_checkint);
    if let Some(tokens) = secrets.tokens()? {
        builder = builder.tokens(tokens);
    }
    if let Some(tls) = secrets.tls()? {
        builder = builder.tls(tls);
    }
    builder = dispatch.apply(builder)?;
    Ok(bounds.apply(builder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proletariat::client::{Client, WorkOptions};
    use proletariat::manager::selector::{Candidate, Candidates, Random, Request, Selector};
    use proletariat::worker::{Run, Worker};
    use std::process::Command;

    /// Set for the process that is to break.
    const BREAKS: &str = "MANAGER_TEST_BREAKS";

    #[derive(Debug)]
    struct Broken;

    impl Selector for Broken {
        fn select(&mut self, _: &Request<'_>, _: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
            panic!("two tables disagree");
        }
    }

    /// A manager as the executable runs it, whose scheduler breaks over the first job.
    async fn breaks() -> Result<Exit, Failure> {
        let manager = Manager::builder().port(0).selector(Broken).start().map_err(cannot_start)?;
        let port = manager.local_addr().port();
        let echo = |run: Run| async move { Ok::<_, String>(run.payload().clone()) };
        let _worker = Worker::builder().port(port).handler(echo).start().await.expect("a worker");
        let client = Client::connect(manager.local_addr().to_string()).await.expect("a client");
        let job = async { drop(client.work(["x"], WorkOptions::default()).await) };
        tokio::select! {
            exit = until_told(&manager, Signals::new()?, Duration::ZERO) => exit,
            () = job => panic!("the job cannot end before its client knows of another manager"),
        }
    }

    #[test]
    fn it_looks_and_sleeps_as_told() {
        let told = |when: &'static str| vec!["manager", "--busy-poll", when];
        for (words, when) in [
            (vec!["manager"], "Auto"),
            (told("auto"), "Auto"),
            (told("always"), "Always"),
            (told("never"), "Never"),
        ] {
            let arguments = words.into_iter().map(Into::into).collect();
            let surroundings = Surroundings { arguments, ..Surroundings::default() };
            let parsed = parse::<ManagerOptions>(&surroundings).expect("good options");
            let builder = format!("{:?}", builder(&parsed).expect("good settings"));
            assert!(builder.contains(&format!("busy_poll: {when},")), "{builder}");
        }
    }

    #[test]
    fn a_broken_scheduler_ends_the_process_and_the_reason_is_told() {
        if std::env::var_os(BREAKS).is_some() {
            let outcome = block_on(Runtime::new_current_thread(), breaks());
            let exit = outcome.as_ref().map_or_else(Failure::exit, |exit| *exit);
            let _code = ended(outcome);
            std::process::exit(exit as i32);
        }
        let this = "commands::manager::tests::a_broken_scheduler_ends_the_process_and_the_reason_is_told";
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let ended =
            command.args(["--exact", this, "--nocapture"]).env(BREAKS, "1").output().expect("it runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("two tables disagree"), "{said}");
        assert!(said.contains("error: the manager has ended unexpectedly"), "{said}");
    }
}
