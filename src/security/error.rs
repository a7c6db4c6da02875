//! What can be wrong with a file of secrets.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file of secrets cannot be used or made, in sentences for its owner. None of them tells a secret.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// The file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others than its owner can get at it.
    #[error("{}: mode {mode:04o} lets others than its owner at the secret in it: chmod 600", .path.display())]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A certificate or key that cannot be used.
    #[error("{}: {reason}", .path.display())]
    Unfit {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It does not hold what it should.
    #[error("{}:{line}: {reason}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}
