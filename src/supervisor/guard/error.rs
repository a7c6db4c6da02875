//! What can go wrong with a child.

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
    pub(super) fn guard(error: impl Into<io::Error>) -> Self {
        Self::Guard(Arc::new(error.into()))
    }
}
