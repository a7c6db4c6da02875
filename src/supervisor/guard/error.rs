//! What can go wrong with a child.

use super::Program;
use rustix::io::Errno;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Why there is no child.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The program cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program, as it was named.
        program: String,
        /// What the system says; `ArgumentListTooLong` and `InvalidInput` (NUL) are about the arguments.
        source: Arc<io::Error>,
    },
    /// Something that a child needs is short, here or in the guard. Nothing was started, and it may be tried again.
    #[error("cannot start {program}: {}", sentence(.source))]
    Short {
        /// The program, as it was named.
        program: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
    /// The guard process cannot be started.
    #[error("cannot start the guard process: {0}")]
    Guard(#[source] Arc<io::Error>),
    /// Our executable did not become a guard.
    #[error(
        "the program does not call proletariat::supervisor::guard::run_if_asked() at the start of its main"
    )]
    NotAsked,
    /// The guard process died; its children were killed.
    #[error("the guard process is gone")]
    Gone,
}

impl Error {
    /// The guard cannot be started that this program needs.
    pub(super) fn guard(program: &Program, error: io::Error) -> Self {
        if has_no_descriptor(&error) { Self::short(program, error) } else { Self::Guard(Arc::new(error)) }
    }

    /// The guard has not started this program.
    pub(super) fn start(program: &Program, error: io::Error) -> Self {
        if has_no_descriptor(&error) {
            return Self::short(program, error);
        }
        Self::Start { program: name(program), source: Arc::new(error) }
    }

    /// What this program needs before it can be started is not to be had.
    pub(super) fn short(program: &Program, error: io::Error) -> Self {
        Self::Short { program: name(program), source: Arc::new(error) }
    }
}

fn name(program: &Program) -> String {
    program.name().to_string_lossy().into_owned()
}

/// Whether this process, or the guard, has as many descriptors open as it may have.
fn has_no_descriptor(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::MFILE.raw_os_error())
}

fn sentence(error: &io::Error) -> String {
    if has_no_descriptor(error) {
        return String::from("no file descriptor is left: raise `ulimit -n`, or use fewer slots");
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_descriptor_nothing_was_started_and_it_is_said_what_to_do() {
        let program = Program::new("cat");
        let advice = "cannot start cat: no file descriptor is left: raise `ulimit -n`, or use fewer slots";
        let errors = [
            Error::guard(&program, Errno::MFILE.into()),
            Error::start(&program, Errno::MFILE.into()),
            Error::short(&program, Errno::MFILE.into()),
        ];
        for error in errors {
            assert!(matches!(error, Error::Short { .. }), "{error:?}");
            assert_eq!(error.to_string(), advice);
        }
        assert!(matches!(Error::guard(&program, Errno::NOMEM.into()), Error::Guard(_)));
        assert!(matches!(Error::start(&program, Errno::NOENT.into()), Error::Start { .. }));
        let short = Error::short(&program, Errno::NOMEM.into()).to_string();
        assert!(short.starts_with("cannot start cat: ") && !short.contains("ulimit"), "{short}");
    }
}
