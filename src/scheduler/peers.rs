//! Who is connected, and what each brings along.

use crate::churn::Churn;
use crate::event::{Abilities, Joined, OutboxLevel};
use crate::ledger::Ledger;
use crate::outbox::Leaving;
use crate::portions::Round;
use crate::tables::{AssignmentKey, JobNumbers, KindKey, Numbering, PeerKey, Slab};
use crate::waiting::{KindSet, Posts};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{InstanceId, PeerId, Time};

/// One session.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) instance: InstanceId,
    pub(crate) realm: u32,
    pub(crate) name: String,
    pub(crate) roles: Roles,
    pub(crate) abilities: Abilities,
    pub(crate) level: OutboxLevel,
    /// Its lines do not all follow it yet.
    pub(crate) round: Option<Round>,
    /// Its open jobs, by its own numbers.
    pub(crate) jobs: JobNumbers,
    /// Which of its job numbers have come.
    pub(crate) numbering: Numbering,
    /// How many of its jobs wait.
    pub(crate) queued: u64,
    /// It is in the list of those to be told of acceptance.
    pub(crate) accept_due: bool,
    /// The session is over; its jobs are being removed.
    pub(crate) gone: bool,
    /// System messages that it has not confirmed.
    pub(crate) unconfirmed: BTreeSet<u64>,
    /// System messages of its own that have no report yet.
    pub(crate) unreported: usize,
    /// Jobs that it has taken back.
    pub(crate) churn: Churn,
    pub(crate) worker: Option<Box<Worker>>,
}

/// What a peer that has offered brings along.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) ledger: Ledger,
    /// The kinds of the offer.
    pub(crate) offered: KindSet,
    /// Kinds that it turned out not to do.
    pub(crate) not_mine: BTreeSet<KindKey>,
    pub(crate) pauses: BTreeMap<KindKey, Pause>,
    /// Hand-backs as unfit without a start between them.
    pub(crate) unfit_in_row: u8,
    /// The last pause of an execution that it found unfit, in milliseconds.
    pub(crate) unfit_pause_ms: u64,
    pub(crate) withdrawn: bool,
    /// What it takes has changed, and it is not in the pool for that yet.
    pub(crate) misplaced: bool,
    /// What it can take has changed, and its pool does not know that yet.
    pub(crate) unweighed: bool,
    /// When to look for starts that were not reported; never: no look is due.
    pub(crate) start_alarm: Time,
    /// The pools that it stands in.
    pub(crate) posts: Posts,
    pub(crate) assignments: Vec<AssignmentKey>,
    pub(crate) leaving: Leaving,
    /// What the gate counts of it: slots offered, and slots free.
    pub(crate) counted: (u32, u32),
}

/// A worker takes none of a kind for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) until: Time,
    pub(crate) length_ms: u64,
    pub(crate) active: bool,
}

/// The table of peers.
#[derive(Debug)]
pub(crate) struct Peers {
    rows: Slab<PeerKey, Peer>,
    by_id: HashMap<PeerId, PeerKey, FixedState>,
    /// Who spoke last: mostly it goes on.
    speaker: Option<(PeerId, PeerKey)>,
    by_instance: BTreeMap<(u32, InstanceId), PeerKey>,
    /// Sessions that are over, with the number of the next job to remove.
    pub(crate) purging: Vec<(PeerKey, u64)>,
    /// Clients that are gone round, by turns.
    pub(crate) changing: VecDeque<PeerKey>,
}

impl Peers {
    pub(crate) const fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_id: HashMap::with_hasher(FixedState::with_seed(0)),
            speaker: None,
            by_instance: BTreeMap::new(),
            purging: Vec::new(),
            changing: VecDeque::new(),
        }
    }

    pub(crate) fn is_purging(&self) -> bool {
        !self.purging.is_empty()
    }

    pub(crate) fn is_changing(&self) -> bool {
        !self.changing.is_empty()
    }

    /// Whether pools may know lines of clients that do not take part any more.
    pub(crate) fn are_left_behind(&self) -> bool {
        self.is_purging() | self.is_changing()
    }

    /// The lines of who left go with its jobs.
    pub(crate) fn cease_changing(&mut self, key: PeerKey) {
        if self.rows[key].round.take().is_some() {
            self.changing.retain(|other| *other != key);
        }
    }

    pub(crate) fn find(&self, peer: PeerId) -> Option<PeerKey> {
        self.by_id.get(&peer).copied()
    }

    /// The same, for somebody who speaks.
    #[inline]
    pub(crate) fn find_speaker(&mut self, peer: PeerId) -> Option<PeerKey> {
        match self.speaker {
            Some((id, key)) if id == peer => Some(key),
            _ => {
                let key = self.find(peer)?;
                self.speaker = Some((peer, key));
                Some(key)
            }
        }
    }

    pub(crate) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.rows.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.rows.get_mut(key)
    }

    /// The open session of an instance.
    pub(crate) fn of_instance(&self, realm: u32, instance: InstanceId) -> Option<PeerId> {
        self.by_instance.get(&(realm, instance)).map(|key| self.rows[*key].id)
    }

    pub(crate) fn insert(&mut self, joined: Joined) -> PeerKey {
        let (id, realm, instance) = (joined.peer, joined.realm, joined.instance);
        let key = self.rows.insert(Peer {
            id,
            instance,
            realm,
            name: joined.name,
            roles: joined.roles,
            abilities: joined.abilities,
            level: OutboxLevel::Clear,
            round: None,
            jobs: JobNumbers::default(),
            numbering: Numbering::default(),
            queued: 0,
            accept_due: false,
            gone: false,
            unconfirmed: BTreeSet::new(),
            unreported: 0,
            churn: Churn::default(),
            worker: None,
        });
        self.by_id.insert(id, key);
        self.by_instance.insert((realm, instance), key);
        key
    }

    /// Gives back what is kept for the next job of each.
    pub(crate) fn shrink(&mut self) {
        self.rows.rows_mut().for_each(|peer| peer.jobs.shrink());
    }

    /// The session is over: nobody finds it any more, its row stays until its jobs are removed.
    pub(crate) fn leave(&mut self, peer: PeerId) -> Option<PeerKey> {
        let key = self.by_id.remove(&peer)?;
        self.speaker = None;
        let row = &mut self.rows[key];
        row.gone = true;
        let instance = (row.realm, row.instance);
        if self.by_instance.get(&instance) == Some(&key) {
            self.by_instance.remove(&instance);
        }
        Some(key)
    }

    pub(crate) fn remove(&mut self, key: PeerKey) {
        let row = self.rows.remove(key).expect("a session is removed once");
        assert!(row.gone && row.jobs.len() == 0 && row.queued == 0 && row.worker.is_none());
    }

    pub(crate) fn worker(&self, key: PeerKey) -> Option<&Worker> {
        self.rows.get(key)?.worker.as_deref()
    }

    pub(crate) fn worker_mut(&mut self, key: PeerKey) -> Option<&mut Worker> {
        self.rows.get_mut(key)?.worker.as_deref_mut()
    }

    /// Everybody who is connected.
    pub(crate) fn present(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.rows.iter().filter(|(_, peer)| !peer.gone)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.rows.iter()
    }

    /// The keys of all who have offered.
    pub(crate) fn workers(&self) -> Vec<PeerKey> {
        self.rows.iter().filter(|(_, peer)| peer.worker.is_some()).map(|(key, _)| key).collect()
    }
}

impl Index<PeerKey> for Peers {
    type Output = Peer;

    fn index(&self, key: PeerKey) -> &Peer {
        &self.rows[key]
    }
}

impl IndexMut<PeerKey> for Peers {
    fn index_mut(&mut self, key: PeerKey) -> &mut Peer {
        &mut self.rows[key]
    }
}
