//! What handlers do: data, progress, their ends; and the clocks of their runs.

use super::runs::{Run, RunId, State, Why};
use super::stream::{Item, Next};
use super::{Action, Machine};
use crate::net::Order;
use crate::worker::Ending;
use proletariat_protocol::message::PeerMessage;
use proletariat_protocol::{HandBackReason, Payload, Time, WorkResult};

/// The message of a failed handler or crashed child is cut after so many bytes: it is for people.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a run that has stopped comes to.
enum Verdict {
    Finished(WorkResult, Payload),
    HandBack(HandBackReason),
    Crashed(String),
    Stopped,
}

impl Machine {
    pub(super) fn ended(&mut self, now: Time, id: RunId, ending: Ending) {
        let payload_bytes_max = self.session.as_ref().map_or(0, |session| session.payload_bytes_max);
        let Some(run) = self.runs.run_mut(id) else {
            return;
        };
        let verdict = match &run.state {
            State::Running => done(ending, payload_bytes_max),
            State::Stopping(why) => stopped(*why, ending, payload_bytes_max),
            State::Orphaned => return drop(self.runs.remove(id)),
            State::Flushing(..) => return,
        };
        if let Some(due) = run.limit.take() {
            self.limits.remove(&(due, id));
        }
        match verdict {
            Verdict::Finished(result @ (WorkResult::Done | WorkResult::Failed), payload)
                if run.stream.is_some() =>
            {
                run.state = State::Flushing(result, payload);
                self.advance_stream(now, id);
            }
            verdict => {
                let run = self.runs.remove(id).expect("it was there");
                self.report(now, &run, verdict);
            }
        }
    }

    fn report(&mut self, now: Time, run: &Run, verdict: Verdict) {
        let assignment = run.assignment;
        let message = match verdict {
            Verdict::Finished(result, payload) => {
                return self.reports.finished(now, assignment, result, payload, run.has_streamed);
            }
            Verdict::HandBack(reason) => {
                if run.state == State::Stopping(Why::Leaving) && !run.start_reported {
                    // It was stopped midway: the manager must not take it for one that never began.
                    self.reports.started_at_once(assignment);
                }
                return self.hand_back(assignment, reason);
            }
            Verdict::Crashed(message) => PeerMessage::Crashed { assignment, message },
            Verdict::Stopped => PeerMessage::Stopped { assignment },
        };
        self.reports.push(message, Vec::new(), Order::Keyed(assignment.0));
    }

    pub(super) fn data(&mut self, now: Time, id: RunId, payload: Payload) {
        let payload_bytes_max = self.session.as_ref().map_or(0, |session| session.payload_bytes_max);
        let bytes = payload.len();
        let Some(run) = self.runs.run_mut(id) else {
            return;
        };
        let is_wanted = matches!(run.state, State::Running | State::Stopping(Why::Leaving));
        match run.stream.as_deref_mut().filter(|_| is_wanted) {
            Some(_) if bytes as u64 > payload_bytes_max => {
                self.stop_run(id, Why::TooLarge);
                self.urgent.push(Action::Taken { run: id, bytes });
            }
            Some(stream) => {
                stream.push_data(payload);
                self.advance_stream(now, id);
            }
            None => self.urgent.push(Action::Taken { run: id, bytes }),
        }
    }

    pub(super) fn progress(&mut self, now: Time, id: RunId, done: u64, total: u64) {
        let run = self.runs.run_mut(id).filter(|run| run.state == State::Running);
        if let Some(stream) = run.and_then(|run| run.stream.as_deref_mut()) {
            stream.push_progress(done, total);
            self.advance_stream(now, id);
        }
    }

    /// Sends what may be sent of a run's data and progress, and its result if that was the last.
    pub(super) fn advance_stream(&mut self, now: Time, id: RunId) {
        loop {
            let Some(run) = self.runs.run_mut(id) else {
                return;
            };
            let is_ending = matches!(run.state, State::Flushing(..));
            let Some(stream) = run.stream.as_deref_mut() else {
                return;
            };
            match stream.next(now, is_ending) {
                Next::Send(item) => self.send_item(id, item),
                Next::Later(due) => {
                    self.progress_due.insert((due, id));
                    return;
                }
                Next::Empty if is_ending => return self.flushed(now, id),
                Next::Blocked | Next::Empty => return,
            }
        }
    }

    fn send_item(&mut self, id: RunId, item: Item) {
        let Some(run) = self.runs.run_mut(id) else {
            return;
        };
        let assignment = run.assignment;
        run.has_streamed = true;
        if !core::mem::replace(&mut run.start_reported, true) {
            self.reports.started_at_once(assignment);
        }
        let order = Order::Keyed(assignment.0);
        match item {
            Item::Data(payload) => {
                self.urgent.push(Action::Taken { run: id, bytes: payload.len() });
                let bytes = u32::try_from(payload.len()).expect("it was held against the payload limit");
                self.reports.push(PeerMessage::Data { assignment, bytes }, vec![payload], order);
            }
            Item::Progress { done, total } => {
                self.reports.push(PeerMessage::Progress { assignment, done, total }, Vec::new(), order);
            }
        }
    }

    fn flushed(&mut self, now: Time, id: RunId) {
        let Some(mut run) = self.runs.remove(id) else {
            return;
        };
        if let State::Flushing(result, payload) = core::mem::replace(&mut run.state, State::Running) {
            self.report(now, &run, Verdict::Finished(result, payload));
        }
    }

    /// Tells a handler to stop. The first reason counts, but the manager's word and our leaving go over a clock's.
    pub(super) fn stop_run(&mut self, id: RunId, why: Why) {
        let Some(run) = self.runs.run_mut(id) else {
            return;
        };
        match run.state {
            State::Running => {
                run.state = State::Stopping(why);
                if let Some(due) = run.limit.take() {
                    self.limits.remove(&(due, id));
                }
                self.urgent.push(Action::Cancel { run: id });
            }
            State::Stopping(_) if why == Why::Cancelled => run.state = State::Stopping(why),
            State::Stopping(_) | State::Flushing(..) | State::Orphaned => {}
        }
    }

    pub(super) fn fire_limits(&mut self, now: Time) {
        while let Some((_, id)) = self.limits.first().copied().filter(|(due, _)| *due <= now) {
            self.limits.pop_first();
            if let Some(run) = self.runs.run_mut(id) {
                run.limit = None;
            }
            self.stop_run(id, Why::RunLimit);
        }
    }

    pub(super) fn fire_progress(&mut self, now: Time) {
        while let Some((_, id)) = self.progress_due.first().copied().filter(|(due, _)| *due <= now) {
            self.progress_due.pop_first();
            self.advance_stream(now, id);
        }
    }

    /// Puts the clocks of runs on the lists that outlived the turn of their start. Most never come here.
    pub(super) fn settle(&mut self) {
        for id in self.fresh.drain(..) {
            let Some(run) = self.runs.run_mut(id) else {
                continue;
            };
            run.settled = true;
            run.limit.map(|due| self.limits.insert((due, id)));
            self.reports.started(run.started, id);
        }
    }
}

/// A run that ended by itself.
fn done(ending: Ending, payload_bytes_max: u64) -> Verdict {
    match ending {
        Ending::Done(payload) if payload.len() as u64 > payload_bytes_max => {
            let message = format!("a result of {} bytes, the limit is {payload_bytes_max}", payload.len());
            Verdict::Finished(WorkResult::TooLarge, message.into())
        }
        Ending::Done(payload) => Verdict::Finished(WorkResult::Done, payload),
        Ending::Failed(message) => {
            let most = usize::try_from(payload_bytes_max).unwrap_or(usize::MAX);
            Verdict::Finished(WorkResult::Failed, cut(message, most).into())
        }
        Ending::TooLarge(message) => {
            Verdict::Finished(WorkResult::TooLarge, cut(message, MESSAGE_BYTES_MAX).into())
        }
        Ending::HandBack(reason) => Verdict::HandBack(reason),
        Ending::Crashed(message) => Verdict::Crashed(cut(message, MESSAGE_BYTES_MAX)),
    }
}

/// A run that was told to stop.
fn stopped(why: Why, ending: Ending, payload_bytes_max: u64) -> Verdict {
    match (why, ending) {
        (Why::Cancelled, _) => Verdict::Stopped,
        (Why::RunLimit, _) => Verdict::Finished(WorkResult::RunTimeout, Payload::new()),
        (Why::TooLarge, _) => {
            let message = format!("a chunk of data over the limit of {payload_bytes_max} bytes");
            Verdict::Finished(WorkResult::TooLarge, message.into())
        }
        // It finished after all. Handing it back would do the work twice.
        (Why::Leaving, ending @ (Ending::Done(_) | Ending::TooLarge(_))) => done(ending, payload_bytes_max),
        // Whatever else it says now may come from being cancelled.
        (Why::Leaving, _) => Verdict::HandBack(HandBackReason::Leaving),
    }
}

fn cut(mut message: String, bytes_max: usize) -> String {
    let mut end = bytes_max.min(MESSAGE_BYTES_MAX);
    if message.len() > end {
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
    }
    message
}
