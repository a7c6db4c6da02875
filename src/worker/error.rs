//! What can go wrong for the owner of a worker.

use crate::net::connect::LinkError;
use core::time::Duration;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::offer::OfferError;
use thiserror::Error;

/// Why a worker did not start, ended, or could not do what it was asked to.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// [`Builder::handler`](super::Builder::handler) was not called.
    #[error("a worker needs a handler: give it one before it starts")]
    NoHandler,
    /// The offer cannot be kept. Nothing was sent.
    #[error("{code}: {0}", code = ErrorCode::InvalidSlots)]
    Offer(#[from] OfferError),
    /// The manager refused the offer.
    #[error("the manager refuses the offer: {code}: {message}")]
    OfferRefused {
        /// `EINVSLOTNR`.
        code: ErrorCode,
        /// Which range.
        message: String,
    },
    /// The manager does not let this worker in, and there is no use in trying again.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The worker has ended.
    #[error("the worker has ended")]
    Ended,
    /// There is no manager, or it was lost before it could say what became of a system message.
    #[error("there is no manager, or it was lost before it could report")]
    NoManager,
    /// A system message was not sent within its timeout: too many that were sent before have no report yet.
    #[error("the message was not sent: too many that were sent before have no report yet")]
    Unsent,
    /// A system message is too long.
    #[error("a system message of {bytes} bytes: the most is {max}")]
    MessageTooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A clock is too long.
    #[error("a timeout of {0:?}: the longest is 30 days")]
    Timeout(Duration),
}

impl Error {
    /// The stable code, where there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Offer(_) => Some(ErrorCode::InvalidSlots),
            Self::OfferRefused { code, .. } => Some(*code),
            Self::Link(error) => error.code(),
            Self::Unsent => Some(ErrorCode::CallTimeout),
            Self::MessageTooLarge { .. } => Some(ErrorCode::TooLarge),
            Self::NoHandler | Self::Ended | Self::NoManager | Self::Timeout(_) => None,
        }
    }
}
