//! One thread that owns the scheduler and every socket.
//!
//! A turn: read what is ready, tell the scheduler, let it decide once, put what it wants into the outboxes, write each of
//! those once, those of workers first. There is no channel, no second thread and no lock on a job's way; and the busier the manager is, the more
//! jobs share a turn, a read and a write. What comes while much is read is still for this turn; a crowd is for several.
//!
//! Clocks only fire when nothing that was received before is left unread (`clocks`).

mod clocks;

use super::accept::Acceptor;
use super::boundary::{contain, vital};
use super::clerk::Clerk;
use super::config::Config;
use super::dialect::JsonDesk;
use super::events::Notices;
use super::handle::Command;
use super::liveness::Clocks;
use super::outgoing::GatheredPool;
use super::poller::{EVENTS, LISTENER, Poller};
use super::ready::Doorbell;
use super::session::Connections;
use super::status::{Figures, StatusDesk};
use super::stopping::Stage;
use crate::net::drive::Clock;
use proletariat_protocol::hint::unlikely;
use proletariat_protocol::{MessageId, Time};
use proletariat_scheduler::{Action, Event, Parcel, Scheduler};
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Bytes of the buffer that all connections read into.
const BUFFER_BYTES: usize = 256 * 1024;
/// A turn that has brought so many bytes has much to do, some jobs or results: the sockets are looked at once more before
/// anything is decided.
const MUCH_BYTES: usize = 512;
/// After so many actions outboxes are held against their bound, before more is put there.
const MANY_ACTIONS: usize = 8_192;
/// A turn in which the scheduler wants no more than this has little to do.
const FEW_ACTIONS: usize = 4;
/// A turn that has brought so many bytes takes no more of a crowd. What it takes in, decides and puts out passes through the
/// memory nearest to the processor if it is not much: a job among 2,000 workers took half as much time again when a turn took
/// in whatever there was.
const TURN_BYTES: usize = 32 * 1024;
/// Before a clock that is due fires, a turn takes in so many bytes of a crowd.
const CLOCK_BYTES: usize = 16 << 20;
/// A turn hears of so many sockets at most.
const TURN_SOCKETS: usize = 1_024;
/// The lists of a turn keep room for so many entries.
const KEEP_ENTRIES: usize = 1_024;

/// The thread.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) clock: Clock,
    pub(super) config: Config,
    pub(super) clocks: Clocks,
    pub(super) doorbell: Arc<Doorbell<Command>>,
    pub(super) scheduler: Scheduler,
    pub(super) connections: Connections<Command>,
    pub(super) acceptor: Acceptor,
    pub(super) stage: Stage,
    pub(super) notices: Notices,
    pub(super) status: StatusDesk,
    pub(super) json: JsonDesk,
    pub(super) clerk: Clerk,
    /// Who waits for the report of a system message of the manager's own.
    pub(super) reports: BTreeMap<MessageId, oneshot::Sender<(u32, u32)>>,
    pub(super) buffer: Vec<u8>,
    pub(super) pool: GatheredPool,
    /// Connections that are to be flushed when workers have been told what is theirs.
    pub(super) touched: Vec<u32>,
    /// Those that are to be flushed at the end of the turn only.
    pub(super) touched_later: Vec<u32>,
    /// Connections that had more to read or write than a turn allows.
    pub(super) unfinished: Vec<u32>,
    /// Whether another turn has to follow at once.
    pub(super) again: bool,
    /// What came in with this turn.
    pub(super) bytes_read: usize,
    /// How much the scheduler wanted in this turn.
    decided: usize,
    /// Whether this turn did something beside jobs, which may have taken long.
    detoured: bool,
    ready: Vec<u32>,
    /// Sockets that have news.
    news: Vec<u32>,
    commands: Vec<Command>,
    actions: Vec<Action<Parcel>>,
    pub(super) poller: Poller,
    /// When the next turn has to be, if nothing happens before.
    next_turn: Option<Time>,
    /// Nothing before this counts against a peer: the end of the last stall.
    floor: Time,
    /// Turns for which clocks have been waiting.
    waited: u32,
    /// Connections that a fault of ours has ended.
    pub(super) faults: u64,
    /// Connections that a bound or a clock has ended.
    pub(super) given_up: u64,
}

impl Driver {
    /// A manager with these settings, every bound of them in numbers.
    pub(super) fn new(
        config: Config,
        scheduler: Scheduler,
        doorbell: Arc<Doorbell<Command>>,
        acceptor: Acceptor,
        notices: Notices,
        status: StatusDesk,
        poller: Poller,
    ) -> Self {
        let clock = Clock::start();
        let clocks = Clocks {
            heartbeat: config.heartbeat,
            heartbeat_timeout: config.heartbeat_timeout,
            handshake_timeout: config.handshake_timeout,
            frame_timeout: config.frame_timeout,
            outbox_stall: config.outbox_stall,
            silence_allowed: !config.no_json && config.tls.is_none(),
        };
        Self {
            clock,
            connections: Connections::new(&clocks),
            status,
            json: JsonDesk::new(),
            clerk: Clerk::default(),
            config,
            clocks,
            doorbell,
            scheduler,
            acceptor,
            stage: Stage::Open,
            notices,
            reports: BTreeMap::new(),
            buffer: vec![0; BUFFER_BYTES],
            pool: GatheredPool::default(),
            touched: Vec::new(),
            touched_later: Vec::new(),
            unfinished: Vec::new(),
            again: false,
            bytes_read: 0,
            decided: 0,
            detoured: false,
            ready: Vec::new(),
            news: Vec::new(),
            commands: Vec::new(),
            actions: Vec::new(),
            poller,
            next_turn: None,
            floor: Time::ZERO,
            waited: 0,
            faults: 0,
            given_up: 0,
        }
    }

    /// Runs until the manager has ended.
    pub(super) fn run(mut self) {
        let waker = self.poller.waker();
        let mut cx = Context::from_waker(&waker);
        let mut now = self.clock.now();
        while self.turn(now, &mut cx).is_pending() {
            let begin = if self.was_short() { now } else { self.clock.now() };
            now = self
                .poller
                .wait(self.clock, begin, self.next_turn)
                .expect("a poll of our own takes each wait");
            self.take_news();
        }
        // Nobody is left who could answer: those who wait are told by the end of their channels.
        drop(self.doorbell.end());
    }

    /// Whether the last turn took some microseconds, so that the clock need not be read again.
    fn was_short(&self) -> bool {
        !self.detoured & (self.bytes_read < MUCH_BYTES) & (self.decided <= FEW_ACTIONS)
    }

    /// Notes which sockets have news.
    fn take_news(&mut self) {
        for event in self.poller.news() {
            if unlikely(event.token() == LISTENER) {
                self.acceptor.heard();
            } else if let Some((place, session)) = self.connections.under(event.token()) {
                session.stream.heard(event);
                self.news.push(place);
            }
        }
    }

    /// One turn, which begins now; ready when the manager has ended.
    pub(super) fn turn(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<()> {
        self.again = false;
        self.bytes_read = 0;
        self.detoured = false;
        self.doorbell.take(&mut self.ready, &mut self.commands, cx.waker());
        let mut input = !(self.news.is_empty() & self.ready.is_empty() & self.unfinished.is_empty());
        if unlikely(!self.commands.is_empty()) {
            self.obey(now);
        }
        if unlikely(!self.ready.is_empty()) {
            let ready = mem::take(&mut self.ready);
            self.ready = self.attend_all(ready, now);
        }
        let news = mem::take(&mut self.news);
        self.news = self.attend_all(news, now);
        self.look_again(now);
        if unlikely(!self.unfinished.is_empty()) {
            self.go_on_with_unfinished(now);
        }
        if unlikely(self.acceptor.is_ready(now)) {
            self.accept(now);
            (input, self.detoured) = (true, true);
        }
        if unlikely(self.clocks_have_to_wait(now, input)) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.look_at_connections(now);
        self.decide(now);
        // The last are written first, see there.
        self.touched_later.append(&mut self.touched);
        mem::swap(&mut self.touched, &mut self.touched_later);
        self.flush_touched(now);
        if unlikely(self.has_ended(now)) {
            return Poll::Ready(());
        }
        self.sleep(now, cx);
        Poll::Pending
    }

    /// Does what the owner asks.
    #[cold]
    fn obey(&mut self, now: Time) {
        self.detoured = true;
        let mut commands = mem::take(&mut self.commands);
        for command in commands.drain(..) {
            self.command(command, now);
        }
        self.commands = commands;
    }

    /// Attends to those that had more to read or write than a turn allows.
    #[cold]
    fn go_on_with_unfinished(&mut self, now: Time) {
        self.detoured = true;
        for place in mem::take(&mut self.unfinished) {
            if let Some(session) = self.connections.at(place) {
                session.unfinished = false;
                self.attend(place, now);
            }
        }
    }

    /// Takes more into this turn, so that it shares the writes: of a crowd as much as a turn should have, or as a clock that waits
    /// wants to know of; and while much was read, what has come meanwhile. After a job that came alone that would be a system
    /// call for nothing.
    fn look_again(&mut self, now: Time) {
        let most = if self.waited > 0 { CLOCK_BYTES } else { TURN_BYTES };
        let mut once = self.bytes_read >= MUCH_BYTES;
        for _ in 0..TURN_SOCKETS / EVENTS {
            let crowd = self.poller.has_more() && self.bytes_read < most;
            if !crowd && !mem::take(&mut once) {
                return;
            }
            self.poller.look().expect("a poll of our own takes each wait");
            self.take_news();
            let news = mem::take(&mut self.news);
            self.news = self.attend_all(news, now);
        }
    }

    /// Attends to each of these; the list, empty.
    fn attend_all(&mut self, mut places: Vec<u32>, now: Time) -> Vec<u32> {
        for place in places.drain(..) {
            self.attend(place, now);
        }
        places
    }

    /// Lets the scheduler decide once, and does what it wants. Workers are written before what clients get is put together:
    /// meanwhile they begin.
    fn decide(&mut self, now: Time) {
        let mut actions = mem::take(&mut self.actions);
        self.scheduler.decide(now, &mut actions);
        self.decided = actions.len();
        self.carry_out(&actions, |action| !may_wait(action), now);
        self.flush_touched(now);
        self.carry_out(&actions, may_wait, now);
        actions.clear();
        self.scheduler.settle();
        self.actions = actions;
        self.decided_json(now);
        let figures = || Figures {
            address: self.acceptor.address(),
            connections: self.connections.count(),
            held: self.connections.held,
            refused: self.acceptor.refused(),
            given_up: self.given_up,
            faults: self.faults,
        };
        self.status.answer(now, &self.scheduler, figures, &self.doorbell, &mut self.clerk);
        self.go_on_stopping(now);
    }

    /// Does those of the actions that are wanted now.
    fn carry_out(&mut self, actions: &[Action<Parcel>], wanted: impl Fn(&Action<Parcel>) -> bool, now: Time) {
        for (number, actions) in actions.chunks(MANY_ACTIONS).enumerate() {
            if unlikely(number > 0) {
                // One result for many jobs is written for each of them: looked at in the end alone, a bound would be none.
                self.lose_the_overfull(now);
            }
            let mut actions = actions.iter().filter(|action| wanted(action));
            while let Err(panic) = contain(|| actions.by_ref().for_each(|action| self.act(action, now))) {
                self.broke(self.connections.named, &panic, now);
            }
        }
    }

    /// Waits for whatever comes first.
    fn sleep(&mut self, now: Time, cx: &mut Context<'_>) {
        let next = Time::earliest([
            self.scheduler.next_deadline(),
            self.connections.agenda.next(),
            self.acceptor.resumes_at(),
            self.stage.until(),
        ]);
        if unlikely(self.again | !self.unfinished.is_empty() | next.is_some_and(|next| next <= now)) {
            cx.waker().wake_by_ref();
            return;
        }
        self.next_turn = next;
    }

    /// Gives back what was only needed for a crowd.
    pub(super) fn release_memory(&mut self) {
        self.detoured = true;
        self.connections.shrink();
        self.pool.shrink();
        self.ready.shrink_to(KEEP_ENTRIES);
        self.news.shrink_to(KEEP_ENTRIES);
        self.touched.shrink_to(KEEP_ENTRIES);
        self.touched_later.shrink_to(KEEP_ENTRIES);
        self.unfinished.shrink_to(KEEP_ENTRIES);
        self.commands.shrink_to(KEEP_ENTRIES);
    }

    /// Nothing before this counts against a peer.
    pub(super) fn floor(&self) -> Time {
        self.floor
    }

    /// Tells the scheduler something that no peer said.
    pub(super) fn tell(&mut self, now: Time, event: Event<'_>) {
        vital(|| self.scheduler.handle(now, event));
        self.again = true;
    }
}

/// Whether an action is for a client, or may come after all that are.
fn may_wait<P>(action: &Action<P>) -> bool {
    match action {
        Action::Accept { .. } | Action::Refuse { .. } | Action::Deliver { .. } => true,
        Action::Data { .. } | Action::Progress { .. } | Action::Restarted { .. } => true,
        Action::Disconnect { .. } | Action::ReleaseMemory => true,
        Action::Assign(_) | Action::Cancel { .. } | Action::SetRunLimit { .. } | Action::Grant { .. } => {
            false
        }
        Action::AcceptOffer { .. } | Action::RefuseOffer { .. } | Action::ConfirmWithdrawal { .. } => false,
        Action::SystemMessage { .. } | Action::SystemReport { .. } | Action::Notice(_) => false,
    }
}
