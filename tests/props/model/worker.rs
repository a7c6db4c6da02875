//! Offers, withdrawals, and how full the outbox of a peer is.

use super::{Model, Said};
use proletariat_protocol::{Offer, PeerId};
use proletariat_scheduler::OutboxLevel;

impl Model {
    pub(super) fn offered(&mut self, id: PeerId, offer: Offer) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.gone) else { return };
        if !peer.roles.worker {
            self.say(Said::Disconnect { peer: id });
            return self.left(id);
        }
        if offer.check().is_err() {
            return self.say(Said::RefuseOffer { worker: id });
        }
        peer.worker.offer = Some(offer);
        peer.worker.refused.clear();
        self.say(Said::AcceptOffer { worker: id });
    }

    pub(super) fn withdrew(&mut self, id: PeerId) {
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.gone) else { return };
        if peer.roles.worker {
            peer.worker.offer = None;
            self.say(Said::ConfirmWithdrawal { worker: id });
        }
    }

    pub(super) fn outbox(&mut self, id: PeerId, level: OutboxLevel) {
        let (now, burst) = (self.now, self.burst);
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| !peer.gone) else { return };
        let before = std::mem::replace(&mut peer.level, level);
        let news = peer.spoken.replace(burst) != Some(burst);
        for assignment in self.assignments.iter_mut().filter(|a| a.worker == id) {
            if level == OutboxLevel::Clear {
                assignment.left.get_or_insert(now);
            } else if before == OutboxLevel::Clear && news && assignment.burst + 1 == burst {
                // The first word after it was given is that something waits: what the burst brought is not out yet.
                assignment.left = None;
            }
        }
    }
}
