//! The peer's end of a connection in memory, and what is read from it: only what the wire allows may come from a manager.

use crate::net::Inbox;
use proletariat_protocol::AssignmentId;
use proletariat_protocol::handshake::{Answer, MAGIC, PREAMBLE_BYTES, Preamble};
use proletariat_protocol::message::ManagerMessage;
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What lies between the two ends.
#[derive(Debug, Default)]
struct State {
    to_manager: VecDeque<u8>,
    from_manager: Vec<u8>,
    /// The peer has closed.
    over: bool,
    /// The peer takes nothing.
    is_full: bool,
    /// The manager has closed its half, or all.
    shut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The manager's end.
#[derive(Debug)]
pub(super) struct Stream(Arc<Mutex<State>>);

/// The peer's end, and what it has understood so far.
#[derive(Debug)]
pub(super) struct Wire {
    state: Arc<Mutex<State>>,
    tongue: Tongue,
    /// What the manager said and what is not understood yet.
    unread: Vec<u8>,
    /// Executions that it was given, at least once each.
    pub(super) assignments: Vec<AssignmentId>,
    /// System messages that it was sent.
    pub(super) messages: Vec<u64>,
}

#[derive(Debug)]
enum Tongue {
    Unknown,
    Welcomed(Inbox),
    Refused,
    Frames,
    Text,
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends of a connection.
pub(super) fn wire() -> (Wire, Stream) {
    let state = Arc::new(Mutex::new(State::default()));
    let wire = Wire {
        state: Arc::clone(&state),
        tongue: Tongue::Unknown,
        unread: Vec::new(),
        assignments: Vec::new(),
        messages: Vec::new(),
    };
    (wire, Stream(state))
}

impl Wire {
    /// Says this.
    pub(super) fn say(&self, bytes: &[u8]) {
        let mut state = locked(&self.state);
        state.to_manager.extend(bytes);
        state.reader.take().into_iter().for_each(Waker::wake);
    }

    /// Takes nothing from now on, or takes again.
    pub(super) fn toggle(&self) {
        let mut state = locked(&self.state);
        state.is_full = !state.is_full;
        state.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Goes.
    pub(super) fn close(&self) {
        let mut state = locked(&self.state);
        state.over = true;
        state.reader.take().into_iter().for_each(Waker::wake);
        state.writer.take().into_iter().for_each(Waker::wake);
    }

    /// Whether the manager has closed.
    pub(super) fn is_shut(&self) -> bool {
        locked(&self.state).shut
    }

    /// Understands what the manager said since.
    pub(super) fn hear(&mut self) {
        self.unread.append(&mut locked(&self.state).from_manager);
        if matches!(self.tongue, Tongue::Unknown) {
            self.greeted();
        }
        match &mut self.tongue {
            Tongue::Unknown | Tongue::Text => {}
            Tongue::Refused => assert!(self.unread.is_empty(), "a word after a refusal"),
            Tongue::Welcomed(inbox) => {
                let (assignments, messages) = (&mut self.assignments, &mut self.messages);
                let mut sink = |message: ManagerMessage, mut tail: crate::net::Tail<'_>| {
                    match message {
                        ManagerMessage::Assign { executions } => {
                            assignments.extend(executions.iter().map(|execution| execution.assignment));
                        }
                        ManagerMessage::SystemMessage { id, .. } => messages.push(id.0),
                        _ => {}
                    }
                    let _ = tail.take_all();
                    ControlFlow::Continue(())
                };
                let flow = inbox.receive(&self.unread, &mut sink).expect("the manager keeps to the wire");
                assert!(flow.is_continue());
                self.unread.clear();
            }
            Tongue::Frames => {
                while let Some((&length, rest)) = self.unread.split_first_chunk()
                    && let Some(body) = rest.get(..u32::from_be_bytes(length) as usize)
                {
                    serde_json::from_slice::<serde_json::Map<_, _>>(body).expect("only JSON is said");
                    self.unread.drain(..4 + body.len());
                }
            }
        }
    }

    /// The first words of the manager tell what it speaks here.
    fn greeted(&mut self) {
        match self.unread.first() {
            None => {}
            Some(0 | 1) if self.unread.get(4) == Some(&b'{') => self.tongue = Tongue::Frames,
            Some(&first) if first == MAGIC[0] => {
                let Some((&preamble, rest)) = self.unread.split_first_chunk::<PREAMBLE_BYTES>() else {
                    return;
                };
                Preamble::decode(preamble).expect("the manager's preamble");
                match Answer::decode(rest).expect("the manager's answer") {
                    None => {}
                    Some((answer, length)) => {
                        self.unread.drain(..PREAMBLE_BYTES + length);
                        self.tongue = match answer {
                            Answer::Welcome(welcome) => {
                                Tongue::Welcomed(Inbox::new(welcome.payload_bytes_max))
                            }
                            Answer::Refused(_) => Tongue::Refused,
                        };
                    }
                }
            }
            Some(_) => self.tongue = Tongue::Text,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = locked(&self.0);
        let (part, _) = state.to_manager.as_slices();
        let count = part.len().min(buffer.remaining());
        if count == 0 && !state.over {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&part[..count]);
        state.to_manager.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = locked(&self.0);
        if state.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if state.is_full {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        assert!(!state.shut, "written after the end");
        state.from_manager.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        locked(&self.0).shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = locked(&self.0);
        (state.shut, state.reader, state.writer) = (true, None, None);
    }
}
