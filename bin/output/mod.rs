//! What goes to standard output: outcomes, states, system messages; for people and for programs.

mod outcome;
mod status;
mod value;

pub use outcome::{OutcomeWriter, Tally, one_line};
pub use status::{human as status_for_people, waiting_reason};
pub use value::value;

/// The form of what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Format {
    /// One line a job, the result unchanged.
    #[default]
    Human,
    /// One document.
    Json,
    /// One object a line.
    Jsonl,
    /// Nothing but the exit code and errors.
    Quiet,
}
