//! How a command ends: one enum of exit codes, and the failure that carries one with its sentence.

use std::fmt;
use std::process::ExitCode;

/// The exit codes of all three executables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Exit {
    /// Everything is done.
    Done = 0,
    /// Some job failed, or a daemon could not do its work.
    Failed = 1,
    /// The command line, a file, a clock or an offer cannot be meant like this.
    Usage = 2,
    /// No handshake with a manager ever succeeded.
    Unreachable = 3,
    /// A connected call passed its timeout, or every failed job was ended by a clock.
    TimedOut = 4,
    /// The manager refused.
    Refused = 5,
    /// Interrupted by a signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// A sentence for people, and the code to end with.
    Sentence(Exit, String),
    /// What the command line parser says, help and version included; it knows how to print itself.
    Parser(clap::Error),
    /// Nobody reads standard output any more: not worth a word.
    ClosedPipe,
    /// A signal came; whoever sent it knows.
    Interrupted,
}

impl Failure {
    /// A usage error.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Sentence(Exit::Usage, message.into())
    }

    /// A failure with a code of its own.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self::Sentence(exit, message.into())
    }

    /// The code to end with. A closed pipe is a quiet ending: whoever closed it has seen enough.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Sentence(exit, _) => *exit,
            Self::Parser(error) if error.use_stderr() => Exit::Usage,
            Self::Parser(_) | Self::ClosedPipe => Exit::Done,
            Self::Interrupted => Exit::Interrupted,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sentence(_, message) => f.write_str(message),
            Self::Parser(error) => error.fmt(f),
            Self::ClosedPipe => f.write_str("standard output is closed"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// For errors of writing to standard output.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::new(Exit::Failed, format!("cannot write to standard output: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_closed_pipe_ends_quietly_and_a_full_disk_does_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::ClosedPipe));
        assert_eq!(closed.exit(), Exit::Done);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit(), Exit::Failed);
        assert!(full.to_string().starts_with("cannot write to standard output: "));
    }

    #[test]
    fn codes_are_those_of_the_documents() {
        let codes = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::Unreachable,
            Exit::TimedOut,
            Exit::Refused,
            Exit::Interrupted,
        ];
        assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5, 130]);
    }
}
