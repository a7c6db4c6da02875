//! What the manager's thread waits for: its sockets, somebody who wakes it, and a time.
//!
//! One thread owns every socket, so nothing has to find out whose task to wake: an event names the place of its socket, and
//! a turn looks at that place. A runtime with a task, a waker and a lock for each socket costs a job that comes alone a quarter of
//! what the manager does for it.

use super::busy_poll::BusyPoll;
use crate::net::drive::Clock;
use mio::event::Event;
use mio::{Events, Poll, Registry, Token};
use proletariat_protocol::Time;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

/// The listening socket, where others have their place.
pub(super) const LISTENER: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX);
/// News of so many sockets at once.
pub(super) const EVENTS: usize = 16;
/// No wait is longer; the loop then looks again.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// The wait of one thread.
#[derive(Debug)]
pub(super) struct Poller {
    poll: Poll,
    events: Events,
    alarm: Arc<Alarm>,
    busy_poll: BusyPoll,
}

/// Wakes the thread, from wherever. That costs a system call only if it sleeps.
#[derive(Debug)]
struct Alarm {
    rung: AtomicBool,
    asleep: AtomicBool,
    waker: mio::Waker,
}

impl Poller {
    pub(super) fn new(busy_poll: BusyPoll) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), ALARM)?;
        let alarm = Alarm { rung: AtomicBool::new(false), asleep: AtomicBool::new(false), waker };
        Ok(Self { poll, events: Events::with_capacity(EVENTS), alarm: Arc::new(alarm), busy_poll })
    }

    /// Where sockets are put on the list of those that are watched; closed ones are off it.
    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Ends the wait, or keeps the next one from beginning.
    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.alarm))
    }

    /// Waits until a socket has news, somebody wakes the thread, or it is `until` (`None`: as long as it takes). Tells when that was.
    /// `begin` is when it begins; a reading of the clock that is some microseconds old will do.
    pub(super) fn wait(&mut self, clock: Clock, begin: Time, until: Option<Time>) -> io::Result<Time> {
        let time = until.map_or(WAIT_MAX, |until| until.since(begin)).min(WAIT_MAX);
        let busy = self.busy_poll.time().min(time);
        if busy.is_zero() || !self.look_for(clock, begin + busy)? {
            self.sleep(time - busy)?;
        }
        let end = clock.now();
        let news = u32::try_from(self.events.iter().count()).unwrap_or(u32::MAX);
        self.busy_poll.waited(end.since(begin), news, processor_time);
        Ok(end)
    }

    /// Looks for news again and again, until then; whether there are any, or somebody has rung.
    fn look_for(&mut self, clock: Clock, until: Time) -> io::Result<bool> {
        while clock.now() < until {
            self.poll(Duration::ZERO)?;
            // What the alarm's ringing announces was written before, and is read in the turn that follows.
            if self.alarm.rung.swap(false, Ordering::SeqCst) || !self.events.is_empty() {
                return Ok(true);
            }
            // Whoever has work for this processor goes first, most of all the one whom we have just sent something.
            thread::yield_now();
        }
        Ok(false)
    }

    /// Falls asleep for so long, unless there are news.
    fn sleep(&mut self, time: Duration) -> io::Result<()> {
        // First the one is written, then the other is read, here and in the alarm: one of the two sees what the other did.
        self.alarm.asleep.store(true, Ordering::SeqCst);
        let rung = self.alarm.rung.load(Ordering::SeqCst);
        let slept = self.poll(if rung { Duration::ZERO } else { time });
        self.alarm.asleep.store(false, Ordering::SeqCst);
        // Whoever rang until here has written before what the turn that follows will read.
        self.alarm.rung.store(false, Ordering::SeqCst);
        slept
    }

    fn poll(&mut self, time: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            polled => polled,
        }
    }

    /// Looks for news without waiting, and leaves it to the next wait to notice who rings.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.poll(Duration::ZERO)
    }

    /// Whether the last wait or look brought as much as there is room for, so that there may be more.
    pub(super) fn has_more(&self) -> bool {
        self.events.iter().count() == EVENTS
    }

    /// What the last wait or look brought: the sockets that have news.
    pub(super) fn news(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.token() != ALARM)
    }
}

/// What the thread that asks has had of a processor.
#[cold]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            // The only error is a counter that is full, which wakes as well.
            let _ = self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::busy_poll::BusyPolling;
    use super::*;
    use std::time::Instant;

    #[test]
    fn who_is_woken_before_the_wait_does_not_wait() {
        let mut poller = Poller::new(BusyPoll::new(BusyPolling::Always)).unwrap();
        let clock = Clock::start();
        poller.waker().wake();
        assert!(poller.wait(clock, clock.now(), None).unwrap() < Time::from_millis(60_000));
        let until = clock.now().plus_millis(5);
        assert!(poller.wait(clock, clock.now(), Some(until)).unwrap() >= until, "once is once");
        assert_eq!(poller.news().count(), 0);
    }

    #[test]
    fn news_that_find_no_room_come_with_the_next_look() {
        let mut poller = Poller::new(BusyPoll::new(BusyPolling::Always)).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| mio::net::TcpStream::from_std(std::net::TcpStream::connect(address).unwrap());
        let mut streams: Vec<_> = (0..=EVENTS).map(connect).collect();
        for (place, stream) in streams.iter_mut().enumerate() {
            poller.registry().register(stream, Token(place), mio::Interest::WRITABLE).unwrap();
        }
        poller.wait(Clock::start(), Time::ZERO, None).unwrap();
        assert_eq!((poller.news().count(), poller.has_more()), (EVENTS, true));
        poller.look().unwrap();
        assert_eq!((poller.news().count(), poller.has_more()), (1, false));
        poller.look().unwrap();
        assert_eq!((poller.news().count(), poller.has_more()), (0, false));
    }

    #[test]
    fn who_looks_keeps_to_the_time_too() {
        let mut poller = Poller::new(BusyPoll::new(BusyPolling::Always)).unwrap();
        let clock = Clock::start();
        for time in [0, 0, 0, 0, 5_000, 10, 5_000] {
            let until = clock.now() + Duration::from_micros(time);
            assert!(poller.wait(clock, clock.now(), Some(until)).unwrap() >= until);
            assert!(clock.now() >= until);
        }
    }

    #[test]
    fn no_alarm_is_lost() {
        for when in [BusyPolling::Never, BusyPolling::Auto, BusyPolling::Always] {
            alarms_from_another_thread(when);
        }
    }

    fn alarms_from_another_thread(when: BusyPolling) {
        let mut poller = Poller::new(BusyPoll::new(when)).unwrap();
        let (waker, rounds) = (poller.waker(), 20_000);
        let (done, turns) = std::sync::mpsc::channel();
        let other = thread::spawn(move || {
            for _ in 0..rounds {
                waker.wake_by_ref();
                turns.recv().unwrap();
            }
        });
        for _ in 0..rounds {
            let begin = Instant::now();
            poller.wait(Clock::start(), Time::ZERO, None).unwrap();
            assert!(begin.elapsed() < Duration::from_secs(60), "it slept through an alarm");
            done.send(()).unwrap();
        }
        other.join().unwrap();
    }
}
