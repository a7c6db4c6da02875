//! What the world tells the machine, and what the machine wants done.

use bytes::Bytes;
use core::time::Duration;

/// A line, by a number of its owner's; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LineId(pub u64);

/// What the owner decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Children to keep.
    pub children: u32,
    /// A child's next line is the answer, whatever it says; without it only the line itself is one.
    pub reply: bool,
    /// Lines that a child may have without an answer; `None`: found out where children echo, 1 where they reply.
    pub depth: Option<u32>,
    /// Children that do not end with the end of their input are told to after this.
    pub kill_grace: Duration,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A line is to be done. It has no line break in it.
    Line {
        /// Which.
        id: LineId,
        /// What it says.
        text: Bytes,
    },
    /// Nobody waits for it any more. Its work still has to stop: that is answered, too.
    Cancelled {
        /// Which.
        id: LineId,
    },
    /// A child runs.
    Started {
        /// Which.
        child: usize,
    },
    /// A child could not be started.
    NotStarted {
        /// Which.
        child: usize,
        /// Why.
        reason: String,
        /// It will never be otherwise: there is no such program.
        hopeless: bool,
    },
    /// A child wrote whole lines.
    Heard {
        /// Which.
        child: usize,
        /// The lines, each with its line break.
        chunk: Bytes,
    },
    /// A child wrote more without a line break than a line may have.
    Overlong {
        /// Which.
        child: usize,
    },
    /// A child has ended, and everything that it wrote was told.
    Ended {
        /// Which.
        child: usize,
        /// So much of what it was given it has read, in bytes.
        read_bytes: u64,
        /// How it ended, for people.
        how: String,
    },
    /// No more lines come: the children see the end of their input.
    Finish,
    /// The children end at once.
    Stop,
}

/// What becomes of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineEnd {
    /// It is done, and this is the answer.
    Done(Bytes),
    /// A child died over it: how, for people.
    Crashed(String),
    /// Its answer is longer than a line may be.
    TooLarge,
    /// Nobody waits for it, and its work has stopped.
    Stopped,
    /// It was not done and never will be here.
    Refused,
}

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start a child.
    Start {
        /// Which.
        child: usize,
    },
    /// Write to a child.
    Write {
        /// Which.
        child: usize,
        /// Whole lines.
        bytes: Vec<u8>,
    },
    /// Let a child see the end of its input.
    CloseInput {
        /// Which.
        child: usize,
    },
    /// End a child and its group.
    Terminate {
        /// Which.
        child: usize,
    },
    /// It is over with a line.
    Over {
        /// Which.
        id: LineId,
        /// How.
        end: LineEnd,
    },
    /// A child wrote a line that is no answer.
    Stray {
        /// Which.
        child: usize,
        /// What it wrote.
        line: Bytes,
    },
    /// A child that shall reply is silent.
    Hint {
        /// Which.
        child: usize,
    },
    /// So many lines may be with each child from now on.
    Depth(u32),
    /// This child cannot be started: it is tried again, but not counted on; others go on.
    GaveUp {
        /// Which.
        child: usize,
        /// Why.
        reason: String,
    },
    /// A child that was given up has started after all.
    Works {
        /// Which.
        child: usize,
    },
    /// No child can be started: nothing will ever be done.
    Failed {
        /// Why.
        reason: String,
    },
    /// All children have ended, and nothing follows.
    Finished,
}
