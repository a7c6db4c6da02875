//! The stable codes of everything that can go wrong for a user.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $advice:literal;)*) => {
        /// A stable error code. Its name never changes; new ones are appended.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as users see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// One sentence: what happened and what to do.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

codes! {
    /// The whole call took too long.
    CallTimeout = "ECSTO", "the call was not answered within its timeout: allow more time or add workers";
    /// No worker took the job in time.
    AssignTimeout = "EATO", "no worker took the job within its assign timeout: add workers that offer its kind, or allow more time";
    /// The run took too long.
    RunTimeout = "ETO", "the run passed its run timeout and was stopped: allow more time or make the work shorter";
    /// An impossible offer.
    InvalidSlots = "EINVSLOTNR", "the offer cannot be kept: guarantees must not exceed the slots, 1 to 65535";
    /// A list of work that is none.
    InvalidWorkList = "EINVWORKL", "the work must be a list of jobs";
    /// A request without its id.
    NoRequestId = "ENORID", "the request needs an id that is not in use";
    /// A payload or message over the limit.
    TooLarge = "ELARGEMSG", "the payload is over max_payload: send less, or raise the limit of the manager";
    /// An unknown command.
    UnknownCommand = "EUNKNCMD", "the command is not known: see the documentation of the wire";
    /// The handler failed.
    WorkFailed = "EWORK", "the handler of the job failed: its message says why";
    /// Lost with its worker too often.
    Crash = "ECRASH", "the job lost its worker as often as max_attempts allows: look at what it does to its worker";
    /// Ended by its caller.
    Aborted = "EABORT", "the job was aborted by its caller";
    /// The manager is stopping.
    Shutdown = "ESHUTDOWN", "the manager is stopping: try again when it is back";
    /// A bound was reached.
    Overload = "EOVERLOAD", "a bound of the manager was reached: try again later or raise the bound";
    /// Nobody can take the job now.
    NoWorker = "ENOWORKER", "no worker can take the job now: start one that offers its kind, or wait without no_wait";
    /// An id that is in use.
    DuplicateId = "EDUPRID", "the id is in use by another request of this session";
    /// Not allowed.
    Unauthorized = "EAUTH", "the token is missing, wrong, or not for this role";
    /// No common version.
    Version = "EVERSION", "peer and manager speak different versions of the wire: update the older one";
    /// The peer does not keep to the protocol.
    Protocol = "EPROTO", "the message breaks the protocol: see the documentation of the wire";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
