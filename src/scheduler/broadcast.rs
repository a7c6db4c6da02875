//! System messages: to the manager, to one peer, to everybody else; and one report for each.

use crate::action::{Action, Notice};
use crate::deadlines::Alarm;
use crate::machine::{MANAGER, Scheduler};
use crate::tables::PeerKey;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;
use proletariat_protocol::limits::SYSTEM_MESSAGES_OPEN_MAX;
use proletariat_protocol::message::Recipient;
use proletariat_protocol::{ErrorCode, MessageId, Payload, PeerId, Time};

/// Messages that one peer may have unconfirmed. Of a further one the oldest counts as not received, so that nobody can make
/// the manager remember messages by never confirming any.
const UNCONFIRMED_MAX: usize = 16_384;

#[derive(Debug)]
struct Broadcast {
    sender: PeerId,
    /// The sender's number.
    id: MessageId,
    waits_for: BTreeSet<PeerKey>,
    sent_to: u32,
    received_by: u32,
    due: Option<Time>,
}

/// System messages that are not confirmed by all.
#[derive(Debug, Default)]
pub(crate) struct Broadcasts {
    open: BTreeMap<u64, Broadcast>,
    next: u64,
}

impl Broadcasts {
    pub(crate) fn due(&self, id: u64) -> Option<Time> {
        self.open.get(&id)?.due
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn audit(&self, scheduler: &Scheduler) {
        for (id, broadcast) in &self.open {
            assert!(!broadcast.waits_for.is_empty(), "a message that all confirmed is reported at once");
            for peer in &broadcast.waits_for {
                assert!(scheduler.peers[*peer].unconfirmed.contains(id));
            }
            assert!(broadcast.received_by as usize + broadcast.waits_for.len() <= broadcast.sent_to as usize);
        }
        for (_, peer) in scheduler.peers.iter() {
            assert!(peer.unconfirmed.iter().all(|id| self.open.contains_key(id)));
        }
    }
}

impl Scheduler {
    /// `sender` is `None` for the manager's own messages.
    pub(crate) fn system_message(
        &mut self,
        now: Time,
        sender: Option<PeerKey>,
        id: MessageId,
        to: Recipient,
        content: Payload,
        timeout: Option<Duration>,
    ) {
        if let Some(sender) = sender {
            if self.peers[sender].unreported >= SYSTEM_MESSAGES_OPEN_MAX {
                let message = alloc::format!("{SYSTEM_MESSAGES_OPEN_MAX} system messages have no report yet");
                return self.expel(now, sender, ErrorCode::Protocol, message);
            }
            self.peers[sender].unreported += usize::from(to != Recipient::Manager);
        }
        let from = sender.map_or(MANAGER, |sender| self.peers[sender].id);
        if !matches!(to, Recipient::Peer(_)) {
            let content = content.clone();
            self.notice(|| Notice::SystemMessage { from, content });
        }
        let recipients: Vec<PeerKey> = match to {
            Recipient::Manager => {
                return self.actions.push(Action::SystemReport { to: from, id, sent_to: 1, received_by: 1 });
            }
            Recipient::All => {
                self.peers.present().map(|(key, _)| key).filter(|key| Some(*key) != sender).collect()
            }
            Recipient::Peer(peer) => self.peers.find(peer).into_iter().collect(),
        };
        for &recipient in &recipients {
            self.give_up_oldest(recipient);
        }
        let number = self.broadcasts.next;
        self.broadcasts.next += 1;
        for &recipient in &recipients {
            let peer = &mut self.peers[recipient];
            peer.unconfirmed.insert(number);
            let (to, content) = (peer.id, content.clone());
            self.actions.push(Action::SystemMessage { to, id: MessageId(number), from, content });
        }
        let due = timeout.map(|timeout| now + timeout);
        let sent_to = u32::try_from(recipients.len()).expect("fewer peers than connections");
        let waits_for = recipients.into_iter().collect();
        let row = Broadcast { sender: from, id, waits_for, sent_to, received_by: 0, due };
        self.broadcasts.open.insert(number, row);
        match due {
            _ if sent_to == 0 => self.report(number),
            Some(due) => self.deadlines.set(now, due, Alarm::Broadcast { id: number }),
            None => {}
        }
    }

    /// Makes room for one more message to a peer.
    fn give_up_oldest(&mut self, peer: PeerKey) {
        let unconfirmed = &mut self.peers[peer].unconfirmed;
        if unconfirmed.len() >= UNCONFIRMED_MAX
            && let Some(oldest) = unconfirmed.pop_first()
        {
            self.no_longer_waits(peer, oldest, false);
        }
    }

    pub(crate) fn confirmed(&mut self, by: PeerKey, id: MessageId) {
        // Only those that were sent it may confirm it, and only once.
        if self.peers[by].unconfirmed.remove(&id.0) {
            self.no_longer_waits(by, id.0, true);
        }
    }

    fn no_longer_waits(&mut self, peer: PeerKey, id: u64, received: bool) {
        let Some(row) = self.broadcasts.open.get_mut(&id) else {
            return;
        };
        row.waits_for.remove(&peer);
        row.received_by += u32::from(received);
        if row.waits_for.is_empty() {
            self.report(id);
        }
    }

    /// Tells the sender, whoever has not confirmed by now.
    pub(crate) fn report(&mut self, number: u64) {
        let Some(row) = self.broadcasts.open.remove(&number) else {
            return;
        };
        for peer in &row.waits_for {
            self.peers[*peer].unconfirmed.remove(&number);
        }
        let Broadcast { sender: to, id, sent_to, received_by, .. } = row;
        if let Some(sender) = self.peers.find(to) {
            self.peers[sender].unreported -= 1;
        }
        if to == MANAGER || self.peers.find(to).is_some() {
            self.actions.push(Action::SystemReport { to, id, sent_to, received_by });
        }
    }

    /// A peer left: it confirms nothing more.
    pub(crate) fn leave_broadcasts(&mut self, peer: PeerKey) {
        for id in core::mem::take(&mut self.peers[peer].unconfirmed) {
            self.no_longer_waits(peer, id, false);
        }
    }

    pub(crate) fn audit_broadcasts(&self) {
        self.broadcasts.audit(self);
    }
}
