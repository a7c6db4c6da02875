//! Standard output is data, standard error is talk; colour only where a person looks.

use crate::exit::{Exit, Failure};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// When to colour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// What the command line says, found before it is parsed: the parser's own errors are coloured too.
    #[must_use]
    pub fn from_arguments(arguments: &[OsString]) -> Self {
        let mut choice = Self::Auto;
        let mut words =
            arguments.iter().skip(1).filter_map(|word| word.to_str()).take_while(|word| *word != "--");
        while let Some(word) = words.next() {
            let value = match word.strip_prefix("--color") {
                Some("") => words.next(),
                Some(rest) => rest.strip_prefix('='),
                None => None,
            };
            choice = match value {
                Some("always") => Self::Always,
                Some("never") => Self::Never,
                _ => choice,
            };
        }
        choice
    }

    /// Whether to colour what goes to standard error.
    #[must_use]
    pub fn on_stderr(self) -> bool {
        self.applies(io::stderr().is_terminal())
    }

    /// Whether to colour what goes to standard output.
    #[must_use]
    pub fn on_stdout(self) -> bool {
        self.applies(io::stdout().is_terminal())
    }

    fn applies(self, terminal: bool) -> bool {
        let forbidden = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => terminal && !forbidden(),
        }
    }
}

impl From<ColorChoice> for clap::ColorChoice {
    fn from(choice: ColorChoice) -> Self {
        match choice {
            ColorChoice::Auto => Self::Auto,
            ColorChoice::Always => Self::Always,
            ColorChoice::Never => Self::Never,
        }
    }
}

/// A word in red, where colour is on.
#[must_use]
pub fn red(text: &str, on: bool) -> String {
    if on { format!("\x1b[31m{text}\x1b[0m") } else { text.to_owned() }
}

/// A word in bold, where colour is on.
#[must_use]
pub fn bold(text: &str, on: bool) -> String {
    if on { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// One line to standard error. A closed standard error is nobody's fault and stops nothing.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Tells a person how a command ended, and gives the code of the process.
#[must_use]
pub fn ended(outcome: Result<Exit, Failure>) -> ExitCode {
    let failure = match outcome {
        Ok(exit) => return exit.into(),
        Err(failure) => failure,
    };
    match &failure {
        // Help and version go to standard output, errors to standard error; nobody need read either.
        Failure::Parser(error) => drop(error.print()),
        Failure::ClosedPipe | Failure::Interrupted => {}
        Failure::Sentence(_, message) => {
            let arguments: Vec<_> = std::env::args_os().collect();
            let color = ColorChoice::from_arguments(&arguments).on_stderr();
            say(&format!("{} {message}", red("error:", color)));
        }
    }
    failure.exit().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_found_before_parsing() {
        let table: &[(&[&str], ColorChoice)] = &[
            (&["client"], ColorChoice::Auto),
            (&["client", "--color=always", "work"], ColorChoice::Always),
            (&["client", "work", "--color", "never"], ColorChoice::Never),
            (&["client", "--color", "frobnicate"], ColorChoice::Auto),
            (&["client", "--color"], ColorChoice::Auto),
            (&["client", "work", "--", "--color=always"], ColorChoice::Auto),
            (&["client", "--colors=always"], ColorChoice::Auto),
        ];
        for (words, choice) in table {
            let words: Vec<_> = words.iter().map(OsString::from).collect();
            assert_eq!(ColorChoice::from_arguments(&words), *choice, "{words:?}");
        }
    }

    #[test]
    fn always_and_never_do_not_ask() {
        assert!(ColorChoice::Always.applies(false));
        assert!(!ColorChoice::Never.applies(true));
        assert!(!ColorChoice::Auto.applies(false));
        assert_eq!(red("x", false), "x");
        assert_eq!(red("x", true), "\x1b[31mx\x1b[0m");
    }
}
