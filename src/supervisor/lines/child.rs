//! One child and its pipes.

use super::machine::Event;
use super::talk::{self, Talk};
use crate::supervisor::ending_text;
use crate::supervisor::guard::{Child, Error, Guard, Output, Program};
use bytes::{Buf, Bytes, BytesMut};
use core::time::Duration;
use std::io;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Room for one read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// What a child wrote is there when it has ended, unless a descendant that left its group still has the pipe open. Nobody waits
/// longer than this for that.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// A child that has closed a pipe mostly is about to end by itself. If not, it is told to: it is of no use any more.
const HALF_CLOSED_MAX: Duration = Duration::from_millis(200);
pub(super) type Events = mpsc::Sender<Event>;

/// What the driver tells a child's task.
pub(super) enum Order {
    Write(Vec<u8>),
    CloseInput,
    Terminate,
}

/// Everything that a life needs.
pub(super) struct Life {
    pub(super) number: usize,
    pub(super) guard: Guard,
    pub(super) program: Program,
    pub(super) line_bytes_max: usize,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    pub(super) events: Events,
    pub(super) talk: mpsc::Sender<Talk>,
}

impl Life {
    /// Starts the child and serves it until it has ended. Dropped midway, the child is ended.
    pub(super) async fn live(self) {
        let number = self.number;
        match self.guard.spawn(&self.program).await {
            Ok(mut child) => {
                if let Some(stderr) = child.stderr.take() {
                    tokio::spawn(talk::listen(number + 1, stderr, self.talk));
                }
                if self.events.send(Event::Started { child: number }).await.is_err() {
                    return;
                }
                Pipes::new(number, child, self.line_bytes_max).serve(self.orders, &self.events).await;
            }
            Err(error) => {
                let event = Event::NotStarted {
                    child: number,
                    reason: error.to_string(),
                    hopeless: is_hopeless(&error),
                };
                // Without a driver nobody wants to know.
                let _ = self.events.send(event).await;
            }
        }
    }
}

/// Whether trying again is of no use. What is short now (memory, processes) may be there later.
fn is_hopeless(error: &Error) -> bool {
    let Error::Start { source, .. } = error else { return matches!(error, Error::NotAsked) };
    use io::ErrorKind::{ArgumentListTooLong, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    let kinds = [ArgumentListTooLong, InvalidInput, NotADirectory, NotFound, PermissionDenied];
    kinds.contains(&source.kind()) || source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
}

struct Pipes {
    number: usize,
    child: Child,
    stdin: Option<pipe::Sender>,
    stdout: Option<Output>,
    /// Not written yet.
    pending: BytesMut,
    /// Bytes that went into its pipe.
    written: u64,
    /// Read, and not a whole line.
    begun: BytesMut,
    /// Bytes of `begun` that were searched for a line break.
    searched: usize,
    line_bytes_max: usize,
    /// It is of no use any more after this.
    useless_at: Option<Instant>,
}

impl Pipes {
    fn new(number: usize, mut child: Child, line_bytes_max: usize) -> Self {
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Self {
            number,
            child,
            stdin,
            stdout,
            pending: BytesMut::new(),
            written: 0,
            begun: BytesMut::with_capacity(READ_BYTES),
            searched: 0,
            line_bytes_max,
            useless_at: None,
        }
    }

    async fn serve(mut self, mut orders: mpsc::UnboundedReceiver<Order>, events: &Events) {
        let mut broken = false;
        let status = loop {
            let is_writing = !self.pending.is_empty() && !broken && self.stdin.is_some();
            let useless = self.useless_at;
            let Self { child, stdin, stdout, pending, written, begun, .. } = &mut self;
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    // The driver is gone; so is the child when it is dropped.
                    None => return,
                },
                read = read(stdout, begun), if stdout.is_some() => {
                    if !self.took(read.unwrap_or(0), events).await {
                        return;
                    }
                }
                count = write(stdin, pending), if is_writing => match count {
                    Ok(count) => {
                        pending.advance(count);
                        *written += count as u64;
                    }
                    Err(_) => {
                        broken = true;
                        self.is_useless();
                    }
                },
                () = closed(stdin), if !broken && !is_writing => {
                    broken = true;
                    self.is_useless();
                }
                status = child.wait() => break status,
                () = sleep_until(useless.unwrap_or_else(Instant::now)), if useless.is_some() => {
                    self.useless_at = None;
                    self.child.terminate();
                }
            }
        };
        // What it wrote before its end counts.
        let rest = async {
            while self.stdout.is_some() {
                let count = read(&mut self.stdout, &mut self.begun).await.unwrap_or(0);
                if !self.took(count, events).await {
                    return;
                }
            }
        };
        let _ = timeout(LAST_WORDS, rest).await;
        let how = status.map_or_else(|error| error.to_string(), ending_text);
        let read_bytes = self.read_bytes();
        let _ = events.send(Event::Ended { child: self.number, read_bytes, how }).await;
    }

    fn obey(&mut self, order: Order) {
        match order {
            // The first portion is not copied.
            Order::Write(bytes) if self.pending.is_empty() => {
                self.pending = BytesMut::from(Bytes::from(bytes))
            }
            Order::Write(bytes) => self.pending.extend_from_slice(&bytes),
            Order::CloseInput => drop(self.stdin.take()),
            Order::Terminate => self.child.terminate(),
        }
    }

    fn is_useless(&mut self) {
        self.useless_at.get_or_insert_with(|| Instant::now() + HALF_CLOSED_MAX);
    }

    /// So much was read. Whether anybody is there to be told.
    async fn took(&mut self, count: usize, events: &Events) -> bool {
        if count == 0 {
            self.stdout = None;
            self.is_useless();
            return true;
        }
        let event = match memchr::memrchr(b'\n', &self.begun[self.searched..]) {
            Some(last) => {
                let chunk = self.begun.split_to(self.searched + last + 1).freeze();
                self.searched = self.begun.len();
                Event::Heard { child: self.number, chunk }
            }
            None if self.begun.len() > self.line_bytes_max => {
                // Nobody reads on: the pipe fills, and the child is about to be ended.
                self.stdout = None;
                Event::Overlong { child: self.number }
            }
            None => {
                self.searched = self.begun.len();
                return true;
            }
        };
        events.send(event).await.is_ok()
    }

    /// Bytes that the child has read: what went into the pipe and no longer lies there. What the machine gave it meanwhile may still be
    /// on its way to us, so what it has not read is not for us to tell.
    fn read_bytes(&self) -> u64 {
        let in_pipe = self.stdin.as_ref().and_then(|stdin| rustix::io::ioctl_fionread(stdin).ok());
        self.written.saturating_sub(in_pipe.unwrap_or(0))
    }
}

async fn read(stdout: &mut Option<Output>, begun: &mut BytesMut) -> io::Result<usize> {
    let Some(stdout) = stdout else { return Ok(0) };
    begun.reserve(READ_BYTES);
    stdout.read_buf(begun).await
}

/// Ready when nobody will read what is written.
async fn closed(stdin: &Option<pipe::Sender>) {
    let Some(stdin) = stdin else { return core::future::pending().await };
    // The system tells the one who writes only when he writes again; asked for, it tells at once.
    let _ = stdin.ready(Interest::ERROR).await;
}

/// Cancel safe: what was written is told.
async fn write(stdin: &Option<pipe::Sender>, pending: &BytesMut) -> io::Result<usize> {
    let Some(stdin) = stdin else { return Ok(0) };
    loop {
        stdin.writable().await?;
        match stdin.try_write(pending) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return written,
        }
    }
}
