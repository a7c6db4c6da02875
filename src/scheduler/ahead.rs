//! What is about to be spoken of is brought near to the processor.
//!
//! Among thousands of workers the rows of an assignment and of its execution are far away when its result comes, and a result is
//! looked at only when the one before it is done with. Looked at together, all rows that a message speaks of come at the
//! time of one.

use crate::machine::Scheduler;
use crate::tables::{AssignmentKey, ExecutionKey};
use core::hint::black_box;
use proletariat_protocol::AssignmentId;

/// Rows of fewer assignments are near in any case.
const FAR_MIN: usize = 4_096;

impl Scheduler {
    /// Results of these assignments come next. Nothing happens to them yet; told or not, all is the same but the time that it takes.
    pub fn look_ahead(&self, assignments: impl Iterator<Item = AssignmentId> + Clone) {
        if self.assignments.len() < FAR_MIN {
            return;
        }
        let row = |id: AssignmentId| self.assignments.get(AssignmentKey((id.0 & u64::from(u32::MAX)) as u32));
        // Each loop waits for nothing that it has found, so its loads are under way at the same time.
        black_box(assignments.clone().filter_map(row).map(|row| row.id.0).fold(0, u64::wrapping_add));
        let executions = assignments.filter_map(row).filter_map(|row| row.execution());
        let rows = executions.filter_map(|execution| self.work.find_pair(execution));
        black_box(
            rows.map(|(job, row)| (job.map_or(0, |job| job.number), row.payload.len()))
                .fold(0, |sum: u64, (number, bytes)| sum.wrapping_add(number).wrapping_add(bytes as u64)),
        );
    }

    /// These executions are given to workers next, and so their payloads are copied soon.
    pub(crate) fn look_ahead_at_payloads(&self, executions: &[ExecutionKey]) {
        if self.assignments.len() < FAR_MIN {
            return;
        }
        let payloads = executions.iter().map(|execution| {
            let (bytes, place) = self.work[*execution].payload.whereabouts();
            self.payloads.bytes_at(bytes, place)
        });
        black_box(payloads.filter_map(<[u8]>::first).fold(0, |sum: u8, byte| sum.wrapping_add(*byte)));
    }
}
