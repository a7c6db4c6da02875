//! A connection, and the table of all of them.

use super::admission::EVERYTHING;
use super::agenda::{Agenda, Appointment};
use super::dialect::JsonSession;
use super::liveness::{Clocks, Liveness, Phase};
use super::outgoing::{GatheredPool, Outgoing};
use super::places::Places;
use super::ready::{Bell, Doorbell};
use super::room::{Held, Holding};
use super::stream::Stream;
use super::translate::Speaker;
use crate::net::{Inbox, Incomplete, Order};
use crate::security::Grant;
use mio::Token;
use proletariat_protocol::handshake::Refusal;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{Payload, PeerId, Time};
use proletariat_scheduler::OutboxLevel;
use std::collections::{HashMap, VecDeque};
use std::hint::cold_path;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;

/// One connection from accept to close.
#[derive(Debug)]
pub(super) struct Session<C> {
    /// Tells it from an earlier one at the same place.
    pub(super) serial: u64,
    pub(super) stream: Stream,
    /// What wakes us if it is no socket.
    pub(super) bell: Option<Arc<Bell<C>>>,
    pub(super) waker: Waker,
    pub(super) address: Option<IpAddr>,
    pub(super) liveness: Liveness,
    pub(super) appointment: Appointment,
    /// What came before the greeting was complete.
    pub(super) greeting: Vec<u8>,
    /// What a native peer is told in any case: one connection too many.
    pub(super) closed: Option<Box<Refusal>>,
    pub(super) inbox: Inbox,
    /// Whether it may be silent until it speaks, and speak JSON: what held when it was accepted, unless there have been tokens since.
    pub(super) may_speak_json: bool,
    /// There if it speaks JSON; then the inbox stays empty.
    pub(super) json: Option<Box<JsonSession>>,
    pub(super) outgoing: Outgoing,
    /// Who it is, while the scheduler knows it.
    pub(super) speaker: Option<Speaker>,
    /// What its token allows.
    pub(super) grant: Grant,
    /// How much the last write has left; what the scheduler was told last.
    pub(super) level: OutboxLevel,
    pub(super) holding: Holding,
    /// Whether it is on the list of those to flush.
    pub(super) touched: bool,
    /// Whether it is on the list of those that had more to read or write than a turn allows.
    pub(super) unfinished: bool,
    /// Whether the sending half has been ended.
    pub(super) shut: bool,
    /// Whether the peer has ended its own.
    pub(super) ended: bool,
    /// Status requests that have no answer yet.
    pub(super) asked: usize,
}

/// All connections.
#[derive(Debug)]
pub(super) struct Connections<C> {
    slots: Vec<Option<Box<Session<C>>>>,
    free: Vec<u32>,
    pub(super) places: Places,
    pub(super) agenda: Agenda,
    /// The place of whom the scheduler named last.
    pub(super) named: u32,
    pub(super) held: Held,
    addresses: HashMap<IpAddr, usize>,
    /// Those that have not said anything, oldest first, and some that have by now.
    silent: VecDeque<(u32, u64)>,
    silent_count: usize,
    serial: u64,
}

impl<C> Session<C> {
    /// How much of what waits does not count when it is asked whether more may be begun for this peer: the rest of a large message that it
    /// is taking right now. Small ones pass that, and would otherwise wait for it all the same.
    pub(super) fn passed_bytes(&self, now: Time) -> u64 {
        if now < self.liveness.taking_until() { self.outgoing.passable_bytes() as u64 } else { 0 }
    }

    /// Says something in the session's own tongue.
    pub(super) fn say(
        &mut self,
        message: &ManagerMessage,
        payloads: &[Payload],
        order: Order,
        pool: &mut GatheredPool,
    ) {
        match &mut self.json {
            None => self.outgoing.push(message, payloads, order, pool),
            Some(json) => json.say(message, payloads.first()),
        }
    }

    /// The end of a turn: what was gathered becomes bytes.
    pub(super) fn seal(&mut self, pool: &mut GatheredPool) {
        match &mut self.json {
            None => self.outgoing.seal(pool),
            Some(json) => {
                cold_path();
                json.pour(&mut self.outgoing);
            }
        }
    }

    /// Memory for what has begun to come and is not complete.
    pub(super) fn incomplete_bytes(&self) -> u64 {
        let Some(json) = &self.json else { return self.inbox.held_bytes() };
        cold_path();
        json.held_bytes()
    }

    /// Lets go of that; nothing more is heard.
    pub(super) fn forget_incomplete(&mut self, payload_bytes_max: u64) {
        self.inbox = Inbox::new(payload_bytes_max);
        if let Some(json) = &mut self.json {
            json.forget_incomplete();
        }
    }

    /// What has begun to come and is not complete.
    pub(super) fn incomplete(&self) -> Option<Incomplete> {
        self.json.as_ref().map_or_else(|| self.inbox.incomplete(), |json| json.incomplete())
    }
}

impl<C: Send + 'static> Connections<C> {
    pub(super) fn new(clocks: &Clocks) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            places: Places::default(),
            agenda: Agenda::new(clocks),
            named: u32::MAX,
            held: Held::default(),
            addresses: HashMap::new(),
            silent: VecDeque::new(),
            silent_count: 0,
            serial: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Connections from an address.
    pub(super) fn count_from(&self, address: IpAddr) -> usize {
        self.addresses.get(&address).copied().unwrap_or(0)
    }

    /// Takes a new connection in; its place.
    pub(super) fn open(
        &mut self,
        stream: Stream,
        address: Option<IpAddr>,
        doorbell: &Arc<Doorbell<C>>,
        payload_bytes_max: u64,
        now: Time,
    ) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("no system has so many descriptors")
        });
        self.serial += 1;
        let bell = stream.is_other().then(|| Bell::new(doorbell, place));
        let session = Session {
            serial: self.serial,
            stream,
            waker: bell.as_ref().map_or_else(|| Waker::noop().clone(), |bell| Waker::from(Arc::clone(bell))),
            bell,
            address,
            liveness: Liveness::new(now),
            appointment: Appointment::NONE,
            greeting: Vec::new(),
            closed: None,
            inbox: Inbox::new(payload_bytes_max),
            may_speak_json: false,
            json: None,
            outgoing: Outgoing::default(),
            speaker: None,
            grant: EVERYTHING,
            level: OutboxLevel::Clear,
            holding: Holding::default(),
            touched: false,
            unfinished: false,
            shut: false,
            ended: false,
            asked: 0,
        };
        self.slots[place as usize] = Some(Box::new(session));
        if let Some(address) = address {
            *self.addresses.entry(address).or_default() += 1;
        }
        self.silent_count += 1;
        self.silent.push_back((place, self.serial));
        self.forget_silent();
        place
    }

    pub(super) fn at(&mut self, place: u32) -> Option<&mut Session<C>> {
        self.slots.get_mut(place as usize)?.as_deref_mut()
    }

    /// The connection whose socket is watched under this token, and its place.
    pub(super) fn under(&mut self, token: Token) -> Option<(u32, &mut Session<C>)> {
        let place = u32::try_from(token.0).ok()?;
        Some((place, self.at(place)?))
    }

    /// The place of the connection of a session that the scheduler names.
    pub(super) fn find(&mut self, peer: PeerId) -> Option<u32> {
        let place = self.places.find(peer)?;
        self.named = place;
        Some(place)
    }

    /// The connection of a session, and its place.
    pub(super) fn of(&mut self, peer: PeerId) -> Option<(u32, &mut Session<C>)> {
        let place = self.find(peer)?;
        let session = self.at(place)?;
        Some((place, session))
    }

    /// Ends a connection here. Its session, if it has one, has been ended before.
    pub(super) fn remove(&mut self, place: u32) {
        self.leave_silence(place);
        let Some(session) = self.slots.get_mut(place as usize).and_then(Option::take) else { return };
        assert!(session.speaker.is_none(), "the scheduler still knows this session");
        self.free.push(place);
        self.held.forget(session.holding);
        if let Some(address) = session.address
            && let Some(count) = self.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
    }

    /// Puts a connection into another phase, to be looked at `by` then at the latest.
    pub(super) fn enter(&mut self, place: u32, phase: Phase, now: Time, by: Time) {
        self.leave_silence(place);
        if let Some(session) = self.at(place) {
            session.liveness.enter(phase, now);
            self.look_at(place, by);
        }
    }

    /// Looks at a connection at this time at the latest.
    pub(super) fn look_at(&mut self, place: u32, by: Time) {
        let Some(Some(session)) = self.slots.get_mut(place as usize) else { return };
        self.agenda.at_latest(by, place, session.serial, &mut session.appointment);
    }

    /// The next connection to be looked at now.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<u32> {
        while let Some((time, serial, place)) = self.agenda.pop_due(now) {
            if let Some(session) = self.at(place)
                && session.serial == serial
                && Agenda::keeps(time, &mut session.appointment)
            {
                return Some(place);
            }
        }
        None
    }

    /// Drops those from the list of the silent who are so no more, once most of it is of them.
    fn forget_silent(&mut self) {
        if self.silent.len() > 2 * self.silent_count + 64 {
            let slots = &self.slots;
            self.silent.retain(|&(place, serial)| is_silent(slots, place, serial));
        }
    }

    /// The one that has been silent for the longest, if more than `most` are.
    pub(super) fn silent_over(&mut self, most: usize) -> Option<u32> {
        if self.silent_count <= most {
            return None;
        }
        while let Some((place, serial)) = self.silent.pop_front() {
            if is_silent(&self.slots, place, serial) {
                return Some(place);
            }
        }
        None
    }

    /// Every place that is taken.
    pub(super) fn all(&self) -> Vec<u32> {
        self.iter().map(|(place, _)| place).collect()
    }

    /// Every connection, with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Session<C>)> {
        (0..).zip(&self.slots).filter_map(|(place, slot)| slot.as_deref().map(|session| (place, session)))
    }

    /// Gives memory of past crowds back.
    pub(super) fn shrink(&mut self) {
        self.agenda.shrink();
        self.silent.shrink_to(2 * self.silent.len());
        self.addresses.shrink_to(2 * self.addresses.len());
    }

    fn leave_silence(&mut self, place: u32) {
        if self.at(place).is_some_and(|session| session.liveness.phase == Phase::Silent) {
            self.silent_count -= 1;
        }
    }
}

fn is_silent<C>(slots: &[Option<Box<Session<C>>>], place: u32, serial: u64) -> bool {
    let session = slots.get(place as usize).and_then(Option::as_ref);
    session.is_some_and(|session| session.serial == serial && session.liveness.phase == Phase::Silent)
}
