//! `client exec`: lines in, children that do them, lines out. A manager in this process gives the lines to a worker in this process,
//! and with `-p` to helpers on other hosts, too; `-c` is such a helper.

mod flow;
mod helper;
mod here;
mod report;

use super::{Interrupt, ManagerAt};
use crate::commands::worker::{Words, check_depth, processors, words};
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::options::value::{HostPort, duration, host_port};
use crate::options::{Layer, Sources};
use crate::simulator::SimulatorOptions;
use crate::terminal::say;
use clap::Args;
use clap::builder::BoolishValueParser;
use proletariat::worker::handlers::Exec;
use std::time::Duration;

/// The port of the ancestor.
const PORT: u16 = 7_788;
/// The kind of lines that come back as they are.
const KIND_ECHO: &str = "exec";
/// The kind of lines that children reply to. Helpers that echo take none of them, and the other way round.
const KIND_REPLY: &str = "exec-reply";

const EXAMPLES: &str = "\
Examples:
  seq 1000 | client exec -x '[\"./worker.py\"]' > done.txt
                                              a child for each processor; each gets a line and echoes it when it is done
  client exec --reply --ordered -x '[\"sed\",\"-u\",\"s/a/b/\"]' < in.txt > out.txt
                                              the children's lines are the results, in the order of the input
  seq 100 | client exec --sim-mean 50 --sim-sd 20
                                              without -x: a simulator that crashes now and then
  seq 1000 | client exec -w 0 -p 7788 --token-file client.token
                                              no children here; helpers on other hosts lend theirs:
  client exec -c 10.0.0.5 -p 7788 -x '[\"./worker.py\"]' --token-file client.token";

/// Options of `client exec`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExecOptions {
    /// The program of the children and its arguments [default: the work simulator]
    #[arg(short = 'x', long, value_name = "JSON", value_parser = words)]
    exec: Option<Words>,
    /// Children [default: the processors]; 0 with -p: all work is done by helpers
    #[arg(short = 'w', long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=65_535))]
    children: Option<u32>,
    /// Serve helpers on this port; with -c: the port of the server
    #[arg(short = 'p', long, value_name = "PORT", num_args = 0..=1, default_missing_value = "7788")]
    exec_port: Option<u16>,
    /// Be a helper: lend the children to the server there
    #[arg(short = 'c', long, value_name = "HOST", value_parser = host_port)]
    server: Option<HostPort>,
    /// Say what is done where before it begins
    #[arg(short = 'b', long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    banner: bool,
    /// Work simulators as children
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set, value_parser = BoolishValueParser::new())]
    simulate: bool,
    #[command(flatten)]
    simulator: SimulatorOptions,
    /// A child's next line is the result, whatever it says
    #[arg(long)]
    reply: bool,
    /// Print in the order of the input
    #[arg(long)]
    ordered: bool,
    /// Lines that a child may have at one time [default: with --reply 1, else from 1 up to 1024 while it is quick]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    depth: Option<u32>,
    /// A line that children died over so often is given up (ECRASH); 0: never
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    max_attempts: u16,
    /// Children that are told to end are killed after this
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    kill_grace: Duration,
    /// Of a helper that is told to end: let lines that are being done finish for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    drain_timeout: Duration,
    /// With -p: let helpers of other hosts in without a token or TLS
    #[arg(long)]
    insecure: bool,
}

impl ExecOptions {
    fn check(&self, sources: &Sources) -> Result<(), Failure> {
        if self.exec.is_some() && self.simulate {
            return Err(Failure::usage("-x and --simulate: the children are of one kind"));
        }
        if let (Some(_), Some(flag)) = (&self.exec, SimulatorOptions::given(sources)) {
            return Err(Failure::usage(format!("{flag} is for the work simulator, and -x names a program")));
        }
        check_depth(self.depth, "-w", self.children())?;
        if self.exec.is_none() && self.reply && self.children() > 0 {
            return Err(Failure::usage("--reply needs -x: the work simulator echoes"));
        }
        match (self.children, self.exec_port, &self.server) {
            (Some(0), None, None) => Err(Failure::usage("-w 0 needs -p: somebody has to do the work")),
            (Some(0), _, Some(_)) => Err(Failure::usage("-w 0 and -c: a helper lends its children")),
            (_, Some(port), Some(HostPort { port: Some(other), .. })) if port != *other => {
                Err(Failure::usage(format!("-c says port {other} and -p says {port}: which one?")))
            }
            _ => Ok(()),
        }
    }

    fn children(&self) -> u32 {
        self.children.unwrap_or_else(processors)
    }

    /// For the pipes of all children.
    fn make_room(&self) -> Result<(), Failure> {
        descriptors::make_room("-w", self.children(), descriptors::LONG_LIVED)
    }

    fn kind(&self) -> &'static str {
        if self.reply { KIND_REPLY } else { KIND_ECHO }
    }

    /// What does the work.
    fn handler(&self) -> Exec {
        let words = match &self.exec {
            Some(Words(words)) => words.clone(),
            None => self.simulator.words(),
        };
        let exec = Exec::new(words).reply(self.reply).kill_grace(self.kill_grace);
        match self.depth {
            Some(lines) => exec.depth(lines),
            None => exec,
        }
    }

    /// The children, for people.
    fn described(&self) -> String {
        let name = match &self.exec {
            Some(Words(words)) => words[0].to_string_lossy().into_owned(),
            None => "the work simulator".into(),
        };
        match self.children() {
            1 => format!("1 child of {name}"),
            count => format!("{count} children of {name}"),
        }
    }

    fn say(&self, banner: &str) {
        if self.banner {
            say(banner);
        }
    }
}

pub(super) async fn run(
    options: ExecOptions,
    manager: ManagerAt,
    sources: &Sources,
) -> Result<Exit, Failure> {
    options.check(sources)?;
    match &options.server {
        Some(server) => {
            let port = options.exec_port.or(server.port).unwrap_or(PORT);
            helper::run(&options, &manager, &server.host, port).await
        }
        None => {
            let is_host_given = sources.of("host") > Layer::Default;
            here::run(&options, &manager, is_host_given, Interrupt::new()?).await
        }
    }
}
