//! When there is no use in children of which none has ever answered.
//!
//! A line that kills every child looks like a program that can do no line at all, as long as nothing else was tried: it is at the
//! head of the queue, so it is what every new child gets. A line is given up after so many crashes by whoever counts its attempts. So
//! the program is only blamed when children died over several lines that say different things, more often than attempts at fewer
//! lines explain; and not while one is at its line for longer than any child was that died.

use core::hash::BuildHasher;
use core::time::Duration;

/// Lines that say different things: so many may kill, and with one more it is the program.
const TEXTS_MAX: usize = 3;
/// As many crashes as these lines have attempts where lines are given up after 50. Elsewhere that is after 5, and then ten times as many
/// lines have to kill.
const ENDS_MAX: u32 = 50 * TEXTS_MAX as u32;
/// Whatever the lines say: there may be no other one, or no line that is ever given up.
const ENDS_OF_ANY_MAX: u32 = 1_000;

/// Lives that ended over a line, before anybody has answered one.
#[derive(Debug, Default)]
pub(super) struct Silence {
    ends: u32,
    /// What the lines said, by hash: no more than are needed.
    texts: Vec<u64>,
    longest: Duration,
}

impl Silence {
    /// A child died that had this line for so long.
    pub(super) fn ended(&mut self, text: &[u8], lasted: Duration) {
        self.ends = self.ends.saturating_add(1);
        self.longest = self.longest.max(lasted);
        let text = foldhash::fast::FixedState::default().hash_one(text);
        if self.texts.len() <= TEXTS_MAX && !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    /// Whether it is the program, if no child [outlasts](Self::is_outlasted_by) those that died.
    pub(super) fn is_too_long(&self) -> bool {
        let others = self.ends > ENDS_MAX && self.texts.len() > TEXTS_MAX;
        others || self.ends >= ENDS_OF_ANY_MAX
    }

    /// A child that has its line for so long may be one that works.
    pub(super) fn is_outlasted_by(&self, lasts: Duration) -> bool {
        lasts > self.longest
    }
}
