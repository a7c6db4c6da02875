//! One child, as the machine sees it.

use super::endings::STARTED_AFTER;
use super::{Action, Config, LineId};
use bytes::Bytes;
use proletariat_protocol::Time;
use std::collections::VecDeque;

/// Where a child is in its lives.
///
/// ```text
///  Down ── due ──► Starting ── started ──► Up ── told to end ──► Dying
///   ▲ ▲               │ not started        │ ended                 │ ended
///   │ └───────────────┘                    │                       │
///   └──────────────────────────────────────┴───────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// It starts at this time.
    Down(Time),
    Starting,
    Up,
    Dying,
}

/// A line that a child has.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) id: LineId,
    pub(super) text: Bytes,
    pub(super) written: Time,
    /// Bytes that the child was given before it.
    pub(super) offset: u64,
    /// Nobody waits for it.
    pub(super) cancelled: bool,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) state: State,
    /// Without an answer, the oldest first.
    pub(super) given: VecDeque<Given>,
    /// Bytes that it was given in this life.
    pub(super) given_bytes: u64,
    /// Lines that are to be written to it.
    pub(super) outgoing: Vec<u8>,
    /// It began or said something last.
    pub(super) heard: Time,
    pub(super) began: Time,
    /// It wrote a line without an end, and that was no answer. It is told to end for it, and counts as one that ends by itself.
    pub(super) overlong: bool,
    /// It has answered in this life.
    pub(super) has_answered: bool,
    /// Lives in a row without an answer.
    pub(super) silent_lives: u32,
    /// Lives in a row that ended before anything of a line was read.
    pub(super) failed_starts: u32,
    /// There were too many of these. It is tried again, but nobody counts on it until it has started.
    pub(super) given_up: bool,
}

impl Default for Child {
    fn default() -> Self {
        Self {
            state: State::Down(Time::ZERO),
            given: VecDeque::new(),
            given_bytes: 0,
            outgoing: Vec::new(),
            heard: Time::ZERO,
            began: Time::ZERO,
            overlong: false,
            has_answered: false,
            silent_lives: 0,
            failed_starts: 0,
            given_up: false,
        }
    }
}

impl Child {
    pub(super) fn start_due(&self) -> Option<Time> {
        match self.state {
            State::Down(due) => Some(due),
            State::Starting | State::Up | State::Dying => None,
        }
    }

    /// When it has started, if it was given up and is up now.
    pub(super) fn count_due(&self) -> Option<Time> {
        (self.given_up && self.state == State::Up).then_some(self.began + STARTED_AFTER)
    }

    /// It has started. If it was given up, its owner counts on it again.
    pub(super) fn count_on(&mut self, number: usize, out: &mut Vec<Action>) {
        if core::mem::take(&mut self.given_up) {
            out.push(Action::Works { child: number });
        }
    }

    pub(super) fn takes_lines(&self, depth: usize) -> bool {
        self.state == State::Up && self.given.len() < depth
    }

    pub(super) fn begin(&mut self, now: Time) {
        self.state = State::Up;
        self.given_bytes = 0;
        self.began = now;
        self.heard = now;
        self.overlong = false;
        self.has_answered = false;
    }

    /// How many bytes it was given before this line.
    pub(super) fn give(&mut self, id: LineId, text: Bytes, now: Time) -> u64 {
        self.outgoing.extend_from_slice(&text);
        self.outgoing.push(b'\n');
        let offset = self.given_bytes;
        self.given_bytes += text.len() as u64 + 1;
        self.given.push_back(Given { id, text, written: now, offset, cancelled: false });
        offset
    }

    /// Nobody waits for the line before which it was given so many bytes.
    pub(super) fn cancel(&mut self, offset: u64) {
        let at = self.given.binary_search_by_key(&offset, |given| given.offset);
        self.given[at.expect("the machine knows which lines a child has")].cancelled = true;
    }

    /// The line that this is the answer to. A child that echoes may have done them in another order.
    pub(super) fn take_answered(&mut self, line: &[u8], reply: bool) -> Option<Given> {
        let at = self.given.iter().position(|given| given.is_answered_by(line, reply))?;
        self.given.remove(at)
    }

    pub(super) fn answered(&mut self) {
        self.has_answered = true;
        self.silent_lives = 0;
        self.failed_starts = 0;
    }

    /// Whether it has read anything of its oldest line, when it has read so much in all.
    pub(super) fn has_begun_oldest(&self, read_bytes: u64) -> bool {
        self.given.front().is_some_and(|oldest| oldest.offset < read_bytes)
    }

    /// Ends it if nobody waits for what it is doing.
    pub(super) fn end_if_unwanted(&mut self, number: usize, out: &mut Vec<Action>) {
        if self.given.front().is_some_and(|oldest| oldest.cancelled) {
            self.end(number, out);
        }
    }

    pub(super) fn end(&mut self, number: usize, out: &mut Vec<Action>) {
        if self.state == State::Up {
            self.state = State::Dying;
            out.push(Action::Terminate { child: number });
        }
    }

    pub(super) fn audit(&self, config: &Config) {
        let most = config.depth.unwrap_or(super::depth::DEPTH_MAX) as usize;
        assert!(self.given.len() <= most, "a child has more lines than it may have");
        assert!(self.outgoing.is_empty(), "lines were handed out and not written");
        if !matches!(self.state, State::Up | State::Dying) {
            assert!(self.given.is_empty(), "a child that does not run has lines");
        }
        let ascending = self.given.iter().zip(self.given.iter().skip(1));
        for (earlier, later) in ascending {
            assert!(earlier.offset < later.offset && earlier.written <= later.written);
        }
    }
}
