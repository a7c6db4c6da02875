//! The handshake as the peer's end plays it: a preamble and a hello out, a preamble and an answer back.

use super::connect::LinkError;
use bytes::BytesMut;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use proletariat_protocol::handshake::{
    Answer, HandshakeError, Hello, MAGIC, PREAMBLE_BYTES, Preamble, Welcome,
};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much of what somebody else says is shown.
const QUOTE_BYTES: usize = 60;

/// A handshake under way.
pub(super) struct Greeting {
    unsent: BytesMut,
    received: Vec<u8>,
}

impl Greeting {
    pub(super) fn new(hello: &Hello) -> Result<Self, HandshakeError> {
        let mut unsent = BytesMut::from(&Preamble::OURS.encode()[..]);
        hello.encode(&mut unsent)?;
        Ok(Self { unsent, received: Vec::new() })
    }

    /// Ready with the welcome and with the bytes that follow it. `buffer` is room to read into.
    pub(super) fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        buffer: &mut [u8],
        address: &str,
    ) -> Poll<Result<(Welcome, Vec<u8>), LinkError>> {
        // Whether or not all of it can be written, what comes back is read: it may say why.
        if let Poll::Ready(Err(error)) = self.poll_send(cx, stream) {
            return Poll::Ready(Err(LinkError::Broken(Arc::new(error))));
        }
        loop {
            let mut buffer = ReadBuf::new(buffer);
            if let Err(error) = ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                return Poll::Ready(Err(LinkError::Broken(Arc::new(error))));
            }
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(LinkError::Closed));
            }
            self.received.extend_from_slice(buffer.filled());
            if let Some(answer) = self.answer(address).transpose() {
                return Poll::Ready(answer);
            }
        }
    }

    fn poll_send<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let _ = self.unsent.split_to(written);
        }
        Pin::new(stream).poll_flush(cx)
    }

    /// The answer, once it is complete.
    fn answer(&mut self, address: &str) -> Result<Option<(Welcome, Vec<u8>)>, LinkError> {
        let not_a_manager = |reason: String| LinkError::NotAManager { address: address.to_owned(), reason };
        let begins_well = self.received.iter().zip(MAGIC).all(|(&byte, magic)| byte == magic);
        if !begins_well {
            let quote = &self.received[..self.received.len().min(QUOTE_BYTES)];
            return Err(not_a_manager(format!("it says \"{}\"", quote.escape_ascii())));
        }
        let Some((&preamble, rest)) = self.received.split_first_chunk::<PREAMBLE_BYTES>() else {
            return Ok(None);
        };
        let preamble = Preamble::decode(preamble).map_err(|error| not_a_manager(error.to_string()))?;
        let Some((answer, length)) =
            Answer::decode(rest).map_err(|error| not_a_manager(error.to_string()))?
        else {
            return Ok(None);
        };
        match answer {
            Answer::Refused(refusal) => Err(LinkError::Refused(refusal)),
            Answer::Welcome(welcome) => {
                preamble.version().map_err(|error| not_a_manager(error.to_string()))?;
                Ok(Some((welcome, rest[length..].to_vec())))
            }
        }
    }
}
