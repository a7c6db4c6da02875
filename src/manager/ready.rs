//! What other threads tell the manager's.
//!
//! That are commands, and the wakers of connections that are no sockets of the system's: each has a waker of its own that writes
//! its place on a list and wakes the thread. The lock below is taken by whoever has something to tell, and then once by the thread.

use proletariat_protocol::hint::likely;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// What other threads, and the wakers, tell the thread.
#[derive(Debug)]
pub(super) struct Doorbell<C> {
    /// Something was written on the lists since they were taken. Whoever writes sets it first and wakes the owner then, so an owner
    /// that has missed it looks again; the alarm and this are in one order for all threads.
    rung: AtomicBool,
    state: Mutex<State<C>>,
}

#[derive(Debug)]
struct State<C> {
    ready: Vec<u32>,
    commands: Vec<C>,
    owner: Option<Waker>,
    ended: bool,
}

impl<C: Send + 'static> Doorbell<C> {
    pub(super) fn new() -> Arc<Self> {
        let state = State { ready: Vec::new(), commands: Vec::new(), owner: None, ended: false };
        // The first turn comes to be known as the owner.
        Arc::new(Self { rung: AtomicBool::new(true), state: Mutex::new(state) })
    }

    /// Tells the owner something; hands it back when the owner has ended.
    pub(super) fn send(&self, command: C) -> Result<(), C> {
        let mut state = self.lock();
        if state.ended {
            return Err(command);
        }
        state.commands.push(command);
        self.wake(state);
        Ok(())
    }

    /// Swaps the lists for the (empty) ones given, if there is anything on them, and remembers whom to wake from now on.
    pub(super) fn take(&self, ready: &mut Vec<u32>, commands: &mut Vec<C>, owner: &Waker) {
        if likely(!self.rung.swap(false, Ordering::SeqCst)) {
            return;
        }
        let mut state = self.lock();
        mem::swap(&mut state.ready, ready);
        mem::swap(&mut state.commands, commands);
        if !state.owner.as_ref().is_some_and(|known| known.will_wake(owner)) {
            state.owner = Some(owner.clone());
        }
    }

    /// Nobody listens any more; hands out what was not taken.
    pub(super) fn end(&self) -> Vec<C> {
        let mut state = self.lock();
        state.ended = true;
        state.owner = None;
        mem::take(&mut state.commands)
    }

    fn ring(&self, place: u32) {
        let mut state = self.lock();
        state.ready.push(place);
        self.wake(state);
    }

    fn wake(&self, state: MutexGuard<'_, State<C>>) {
        self.rung.store(true, Ordering::SeqCst);
        // Woken outside of the lock: waking may run code of the runtime.
        let owner = state.owner.clone();
        drop(state);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// A list of numbers stays valid whatever happened to the one who held the lock.
    fn lock(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one connection.
#[derive(Debug)]
pub(super) struct Bell<C> {
    doorbell: Arc<Doorbell<C>>,
    place: u32,
    /// Whether it is on the list already.
    rung: AtomicBool,
}

impl<C: Send + 'static> Bell<C> {
    pub(super) fn new(doorbell: &Arc<Doorbell<C>>, place: u32) -> Arc<Self> {
        Arc::new(Self { doorbell: Arc::clone(doorbell), place, rung: AtomicBool::new(false) })
    }

    /// Its place was taken from the list: it may ring again.
    pub(super) fn hang_up(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

impl<C: Send + 'static> Wake for Bell<C> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.doorbell.ring(self.place);
        }
    }
}
