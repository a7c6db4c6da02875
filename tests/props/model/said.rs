//! What the scheduler says, in a form that can be compared: one entry a job, no sentences for people.

use super::{JobRef, Model, Verdict};
use proletariat_protocol::{AssignmentId, ErrorCode, JobId, MessageId, Payload, PeerId};
use proletariat_scheduler::{Action, Outcome};

/// How a job ended.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    Result(Payload),
    /// A code; for `EWORK` with the handler's message.
    Error(ErrorCode, Option<Payload>),
    /// Any of these codes: the specification does not say which comes first.
    Either(ErrorCode, ErrorCode),
}

impl Ending {
    pub fn error(code: ErrorCode) -> Self {
        Self::Error(code, None)
    }
}

/// One thing said.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Said {
    Ended { client: PeerId, job: JobId, ending: Ending },
    Data { client: PeerId, job: JobId, payload: Payload },
    Progress { client: PeerId, job: JobId, done: u64, total: u64 },
    Restarted { client: PeerId, job: JobId },
    Cancel { worker: PeerId, assignment: AssignmentId },
    AcceptOffer { worker: PeerId },
    RefuseOffer { worker: PeerId },
    ConfirmWithdrawal { worker: PeerId },
    Message { to: PeerId, from: PeerId, content: Payload },
    Report { to: PeerId, id: MessageId, sent_to: u32, received_by: u32 },
    Disconnect { peer: PeerId },
}

impl Said {
    fn to(&self) -> PeerId {
        match *self {
            Self::Ended { client: to, .. }
            | Self::Data { client: to, .. }
            | Self::Progress { client: to, .. }
            | Self::Restarted { client: to, .. }
            | Self::Cancel { worker: to, .. }
            | Self::AcceptOffer { worker: to }
            | Self::RefuseOffer { worker: to }
            | Self::ConfirmWithdrawal { worker: to }
            | Self::Message { to, .. }
            | Self::Report { to, .. }
            | Self::Disconnect { peer: to } => to,
        }
    }
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Result(payload) => Ending::Result(payload.clone()),
        Outcome::Error(ErrorCode::WorkFailed, message) => {
            Ending::Error(ErrorCode::WorkFailed, Some(message.clone()))
        }
        Outcome::Error(code, _) => Ending::error(*code),
    }
}

/// The actions as things said. Assignments, run limits, acceptances and grants have checks of their own.
fn said(action: &Action) -> Vec<Said> {
    let one = match action {
        Action::Deliver { client, job, outcome } => {
            Said::Ended { client: *client, job: *job, ending: ending(outcome) }
        }
        Action::Refuse { client, first, count, code, .. } => {
            let ended = |n| Said::Ended { client: *client, job: first.plus(n), ending: Ending::error(*code) };
            return (0..*count).map(ended).collect();
        }
        Action::Data { client, job, payload } => {
            Said::Data { client: *client, job: *job, payload: payload.clone() }
        }
        Action::Progress { client, job, done, total } => {
            Said::Progress { client: *client, job: *job, done: *done, total: *total }
        }
        Action::Restarted { client, job } => Said::Restarted { client: *client, job: *job },
        Action::Cancel { worker, assignment } => Said::Cancel { worker: *worker, assignment: *assignment },
        Action::AcceptOffer { worker } => Said::AcceptOffer { worker: *worker },
        Action::RefuseOffer { worker, .. } => Said::RefuseOffer { worker: *worker },
        Action::ConfirmWithdrawal { worker } => Said::ConfirmWithdrawal { worker: *worker },
        Action::SystemMessage { to, from, content, .. } => {
            Said::Message { to: *to, from: *from, content: content.clone() }
        }
        Action::SystemReport { to, id, sent_to, received_by } => {
            Said::Report { to: *to, id: *id, sent_to: *sent_to, received_by: *received_by }
        }
        Action::Disconnect { peer, .. } => Said::Disconnect { peer: *peer },
        Action::Accept { .. }
        | Action::Assign(_)
        | Action::SetRunLimit { .. }
        | Action::Grant { .. }
        | Action::Notice(_)
        | Action::ReleaseMemory => return Vec::new(),
    };
    vec![one]
}

/// Whether what was said is what was expected.
fn answers(expected: &Said, found: &Said) -> bool {
    if let (
        Said::Ended { client, job, ending: Ending::Either(one, other) },
        Said::Ended { client: to, job: number, ending: Ending::Error(code, _) },
    ) = (expected, found)
    {
        return client == to && job == number && (one == code || other == code);
    }
    expected == found
}

impl Model {
    /// Everything said must have been expected, and the other way round. What goes to sessions that have ended in this
    /// burst reaches nobody and is not looked at, but for the word that they are ended.
    pub(super) fn compare(&mut self, actions: &[Action]) -> Verdict {
        self.learn_message_numbers(actions);
        let here: Vec<PeerId> = self.peers.keys().copied().collect();
        let reaches = |said: &Said| matches!(said, Said::Disconnect { .. }) || here.contains(&said.to());
        let mut expected: Vec<Said> =
            std::mem::take(&mut self.expected).into_iter().filter(reaches).collect();
        for found in actions.iter().flat_map(said).filter(reaches) {
            if let Some(verdict) = self.restarts(&found) {
                verdict?;
                continue;
            }
            let place = expected.iter().position(|expected| answers(expected, &found));
            let Some(place) = place else {
                return Err(format!(
                    "said {found:?}, expected of that peer was {:?}",
                    of(&expected, found.to())
                ));
            };
            expected.remove(place);
        }
        self.excused.clear();
        match expected.first() {
            Some(missing) => Err(format!("not said: {missing:?}")),
            None => Ok(()),
        }
    }

    /// A restart is told once, at any time between the loss and the first word of the new run.
    fn restarts(&mut self, found: &Said) -> Option<Verdict> {
        match found {
            Said::Restarted { client, job } => {
                let open = self.jobs.get_mut(&(*client, *job));
                let owed = open.is_some_and(|job| job.owed.take().is_some());
                let owed = owed || self.excused.remove(&(*client, *job));
                Some(if owed { Ok(()) } else { Err(format!("{found:?} without a restart")) })
            }
            Said::Data { client, job, .. } | Said::Progress { client, job, .. } => {
                let owed = self
                    .jobs
                    .get(&(*client, *job))
                    .is_some_and(|job| job.owed.is_some_and(|since| since < self.burst));
                owed.then(|| Err(format!("{found:?} before the word of the restart")))
            }
            _ => None,
        }
    }

    /// A client whose new jobs wait is told that they were accepted; nobody is told of numbers that do not exist.
    pub(super) fn check_accepts(&mut self, actions: &[Action]) -> Verdict {
        let submitters = std::mem::take(&mut self.submitters);
        let mut told: Vec<(PeerId, JobId)> = Vec::new();
        for action in actions {
            if let Action::Accept { client, through } = action {
                if told.iter().any(|(to, _)| to == client) {
                    return Err(format!("{client} was told twice in a burst what was accepted"));
                }
                told.push((*client, *through));
            }
        }
        for (client, through) in &told {
            let next = self.peers.get(client).map_or(u64::MAX, |peer| peer.client.next);
            if through.0 >= next {
                return Err(format!("{client} was told that {through} was accepted, but its next is {next}"));
            }
        }
        for client in submitters.iter().filter(|client| self.peers.contains_key(client)) {
            let through = told.iter().find(|(to, _)| to == client).map(|(_, through)| *through);
            let waits =
                |job: &&JobRef| job.0 == *client && self.waits(**job) && self.jobs[*job].since == self.now;
            if let Some(job) =
                self.jobs.keys().filter(waits).find(|job| through.is_none_or(|last| job.1 > last))
            {
                return Err(format!("{job:?} waits, but its client was not told that it was accepted"));
            }
        }
        Ok(())
    }
}

fn of(expected: &[Said], peer: PeerId) -> Vec<&Said> {
    expected.iter().filter(|said| said.to() == peer).collect()
}
