//! How many file descriptors a child may have: as many as we might have at our own start.
//!
//! Who needs many raises the soft limit: a manager for its connections, a worker for the pipes of its children. What it starts
//! would inherit that and suffer from it: programs that use `select` break over descriptors above 1,023, and some close every
//! number up to the limit before they begin. So the limit of our start is remembered, and the guard takes it on before it starts
//! anything: no child ever sees another one.
//!
//! The guard itself holds a descriptor for each child that runs, which may be more than that limit allows. So when they are many
//! they stand above it, where the guard's own limit still reaches, and the numbers below are for the pipes of those that start.

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

/// The soft limit of our start; `None` is without end.
static AT_START: OnceLock<Option<u64>> = OnceLock::new();

fn soft_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Remembers the limit as it is now. Only the first time counts.
pub(super) fn remember() {
    let _ = AT_START.set(soft_limit());
}

/// What the guard is told of it.
pub(super) fn argument() -> String {
    let limit = AT_START.get().copied().unwrap_or_else(soft_limit);
    limit.map_or_else(|| String::from("unlimited"), |limit| limit.to_string())
}

/// What the guard has of its own above the limit of the children; nothing if both are the same.
#[derive(Debug, Default)]
pub(super) struct Reserve(Option<Raised>);

#[derive(Debug)]
struct Raised {
    children: Rlimit,
    own: Rlimit,
    /// The first number above the limit of the children.
    above: RawFd,
}

impl Reserve {
    /// Takes on the limit that [`argument`] tells. Who has lowered its own meanwhile gives no more than that.
    pub(super) fn take_on(argument: Option<OsString>) -> Self {
        let own = getrlimit(Resource::Nofile);
        let told = argument.and_then(|argument| argument.to_str()?.parse::<u64>().ok());
        let lower = told.filter(|limit| own.current.is_none_or(|current| *limit < current));
        Self(lower.and_then(|limit| {
            let children = Rlimit { current: Some(limit), ..own };
            setrlimit(Resource::Nofile, children).ok()?;
            Some(Raised { children, own, above: RawFd::try_from(limit).ok()? })
        }))
    }

    /// The same descriptor, out of the way of what starts next.
    pub(super) fn hold(&self, descriptor: OwnedFd) -> OwnedFd {
        let Some(Raised { children, own, above }) = &self.0 else { return descriptor };
        // The lower half is enough for it as long as they are few.
        if descriptor.as_raw_fd() < *above / 2 {
            return descriptor;
        }
        // The guard has one thread: nothing is started meanwhile.
        let moved = setrlimit(Resource::Nofile, *own).and_then(|()| fcntl_dupfd_cloexec(&descriptor, *above));
        // To lower it is always allowed.
        let _ = setrlimit(Resource::Nofile, *children);
        // With no number left up there it stays where it is.
        moved.unwrap_or(descriptor)
    }
}
