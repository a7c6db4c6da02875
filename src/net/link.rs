//! When to connect, when to wait, when to ask for a sign of life, when to give a manager up.
//!
//! A pure machine: it is told what happened to the connection and says what is to be done with it. The driver beside it
//! owns the socket.
//!
//! ```text
//!              due                 stream open            welcome
//!  Waiting ───────────► Connecting ───────────► Greeting ───────────► Up
//!     ▲                      │                      │                  │
//!     └──────────────────────┴──── failed ──────────┴──────────────────┘
//!                                     │  no use in trying again, or tried often enough
//!                                     ▼
//!                                   Ended
//! ```
//!
//! Two things are easy to get wrong. Many peers lose their manager in the same moment, so each waits a random time of
//! its own before it comes back (full jitter). And a process that was stopped for a while finds every clock passed when
//! it goes on: silence counts only while this machine was looking, so a stall of our own never ends a session by itself.
//! One that ends just before a manager is given up would be too short to be seen by that: so the machine looks once shortly
//! before, and if it comes late to that look, the answer that is perhaps on its way is waited for.

use core::time::Duration;
use proletariat_protocol::Time;

/// A machine that is polled so much later than it asked for was not looking: the process was stopped or starved.
const STALL: Duration = Duration::from_secs(1);
/// So long before it gives its manager up, a link looks once more; a shorter part of a short timeout.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// No wait for the next attempt is shorter, also where the first wait is zero: with nobody there that would be a loop.
const WAIT_MIN: Duration = Duration::from_millis(10);
/// Doublings after which the longest wait is reached from any sensible first wait; keeps the shift in range.
const DOUBLINGS_MAX: u32 = 16;

/// What the owner of a link decides.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Longest time for one attempt: the stream and the handshake together.
    pub attempt_timeout: Duration,
    /// The first wait is random up to this; it doubles with each failure. No wait is shorter than 10 ms.
    pub retry_time: Duration,
    /// No wait is longer, unless the manager asks for a longer one.
    pub retry_time_max: Duration,
    /// So many failures in a row end the link; `None`: it tries for ever.
    pub max_retries: Option<u32>,
    /// After so much silence from the manager it is pinged, if it may be given up at all.
    pub heartbeat: Duration,
    /// After so much silence the manager is given up. Zero: never.
    pub manager_timeout: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(5),
            retry_time: Duration::from_secs(2),
            retry_time_max: Duration::from_secs(5),
            max_retries: None,
            heartbeat: Duration::from_secs(5),
            manager_timeout: Duration::from_secs(30),
        }
    }
}

/// What a failure says about trying again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// Try again, not before this has passed (zero: as the peer likes).
    After(Duration),
    /// There is no use before something changes. Ends the link if no handshake ever succeeded; a peer that was
    /// welcome once keeps trying, because a manager that is being replaced refuses for a while.
    NotAtFirst,
    /// There is no use at all.
    Never,
}

/// What a [`Link`] wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Open a stream; answered with [`Link::opened`] or [`Link::failed`].
    Connect,
    /// Send a ping.
    Ping,
    /// Drop the attempt: it took too long. The link counts this as a failure already.
    AttemptTimedOut,
    /// Drop the session: the manager was silent for too long. The link counts this as a failure already.
    ManagerSilent,
}

/// The machine. See the head of the file.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    state: State,
    /// When it was polled last, or what it then asked to be polled for, whichever is later.
    expected: Time,
    /// Failures since the last welcome.
    failures: u32,
    /// How often the wait has doubled.
    doublings: u32,
    welcomed: bool,
    random: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting { until: Time },
    Connecting { until: Time },
    Greeting { until: Time },
    Up(Up),
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Up {
    since: Time,
    /// The last byte came then, or we were not looking until then.
    heard: Time,
    pinged: bool,
    /// The last look before the manager is given up is done.
    looked: bool,
}

impl Link {
    /// A link that wants to connect at once. Its waits follow from the seed alone.
    #[must_use]
    pub fn new(config: LinkConfig, seed: u64, now: Time) -> Self {
        Self {
            config,
            state: State::Waiting { until: now },
            expected: Time::NEVER,
            failures: 0,
            doublings: 0,
            welcomed: false,
            random: seed,
        }
    }

    /// What is due. Call it until it says `None`, and only when everything that has been received is read.
    pub fn poll(&mut self, now: Time) -> Option<Step> {
        self.forgive_stall(now);
        let step = self.due(now);
        self.expected = self.next_deadline().unwrap_or(Time::NEVER).max(now);
        step
    }

    /// The stream is open: the handshake begins.
    pub fn opened(&mut self, _now: Time) {
        if let State::Connecting { until } = self.state {
            self.state = State::Greeting { until };
        }
    }

    /// The manager let us in.
    pub fn welcomed(&mut self, now: Time) {
        if matches!(self.state, State::Connecting { .. } | State::Greeting { .. }) {
            self.state = State::Up(Up { since: now, heard: now, pinged: false, looked: false });
            self.expected = Time::NEVER;
            self.failures = 0;
            self.welcomed = true;
        }
    }

    /// Bytes came from the manager.
    pub fn heard(&mut self, now: Time) {
        if let State::Up(up) = &mut self.state {
            *up = Up { heard: now, pinged: false, looked: false, ..*up };
        }
    }

    /// The attempt failed or the session ended. Says when the next attempt is due; `None`: there will be none.
    pub fn failed(&mut self, now: Time, retry: Retry) -> Option<Time> {
        match self.state {
            State::Ended => return None,
            State::Waiting { until } => return Some(until),
            State::Connecting { .. } | State::Greeting { .. } => self.failures += 1,
            State::Up(up) => {
                // A manager that lets us in and drops us at once must not be asked ever faster.
                if now.since(up.since) >= self.config.retry_time_max {
                    self.doublings = 0;
                }
            }
        }
        self.state = self.after_failure(now, retry);
        self.next_deadline()
    }

    /// Nothing is wanted any more.
    pub fn end(&mut self) {
        self.state = State::Ended;
    }

    /// Whether a session is open.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Whether it will never connect again.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// When to poll if nothing happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting { until } | State::Connecting { until } | State::Greeting { until } => Some(until),
            State::Up(_) if self.config.manager_timeout.is_zero() => None,
            State::Up(Up { heard, pinged: false, .. }) => Some(heard + self.ping_after()),
            State::Up(Up { heard, looked: false, .. }) => {
                Some(heard + (self.config.manager_timeout - self.last_look()))
            }
            State::Up(Up { heard, .. }) => Some(heard + self.config.manager_timeout),
            State::Ended => None,
        }
    }

    fn due(&mut self, now: Time) -> Option<Step> {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.state {
            State::Waiting { .. } => {
                self.state = State::Connecting { until: now + self.config.attempt_timeout };
                Some(Step::Connect)
            }
            State::Connecting { .. } | State::Greeting { .. } => {
                self.failed(now, Retry::After(Duration::ZERO));
                Some(Step::AttemptTimedOut)
            }
            State::Up(up) if !up.pinged => {
                self.state = State::Up(Up { pinged: true, ..up });
                Some(Step::Ping)
            }
            State::Up(up) if !up.looked => {
                self.look_once_more(now, up);
                None
            }
            State::Up(_) => {
                self.failed(now, Retry::After(Duration::ZERO));
                Some(Step::ManagerSilent)
            }
            State::Ended => None,
        }
    }

    /// Moves the beginning of the silence so that, after a stall, the manager is pinged and given time to answer.
    fn forgive_stall(&mut self, now: Time) {
        if now.since(self.expected) < STALL {
            return;
        }
        let ping_after = self.ping_after();
        if let State::Up(up) = &mut self.state {
            let excused = Time(now.0.saturating_sub(micros(ping_after)));
            *up = Up { heard: up.heard.max(excused), pinged: false, looked: false, ..*up };
        }
    }

    /// Shortly before the manager is given up. Who comes late to this look was perhaps stopped until now.
    fn look_once_more(&mut self, now: Time, up: Up) {
        let late = now.since(self.expected) > self.last_look() / 2;
        let excused = Time((now + self.last_look()).0.saturating_sub(micros(self.config.manager_timeout)));
        let heard = if late { up.heard.max(excused) } else { up.heard };
        self.state = State::Up(Up { heard, looked: true, ..up });
    }

    fn last_look(&self) -> Duration {
        LAST_LOOK.min(self.config.manager_timeout / 4)
    }

    /// A ping after the timeout would be of no use.
    fn ping_after(&self) -> Duration {
        self.config.heartbeat.min(self.config.manager_timeout / 2)
    }

    fn after_failure(&mut self, now: Time, retry: Retry) -> State {
        let not_before = match retry {
            Retry::Never => return State::Ended,
            Retry::NotAtFirst if !self.welcomed => return State::Ended,
            Retry::NotAtFirst => Duration::ZERO,
            Retry::After(not_before) => not_before,
        };
        if self.config.max_retries.is_some_and(|most| self.failures > most) {
            return State::Ended;
        }
        State::Waiting { until: now + not_before + self.jitter() }
    }

    /// A random wait up to the first one doubled as often as it failed, within the shortest and the longest.
    fn jitter(&mut self) -> Duration {
        let doubled = self.config.retry_time.saturating_mul(1 << self.doublings);
        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        let most = micros(doubled.min(self.config.retry_time_max));
        Duration::from_micros(self.random_below(most.saturating_add(1))).max(WAIT_MIN)
    }

    fn random_below(&mut self, bound: u64) -> u64 {
        // splitmix64: one state word, every seed is good. The high half of the product is even enough for a wait.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        let product = u128::from(word) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
