//! System messages: who gets them, who confirms, and the one report.

use super::{Message, Model, Said};
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{MessageId, Payload, PeerId};
use proletariat_scheduler::Action;
use std::time::Duration;

impl Model {
    pub(super) fn system_message(
        &mut self,
        from: PeerId,
        id: MessageId,
        to: Recipient,
        content: Payload,
        timeout: Option<Duration>,
    ) {
        if self.peers.get(&from).is_none_or(|peer| peer.gone) {
            return;
        }
        let others = |peer: &PeerId| *peer != from && !self.peers[peer].gone;
        let recipients: Vec<PeerId> = match to {
            Recipient::All => self.peers.keys().copied().filter(others).collect(),
            Recipient::Manager => {
                return self.say(Said::Report { to: from, id, sent_to: 1, received_by: 1 });
            }
            Recipient::Peer(peer) => {
                self.peers.values().filter(|p| p.id == peer && !p.gone).map(|p| p.id).collect()
            }
        };
        for peer in &recipients {
            self.say(Said::Message { to: *peer, from, content: content.clone() });
        }
        self.messages.push(Message {
            from,
            id,
            sent_to: recipients.len() as u32,
            received_by: 0,
            waiting: recipients.into_iter().map(|peer| (peer, None)).collect(),
            content,
            due: timeout.map(|timeout| self.now + timeout),
        });
        self.report_what_is_complete();
    }

    pub(super) fn confirmed(&mut self, by: PeerId, id: MessageId) {
        if self.peers.get(&by).is_none_or(|peer| peer.gone) {
            return;
        }
        for message in &mut self.messages {
            let before = message.waiting.len();
            message.waiting.retain(|entry| *entry != (by, Some(id)));
            message.received_by += (before - message.waiting.len()) as u32;
        }
        self.report_what_is_complete();
    }

    /// A recipient that leaves counts as sent, not received; a sender that leaves takes its messages with it.
    pub(super) fn recipient_left(&mut self, peer: PeerId) {
        self.messages.retain(|message| message.from != peer);
        for message in &mut self.messages {
            message.waiting.retain(|(waiting, _)| *waiting != peer);
        }
        self.report_what_is_complete();
    }

    pub(super) fn fire_message_clocks(&mut self) {
        let now = self.now;
        for message in self.messages.iter_mut().filter(|m| m.due.is_some_and(|due| due <= now)) {
            message.waiting.clear();
        }
        self.report_what_is_complete();
    }

    fn report_what_is_complete(&mut self) {
        for message in std::mem::take(&mut self.messages) {
            if message.waiting.is_empty() {
                let Message { from, id, sent_to, received_by, .. } = message;
                self.say(Said::Report { to: from, id, sent_to, received_by });
            } else {
                self.messages.push(message);
            }
        }
    }

    /// The manager numbers what it passes on: the recipients will confirm by these numbers.
    pub(super) fn learn_message_numbers(&mut self, actions: &[Action]) {
        for action in actions {
            if let Action::SystemMessage { to, id, from, content } = action {
                let of = |m: &&mut Message| m.from == *from && m.content == *content;
                for message in self.messages.iter_mut().filter(of) {
                    for entry in message.waiting.iter_mut().filter(|entry| entry.0 == *to) {
                        entry.1 = Some(*id);
                    }
                }
            }
        }
    }
}
