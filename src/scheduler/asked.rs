//! What an adapter for another dialect may ask. Looking changes nothing.

use crate::machine::Scheduler;
use crate::submission::SHUTDOWN_RETRY;
use crate::tables::AssignmentKey;
use alloc::string::{String, ToString};
use core::time::Duration;
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, PeerId, Time};

impl Scheduler {
    /// The earliest job that waits for an assignment, by its client and its number there. `None` once nobody waits.
    #[must_use]
    pub fn caller_of(&self, assignment: AssignmentId) -> Option<(PeerId, JobId)> {
        let key = AssignmentKey((assignment.0 & u64::from(u32::MAX)) as u32);
        let row = self.assignments.get(key).filter(|row| row.id == assignment)?;
        Some(self.caller(self.first_job(row.execution()?)))
    }

    /// Why so many more jobs of a client would not be accepted now, and when to try again. `bytes` are those of payloads, kinds
    /// and shared keys, and of what a dialect keeps for jobs itself. For a dialect whose one message becomes several submits, since a message is accepted or refused whole.
    #[must_use]
    pub fn refusal(
        &self,
        now: Time,
        client: PeerId,
        jobs: u64,
        bytes: u64,
    ) -> Option<(ErrorCode, String, Duration)> {
        if self.draining {
            return Some((ErrorCode::Shutdown, ErrorCode::Shutdown.advice().to_string(), SHUTDOWN_RETRY));
        }
        let (message, wait) = self.reached_bound(now, self.peers.find(client)?, jobs, bytes)?;
        Some((ErrorCode::Overload, message, wait))
    }

    /// Whether it takes no new jobs any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining
    }
}
