//! Children that speak lines, as a pure machine: which child gets which line, what an answer is, whom a crash is charged to,
//! when a child starts again and when there is no use in it.
//!
//! A child is written many lines ahead, so when it dies nobody knows how far it was. Three things are known: it answers in
//! the order of its lines, so it was at the oldest one that has no answer; what lies unread in its pipe it has never seen; and a
//! line that it never saw cannot be what killed it. So a crash is charged to the oldest line alone, and only if the
//! child had read something of it; all the others are done again by the next child, free of charge. A child that ends without
//! having read anything of a line has not failed at a line but at its start.

mod child;
mod depth;
mod endings;
mod event;
mod places;
mod silence;
mod times;

pub use event::{Action, Config, Event, LineEnd, LineId};
pub use times::Times;

use bytes::Bytes;
use child::{Child, Given, State};
use core::time::Duration;
use depth::Depth;
use places::{Place, Places};
use proletariat_protocol::Time;
use silence::Silence;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A child that replies may be silent for so long before somebody wonders.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The machine. See the head of the file.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    children: Vec<Child>,
    places: Places,
    depth: Depth,
    phase: Phase,
    /// Lines answered so far.
    answered: u64,
    /// Crashes that were charged to a line.
    crashes: u64,
    /// Of all children, until the first answer.
    silence: Silence,
    hinted: bool,
    times: Times,
    out: Vec<Action>,
}

/// Where it all is.
///
/// ```text
///  Serving ── finish, stop ──► Ending ── no child left ──► Ended
///     └── no child can be started ──► Failed ── stop ──────▲
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    Serving,
    /// The children see the end of their input, and are told to end at this time if they do not go by themselves.
    Ending(Time),
    Failed,
    Ended,
}

impl Machine {
    /// With its children still to be started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let depth = Depth::new(&config);
        let children = (0..config.children.max(1)).map(|_| Child::default()).collect();
        Self {
            config,
            children,
            places: Places::default(),
            depth,
            phase: Phase::Serving,
            answered: 0,
            crashes: 0,
            silence: Silence::default(),
            hinted: false,
            times: Times::default(),
            out: Vec::new(),
        }
    }

    /// Tells what happened.
    pub fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Line { id, text } => self.line(id, text),
            Event::Cancelled { id } => self.cancelled(id),
            Event::Started { child } => self.started(now, child),
            Event::NotStarted { child, reason, hopeless } => {
                self.not_started(now, child, &reason, hopeless);
            }
            Event::Heard { child, chunk } => self.heard(now, child, &chunk),
            Event::Overlong { child } => self.overlong(child),
            Event::Ended { child, read_bytes, how } => self.ended(now, child, read_bytes, &how),
            Event::Finish => self.finish(now + self.config.kill_grace),
            Event::Stop => self.finish(now),
        }
    }

    /// What is to be done, in this order.
    pub fn poll(&mut self, now: Time, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Serving => {
                self.start_children(now);
                self.count_again(now);
                self.hand_out(now);
                self.hint(now);
            }
            Phase::Ending(until) => self.end_children(now, until),
            Phase::Failed | Phase::Ended => {}
        }
        actions.append(&mut self.out);
    }

    /// When to poll if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Serving => {
                let starts = self.children.iter().filter_map(Child::start_due).min();
                let hint = self.children.iter().filter_map(|child| self.hint_due(child)).min();
                let counts = self.children.iter().filter_map(Child::count_due).min();
                [starts, hint, counts].into_iter().flatten().min()
            }
            Phase::Ending(until) => {
                self.children.iter().any(|child| child.state == State::Up).then_some(until)
            }
            Phase::Failed | Phase::Ended => None,
        }
    }

    /// How many lines may be with each child.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth.now()
    }

    /// Children that can be started, as far as is known; at least one, which may be one that is tried again.
    #[must_use]
    pub fn counted_on(&self) -> u32 {
        let count: u32 = self.children.iter().map(|child| u32::from(!child.given_up)).sum();
        count.max(1)
    }

    /// Crashes that were charged to a line, and how long the answered lines were in their children.
    #[must_use]
    pub fn statistics(&self) -> (u64, &Times) {
        (self.crashes, &self.times)
    }

    /// Panics if the tables disagree.
    pub fn audit(&self) {
        for (number, child) in self.children.iter().enumerate() {
            child.audit(&self.config);
            for given in &child.given {
                let place = Place::Given { child: number, offset: given.offset };
                assert_eq!(self.places.find(given.id), Some(place), "{:?}", given.id);
            }
        }
        self.places.audit(self.children.iter().map(|child| child.given.len()).sum());
        if matches!(self.phase, Phase::Failed | Phase::Ended) {
            assert!(!self.places.has_waiting(), "a line waits for nobody");
        }
    }

    fn line(&mut self, id: LineId, text: Bytes) {
        match self.phase {
            Phase::Serving => self.places.add(id, text),
            Phase::Ending(_) | Phase::Failed | Phase::Ended => self.out.push(over(id, LineEnd::Refused)),
        }
    }

    /// A line that waits is forgotten. One that a child has is waited for until it is the child's turn to do it; then the
    /// child is ended, since there is no other way to stop its work.
    fn cancelled(&mut self, id: LineId) {
        match self.places.find(id) {
            Some(Place::Waiting) => {
                self.places.strike(id);
                self.out.push(over(id, LineEnd::Stopped));
            }
            Some(Place::Given { child: number, offset }) => {
                let child = &mut self.children[number];
                child.cancel(offset);
                child.end_if_unwanted(number, &mut self.out);
            }
            // It was over before its owner heard of that.
            None => {}
        }
    }

    fn heard(&mut self, now: Time, number: usize, chunk: &Bytes) {
        let Some(child) = self.children.get_mut(number) else { return };
        child.heard = now;
        let mut rest = chunk.clone();
        let (mut answers, mut latency) = (0, Duration::ZERO);
        while let Some(at) = memchr::memchr(b'\n', &rest) {
            let line = rest.split_to(at + 1);
            let line = line.slice(..at);
            let Some(given) = child.take_answered(&line, self.config.reply) else {
                self.out.push(Action::Stray { child: number, line });
                continue;
            };
            self.places.forget(given.id);
            let took = now.since(given.written);
            answers += 1;
            latency += took;
            self.times.add(took);
            // The line itself is what the caller gets back in the echo protocol: it is there already.
            let answer = if self.config.reply { line } else { given.text };
            self.out.push(over(given.id, LineEnd::Done(answer)));
        }
        if answers > 0 {
            child.answered();
            child.count_on(number, &mut self.out);
            child.end_if_unwanted(number, &mut self.out);
            self.answered += answers;
            let up = self.children.iter().filter(|child| child.state == State::Up).count();
            if self.depth.answered(answers, latency, up) {
                self.out.push(Action::Depth(self.depth.now()));
            }
        }
    }

    /// More bytes without a line break than a line may have. Where children reply, that is the answer to the oldest line. Elsewhere it
    /// is none, and none will come: that child has failed as one that crashes has.
    fn overlong(&mut self, number: usize) {
        let Some(child) = self.children.get_mut(number) else { return };
        let answered = if self.config.reply { child.given.pop_front() } else { None };
        match answered {
            Some(given) => {
                self.places.forget(given.id);
                self.out.push(over(given.id, LineEnd::TooLarge));
            }
            // One that was told to end before has not failed.
            None => child.overlong |= child.state == State::Up,
        }
        child.end(number, &mut self.out);
    }

    fn start_children(&mut self, now: Time) {
        for (number, child) in self.children.iter_mut().enumerate() {
            if child.start_due().is_some_and(|due| due <= now) {
                child.state = State::Starting;
                self.out.push(Action::Start { child: number });
            }
        }
    }

    /// Gives lines to the children that have room, always to the one that has the fewest.
    fn hand_out(&mut self, now: Time) {
        if !self.places.has_waiting() {
            return;
        }
        let depth = self.depth.now() as usize;
        let with_room = self.children.iter().enumerate().filter(|(_, child)| child.takes_lines(depth));
        let mut with_room: BinaryHeap<_> =
            with_room.map(|(number, child)| Reverse((child.given.len(), number))).collect();
        let mut written = Vec::new();
        while let Some(Reverse((count, number))) = with_room.pop()
            && let Some((id, text)) = self.places.take_first()
        {
            let child = &mut self.children[number];
            if child.outgoing.is_empty() {
                written.push(number);
            }
            let offset = child.give(id, text, now);
            self.places.give(id, number, offset);
            if count + 1 < depth {
                with_room.push(Reverse((count + 1, number)));
            }
            // Not all of it: a part of the slots may be kept for other priorities.
            if (count + 1) * 2 > depth {
                self.depth.is_used();
            }
        }
        for number in written {
            let bytes = core::mem::take(&mut self.children[number].outgoing);
            self.out.push(Action::Write { child: number, bytes });
        }
    }

    fn hint_due(&self, child: &Child) -> Option<Time> {
        let is_waited_for = self.config.reply && !self.hinted && child.state == State::Up;
        let oldest = child.given.front().filter(|_| is_waited_for)?;
        Some(child.heard.max(oldest.written) + SILENCE_MAX)
    }

    fn hint(&mut self, now: Time) {
        let silent = |child: &Child| self.hint_due(child).is_some_and(|due| due <= now);
        if let Some(child) = self.children.iter().position(silent) {
            self.hinted = true;
            self.out.push(Action::Hint { child });
        }
    }
}

fn over(id: LineId, end: LineEnd) -> Action {
    Action::Over { id, end }
}

impl Given {
    fn is_answered_by(&self, line: &[u8], reply: bool) -> bool {
        reply || *self.text == *line
    }
}

#[cfg(test)]
mod tests;
