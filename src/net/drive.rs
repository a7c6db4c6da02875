//! The loop that clients and workers share: one task, one stream, one machine in the middle.
//!
//! Each turn reads what is there, takes what the handles sent, lets the clocks fire, lets the machine speak, and
//! writes all of it with one flush. Whatever wakes the task, the turn is the same, so a command or an answer never
//! takes more than one switch of tasks, and under load batches form by themselves.
//!
//! Clocks fire only when everything that has been received is read: after a stall an answer that lies in the socket
//! beats the clock that it would have been in time for.

mod leave;
mod member;
mod pause;
mod timer;
mod write;

pub use member::Member;
pub use timer::{Clock, Timer};

use super::connect::{Connector, LinkError, Opening};
use super::greeting::Greeting;
use super::link::{Link, LinkConfig, Retry, Step};
use super::{Inbox, Order, Outbox, Tail};
use core::future::poll_fn;
use core::ops::ControlFlow;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use leave::Leave;
use pause::let_others_run;
use proletariat_protocol::Time;
use proletariat_protocol::handshake::{Hello, Welcome};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use std::sync::Arc;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc::UnboundedReceiver;
use write::{WRITE_BYTES, write_ready};

/// Room for one read. Large enough that a busy connection needs few reads, small enough for one per task.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one turn, so that a flood does not keep the loop from writing.
const READS_PER_TURN: usize = 8;
/// Turns in a row in which clocks wait because there is more to read: far more than fits into a socket's buffer.
const WET_TURNS_MAX: u32 = 64;
/// A drive that has read and written so many bytes without a pause lets the other tasks of its thread have a turn.
const YIELD_BYTES: usize = 256 * 1024;
/// Commands taken in one turn.
const COMMANDS_PER_TURN: usize = 4_096;
/// The machine is not asked for more while so many bytes wait to be written: what it still holds can be aborted
/// without having been sent.
pub const OUTBOX_MARK_BYTES: usize = 1024 * 1024;

/// How a drive ended.
#[derive(Clone, Debug)]
pub enum End {
    /// The member wanted to leave.
    Left,
    /// There is no use in trying again.
    GaveUp(LinkError),
}

/// What a drive needs to begin.
#[derive(Debug)]
pub struct Drive<C> {
    /// How streams are opened.
    pub connector: C,
    /// What the manager is told.
    pub hello: Hello,
    /// Waits and clocks of the connection.
    pub link: LinkConfig,
    /// The waits follow from it.
    pub seed: u64,
    /// The clock that member and drive share.
    pub clock: Clock,
}

impl<C: Connector> Drive<C> {
    /// Drives the member until it leaves or there is no use in trying again.
    ///
    /// Dropped midway, it closes the connection without a word: the manager takes that as the loss of the peer.
    pub async fn run<M: Member>(self, member: &mut M, commands: UnboundedReceiver<M::Command>) -> End {
        let link = Link::new(self.link.clone(), self.seed, self.clock.now());
        let mut driver = Driver {
            link,
            wire: Wire::Down,
            // Each session has its own, with the limit of its manager.
            inbox: Inbox::new(0),
            outbox: Outbox::new(),
            unflushed: false,
            bounded: false,
            commands: Some(commands),
            batch: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            timer: Timer::new(self.clock),
            wet_turns: 0,
            moved: 0,
            leaving: None,
            gave_up: None,
            drive: self,
        };
        poll_fn(|cx| driver.poll(cx, member)).await
    }
}

struct Driver<C: Connector, K> {
    drive: Drive<C>,
    link: Link,
    wire: Wire<C::Stream>,
    inbox: Inbox,
    outbox: Outbox,
    /// The stream may hold back something that was written.
    unflushed: bool,
    /// The stream holds little of what cannot be sent yet, since a large message is under way.
    bounded: bool,
    /// `None` once all handles are gone.
    commands: Option<UnboundedReceiver<K>>,
    batch: Vec<K>,
    buffer: Box<[u8]>,
    timer: Timer,
    wet_turns: u32,
    /// Bytes read and written since the task was woken.
    moved: usize,
    /// We have said goodbye.
    leaving: Option<Leave>,
    /// Why there will be no further attempt.
    gave_up: Option<LinkError>,
}

enum Wire<S> {
    Down,
    Opening(Opening<S>),
    Greeting(S, Greeting),
    Up(S),
}

/// Whether there may be more to do at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    More,
    Dry,
}

impl<C: Connector, K: Send> Driver<C, K> {
    fn poll<M: Member<Command = K>>(&mut self, cx: &mut Context<'_>, member: &mut M) -> Poll<End> {
        self.moved = 0;
        loop {
            let read = self.poll_wire(cx, member);
            let taken = self.poll_commands(cx, member);
            let now = self.drive.clock.now();
            let fired = self.fire_clocks(now, read, member);
            member.poll(now, &mut self.outbox);
            if let Some(end) = self.poll_end(now, member) {
                return Poll::Ready(end);
            }
            let written = self.poll_write(cx, member);
            if ![read, taken, fired, written].contains(&Progress::More) {
                ready!(self.timer.poll(cx, self.next_deadline(member)));
            } else if self.moved >= YIELD_BYTES {
                return let_others_run(cx);
            }
        }
    }

    /// Moves the stream on: opening, greeting, reading.
    fn poll_wire<M: Member>(&mut self, cx: &mut Context<'_>, member: &mut M) -> Progress {
        match &mut self.wire {
            Wire::Down => Progress::Dry,
            Wire::Opening(opening) => match opening.as_mut().poll(cx) {
                Poll::Pending => Progress::Dry,
                Poll::Ready(Ok(stream)) => {
                    self.link.opened(self.drive.clock.now());
                    match Greeting::new(&self.drive.hello) {
                        Ok(greeting) => self.wire = Wire::Greeting(stream, greeting),
                        Err(error) => return self.fail(&LinkError::Hello(error), member),
                    }
                    Progress::More
                }
                Poll::Ready(Err(error)) => {
                    let address = self.drive.connector.address().to_owned();
                    self.fail(&LinkError::Connect { address, source: Arc::new(error) }, member)
                }
            },
            Wire::Greeting(stream, greeting) => {
                match greeting.poll(cx, stream, &mut self.buffer, self.drive.connector.address()) {
                    Poll::Pending => Progress::Dry,
                    Poll::Ready(Ok((welcome, rest))) => self.begin_session(&welcome, &rest, member),
                    Poll::Ready(Err(error)) => self.fail(&error, member),
                }
            }
            Wire::Up(_) => self.poll_read(cx, member),
        }
    }

    fn begin_session<M: Member>(&mut self, welcome: &Welcome, rest: &[u8], member: &mut M) -> Progress {
        let now = self.drive.clock.now();
        if let Wire::Greeting(stream, _) = core::mem::replace(&mut self.wire, Wire::Down) {
            self.wire = Wire::Up(stream);
        }
        self.inbox = Inbox::new(welcome.payload_bytes_max);
        self.outbox = Outbox::new();
        self.link.welcomed(now);
        member.link_up(now, welcome);
        match self.take(now, rest.len(), Some(rest), member) {
            Ok(()) => Progress::More,
            Err(error) => self.fail(&error, member),
        }
    }

    fn poll_read<M: Member>(&mut self, cx: &mut Context<'_>, member: &mut M) -> Progress {
        for _ in 0..READS_PER_TURN {
            let Wire::Up(stream) = &mut self.wire else {
                return Progress::More;
            };
            let mut buffer = ReadBuf::new(&mut self.buffer);
            let error = match Pin::new(stream).poll_read(cx, &mut buffer) {
                // Without budget the socket was not asked at all; the task is woken at once, and clocks can wait.
                Poll::Pending if !tokio::task::coop::has_budget_remaining() => {
                    self.wet_turns += 1;
                    return Progress::Dry;
                }
                Poll::Pending => {
                    self.wet_turns = 0;
                    return Progress::Dry;
                }
                Poll::Ready(Err(error)) => LinkError::Broken(Arc::new(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => LinkError::Closed,
                Poll::Ready(Ok(())) => {
                    let (now, count) = (self.drive.clock.now(), buffer.filled().len());
                    self.moved += count;
                    match self.take(now, count, None, member) {
                        Ok(()) => continue,
                        Err(error) => error,
                    }
                }
            };
            return self.fail(&error, member);
        }
        self.wet_turns += 1;
        Progress::More
    }

    /// Cuts `count` bytes of the read buffer (or `other`) into messages.
    fn take<M: Member>(
        &mut self,
        now: Time,
        count: usize,
        other: Option<&[u8]>,
        member: &mut M,
    ) -> Result<(), LinkError> {
        let Self { link, inbox, outbox, buffer, .. } = self;
        let bytes = other.unwrap_or(&buffer[..count]);
        if bytes.is_empty() {
            return Ok(());
        }
        link.heard(now);
        let mut end = None;
        let _: ControlFlow<()> = inbox.receive(bytes, &mut |message: ManagerMessage, tail: Tail<'_>| {
            match message {
                ManagerMessage::Ping => outbox.push(&PeerMessage::Pong, &[], Order::Free),
                ManagerMessage::Pong => {}
                ManagerMessage::Leaving { code, message, retry, retry_after_ms } => {
                    let wait = Duration::from_millis(u64::from(retry_after_ms));
                    let retry = if retry { Retry::After(wait) } else { Retry::Never };
                    end = Some(LinkError::Left { code, message, retry });
                    return ControlFlow::Break(());
                }
                message => member.receive(now, message, tail),
            }
            ControlFlow::Continue(())
        })?;
        end.map_or(Ok(()), Err)
    }

    fn poll_commands<M: Member<Command = K>>(&mut self, cx: &mut Context<'_>, member: &mut M) -> Progress {
        let Some(commands) = &mut self.commands else {
            return Progress::Dry;
        };
        match commands.poll_recv_many(cx, &mut self.batch, COMMANDS_PER_TURN) {
            Poll::Pending => Progress::Dry,
            Poll::Ready(0) => {
                self.commands = None;
                member.commands_closed(self.drive.clock.now());
                Progress::More
            }
            Poll::Ready(_) => {
                let now = self.drive.clock.now();
                for command in self.batch.drain(..) {
                    member.command(now, command);
                }
                Progress::More
            }
        }
    }

    /// Fires what is due, unless something that was received is not read yet.
    fn fire_clocks<M: Member>(&mut self, now: Time, read: Progress, member: &mut M) -> Progress {
        let wet = read == Progress::More || self.wet_turns > 0;
        if wet && self.wet_turns < WET_TURNS_MAX {
            return Progress::Dry;
        }
        self.wet_turns = 0;
        member.expire(now);
        let mut progress = Progress::Dry;
        while let Some(step) = self.link.poll(now) {
            progress = Progress::More;
            match step {
                Step::Connect => self.wire = Wire::Opening(self.drive.connector.connect()),
                Step::Ping => self.outbox.push(&PeerMessage::Ping, &[], Order::Free),
                Step::AttemptTimedOut => {
                    let address = self.drive.connector.address().to_owned();
                    let time = self.drive.link.attempt_timeout;
                    self.drop_wire(now, &LinkError::AttemptTimeout { address, time }, member);
                }
                Step::ManagerSilent => {
                    self.drop_wire(now, &LinkError::Silent(self.drive.link.manager_timeout), member);
                }
            }
        }
        progress
    }

    fn fail<M: Member>(&mut self, error: &LinkError, member: &mut M) -> Progress {
        let now = self.drive.clock.now();
        self.link.failed(now, error.retry());
        self.drop_wire(now, error, member);
        Progress::More
    }

    /// The link knows already.
    fn drop_wire<M: Member>(&mut self, now: Time, error: &LinkError, member: &mut M) {
        self.wire = Wire::Down;
        self.outbox = Outbox::new();
        self.unflushed = false;
        self.bounded = false;
        self.wet_turns = 0;
        if self.link.has_ended() {
            self.gave_up = Some(error.clone());
        }
        member.link_down(now, error, self.link.next_deadline());
    }

    fn poll_write<M: Member>(&mut self, cx: &mut Context<'_>, member: &mut M) -> Progress {
        let stream = match &mut self.wire {
            // Behind the end of our half, a ping would break what the manager has still to read.
            Wire::Up(stream) if !self.leaving.is_some_and(|leave| leave.shut) => stream,
            _ => {
                if !self.outbox.is_empty() {
                    self.outbox = Outbox::new();
                }
                return Progress::Dry;
            }
        };
        let large = self.outbox.has_large();
        if large != self.bounded {
            self.bounded = large;
            C::bound_unsent(stream, large);
        }
        let was_full = self.outbox.room(OUTBOX_MARK_BYTES) == 0;
        let written = write_ready(cx, stream, &mut self.outbox, &mut self.unflushed, &mut self.leaving);
        let bytes = match written {
            Ok(bytes) => bytes,
            Err(error) => return self.fail(&LinkError::Broken(Arc::new(error)), member),
        };
        self.moved += bytes;
        if let Some(leave) = &mut self.leaving
            && bytes > 0
            && member.unsent_until().is_some()
        {
            leave.since = self.drive.clock.now();
        }
        let has_room = was_full && self.outbox.room(OUTBOX_MARK_BYTES) > 0;
        if has_room || bytes >= WRITE_BYTES { Progress::More } else { Progress::Dry }
    }

    fn next_deadline<M: Member>(&self, member: &M) -> Option<Time> {
        [self.link.next_deadline(), member.next_deadline(), self.leave_until(member)]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests;
