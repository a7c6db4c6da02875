//! The manager's one timer: a descriptor of the system's, watched like a socket.
//!
//! The runtime's timers look at the clock before and after each wait, and into a wheel. With one timer that is seldom set anew, all of
//! that is for nothing, and a job that comes alone feels it.

use crate::net::drive::Clock;
use crate::net::watched;
use core::task::{Context, Poll};
use core::time::Duration;
use proletariat_protocol::Time;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// No timer is set further ahead; the loop then looks again.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);
/// Zero would mean: never.
const SLEEP_MIN: Duration = Duration::from_micros(1);

/// It is set anew only when something earlier is due: a deadline that moves away costs nothing.
#[derive(Debug)]
pub(super) struct Timer {
    clock: Clock,
    descriptor: AsyncFd<OwnedFd>,
    armed: Option<Time>,
}

impl Timer {
    /// A timer by this clock. Needs the context of a runtime.
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = watched(timerfd_create(TimerfdClockId::Monotonic, flags)?, Interest::READABLE)?;
        Ok(Self { clock, descriptor, armed: None })
    }

    /// Ready when the deadline may have come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Time>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.arm(deadline);
        }
        match self.descriptor.poll_read_ready(cx) {
            Poll::Pending => return Poll::Pending,
            // Whoever sets it anew makes it unreadable, so nothing has to be read.
            Poll::Ready(Ok(mut ready)) => ready.clear_ready(),
            // The runtime ends, and this with it.
            Poll::Ready(Err(_)) => {}
        }
        self.armed = None;
        Poll::Ready(())
    }

    fn arm(&mut self, deadline: Time) {
        let now = self.clock.now();
        let ahead = deadline.since(now).clamp(SLEEP_MIN, SLEEP_MAX);
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Timespec {
            tv_sec: i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: ahead.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: never, it_value: once };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)
            .expect("a timer takes each time between a microsecond and an hour");
        self.armed = Some(deadline.min(now + SLEEP_MAX));
    }
}
