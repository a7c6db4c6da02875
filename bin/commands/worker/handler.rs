//! What does the work: the one handler that the options name.

use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::options::{Layer, Sources};
use crate::simulator::SimulatorOptions;
use crate::talk::Forwarder;
use clap::{Args, ValueEnum};
use proletariat::worker::Builder;
use proletariat::worker::handlers::{
    Arith, Collect, Echo, Exec, Execution, Http, HttpTarget, Lookup, RunProgram, Sleep,
};
use proletariat_protocol::limits::SLOTS_MAX;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The options that name a handler; a worker has one.
const HANDLERS: [&str; 5] = ["builtin", "http", "run", "exec", "collect"];

/// What does the work.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Handler (one of them; without any: --builtin echo)")]
pub(super) struct HandlerOptions {
    /// A handler that comes with the worker
    #[arg(long)]
    builtin: Option<Builtin>,
    /// One POST per job: {kind} in the URL stands for the kind, else /KIND is appended; http only
    #[arg(long, value_name = "URL", value_parser = http_target)]
    http: Option<HttpTarget>,
    /// A process per job, without a shell: the payload on its standard input, and as one argument in place of {}
    #[arg(long, value_name = "COMMAND", value_parser = run_program)]
    run: Option<RunProgram>,
    /// Long-lived children, one for each slot, that get one line a job and echo it when it is done
    #[arg(long, value_name = "JSON", value_parser = words)]
    exec: Option<Words>,
    /// With --exec: the child's next line is the result, whatever it says
    #[arg(long)]
    reply: bool,
    /// Lines that a child may have at one time [default: with --reply 1, else from 1 up to 1024 while it is quick]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    depth: Option<u32>,
    #[command(flatten)]
    simulator: SimulatorOptions,
    /// With --run: what the program writes is sent while it runs, too
    #[arg(long)]
    stream: bool,
    /// Copies of a program that stream samples over HTTP, for client collect; {id} and {port} are filled in
    #[arg(long, value_name = "JSON", value_parser = collect)]
    collect: Option<Collect>,
    /// For --builtin lookup: its rows ip:command:response:wait, one a line
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// For --builtin arith: 1 takes 3 to 12 s for mult and 3 to 7 s for add, 0.1 a tenth of that, 0 no time
    #[arg(long, value_name = "FACTOR", default_value = "0", value_parser = crate::options::value::time_scale)]
    time_scale: f64,
}

/// Handlers that come with the worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Builtin {
    /// The result is the payload
    Echo,
    /// The payload is a duration; the result is the payload, after that time
    Sleep,
    /// Multiplies {"a":3,"b":4} of kind mult, adds those of kind add
    Arith,
    /// Looks lines ip:command up in the --table; the result is the sum of their responses
    Lookup,
    /// Children that sleep, echo, and crash now and then
    Simulate,
}

/// A program and its arguments.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Words(pub(in crate::commands) Vec<OsString>);

/// A handler with all that it needs.
#[derive(Debug)]
pub(super) enum Chosen {
    /// Nobody named one.
    Unnamed,
    Echo,
    Sleep,
    Arith(Arith),
    Lookup(Lookup),
    Http(Http),
    Run(RunProgram),
    Exec(Exec),
    Collect(Collect),
}

impl HandlerOptions {
    /// The one handler that is named. What is named in a stronger place (a flag) beats what is named in a weaker one (a file).
    pub(super) fn chosen(&self, sources: &Sources, kill_grace: Duration) -> Result<Chosen, Failure> {
        let named = named(sources)?;
        self.check(named, sources)?;
        match named {
            Some("exec") => Ok(self.exec.clone().map_or(Chosen::Unnamed, |Words(words)| {
                Chosen::Exec(self.children(Exec::new(words).reply(self.reply), kill_grace))
            })),
            Some("run") => Ok(self.run.clone().map_or(Chosen::Unnamed, |program| {
                Chosen::Run(program.kill_grace(kill_grace).stream(self.stream))
            })),
            Some("collect") => Ok(self
                .collect
                .clone()
                .map_or(Chosen::Unnamed, |collect| Chosen::Collect(collect.kill_grace(kill_grace)))),
            Some("http") => {
                Ok(self.http.clone().map_or(Chosen::Unnamed, |target| Chosen::Http(Http::new(target))))
            }
            _ => self.builtin(kill_grace),
        }
    }

    /// What would do nothing here was meant otherwise.
    fn check(&self, named: Option<&str>, sources: &Sources) -> Result<(), Failure> {
        if self.table.is_some() && self.builtin != Some(Builtin::Lookup) {
            return Err(Failure::usage("--table is for --builtin lookup"));
        }
        if self.stream && named != Some("run") {
            return Err(Failure::usage("--stream is for --run"));
        }
        let is_exec = named == Some("exec") || self.builtin == Some(Builtin::Simulate);
        if self.depth.is_some() && !is_exec {
            return Err(Failure::usage("--depth is for --exec"));
        }
        if self.reply && named != Some("exec") {
            return Err(Failure::usage("--reply is for --exec"));
        }
        if sources.of("time_scale") > Layer::Default && self.builtin != Some(Builtin::Arith) {
            return Err(Failure::usage("--time-scale is for --builtin arith"));
        }
        match SimulatorOptions::given(sources) {
            Some(flag) if self.builtin != Some(Builtin::Simulate) => {
                Err(Failure::usage(format!("{flag} is for --builtin simulate")))
            }
            _ => Ok(()),
        }
    }

    /// Makes room for an offer of so many slots, which no manager would refuse; an error if it cannot be kept here.
    pub(super) fn make_room(&self, slots: u32, chosen: &Chosen) -> Result<(), Failure> {
        check_depth(self.depth, "--slots", slots)?;
        match chosen {
            Chosen::Exec(_) => descriptors::make_room("--slots", slots, descriptors::LONG_LIVED),
            Chosen::Run(_) | Chosen::Collect(_) => {
                descriptors::make_room("--slots", slots, descriptors::FOR_A_JOB)
            }
            Chosen::Unnamed
            | Chosen::Echo
            | Chosen::Sleep
            | Chosen::Arith(_)
            | Chosen::Lookup(_)
            | Chosen::Http(_) => Ok(()),
        }
    }

    fn children(&self, exec: Exec, kill_grace: Duration) -> Exec {
        let exec = exec.kill_grace(kill_grace);
        match self.depth {
            Some(lines) => exec.depth(lines),
            None => exec,
        }
    }

    fn builtin(&self, kill_grace: Duration) -> Result<Chosen, Failure> {
        Ok(match self.builtin {
            None => Chosen::Unnamed,
            Some(Builtin::Echo) => Chosen::Echo,
            Some(Builtin::Sleep) => Chosen::Sleep,
            Some(Builtin::Arith) => Chosen::Arith(Arith::default().time_scale(self.time_scale)),
            Some(Builtin::Simulate) => {
                Chosen::Exec(self.children(Exec::new(self.simulator.words()), kill_grace))
            }
            Some(Builtin::Lookup) => {
                let file = self.table.as_ref();
                let missing = "--builtin lookup needs --table FILE, with rows ip:command:response:wait";
                Chosen::Lookup(lookup(file.ok_or_else(|| Failure::usage(missing))?)?)
            }
        })
    }
}

/// The option that names the handler.
fn named(sources: &Sources) -> Result<Option<&'static str>, Failure> {
    let strongest = HANDLERS.iter().map(|option| sources.of(option)).max();
    let Some(layer) = strongest.filter(|layer| *layer > Layer::Default) else { return Ok(None) };
    let named: Vec<_> = HANDLERS.into_iter().filter(|option| sources.of(option) == layer).collect();
    match named[..] {
        [one] => Ok(Some(one)),
        _ => {
            let names: Vec<_> = named.iter().map(|name| format!("--{name}")).collect();
            Err(Failure::usage(format!("{}: a worker has one handler", names.join(" and "))))
        }
    }
}

/// The table. Bad rows are told, and the rest of it is served.
fn lookup(path: &Path) -> Result<Lookup, Failure> {
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| Failure::new(Exit::Usage, format!("{name}: {error}")))?;
    let (lookup, faults) = Lookup::new(&String::from_utf8_lossy(&text));
    for fault in &faults {
        tracing::warn!("{name}:{}: {}", fault.line, fault.reason);
    }
    tracing::info!("{name}: {} commands, {} rows with faults", lookup.len(), faults.len());
    Ok(lookup)
}

fn http_target(url: &str) -> Result<HttpTarget, String> {
    HttpTarget::parse(url).map_err(|error| error.to_string())
}

fn run_program(line: &str) -> Result<RunProgram, String> {
    RunProgram::parse(line)
        .ok_or_else(|| "expected a program and its arguments, with all quotes closed".into())
}

fn collect(json: &str) -> Result<Collect, String> {
    words_in(json)
        .map(Collect::new)
        .ok_or_else(|| r#"expected a program as JSON, like ["prog","-port","{port}"]"#.into())
}

/// Reads a program and its arguments from a JSON array.
pub(in crate::commands) fn words(json: &str) -> Result<Words, String> {
    let words = words_in(json).ok_or(r#"expected a program as JSON, like ["prog","argument"]"#)?;
    Ok(Words(words.into_iter().map(OsString::from).collect()))
}

fn words_in(json: &str) -> Option<Vec<String>> {
    let words: Option<Vec<String>> = serde_json::from_str(json).ok();
    words.filter(|words| words.first().is_some_and(|name| !name.is_empty()))
}

impl Chosen {
    /// The kinds that a worker offers with this handler unless it is told others; empty: any.
    pub(super) fn kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Arith(_) => &["mult", "add"],
            Self::Lookup(_) => &["lookup"],
            Self::Collect(_) => &["collect"],
            Self::Unnamed | Self::Echo | Self::Sleep | Self::Http(_) | Self::Run(_) | Self::Exec(_) => &[],
        }
    }

    /// How many slots a worker offers unless it is told: a child for each processor where they live long.
    pub(super) fn slots(&self) -> u32 {
        if matches!(self, Self::Exec(_)) { processors() } else { 100 }
    }

    /// Makes it the worker's. Children that live long have to be minded, and what they say is told until this is dropped.
    pub(super) fn install(self, builder: Builder) -> io::Result<(Builder, Option<(Execution, Forwarder)>)> {
        let builder = match self {
            Self::Exec(exec) => {
                let (builder, execution, talker) = exec.install(builder);
                return Ok((builder, Some((execution, Forwarder::start(talker)?))));
            }
            Self::Unnamed => {
                tracing::info!("without a handler of its own it echoes: the result is the payload");
                builder.handler(Echo)
            }
            Self::Echo => builder.handler(Echo),
            Self::Sleep => builder.handler(Sleep),
            Self::Arith(arith) => builder.handler(arith),
            Self::Lookup(lookup) => builder.handler(lookup),
            Self::Http(http) => builder.handler(http),
            Self::Run(program) => builder.handler(program),
            Self::Collect(collect) => builder.handler(collect),
        };
        Ok((builder, None))
    }
}

/// Whether so many lines may be with each of so many children: each of them is a slot of the offer.
pub(in crate::commands) fn check_depth(
    depth: Option<u32>,
    option: &str,
    children: u32,
) -> Result<(), Failure> {
    let lines = u64::from(depth.unwrap_or(1)) * u64::from(children);
    if lines <= u64::from(SLOTS_MAX) {
        return Ok(());
    }
    let (depth, most) = (depth.unwrap_or(1), SLOTS_MAX / children);
    Err(Failure::usage(format!(
        "--depth {depth} with {option} {children} makes {lines} lines at one time, and the most is {SLOTS_MAX}: \
         give --depth {most} at most"
    )))
}

/// Processors that we may use.
pub(in crate::commands) fn processors() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proletariat::worker::handlers::Operation;

    #[test]
    fn the_default_kinds_are_those_of_the_operations() {
        let kinds = [Operation::Mult, Operation::Add].map(Operation::kind);
        assert_eq!(Chosen::Arith(Arith::default()).kinds(), kinds);
    }
}
