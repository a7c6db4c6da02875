//! What is about to be spoken of is brought near to the processor.
//!
//! Among thousands of workers the rows of an assignment and of its execution are far away when its result comes, and so is what has
//! waited long when its turn comes. What is named ahead of time comes while other things are done, and all of it at the same time.

use crate::machine::Scheduler;
use crate::tables::{AssignmentKey, FifoKey, PeerKey};
use proletariat_protocol::AssignmentId;

/// Rows of fewer assignments, or with fewer newer ones, are near in any case.
const FAR_MIN: usize = 4_096;
/// So many executions of a line are brought near at most.
const LINE_MAX: usize = 128;

impl Scheduler {
    /// Results of these assignments come next. Nothing happens to them yet; told or not, all is the same but the time that it takes.
    pub fn look_ahead(&self, assignments: impl Iterator<Item = AssignmentId> + Clone) {
        if self.assignments.len() < FAR_MIN {
            return;
        }
        let keys = assignments.map(|id| AssignmentKey((id.0 & u64::from(u32::MAX)) as u32));
        keys.clone().for_each(|key| self.assignments.prefetch(key));
        let executions = keys.filter_map(|key| self.assignments.get(key)?.execution());
        executions.clone().for_each(|execution| self.work.prefetch(execution));
        for (job, _) in executions.filter_map(|execution| self.work.find_pair(execution)) {
            if let Some(job) = job {
                self.peers[job.client].jobs.prefetch(job.number);
            }
        }
    }

    /// So many executions have left a line, and as many leave it next time, after other things. So many others may have come since
    /// they did that they are far away: so it is with what waits while more urgent work overtakes it, and with a backlog.
    pub(crate) fn look_ahead_in_line(&self, line: FifoKey, owner: PeerKey, gone: usize) {
        let Some(newer) = self.lines.first_ticket(line).map(|first| self.counts.tickets.wrapping_sub(first))
        else {
            return;
        };
        if newer < FAR_MIN as u32 {
            return;
        }
        // The rows of those after the next come first, so that the rows of the next, which are here by now, tell what hangs on them.
        let count = gone.min(LINE_MAX);
        let client = self.peers.get(owner);
        let mut coming = self.lines.coming(line);
        for (job, row) in coming.by_ref().take(count).filter_map(|execution| self.work.find_pair(execution)) {
            let (bytes, place) = row.payload.whereabouts();
            self.payloads.prefetch(bytes, place);
            if let (Some(job), Some(client)) = (job, client) {
                client.jobs.prefetch(job.number);
            }
        }
        coming.take(count).for_each(|execution| self.work.prefetch(execution));
    }
}
