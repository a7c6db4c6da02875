//! The machine in virtual time, with the manager's end played by hand.

use super::*;
use proletariat_protocol::{JobId, Payload};
use std::time::Duration;

mod aborts;
mod calls;
mod clocks;
mod crowds;
mod notes;
mod refusals;
mod sending;
mod sessions;
mod streams;

const GROUP: GroupId = GroupId(0);
const LIMIT: u64 = 1 << 20;

struct World {
    machine: Machine,
    now: Time,
    /// Deliveries, in order.
    told: Vec<(GroupId, u64, Outcome)>,
    /// What goes to the manager, and everything else.
    actions: Vec<Action>,
    finished: Vec<GroupId>,
}

impl World {
    fn new() -> Self {
        let machine = Machine::new();
        Self {
            machine,
            now: Time::from_millis(1),
            told: Vec::new(),
            actions: Vec::new(),
            finished: Vec::new(),
        }
    }

    fn connected() -> Self {
        let mut world = Self::new();
        world.up();
        world
    }

    fn handle(&mut self, event: Event) {
        self.machine.handle(self.now, event);
        self.turn();
    }

    fn turn(&mut self) {
        self.turn_with_room(usize::MAX);
    }

    fn turn_with_room(&mut self, room: usize) {
        let mut actions = Vec::new();
        self.machine.poll(self.now, room, &mut actions);
        for action in actions {
            match action {
                Action::Deliver { group, index, outcome } => self.told.push((group, index, outcome)),
                Action::Finished { group } => self.finished.push(group),
                other => self.actions.push(other),
            }
        }
        self.machine.audit();
    }

    /// Lets the time pass from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.machine.next_deadline().filter(|&due| due <= end) {
            assert!(due > self.now || self.machine.next_deadline() == Some(due));
            self.now = self.now.max(due);
            self.machine.expire(self.now);
            self.turn();
            assert!(self.machine.next_deadline() != Some(due), "a deadline that does not go away");
        }
        self.now = end;
    }

    fn up(&mut self) {
        self.handle(Event::LinkUp { payload_bytes_max: LIMIT });
    }

    fn down(&mut self) {
        let why = JobError::new(ErrorCode::Shutdown, "lost");
        self.handle(Event::LinkDown { why, last: false });
    }

    fn open(&mut self, group: GroupId, options: JobOptions, payloads: &[&'static str]) {
        let jobs = payloads.iter().map(|payload| job(payload)).collect();
        self.handle(Event::Opened { group, options, jobs, open: false });
    }

    fn ended(&mut self, number: u64, result: &'static str) {
        self.handle(Event::Ended {
            job: JobId(number),
            outcome: Ok(Payload::from_static(result.as_bytes())),
        });
    }

    fn refused(&mut self, first: u64, count: u64, code: ErrorCode, retry_after_ms: u32) {
        let error = JobError::new(code, "no");
        self.handle(Event::Refused { first: JobId(first), count, error, retry_after_ms });
    }

    /// The submits since the last call: (first number, payloads as text, options).
    fn submits(&mut self) -> Vec<(u64, Vec<String>, JobOptions)> {
        let mut submits = Vec::new();
        self.actions.retain(|action| {
            let Action::Submit(submit) = action else { return true };
            let text = |payload: &Payload| String::from_utf8(payload.to_vec()).unwrap();
            let payloads = submit.payloads.iter().map(text).collect();
            submits.push((submit.first.0, payloads, submit.options.clone()));
            false
        });
        submits
    }

    fn sent(&mut self) -> Vec<(u64, Vec<String>)> {
        self.submits().into_iter().map(|(first, payloads, _)| (first, payloads)).collect()
    }

    fn codes(&self) -> Vec<(u64, Option<ErrorCode>)> {
        self.told.iter().map(|(_, index, outcome)| (*index, outcome.as_ref().err().map(|e| e.code))).collect()
    }
}

fn job(payload: &'static str) -> Job {
    Job { payload: Payload::from_static(payload.as_bytes()), own: None }
}

fn plain() -> JobOptions {
    JobOptions::default()
}

fn texts(payloads: &[&str]) -> Vec<String> {
    payloads.iter().map(|&payload| payload.to_owned()).collect()
}
