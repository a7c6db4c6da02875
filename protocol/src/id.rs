//! Ids are newtypes, so that one is never taken for another.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id!(
    /// One session of one peer, given by the manager in the handshake; never used again by that manager.
    PeerId
);
id!(
    /// A job, by the number its client gave it. A session counts its jobs from 0 upwards without gaps, so
    /// that the manager can keep them in a dense table: 4 bytes a job.
    JobId
);
id!(
    /// One attempt of one execution on one worker, given by the manager, fresh for each attempt: a late word
    /// about an old one can never be taken for the new one.
    AssignmentId
);
id!(
    /// A system message or a status request, by its sender's own number; the manager numbers those it passes on.
    MessageId
);

impl JobId {
    /// The id `count` places after this one.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// 16 random bytes, one value per process start: tells a reconnecting peer from a new one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId(pub [u8; 16]);

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceId(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
