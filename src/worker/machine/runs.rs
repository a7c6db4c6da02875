//! The runs of this worker: one for each slot that is held.
//!
//! A run has a number of its own ([`RunId`]) beside the manager's: a handler that ignores its cancellation outlives its
//! session, and the next manager may count its assignments anew.

use super::stream::Stream;
use hashbrown::HashMap;
use proletariat_protocol::{AssignmentId, Payload, Time, WorkResult};

/// A run on this worker, by place and generation; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RunId {
    index: u32,
    generation: u32,
}

impl RunId {
    /// As one number, for whoever knows runs by numbers.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// What [`to_bits`](Self::to_bits) made.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        let half = |bits: u64| u32::try_from(bits & u64::from(u32::MAX)).expect("32 bits are left");
        Self { index: half(bits), generation: half(bits >> 32) }
    }
}

/// What a run is doing.
///
/// ```text
///             ended                                   chunks sent
///  Running ──────────────► Flushing (only with chunks) ──────────► gone
///     │ cancelled, limit, drain
///     ▼            ended
///  Stopping ─────────────► gone (or Flushing)
///     │ session lost (from Running too)
///     ▼
///  Orphaned ── ended ────► gone, nothing is told
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum State {
    Running,
    Stopping(Why),
    /// The handler has ended, but chunks before its result wait for credit.
    Flushing(WorkResult, Payload),
    Orphaned,
}

/// Why a handler was told to stop; decides what is reported when it has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// The manager said so.
    Cancelled,
    /// The run limit passed.
    RunLimit,
    /// A chunk was over the payload limit.
    TooLarge,
    /// The drain timeout passed.
    Leaving,
}

#[derive(Debug)]
pub(super) struct Run {
    pub assignment: AssignmentId,
    pub state: State,
    pub started: Time,
    /// When the run limit passes.
    pub limit: Option<Time>,
    /// When the whole call ends.
    pub rest: Option<Time>,
    /// It outlived the turn of its start: its limit and its start report are on the lists.
    pub settled: bool,
    pub start_reported: bool,
    /// Data or progress was sent: its result must not overtake that.
    pub has_streamed: bool,
    /// Only where somebody listens.
    pub stream: Option<Box<Stream>>,
}

impl Run {
    pub(super) fn deadline(&self) -> Option<Time> {
        match (self.limit, self.rest) {
            (Some(limit), Some(rest)) => Some(limit.min(rest)),
            (limit, rest) => limit.or(rest),
        }
    }

    fn is_orphaned(&self) -> bool {
        self.state == State::Orphaned
    }
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    run: Option<Run>,
}

/// The table. Every run in it holds a slot.
#[derive(Debug, Default)]
pub(super) struct Runs {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Runs of this session.
    by_assignment: HashMap<AssignmentId, RunId, foldhash::fast::FixedState>,
    orphans: usize,
}

impl Runs {
    /// Gives back the room that is not in use.
    pub(super) fn shrink(&mut self) {
        self.places.shrink_to_fit();
        self.free.shrink_to_fit();
        self.by_assignment.shrink_to_fit();
    }

    /// Runs of this session.
    pub(super) fn active(&self) -> usize {
        self.by_assignment.len()
    }

    /// Runs of lost sessions whose work has not stopped.
    pub(super) fn orphans(&self) -> usize {
        self.orphans
    }

    pub(super) fn is_empty(&self) -> bool {
        self.active() == 0 && self.orphans == 0
    }

    pub(super) fn insert(&mut self, run: Run) -> RunId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).expect("there are at most two offers' worth of runs")
        });
        let place = &mut self.places[index as usize];
        assert!(place.run.is_none(), "a free place holds a run");
        let id = RunId { index, generation: place.generation };
        let before = self.by_assignment.insert(run.assignment, id);
        assert!(before.is_none(), "an assignment runs twice");
        place.run = Some(run);
        id
    }

    pub(super) fn find(&self, assignment: AssignmentId) -> Option<RunId> {
        self.by_assignment.get(&assignment).copied()
    }

    pub(super) fn run(&self, id: RunId) -> Option<&Run> {
        let place = self.places.get(id.index as usize)?;
        place.run.as_ref().filter(|_| place.generation == id.generation)
    }

    pub(super) fn run_mut(&mut self, id: RunId) -> Option<&mut Run> {
        let place = self.places.get_mut(id.index as usize)?;
        place.run.as_mut().filter(|_| place.generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: RunId) -> Option<Run> {
        self.run(id)?;
        let place = &mut self.places[id.index as usize];
        let run = place.run.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(id.index);
        if run.is_orphaned() {
            self.orphans -= 1;
        } else {
            self.by_assignment.remove(&run.assignment);
        }
        Some(run)
    }

    /// The session is lost: every run is an orphan now, except those whose work has stopped already; these are gone.
    pub(super) fn orphan_all(&mut self) {
        for id in self.ids() {
            match self.run_mut(id) {
                Some(Run { state: State::Flushing(..), .. }) => drop(self.remove(id)),
                Some(run) if !run.is_orphaned() => {
                    run.state = State::Orphaned;
                    run.stream = None;
                    self.orphans += 1;
                }
                _ => {}
            }
        }
        self.by_assignment.clear();
    }

    /// All of them, in the order of their places.
    pub(super) fn ids(&self) -> Vec<RunId> {
        let taken = |(index, place): (usize, &Place)| {
            place.run.as_ref()?;
            Some(RunId { index: u32::try_from(index).ok()?, generation: place.generation })
        };
        self.places.iter().enumerate().filter_map(taken).collect()
    }

    /// Panics if the tables disagree.
    pub(super) fn audit(&self) {
        let taken: Vec<&Run> = self.places.iter().filter_map(|place| place.run.as_ref()).collect();
        assert_eq!(taken.len(), self.active() + self.orphans, "runs and their count disagree");
        assert_eq!(taken.len() + self.free.len(), self.places.len(), "a place is lost");
        assert_eq!(taken.iter().filter(|run| run.is_orphaned()).count(), self.orphans);
        for (assignment, id) in &self.by_assignment {
            let run = self.run(*id).expect("an assignment points to no run");
            assert_eq!(run.assignment, *assignment);
            assert!(!run.is_orphaned());
        }
    }
}
