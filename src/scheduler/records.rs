//! The rows of the tables. Millions of the first two may wait, so every byte of them is counted.

use crate::ledger::Slot;
use crate::tables::{AssignmentKey, ExecutionKey, KindKey, PeerKey, Stored};
use core::num::NonZeroU64;
use proletariat_protocol::{AssignmentId, JobOptions, Time};

/// One job: what its caller waits for.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) client: PeerKey,
    /// The client's number of it.
    pub(crate) number: u64,
    /// Place in the order of arrival; also tells this job from others that had or will have this row.
    /// Never 0, which is what lets a table row tell an empty place without a byte more.
    pub(crate) arrival: NonZeroU64,
    /// When it came.
    pub(crate) arrived: Time,
    /// The longest call, in milliseconds; 0: any.
    pub(crate) timeout_ms: u32,
    /// Milliseconds; 0: none; [`NO_WAIT`]: it does not wait at all.
    pub(crate) assign_timeout_ms: u32,
    /// Milliseconds; 0: none.
    pub(crate) run_timeout_ms: u32,
}

/// Stands in the place of an assign timeout for a job that fails at once instead of waiting: over every clock, and no
/// byte more.
pub(crate) const NO_WAIT: u32 = u32::MAX;

impl Job {
    /// The longest wait for a worker, in milliseconds.
    pub(crate) fn assign_timeout_ms(&self) -> Option<u64> {
        (self.waits() && self.assign_timeout_ms > 0).then_some(u64::from(self.assign_timeout_ms))
    }

    /// Whether it waits for a worker when there is none.
    pub(crate) fn waits(&self) -> bool {
        self.assign_timeout_ms != NO_WAIT
    }

    /// When its whole call is over; [`Time::NEVER`] if it may last.
    pub(crate) fn deadline(&self) -> Time {
        match self.timeout_ms {
            0 => Time::NEVER,
            timeout => self.arrived.plus_millis(u64::from(timeout)),
        }
    }

    /// Its place in the order of arrival.
    pub(crate) fn sequence(&self) -> u64 {
        self.arrival.get()
    }
}

/// One run of work, waiting or under way, and the jobs that wait for it.
///
/// ```text
/// Queued ⇄ Parked            nobody may take it for a pause
/// Queued → Assigned          → removed with its last job
/// Assigned → Queued          its worker was lost, or handed it back
/// Held → Queued              the work of the same key before it has stopped
/// ```
#[derive(Debug)]
pub(crate) struct Execution {
    pub(crate) payload: Stored,
    /// See [`place`](Self::place).
    whereabouts: u32,
    /// Of the highest job that waits for it.
    pub(crate) priority: u32,
    pub(crate) kind: KindKey,
    /// A fresh one each time it enters a waiting line; entries with another ticket are void.
    pub(crate) ticket: u32,
    /// Workers lost so far.
    pub(crate) losses: u16,
    /// As many end it; 0: no limit.
    pub(crate) losses_max: u16,
    pub(crate) flags: Flags,
}

/// [`Place`] in four bytes: the key of an assignment, or one of these.
const PARKED: u32 = u32::MAX;
const QUEUED: u32 = u32::MAX - 1;
const HELD: u32 = u32::MAX - 2;

impl Execution {
    /// One that is in no line yet.
    pub(crate) fn new(
        payload: Stored,
        kind: KindKey,
        options: &JobOptions,
        losses_max: u16,
        shared: bool,
    ) -> Self {
        Self {
            payload,
            whereabouts: PARKED,
            priority: options.priority,
            kind,
            ticket: 0,
            losses: 0,
            losses_max,
            flags: Flags { shared, stream: options.stream },
        }
    }

    pub(crate) fn place(&self) -> Place {
        match self.whereabouts {
            PARKED => Place::Parked,
            QUEUED => Place::Queued,
            HELD => Place::Held,
            key => Place::Assigned(AssignmentKey(key)),
        }
    }

    pub(crate) fn set_place(&mut self, place: Place) {
        self.whereabouts = match place {
            Place::Parked => PARKED,
            Place::Queued => QUEUED,
            Place::Held => HELD,
            Place::Assigned(key) => {
                assert!(key.0 < HELD, "as many assignments as slots, which are fewer");
                key.0
            }
        };
    }
}

/// Where an execution is. Exactly one place at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In its waiting line.
    Queued,
    /// Set aside until a pause is over.
    Parked,
    /// Waits until the stopping work of the same key has stopped.
    Held,
    /// With a worker.
    Assigned(AssignmentKey),
}

/// What is so about an execution.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Flags {
    /// It has a key, and a row in the table of similar work.
    pub(crate) shared: bool,
    /// Somebody wants data and progress.
    pub(crate) stream: bool,
}

/// An execution with a worker. It owns its slot.
#[derive(Debug)]
pub(crate) struct Assignment {
    pub(crate) id: AssignmentId,
    pub(crate) worker: PeerKey,
    pub(crate) slot: Slot,
    pub(crate) kind: KindKey,
    pub(crate) sent_at: Time,
    /// When its last byte left; never: not yet.
    pub(crate) left_at: Time,
    pub(crate) state: Run,
    /// The run limit that the worker was told, in milliseconds; 0: none.
    pub(crate) told_limit_ms: u32,
    /// Whether the jobs that wait have ever allowed it another limit than at first.
    pub(crate) limit_moved: bool,
    /// Its place in the worker's list.
    pub(crate) position: u32,
}

/// ```text
/// Sent → Started → Stopping → gone
///      ↘__________↗
/// ```
/// An assignment goes with its result, hand-back, crash, confirmed stop, or with its worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Run {
    /// The worker has not reported a start.
    Sent(ExecutionKey),
    /// The handler runs.
    Started(ExecutionKey, Time),
    /// The work is no longer wanted; the slot is held until it has stopped. An execution of the same key may wait.
    Stopping { since: Time, successor: ExecutionKey },
}

impl Assignment {
    /// The execution, unless it is no longer wanted.
    pub(crate) fn execution(&self) -> Option<ExecutionKey> {
        match self.state {
            Run::Sent(execution) | Run::Started(execution, _) => Some(execution),
            Run::Stopping { .. } => None,
        }
    }

    /// When the run began, as far as it is known.
    pub(crate) fn started(&self) -> Option<Time> {
        match self.state {
            Run::Started(_, at) => Some(at),
            Run::Sent(_) | Run::Stopping { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tables::JobKey;

    #[test]
    fn a_waiting_job_costs_at_most_84_bytes_beside_its_payload() {
        // The row of both, its place in the line, its entry in the client's numbers.
        let records = crate::work::ROW_BYTES + size_of::<crate::waiting::Entry>() + size_of::<JobKey>();
        assert!(records <= 84, "{records} bytes");
    }
}
