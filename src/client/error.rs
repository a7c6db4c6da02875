//! What can go wrong with a call as a whole. How single jobs end is their [`Outcome`](super::Outcome).

use super::machine::JobError;
use crate::net::connect::LinkError;
use proletariat_protocol::ErrorCode;
use std::time::Duration;
use thiserror::Error;

/// Why a call could not be made or was not answered.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no use in trying to connect (again).
    #[error("{0}")]
    Link(#[source] LinkError),
    /// There was no session within the time to connect.
    #[error("no session within {time:?}: {}", .last.as_ref().map_or_else(|| "nobody answered".to_owned(), ToString::to_string))]
    ConnectTimeout {
        /// The time to connect.
        time: Duration,
        /// Why the last attempt failed, if one has.
        #[source]
        last: Option<LinkError>,
    },
    /// An option that cannot be.
    #[error("{0}")]
    InvalidOption(String),
    /// A system message or a request that got no answer.
    #[error("{0}")]
    Unanswered(#[source] JobError),
    /// The client was shut down, or the runtime of its task is gone.
    #[error("the client is closed")]
    Closed,
}

impl Error {
    /// The stable code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Link(error) => error.code(),
            Self::ConnectTimeout { last, .. } => last.as_ref().and_then(LinkError::code),
            Self::Unanswered(error) => Some(error.code),
            Self::InvalidOption(_) | Self::Closed => None,
        }
    }
}
