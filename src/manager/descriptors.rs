//! File descriptors: each connection is one, and systems allow a thousand unless they are asked for more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one; the limit in force then. What cannot be raised is no error: accepting rests
/// when descriptors run out.
pub(super) fn raise_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the soft limit of file descriptors stays as it is");
            current
        }
    }
}
