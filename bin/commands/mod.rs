//! The executables, one module each: the options, and what is done with them.

pub mod client;
pub mod manager;
mod secrets;
pub mod worker;

use crate::exit::{Exit, Failure};
use crate::log::{self, LogGuard};
use crate::options::value::{HostPort, duration, host_port};
use crate::options::{Address, Sources};
use crate::terminal::{ColorChoice, say};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What manager, worker and client all have.
#[derive(Args, Clone, Debug)]
pub struct CommonOptions {
    /// Where the manager listens.
    #[arg(
        long,
        global = true,
        help_heading = "Common options",
        value_name = "HOST",
        default_value = "127.0.0.1",
        value_parser = host_port,
        help = "Where the manager listens: host, host:port or [v6]:port"
    )]
    pub host: HostPort,
    /// Port of the manager
    #[arg(long, global = true, help_heading = "Common options", default_value_t = proletariat_protocol::limits::PORT)]
    pub port: u16,
    /// TOML file with options, by their names in snake_case
    #[arg(long, global = true, help_heading = "Common options", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// When to colour
    #[arg(long, global = true, help_heading = "Common options", value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    /// Tell everything that happens on standard error
    #[arg(long, global = true, help_heading = "Common options")]
    pub debug: bool,
}

/// What daemons that end in order have.
#[derive(Args, Clone, Debug)]
pub struct DrainOptions {
    /// After SIGTERM or SIGINT, let running jobs finish for so long; a second signal ends at once
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub drain_timeout: Duration,
}

/// What stands under the help of every executable.
const OPTIONS_NOTE: &str = "\
Every option can also be given as a variable (PROLETARIAT_AVAIL_THRESHOLD=1) or in the file of
--config (avail_threshold = 1); a flag beats a variable, a variable beats the file. Durations read
100ms, 2s, 5m (a bare number is milliseconds, 0 is none), sizes 20MiB.";

impl CommonOptions {
    /// The manager's address.
    fn address(&self, sources: &Sources) -> Result<Address, Failure> {
        Address::new(&self.host, self.port, sources)
    }
}

/// What every command does first: tells what the options gave reason to tell, and starts logging.
fn begin(options: &CommonOptions, warnings: &[String], level: &str) -> LogGuard {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
    log::start(level, options.debug, options.color)
}

/// Runs a daemon's future on this thread; whatever the library has under way is dropped at the end. A look-up of a name may
/// hang in the system, so nothing waits for threads.
fn block_on<T>(
    mut builder: tokio::runtime::Builder,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("cannot start: {error}")))?;
    let result = runtime.block_on(future);
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Exit, Failure};
    use crate::options::{Parsed, Surroundings, parse};
    use clap::{CommandFactory, Parser};

    fn parsed<T: Parser>(words: &[&str]) -> Result<Parsed<T>, Failure> {
        let arguments = words.iter().map(Into::into).collect();
        parse(&Surroundings { arguments, ..Surroundings::default() })
    }

    fn assert_help_names<T: CommandFactory>(names: &str) {
        let mut command = T::command();
        command.clone().debug_assert();
        let help = command.render_long_help().to_string();
        for name in names.split_whitespace() {
            let found = help.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == name);
            assert!(found, "{name} is not in\n{help}");
        }
        assert!(help.contains("Examples:\n"));
    }

    #[test]
    fn help_names_every_option() {
        assert_help_names::<manager::ManagerOptions>(
            "--host --port --config --color --debug --port-file --avail-threshold --distrib-randmax \
             --cleanup-reqs --cleanup-checkint --sacred-guarantees --hold-similar-work --selector --max-attempts \
             --heartbeat --heartbeat-timeout --no-json --busy-poll --insecure --classic --drain-timeout --max-connections \
             --max-connections-per-address --handshake-timeout --frame-timeout --max-payload --max-queued-jobs \
             --max-queued-jobs-per-client --max-queued-bytes --outbox-pause-bytes --outbox-stall \
             --max-outbox-bytes --max-outboxes-bytes --max-incomplete-bytes --max-open-jobs --max-open-bytes \
             --max-aborts-per-second --token-file --tls-cert --tls-key --tls-client-ca token certificate random-weighted least-loaded two-choices round-robin",
        );
        assert_help_names::<worker::WorkerOptions>(
            "--host --port --slots --priority-slots --kinds --builtin echo sleep --answer-threshold \
             --con-retrytime --cleanup-reqs --cleanup-checkint --drain-timeout --manager-timeout --kill-grace \
             --token-file --tls-ca --tls-cert --tls-key --tls-name",
        );
        assert_help_names::<client::ClientOptions>(
            "work sysmsg status --connect-timeout --max-retries --token-file --tls-ca --tls-cert --tls-key --tls-name",
        );
    }

    #[test]
    fn usage_errors_name_the_culprit() {
        let client: &[(&[&str], &str)] = &[
            (&["client"], "Usage: client"),
            (&["client", "frobnicate"], "frobnicate"),
            (&["client", "work"], "<PAYLOAD>..."),
            (&["client", "work", "--frobnicate", "x"], "--frobnicate"),
            (&["client", "work", "x", "--priority", "4294967296"], "--priority"),
            (&["client", "work", "x", "--priority", "-1"], "-1"),
            (&["client", "work", "x", "--timeout", "2592001s"], "--timeout"),
            (&["client", "work", "x", "--run-timeout", "31d"], "--run-timeout"),
            (&["client", "work", "x", "--assign-timeout", "1000h"], "--assign-timeout"),
            (&["client", "work", "x", "--output", "frobnicate"], "--output"),
            (&["client", "sysmsg", "x", "--to", "nobody"], "--to"),
        ];
        for (words, text) in client {
            let failure = parsed::<client::ClientOptions>(words).expect_err(text);
            assert!(failure.to_string().contains(text), "{words:?}: {failure}");
            assert_eq!(failure.exit(), Exit::Usage, "{words:?}");
        }
        let failure =
            parsed::<manager::ManagerOptions>(&["manager", "--selector", "best"]).expect_err("no such");
        assert!(failure.to_string().contains("round-robin"), "{failure}");
        let failure = parsed::<worker::WorkerOptions>(&["worker", "--slots", "-3"]).expect_err("no number");
        assert!(failure.to_string().contains("-3"), "{failure}");
    }

    #[test]
    fn the_ancestors_names_are_taken() {
        let words = [
            "manager",
            "--holdsimilarwork",
            "--availthreshold=50",
            "--sacredguarantees",
            "--distribrandmax=100",
        ];
        parsed::<manager::ManagerOptions>(&words).unwrap();
        let words = ["worker", "--priorityslots=1=30,2=20", "--conretrytime", "300ms", "--answerthreshold=2"];
        parsed::<worker::WorkerOptions>(&words).unwrap();
    }

    #[test]
    fn payloads_may_begin_with_a_minus() {
        parsed::<client::ClientOptions>(&["client", "work", "-3", "-"]).unwrap();
        parsed::<client::ClientOptions>(&["client", "work", "--", "--frobnicate"]).unwrap();
    }
}
