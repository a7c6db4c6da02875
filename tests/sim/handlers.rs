//! Handlers: each run takes its time, may stream, and ends in one of the ways in which handlers end; some go on for a while
//! after they were told to stop.

use crate::environment::{Environment, Happening};
use crate::jobs;
use proletariat::worker::Ending;
use proletariat::worker::machine::{Event, RunId, Start};
use proletariat_protocol::{HandBackReason, Payload, Time};
use std::collections::BTreeMap;

/// What runs on one worker.
pub struct Handlers {
    host: usize,
    process: u64,
    runs: BTreeMap<RunId, Run>,
}

struct Run {
    job: usize,
    tag: u64,
    nonce: u64,
    chunks: u32,
    sent: u32,
    ending: Ending,
    cancelled: bool,
    /// The end that was planned before the cancellation is void until then.
    due: u64,
}

impl Handlers {
    pub fn new(host: usize, process: u64) -> Self {
        Self { host, process, runs: BTreeMap::new() }
    }

    pub fn running(&self) -> usize {
        self.runs.len()
    }

    fn later(&mut self, env: &mut Environment, run: RunId, micros: u64) {
        let (host, process) = (self.host, self.process);
        if let Some(found) = self.runs.get_mut(&run) {
            found.due = env.now.0 + micros;
        }
        env.after(micros, Happening::Handler { host, process, run });
    }

    pub fn start(&mut self, env: &mut Environment, start: Start) {
        let (job, tag) = jobs::read(&start.payload);
        env.note(|| format!("host {} starts job {job}, attempt {}", self.host, start.attempt));
        let nonce = match env.jobs.started(job) {
            Ok(nonce) => nonce,
            Err(why) => return env.books.violate("at most once", || why),
        };
        let ending = draw_ending(env, tag);
        let chunks = if start.stream { env.random.below(5) as u32 } else { 0 };
        let longest = if env.healed { 20 } else { env.options.handlers.millis };
        let wait = if env.random.percent(20) { 0 } else { env.random.below(longest * 1_000) };
        let run = Run { job, tag, nonce, chunks, sent: 0, ending, cancelled: false, due: 0 };
        self.runs.insert(start.run, run);
        self.later(env, start.run, wait);
    }

    pub fn cancel(&mut self, env: &mut Environment, run: RunId) {
        let Some(found) = self.runs.get_mut(&run) else { return };
        found.cancelled = true;
        let stubborn = env.random.percent(env.options.handlers.stubborn) && !env.healed;
        let wait = if stubborn { env.random.below(10_000_000) } else { env.random.below(20_000) };
        self.later(env, run, wait);
    }

    /// A chunk has left: the next one may follow.
    pub fn taken(&mut self, env: &mut Environment, run: RunId) {
        if self.runs.get(&run).is_some_and(|run| !run.cancelled) {
            let wait = env.random.below(5_000);
            self.later(env, run, wait);
        }
    }

    /// The process is stopped until then, and its handlers with it.
    pub fn postpone(&mut self, env: &mut Environment, run: RunId, until: Time) {
        if self.runs.get(&run).is_some_and(|run| run.due == env.now.0) {
            self.later(env, run, until.0 - env.now.0);
        }
    }

    /// A handler goes on: with a chunk, or to its end.
    pub fn step(&mut self, env: &mut Environment, id: RunId) -> Option<Event> {
        let run = self.runs.get_mut(&id).filter(|run| run.due == env.now.0)?;
        if run.sent < run.chunks && !run.cancelled {
            let mut chunk = run.nonce.to_be_bytes().to_vec();
            chunk.extend(u64::from(run.sent).to_be_bytes());
            chunk.resize(*env.random.pick(&[16, 500, 40_000]), 0);
            run.sent += 1;
            return Some(Event::Data { run: id, payload: chunk.into() });
        }
        let run = self.runs.remove(&id).expect("looked at above");
        match &run.ending {
            Ending::HandBack(why) => env.jobs.undone(run.job, run.nonce, *why),
            Ending::Failed(_) => {
                env.jobs.failed.insert(run.tag);
            }
            Ending::Done(_) | Ending::TooLarge(_) | Ending::Crashed(_) => {}
        }
        env.note(|| format!("host {}: run of job {} ends: {:?}", self.host, run.job, run.ending));
        Some(Event::Ended { run: id, ending: run.ending })
    }
}

fn draw_ending(env: &mut Environment, tag: u64) -> Ending {
    let options = env.options.handlers.clone();
    let mut hits = |percent: u64| !env.healed && env.random.percent(percent);
    if hits(options.fail) {
        return Ending::Failed("it did not work".into());
    }
    if hits(options.hand_back) {
        use HandBackReason::{Busy, Leaving, NotMyKind, Unfit};
        return Ending::HandBack(*env.random.pick(&[Busy, Unfit, NotMyKind, Leaving]));
    }
    if hits(options.crash) {
        return Ending::Crashed("it crashed".into());
    }
    Ending::Done(Payload::from(jobs::answer(tag)))
}
