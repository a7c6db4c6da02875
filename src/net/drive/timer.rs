//! Time for the loop: the clock that the machines are shown, and one timer.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use proletariat_protocol::Time;
use tokio::time::{Instant, Sleep};

/// No timer is set further ahead; the loop then looks again.
const SLEEP_MAX: Duration = Duration::from_secs(3_600);

/// A clock for machines: microseconds since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts at zero now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    /// A time of it, for timers.
    #[must_use]
    pub fn instant(&self, time: Time) -> Instant {
        self.origin + Duration::from_micros(time.0)
    }
}

/// One timer that is set anew only when something earlier is due: a deadline that moves away costs nothing.
#[derive(Debug)]
pub struct Timer {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    armed: Option<Time>,
}

impl Timer {
    /// A timer by this clock. Needs the context of a runtime.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, sleep: Box::pin(tokio::time::sleep_until(clock.origin)), armed: None }
    }

    /// Ready when the deadline may have come.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Time>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        if self.armed.is_none_or(|armed| deadline < armed) {
            let deadline = deadline.min(self.clock.now() + SLEEP_MAX);
            self.sleep.as_mut().reset(self.clock.instant(deadline));
            self.armed = Some(deadline);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.armed = None;
        Poll::Ready(())
    }
}
