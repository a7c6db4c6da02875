//! The files of the three executables. Whatever one says, it is taken, or refused with its line and a reason of one line; and what is taken
//! makes options.

use super::{Known, Layer, Layered, Surroundings, chosen, file, matches, options_of, prepared};
use crate::commands::client::ClientOptions;
use crate::commands::manager::ManagerOptions;
use crate::commands::worker::WorkerOptions;
use crate::exit::Failure;
use clap::{ArgMatches, Command, Parser};
use std::sync::LazyLock;

#[cfg(test)]
#[path = "replay.rs"]
mod replay;

/// An executable: its command line, its options, and a call of it.
struct Executable {
    command: Command,
    known: Known,
    call: Surroundings,
    options: fn(&ArgMatches) -> Result<(), clap::Error>,
}

/// `m`, `w` and `c` choose the one that begins so.
static EXECUTABLES: LazyLock<[Executable; 3]> = LazyLock::new(|| {
    [
        executable::<ClientOptions>(&["client", "status"]),
        executable::<ManagerOptions>(&["manager"]),
        executable::<WorkerOptions>(&["worker"]),
    ]
});

fn executable<T: Parser>(call: &[&str]) -> Executable {
    let command = prepared(T::command());
    let arguments: Vec<_> = call.iter().map(Into::into).collect();
    let call = Surroundings { arguments, ..Surroundings::default() };
    let options = |matches: &ArgMatches| T::from_arg_matches(matches).map(drop);
    let known = options_of(&command, &chosen(&command, &call.arguments));
    Executable { known, command, call, options }
}

/// The first byte chooses the executable, the rest is the file.
pub fn config(data: &[u8]) {
    let Some((&which, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let Executable { command, known, call, options } = &EXECUTABLES[usize::from(which) % 3];
    match file::parse(text, known) {
        Err((line, reason)) => {
            let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
            assert!((1..=lines).contains(&line), "line {line} of {lines}: {reason}");
            assert!(!reason.is_empty() && !reason.contains(['\n', '\r']), "{reason:?}");
        }
        Ok(values) => {
            assert!(!values.contains_key(file::CONFIG));
            let mut layered = Layered::default();
            layered.add(values, Layer::File);
            let matches = matches(command, &layered, call);
            let options = matches.and_then(|matches| options(&matches).map_err(Failure::Parser));
            options.unwrap_or_else(|failure| panic!("taken, and then not: {failure}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn config() {
        super::replay::replay("config", super::config);
    }
}
