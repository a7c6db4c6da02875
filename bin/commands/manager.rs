//! `manager`: takes jobs from clients and gives them to workers.

use super::secrets::{ManagerSecrets, SecretCommand};
use super::{CommonOptions, DrainOptions, begin, block_on};
use crate::exit::{Exit, Failure};
use crate::options::value::{duration, size};
use crate::options::{Parsed, Surroundings, parse};
use crate::port_file::PortFile;
use crate::signals::{Reload, Signals};
use crate::terminal::ended;
use clap::{Args, Parser, ValueEnum};
use proletariat::Manager;
use proletariat::manager::{Builder, BusyPolling, Error};
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

/// How jobs go to workers.
#[derive(Args, Debug)]
struct DispatchOptions {
    /// After all slots were taken, wait for so many free ones before distributing [default: 1, classic: 50]
    #[arg(long, value_name = "SLOTS")]
    avail_threshold: Option<u32>,
    /// Longest wait before distributing, to gather free slots [default: 0, classic: 100ms]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    distrib_randmax: Option<Duration>,
    /// The ancestor's own defaults (50 slots, 100ms)
    #[arg(long)]
    classic: bool,
    /// Guaranteed slots are lent to no other range: borrow only from the lowest
    #[arg(long)]
    sacred_guarantees: bool,
    /// Jobs of equal kind and key share one execution
    #[arg(long)]
    hold_similar_work: bool,
    /// How a worker is picked among those that may take a job
    #[arg(long, default_value = "random-weighted")]
    selector: SelectorName,
    /// A job that has lost its worker so often ends with ECRASH; 0: no limit
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    max_attempts: u16,
    /// A peer that says nothing for so long is pinged
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    heartbeat: Duration,
    /// A peer that says nothing for so long is given up
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    heartbeat_timeout: Duration,
    /// Refuse the JSON dialect
    #[arg(long)]
    no_json: bool,
    /// Look for news for up to 50 µs before falling asleep, while they come that soon; auto: where that takes no more
    /// processor time than to be woken
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    busy_poll: When,
}

/// Everything has a bound.
#[derive(Args, Debug)]
#[command(next_help_heading = "Bounds (0: none)")]
struct BoundOptions {
    /// Connections
    #[arg(long, value_name = "COUNT", default_value_t = 16_384)]
    max_connections: u32,
    /// Connections from one address
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_connections_per_address: u32,
    /// Time for the handshake
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    handshake_timeout: Duration,
    /// Time without progress within a frame
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    frame_timeout: Duration,
    /// Payload of a job, and a result
    #[arg(long, value_name = "SIZE", default_value = "20MiB", value_parser = size)]
    max_payload: u64,
    /// Jobs that wait
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000)]
    max_queued_jobs: u64,
    /// Jobs of one client that wait
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_queued_jobs_per_client: u64,
    /// Bytes of jobs that wait
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    max_queued_bytes: u64,
    /// Jobs that have no answer yet, waiting or running
    #[arg(long, value_name = "COUNT", default_value_t = 20_000_000)]
    max_open_jobs: u64,
    /// Bytes of their payloads
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = size)]
    max_open_bytes: u64,
    /// Jobs that one client takes back in a second, over ten seconds
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    max_aborts_per_second: u64,
    /// A peer that has so much to read yet gets no more jobs, and its streams pause
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size)]
    outbox_pause_bytes: u64,
    /// A peer that reads nothing for so long, although it could, is dropped
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    outbox_stall: Duration,
    /// A peer that has so much to read is dropped
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_outbox_bytes: u64,
    /// All peers together have so much to read: the one with the most is dropped
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    max_outboxes_bytes: u64,
    /// All peers together have begun to send so much: the one that held the most for the longest is sent away
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_incomplete_bytes: u64,
}

/// The selectors that come with the manager.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SelectorName {
    /// By chance, in proportion to what each could still take
    RandomWeighted,
    /// The one with the least to do
    LeastLoaded,
    /// The less loaded of two taken by chance
    TwoChoices,
    /// One after the other
    RoundRobin,
}

impl SelectorName {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// When to look for news before falling asleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum When {
    /// Where that takes no more processor time than to be woken
    Auto,
    /// Whatever it costs: the least latency
    Always,
    /// Never
    Never,
}

impl From<When> for BusyPolling {
    fn from(when: When) -> Self {
        match when {
            When::Auto => Self::Auto,
            When::Always => Self::Always,
            When::Never => Self::Never,
        }
    }
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

impl DispatchOptions {
    fn apply(&self, mut builder: Builder) -> Result<Builder, Failure> {
        if self.classic {
            builder = builder.classic();
        }
        if let Some(slots) = self.avail_threshold {
            builder = builder.avail_threshold(slots);
        }
        if let Some(wait) = self.distrib_randmax {
            builder = builder.distrib_randmax(wait);
        }
        builder
            .sacred_guarantees(self.sacred_guarantees)
            .hold_similar_work(self.hold_similar_work)
            .max_attempts(self.max_attempts)
            .heartbeat(self.heartbeat)
            .heartbeat_timeout(self.heartbeat_timeout)
            .no_json(self.no_json)
            .busy_poll(self.busy_poll.into())
            .selector_name(&self.selector.name())
            .map_err(cannot_start)
    }
}

impl BoundOptions {
    fn apply(&self, builder: Builder) -> Builder {
        builder
            .max_connections(self.max_connections)
            .max_connections_per_address(self.max_connections_per_address)
            .handshake_timeout(self.handshake_timeout)
            .frame_timeout(self.frame_timeout)
            .max_payload(self.max_payload)
            .max_queued_jobs(self.max_queued_jobs)
            .max_queued_jobs_per_client(self.max_queued_jobs_per_client)
            .max_queued_bytes(self.max_queued_bytes)
            .outbox_pause_bytes(self.outbox_pause_bytes)
            .outbox_stall(self.outbox_stall)
            .max_outbox_bytes(self.max_outbox_bytes)
            .max_outboxes_bytes(self.max_outboxes_bytes)
            .max_incomplete_bytes(self.max_incomplete_bytes)
            .max_open_jobs(self.max_open_jobs)
            .max_open_bytes(self.max_open_bytes)
            .max_aborts_per_second(self.max_aborts_per_second)
    }
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
