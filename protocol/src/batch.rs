//! A message of many entries in the making.
//!
//! Executions for one worker, or ends of jobs for one client, come one by one and leave as one message. Each is encoded as it
//! comes, and its payload copied behind those before it; what only the end can tell, the number of entries and the length of
//! the frame, is filled in then.

use crate::codec::encode_entry;
use crate::frame::{LENGTH_BYTES, TYPE_BYTES, frame_length_bytes, put_message_start};
use crate::message::{AssignedExecution, JobOutcome, ManagerMessage};
use bytes::BytesMut;
use serde::Serialize;

/// Bytes of the number of entries, which is the last thing in the head of an empty message.
const COUNT_BYTES: usize = 8;

/// What a batch is of: one kind of entry at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchOf {
    /// Executions for a worker.
    Executions,
    /// Ends of jobs for a client.
    Outcomes,
}

/// Entries of one message.
#[derive(Debug, Default)]
pub struct Batch {
    of: Option<BatchOf>,
    head: BytesMut,
    tail: BytesMut,
    entries: u64,
}

impl Batch {
    /// What it holds entries of; `None`: it is empty.
    #[must_use]
    pub fn of(&self) -> Option<BatchOf> {
        self.of
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Its size as a frame so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Memory that it holds, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.head.capacity() + self.tail.capacity()
    }

    /// One more execution. `execution.bytes` is the length of the payload.
    ///
    /// # Panics
    /// When there are other entries in it.
    #[inline]
    pub fn push_execution(&mut self, execution: &AssignedExecution<&str>, payload: &[u8]) {
        self.begin(BatchOf::Executions, || ManagerMessage::Assign { executions: Vec::new() });
        self.push(execution, payload);
    }

    /// One more end of a job. `outcome.bytes` is the length of the payload.
    ///
    /// # Panics
    /// When there are other entries in it.
    #[inline]
    pub fn push_outcome(&mut self, outcome: &JobOutcome, payload: &[u8]) {
        self.begin(BatchOf::Outcomes, || ManagerMessage::Outcomes { jobs: Vec::new() });
        self.push(outcome, payload);
    }

    /// The whole frame, in two parts; the batch is empty when it is asked to [`clear`](Self::clear) itself.
    ///
    /// # Panics
    /// When it has grown beyond what a frame may have: its owner looks at [`bytes`](Self::bytes).
    #[inline]
    pub fn frame(&mut self) -> (&[u8], &[u8]) {
        let content = self.bytes() - LENGTH_BYTES - TYPE_BYTES;
        self.head[..LENGTH_BYTES].copy_from_slice(&frame_length_bytes(content));
        let count = LENGTH_BYTES + TYPE_BYTES + size_of::<u32>();
        self.head[count..][..COUNT_BYTES].copy_from_slice(&self.entries.to_le_bytes());
        (&self.head, &self.tail)
    }

    /// Without entries again; its memory is kept for the next ones.
    pub fn clear(&mut self) {
        self.of = None;
        self.head.clear();
        self.tail.clear();
        self.entries = 0;
    }

    fn begin(&mut self, of: BatchOf, empty: impl FnOnce() -> ManagerMessage) {
        if self.of.is_none() {
            put_message_start(&mut self.head, &empty());
            self.of = Some(of);
        }
        assert_eq!(self.of, Some(of), "a message has entries of one kind");
    }

    fn push(&mut self, entry: &impl Serialize, payload: &[u8]) {
        encode_entry(entry, &mut self.head);
        self.tail.extend_from_slice(payload);
        self.entries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::split_body;
    use crate::job::OutcomeKind;
    use crate::{AssignmentId, ErrorCode, JobId};

    fn message(batch: &mut Batch) -> (ManagerMessage, Vec<u8>) {
        let (head, tail) = batch.frame();
        let frame = [head, tail].concat();
        let length = u32::from_be_bytes(frame[..4].try_into().unwrap());
        assert_eq!(length as usize, frame.len() - 4);
        let (message, tail) = split_body::<ManagerMessage>(&frame[5..]).unwrap();
        (message, tail.to_vec())
    }

    #[test]
    fn entries_become_the_message_that_they_are_of() {
        let mut batch = Batch::default();
        assert_eq!((batch.of(), batch.entries()), (None, 0));
        for (kind, payload) in [(None, &b"one"[..]), (Some("mult"), b""), (Some("add"), b"three")] {
            let execution = AssignedExecution {
                assignment: AssignmentId(7),
                bytes: payload.len() as u32,
                attempt: 2,
                priority: 3,
                run_limit_ms: 4,
                rest_ms: 5,
                kind,
                stream: true,
            };
            batch.push_execution(&execution, payload);
        }
        assert_eq!((batch.of(), batch.entries()), (Some(BatchOf::Executions), 3));
        let (assign, tail) = message(&mut batch);
        let ManagerMessage::Assign { executions } = assign else { panic!("{assign:?}") };
        let kinds: Vec<Option<&str>> = executions.iter().map(|execution| execution.kind.as_deref()).collect();
        assert_eq!(kinds, [None, Some("mult"), Some("add")]);
        assert!(executions.iter().all(|e| (e.attempt, e.rest_ms, e.stream) == (2, 5, true)));
        assert_eq!(tail, b"onethree");

        batch.clear();
        assert_eq!((batch.of(), batch.entries(), batch.bytes()), (None, 0, 0));
        let failed = OutcomeKind::Error(ErrorCode::WorkFailed);
        for (n, outcome) in [OutcomeKind::Result, failed].into_iter().enumerate() {
            batch.push_outcome(&JobOutcome { job: JobId(n as u64), outcome, bytes: 1 }, b"x");
        }
        let (outcomes, tail) = message(&mut batch);
        let ManagerMessage::Outcomes { jobs } = outcomes else { panic!("{outcomes:?}") };
        assert_eq!(jobs.iter().map(|job| job.outcome).collect::<Vec<_>>(), [OutcomeKind::Result, failed]);
        assert_eq!(tail, b"xx");
    }

    #[test]
    #[should_panic(expected = "one kind")]
    fn a_message_has_entries_of_one_kind() {
        let mut batch = Batch::default();
        batch.push_outcome(&JobOutcome { job: JobId(1), outcome: OutcomeKind::Result, bytes: 0 }, b"");
        let execution = AssignedExecution {
            assignment: AssignmentId(7),
            bytes: 0,
            attempt: 1,
            priority: 0,
            run_limit_ms: 0,
            rest_ms: 0,
            kind: None,
            stream: false,
        };
        batch.push_execution(&execution, b"");
    }
}
