//! What does the work: the one handler that the options name.

use crate::exit::{Exit, Failure};
use crate::options::{Layer, Sources};
use clap::{Args, ValueEnum};
use proletariat::worker::Builder;
use proletariat::worker::handlers::{Arith, Collect, Echo, Http, HttpTarget, Lookup, RunProgram, Sleep};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The options that name a handler; a worker has one.
const HANDLERS: [&str; 4] = ["builtin", "http", "run", "collect"];

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
}

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
    Collect(Collect),
}

impl HandlerOptions {
    /// The one handler that is named. What is named in a stronger place (a flag) beats what is named in a weaker one (a file).
    pub(super) fn chosen(&self, sources: &Sources, kill_grace: Duration) -> Result<Chosen, Failure> {
        let named = named(sources)?;
        if self.table.is_some() && self.builtin != Some(Builtin::Lookup) {
            return Err(Failure::usage("--table is for --builtin lookup"));
        }
        if self.stream && named != Some("run") {
            return Err(Failure::usage("--stream is for --run"));
        }
        match named {
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
            _ => self.builtin(),
        }
    }

    fn builtin(&self) -> Result<Chosen, Failure> {
        Ok(match self.builtin {
            None => Chosen::Unnamed,
            Some(Builtin::Echo) => Chosen::Echo,
            Some(Builtin::Sleep) => Chosen::Sleep,
            Some(Builtin::Arith) => Chosen::Arith(Arith::default().time_scale(self.time_scale)),
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
    let words: Option<Vec<String>> = serde_json::from_str(json).ok();
    let words = words.filter(|words| words.first().is_some_and(|name| !name.is_empty()));
    words
        .map(Collect::new)
        .ok_or_else(|| r#"expected a program as JSON, like ["prog","-port","{port}"]"#.into())
}

impl Chosen {
    /// The kinds that a worker offers with this handler unless it is told others; empty: any.
    pub(super) fn kinds(&self) -> &'static [&'static str] {
        match self {
            Self::Arith(_) => &["mult", "add"],
            Self::Lookup(_) => &["lookup"],
            Self::Collect(_) => &["collect"],
            Self::Unnamed | Self::Echo | Self::Sleep | Self::Http(_) | Self::Run(_) => &[],
        }
    }

    /// Makes it the worker's.
    pub(super) fn install(self, builder: Builder) -> Builder {
        match self {
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
        }
    }
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
