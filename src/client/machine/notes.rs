//! System messages and requests for the status: what the caller sent and has no answer to.
//!
//! A system message is sent once. If the manager is lost before it reports, nobody knows who got it, and the caller is
//! told so. Asking for the status changes nothing, so that is simply done again.

use super::event::{Action, JobError, SystemReport};
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, MessageId, Payload, Time};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Notes {
    messages: BTreeMap<MessageId, Message>,
    statuses: BTreeMap<MessageId, Sent>,
}

/// Whether the open session has been told.
type Sent = bool;

#[derive(Debug)]
enum Message {
    /// Waits for a session, at most until then.
    Unsent { to: Recipient, content: Payload, until: Option<Time> },
    /// Waits for its report.
    Sent,
}

impl Notes {
    pub(super) fn send(
        &mut self,
        now: Time,
        id: MessageId,
        to: Recipient,
        content: Payload,
        timeout_ms: u32,
    ) {
        let until = (timeout_ms > 0).then(|| now.plus_millis(u64::from(timeout_ms)));
        self.messages.insert(id, Message::Unsent { to, content, until });
    }

    pub(super) fn ask_status(&mut self, id: MessageId) {
        self.statuses.insert(id, false);
    }

    /// There is a session: what waits is sent.
    pub(super) fn say(&mut self, now: Time, out: &mut Vec<Action>) {
        for (&id, message) in &mut self.messages {
            let Message::Unsent { to, content, until } = message else { continue };
            let left = until.map_or(0, |until| until.since(now).as_millis().max(1));
            let timeout_ms = u32::try_from(left).unwrap_or(u32::MAX);
            let content = core::mem::take(content);
            out.push(Action::SendSystemMessage { id, to: *to, content, timeout_ms });
            *message = Message::Sent;
        }
        for (&id, sent) in &mut self.statuses {
            if !core::mem::replace(sent, true) {
                out.push(Action::AskStatus { id });
            }
        }
    }

    /// The session is lost.
    pub(super) fn lost(&mut self, why: &JobError, out: &mut Vec<Action>) {
        let message =
            format!("the manager was lost before it reported, some may have got it: {}", why.message);
        let error = JobError::new(why.code, message);
        self.messages.retain(|&id, message| {
            let unsent = matches!(message, Message::Unsent { .. });
            if !unsent {
                out.push(Action::Report { id, result: Err(error.clone()) });
            }
            unsent
        });
        self.statuses.values_mut().for_each(|sent| *sent = false);
    }

    /// There will be no session.
    pub(super) fn fail_all(&mut self, why: &JobError, out: &mut Vec<Action>) {
        for id in core::mem::take(&mut self.messages).into_keys() {
            out.push(Action::Report { id, result: Err(why.clone()) });
        }
        for id in core::mem::take(&mut self.statuses).into_keys() {
            out.push(Action::Status { id, result: Err(why.clone()) });
        }
    }

    pub(super) fn reported(&mut self, id: MessageId, report: SystemReport) -> Option<Action> {
        self.messages.remove(&id)?;
        Some(Action::Report { id, result: Ok(report) })
    }

    pub(super) fn status(&mut self, id: MessageId, text: Payload) -> Option<Action> {
        self.statuses.remove(&id)?;
        Some(Action::Status { id, result: Ok(text) })
    }

    pub(super) fn expire(&mut self, now: Time, out: &mut Vec<Action>) {
        if self.next_deadline().is_none_or(|due| now < due) {
            return;
        }
        let error = JobError::new(ErrorCode::CallTimeout, "no manager took the message within its timeout");
        self.messages.retain(|&id, message| {
            let due = message.until().is_some_and(|until| until <= now);
            if due {
                out.push(Action::Report { id, result: Err(error.clone()) });
            }
            !due
        });
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.messages.values().filter_map(Message::until).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.statuses.is_empty()
    }
}

impl Message {
    fn until(&self) -> Option<Time> {
        match self {
            Self::Unsent { until, .. } => *until,
            Self::Sent => None,
        }
    }
}
