//! From flags, environment and file to one value of options.
//!
//! An option is declared once, as a field of a `clap` struct. Its name there gives the flag (`--avail-threshold`), the
//! ancestor's run-together alias (`--availthreshold`, hidden), the variable (`PROLETARIAT_AVAIL_THRESHOLD`) and the key of
//! the file (`avail_threshold`). What the weaker places say is handed to the parser as the default of the flag, so there
//! is one set of parsers and one precedence: flag, environment, file, default.

mod address;
mod environment;
mod file;
/// What a file may say, for tests and fuzzers.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../../tests/hostile/config.rs"]
pub mod hostile;
pub mod value;

pub use address::Address;

use crate::exit::Failure;
use crate::terminal::ColorChoice;
use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Options that take part, by name (snake case).
type Known = BTreeMap<String, Arg>;

/// What a process is given from outside.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The command line, program name first.
    pub arguments: Vec<OsString>,
    /// The variables that begin with `PROLETARIAT_`.
    pub environment: BTreeMap<String, OsString>,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self {
            arguments: std::env::args_os().collect(),
            environment: variables.filter(|(name, _)| name.starts_with(environment::PREFIX)).collect(),
        }
    }
}

/// Where the value of an option comes from, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Layer {
    /// Nobody said anything.
    Default,
    /// The file of `--config`.
    File,
    /// A variable.
    Environment,
    /// The command line.
    Flag,
}

/// Who said what, by name of the option.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<String, Layer>);

impl Sources {
    /// Where this option's value comes from.
    #[must_use]
    pub fn of(&self, option: &str) -> Layer {
        self.0.get(option).copied().unwrap_or(Layer::Default)
    }
}

/// Options, and what is to be known about them.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The options.
    pub options: T,
    /// Where each comes from.
    pub sources: Sources,
    /// What a person should be told on standard error before anything else.
    pub warnings: Vec<String>,
}

/// Text values of the weaker layers.
#[derive(Clone, Debug, Default)]
struct Layered(BTreeMap<String, (String, Layer)>);

/// Reads everything. `T` is the command line of one executable; an option of its called `config` names the file.
///
/// # Errors
/// Usage errors of all three places; also help and version, which the parser hands out as errors.
pub fn parse<T: Parser>(surroundings: &Surroundings) -> Result<Parsed<T>, Failure> {
    let command = prepared(T::command()).color(ColorChoice::from_arguments(&surroundings.arguments).into());
    let known = options_of(&command, &chosen(&command, &surroundings.arguments));
    let mut warnings = Vec::new();
    let from_environment = environment::read(&surroundings.environment, &known, &mut warnings)?;
    let mut layered = Layered::default();
    layered.add(from_environment.clone(), Layer::Environment);
    // A first pass finds the file (and answers --help without it); the second one has all that the file says.
    let first = matches(&command, &layered, surroundings)?;
    let mut last = first.clone();
    if let Some(path) = first.try_get_one::<PathBuf>(file::CONFIG).ok().flatten() {
        layered = Layered::default();
        layered.add(file::read(path, &known)?, Layer::File);
        layered.add(from_environment, Layer::Environment);
        last = matches(&command, &layered, surroundings)?;
    }
    let sources = sources(&last, &layered);
    let options = T::from_arg_matches(&last).map_err(Failure::Parser)?;
    Ok(Parsed { options, sources, warnings })
}

impl Layered {
    /// Puts a stronger layer over those that are there.
    fn add(&mut self, values: BTreeMap<String, String>, layer: Layer) {
        self.0.extend(values.into_iter().map(|(name, value)| (name, (value, layer))));
    }

    fn applied(&self, command: Command) -> Command {
        let with_default = |arg: Arg| match self.0.get(arg.get_id().as_str()) {
            Some((value, _)) if arg.get_long().is_some() => arg.default_value(value.clone()),
            _ => arg,
        };
        command.mut_args(with_default).mut_subcommands(|command| self.applied(command))
    }
}

fn matches(command: &Command, layered: &Layered, surroundings: &Surroundings) -> Result<ArgMatches, Failure> {
    layered.applied(command.clone()).try_get_matches_from(&surroundings.arguments).map_err(Failure::Parser)
}

/// Adds the ancestor's names, and lets every switch be written with a value too (`--classic=false`): what a file turned
/// on can then be turned off.
fn prepared(command: Command) -> Command {
    command.mut_args(prepared_arg).mut_subcommands(prepared)
}

fn prepared_arg(arg: Arg) -> Arg {
    let run_together = arg.get_long().filter(|name| name.contains('-')).map(|name| name.replace('-', ""));
    let arg = match run_together {
        Some(name) => arg.alias(name),
        None => arg,
    };
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_name("BOOL")
        .value_parser(BoolishValueParser::new())
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// The names of the subcommands that the command line goes through, whatever else is wrong with it.
fn chosen(command: &Command, arguments: &[OsString]) -> Vec<String> {
    let matches = command.clone().ignore_errors(true).try_get_matches_from(arguments).ok();
    let mut level = matches.as_ref().and_then(ArgMatches::subcommand);
    let mut names = Vec::new();
    while let Some((name, matches)) = level {
        names.push(name.to_owned());
        level = matches.subcommand();
    }
    names
}

/// Every option with a long name, of the command and its subcommands. Those of subcommands that were not chosen may have any
/// value: they are for others, and another command may have an option of the same name.
fn options_of(command: &Command, chosen: &[String]) -> Known {
    let mut known = Known::new();
    names_below(command, &mut known);
    let (mut level, mut chosen) = (Some(command), chosen.iter());
    while let Some(command) = level {
        for arg in with_long_names(command) {
            known.insert(arg.get_id().to_string(), arg.clone());
        }
        level = chosen.next().and_then(|name| command.find_subcommand(name));
    }
    known
}

fn names_below(command: &Command, known: &mut Known) {
    for arg in with_long_names(command) {
        known.insert(arg.get_id().to_string(), Arg::new(arg.get_id()));
    }
    command.get_subcommands().for_each(|subcommand| names_below(subcommand, known));
}

fn with_long_names(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| arg.get_long().is_some())
}

/// Whether the option's own parser takes the value. Asked for variables and files, so that the error can name the place.
fn check(arg: &Arg, value: &OsStr) -> Result<(), String> {
    // The argument alone, without what ties it to others, in a command of its own: the parser cannot be called otherwise.
    let alone =
        Arg::new("value").long("value").value_parser(arg.get_value_parser().clone()).require_equals(true);
    let mut line = OsString::from("--value=");
    line.push(value);
    let outcome = Command::new("check")
        .no_binary_name(true)
        .disable_help_flag(true)
        .arg(alone)
        .try_get_matches_from([line]);
    outcome.map(|_| ()).map_err(|error| reason(&error, value))
}

fn reason(error: &clap::Error, value: &OsStr) -> String {
    let value = value.to_string_lossy();
    if let Some(source) = std::error::Error::source(error) {
        return format!("invalid value '{value}': {source}");
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => {
            format!("invalid value '{value}': expected {}", valid.join(", "))
        }
        _ => format!("invalid value '{value}'"),
    }
}

fn sources(matches: &ArgMatches, layered: &Layered) -> Sources {
    let mut sources: BTreeMap<_, _> =
        layered.0.iter().map(|(name, (_, layer))| (name.clone(), *layer)).collect();
    let mut level = Some(matches);
    while let Some(matches) = level {
        for id in matches.ids() {
            if matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine) {
                sources.insert(id.to_string(), Layer::Flag);
            }
        }
        level = matches.subcommand().map(|(_, matches)| matches);
    }
    Sources(sources)
}

#[cfg(test)]
mod tests;
