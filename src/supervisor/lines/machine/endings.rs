//! Starts and ends of children: what becomes of their lines, and when they start again.

use super::child::State;
use super::{Action, LineEnd, Machine, Phase, over};
use core::time::Duration;
use proletariat_protocol::Time;

/// The first wait before a child starts again that ended without an answer; it doubles.
const RESTART_MIN: Duration = Duration::from_millis(10);
/// The longest wait after a crash over a line: a line that always kills has its attempts within seconds.
const RESTART_MAX: Duration = Duration::from_millis(100);
/// The longest wait after a start that failed.
const START_MAX: Duration = Duration::from_secs(1);
/// A child that failed at its start so often in a row is not counted on any more: that takes some three seconds.
const FAILED_STARTS_MAX: u32 = 10;
/// It is tried again after this: what was short then (processes, memory, a license) may be there later, and a try costs a start.
const START_AGAIN: Duration = Duration::from_secs(10);
/// A child that lived for so long before it ended has started.
pub(super) const STARTED_AFTER: Duration = Duration::from_secs(5);
/// How a child ended that we ended for a line without an end.
const OVERLONG: &str = "wrote a line without an end";

impl Machine {
    pub(super) fn started(&mut self, now: Time, number: usize) {
        let Some(child) = self.children.get_mut(number) else { return };
        child.begin(now);
        match self.phase {
            Phase::Serving => {}
            Phase::Ending(_) => self.out.push(Action::CloseInput { child: number }),
            Phase::Failed | Phase::Ended => child.end(number, &mut self.out),
        }
    }

    pub(super) fn not_started(&mut self, now: Time, number: usize, reason: &str, hopeless: bool) {
        if hopeless {
            self.children[number].state = State::Down(now);
            return self.fail(reason);
        }
        self.start_failed(now, number, reason);
    }

    pub(super) fn ended(&mut self, now: Time, number: usize, read_bytes: u64, how: &str) {
        let Some(child) = self.children.get_mut(number) else { return };
        let was_told = child.state == State::Dying && !child.overlong;
        let how = if child.overlong { OVERLONG } else { how };
        let has_begun = child.has_begun_oldest(read_bytes);
        let given = core::mem::take(&mut child.given);
        let was_idle = given.is_empty();
        if let Some(oldest) = given.front().filter(|_| self.answered == 0 && has_begun && !was_told) {
            self.silence.ended(&oldest.text, now.since(oldest.written));
        }
        let mut is_charged = has_begun && !was_told;
        let mut again = Vec::new();
        for line in given {
            // Only the oldest one can have been at work.
            let charged = core::mem::take(&mut is_charged);
            if line.cancelled {
                self.places.forget(line.id);
                self.out.push(over(line.id, LineEnd::Stopped));
            } else if charged {
                self.places.forget(line.id);
                self.crashes += 1;
                let how = format!("child {}: {how}", number + 1);
                self.out.push(over(line.id, LineEnd::Crashed(how)));
            } else {
                again.push((line.id, line.text));
            }
        }
        again.into_iter().rev().for_each(|(id, text)| self.places.put_back(id, text));
        let child = &mut self.children[number];
        child.state = State::Down(now);
        if self.phase != Phase::Serving {
            return self.refuse_all();
        }
        if !was_told && !child.has_answered {
            self.lives_again(now, number, how, has_begun, was_idle);
        }
    }

    /// When a child starts again that has ended by itself and answered nothing, if at all.
    fn lives_again(&mut self, now: Time, number: usize, how: &str, has_begun: bool, was_idle: bool) {
        if self.answered == 0 && self.silence.is_too_long() && !self.is_one_at_work(now) {
            let reason = format!("ends each time before it has answered a line ({how})");
            return self.fail(&reason);
        }
        let child = &mut self.children[number];
        let has_started = has_begun || was_idle && now.since(child.began) >= STARTED_AFTER;
        if !has_started {
            return self.start_failed(now, number, &format!("ends before it reads a line ({how})"));
        }
        child.failed_starts = 0;
        child.state = State::Down(now + wait(child.silent_lives, RESTART_MAX));
        child.silent_lives += 1;
        child.count_on(number, &mut self.out);
    }

    /// Nobody knows of a child whether it works before it has answered; but all that do not were quicker than this one.
    fn is_one_at_work(&self, now: Time) -> bool {
        let up = self.children.iter().filter(|child| child.state == State::Up);
        let mut oldest = up.filter_map(|child| child.given.front());
        oldest.any(|oldest| self.silence.is_outlasted_by(now.since(oldest.written)))
    }

    fn start_failed(&mut self, now: Time, number: usize, reason: &str) {
        let child = &mut self.children[number];
        let pause = wait(child.failed_starts, START_MAX);
        child.failed_starts = child.failed_starts.saturating_add(1);
        let is_given_up = child.failed_starts >= FAILED_STARTS_MAX;
        child.state = State::Down(now + if is_given_up { START_AGAIN } else { pause });
        if self.phase != Phase::Serving {
            return self.refuse_all();
        }
        if !is_given_up {
            return;
        }
        let is_new = !core::mem::replace(&mut child.given_up, true);
        // One that is tried again is not counted on yet, but it may be the one that works.
        let may_work = |state: &State| matches!(state, State::Starting | State::Up);
        if self.children.iter().all(|child| child.given_up && !may_work(&child.state)) {
            return self.fail(reason);
        }
        if is_new {
            self.out.push(Action::GaveUp { child: number, reason: reason.to_owned() });
        }
    }

    /// A child that was given up and has started after all is counted on again.
    pub(super) fn count_again(&mut self, now: Time) {
        for (number, child) in self.children.iter_mut().enumerate() {
            if child.count_due().is_some_and(|due| due <= now) {
                child.count_on(number, &mut self.out);
            }
        }
    }

    /// Nothing will ever be done: every line goes back.
    fn fail(&mut self, reason: &str) {
        if self.phase != Phase::Serving {
            return self.refuse_all();
        }
        self.phase = Phase::Failed;
        self.out.push(Action::Failed { reason: reason.to_owned() });
        for (number, child) in self.children.iter_mut().enumerate() {
            child.end(number, &mut self.out);
        }
        self.refuse_all();
    }

    fn refuse_all(&mut self) {
        self.out.extend(self.places.drain().map(|id| over(id, LineEnd::Refused)));
    }

    /// No more lines come. The second word can only bring the end nearer.
    pub(super) fn finish(&mut self, until: Time) {
        self.phase = match self.phase {
            Phase::Ended => return,
            Phase::Ending(earlier) => Phase::Ending(earlier.min(until)),
            Phase::Serving | Phase::Failed => {
                let up = self.children.iter().enumerate().filter(|(_, child)| child.state == State::Up);
                self.out.extend(up.map(|(child, _)| Action::CloseInput { child }));
                Phase::Ending(until)
            }
        };
        self.refuse_all();
    }

    pub(super) fn end_children(&mut self, now: Time, until: Time) {
        self.refuse_all();
        if until <= now {
            for (number, child) in self.children.iter_mut().enumerate() {
                child.end(number, &mut self.out);
            }
        }
        if self.children.iter().all(|child| matches!(child.state, State::Down(_))) {
            self.phase = Phase::Ended;
            self.out.push(Action::Finished);
        }
    }
}

fn wait(before: u32, most: Duration) -> Duration {
    (RESTART_MIN * 2_u32.saturating_pow(before.min(10))).min(most)
}
