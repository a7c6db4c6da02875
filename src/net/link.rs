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

use core::time::Duration;
use proletariat_protocol::Time;

/// A machine that is polled so much later than it asked for was not looking: the process was stopped or starved.
const STALL: Duration = Duration::from_secs(1);
/// Doublings after which the longest wait is reached from any sensible first wait; keeps the shift in range.
const DOUBLINGS_MAX: u32 = 16;

/// What the owner of a link decides.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Longest time for one attempt: the stream and the handshake together.
    pub attempt_timeout: Duration,
    /// The first wait is random up to this; it doubles with each failure.
    pub retry_time: Duration,
    /// No wait is longer, unless the manager asks for a longer one.
    pub retry_time_max: Duration,
    /// So many failures in a row end the link; `None`: it tries for ever.
    pub max_retries: Option<u32>,
    /// After so much silence from the manager it is pinged.
    pub heartbeat: Duration,
    /// After so much silence the manager is given up.
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
            self.state = State::Up(Up {
                since: now,
                heard: now,
                pinged: false,
            });
            self.expected = Time::NEVER;
            self.failures = 0;
            self.welcomed = true;
        }
    }

    /// Bytes came from the manager.
    pub fn heard(&mut self, now: Time) {
        if let State::Up(up) = &mut self.state {
            up.heard = now;
            up.pinged = false;
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
            State::Up(Up { heard, pinged, .. }) => {
                let silence = if pinged {
                    self.config.manager_timeout
                } else {
                    self.ping_after()
                };
                Some(heard + silence)
            }
            State::Ended => None,
        }
    }

    fn due(&mut self, now: Time) -> Option<Step> {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        match self.state {
            State::Waiting { .. } => {
                self.state = State::Connecting {
                    until: now + self.config.attempt_timeout,
                };
                Some(Step::Connect)
            }
            State::Connecting { .. } | State::Greeting { .. } => {
                self.failed(now, Retry::After(Duration::ZERO));
                Some(Step::AttemptTimedOut)
            }
            State::Up(up) if now.since(up.heard) >= self.config.manager_timeout => {
                self.failed(now, Retry::After(Duration::ZERO));
                Some(Step::ManagerSilent)
            }
            State::Up(up) => {
                self.state = State::Up(Up { pinged: true, ..up });
                Some(Step::Ping)
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
            up.heard = up.heard.max(excused);
            up.pinged = false;
        }
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
        State::Waiting {
            until: now + not_before + self.jitter(),
        }
    }

    /// A random wait up to the first one doubled as often as it failed, within the longest.
    fn jitter(&mut self) -> Duration {
        let doubled = self.config.retry_time.saturating_mul(1 << self.doublings);
        self.doublings = (self.doublings + 1).min(DOUBLINGS_MAX);
        let most = micros(doubled.min(self.config.retry_time_max));
        Duration::from_micros(self.random_below(most.saturating_add(1)))
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
mod tests {
    use super::*;

    const AT_WILL: Retry = Retry::After(Duration::ZERO);

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn up(config: LinkConfig, seed: u64) -> Link {
        let mut link = Link::new(config, seed, at(0));
        assert_eq!(link.poll(at(0)), Some(Step::Connect));
        link.opened(at(1));
        link.welcomed(at(1));
        assert!(link.is_up());
        link
    }

    /// Fails every attempt as soon as it is due; the waits in between.
    fn waits(config: LinkConfig, seed: u64, attempts: usize) -> Vec<Duration> {
        let mut link = Link::new(config, seed, at(0));
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..attempts {
            assert_eq!(link.poll(now), Some(Step::Connect));
            let next = link.failed(now, AT_WILL).unwrap();
            waits.push(next - now);
            now = next;
        }
        waits
    }

    #[test]
    fn waits_are_random_grow_and_stay_within_the_longest() {
        let mut firsts = Vec::new();
        let mut later = Duration::ZERO;
        for seed in 0..200 {
            let waits = waits(LinkConfig::default(), seed, 12);
            assert!(waits[0] <= Duration::from_secs(2), "{waits:?}");
            assert!(waits[1] <= Duration::from_secs(4), "{waits:?}");
            assert!(
                waits.iter().all(|&wait| wait <= Duration::from_secs(5)),
                "{waits:?}"
            );
            firsts.push(waits[0]);
            later = later.max(waits.into_iter().max().unwrap());
        }
        firsts.sort_unstable();
        assert!(firsts[10] < Duration::from_millis(300) && firsts[190] > Duration::from_millis(1_700));
        assert!(later > Duration::from_millis(4_900));
        assert_eq!(
            waits(LinkConfig::default(), 7, 9),
            waits(LinkConfig::default(), 7, 9)
        );
        assert_ne!(
            waits(LinkConfig::default(), 7, 9),
            waits(LinkConfig::default(), 8, 9)
        );
    }

    #[test]
    fn a_hint_of_the_manager_is_waited_for() {
        for seed in 0..50 {
            let mut link = up(LinkConfig::default(), seed);
            let next = link
                .failed(at(10), Retry::After(Duration::from_secs(60)))
                .unwrap();
            assert!(next >= at(60_010) && next <= at(62_010), "{next:?}");
            assert_eq!(link.poll(at(60_009)), None);
            assert_eq!(link.poll(next), Some(Step::Connect));
        }
    }

    #[test]
    fn retries_are_counted_from_the_last_welcome() {
        let config = LinkConfig {
            max_retries: Some(2),
            ..LinkConfig::default()
        };
        let mut link = up(config, 1);
        let mut next = link.failed(at(2), AT_WILL).unwrap();
        for _ in 0..2 {
            assert_eq!(link.poll(next), Some(Step::Connect));
            next = link.failed(next, AT_WILL).unwrap();
        }
        assert_eq!(link.poll(next), Some(Step::Connect));
        assert_eq!(link.failed(next, AT_WILL), None);
        assert!(link.has_ended() && link.next_deadline().is_none() && link.poll(Time::NEVER).is_none());
    }

    #[test]
    fn a_refusal_for_good_ends_only_a_link_that_was_never_up() {
        let mut fresh = Link::new(LinkConfig::default(), 1, at(0));
        assert_eq!(fresh.poll(at(0)), Some(Step::Connect));
        fresh.opened(at(1));
        assert_eq!(fresh.failed(at(2), Retry::NotAtFirst), None);
        assert!(fresh.has_ended());

        let mut known = up(LinkConfig::default(), 1);
        let next = known.failed(at(2), AT_WILL).unwrap();
        assert_eq!(known.poll(next), Some(Step::Connect));
        assert!(known.failed(next, Retry::NotAtFirst).is_some());
        let mut replaced = up(LinkConfig::default(), 1);
        assert_eq!(replaced.failed(at(2), Retry::Never), None);
    }

    #[test]
    fn an_attempt_has_one_clock_for_stream_and_handshake() {
        let mut link = Link::new(LinkConfig::default(), 3, at(0));
        assert_eq!(link.poll(at(0)), Some(Step::Connect));
        assert_eq!(link.poll(at(4_000)), None);
        link.opened(at(4_000));
        assert_eq!(link.next_deadline(), Some(at(5_000)));
        assert_eq!(link.poll(at(5_000)), Some(Step::AttemptTimedOut));
        assert!(!link.has_ended() && link.next_deadline().unwrap() <= at(7_000));
    }

    #[test]
    fn silence_is_met_with_one_ping_and_then_ends_the_session() {
        let mut link = up(LinkConfig::default(), 1);
        assert_eq!(link.poll(at(5_000)), None);
        assert_eq!(link.poll(at(5_001)), Some(Step::Ping));
        assert_eq!(link.poll(at(5_002)), None);
        link.heard(at(5_100));
        assert_eq!(link.poll(at(10_100)), Some(Step::Ping));
        assert_eq!(link.next_deadline(), Some(at(35_100)));
        assert_eq!(link.poll(at(35_099)), None);
        assert_eq!(link.poll(at(35_100)), Some(Step::ManagerSilent));
        assert!(!link.is_up());
    }

    #[test]
    fn a_stall_of_our_own_is_not_silence_of_the_manager() {
        let mut link = up(LinkConfig::default(), 1);
        assert_eq!(link.poll(at(5_001)), Some(Step::Ping));
        // The process is stopped for ten minutes. First the manager is asked again, and it has time to answer.
        assert_eq!(link.poll(at(600_000)), Some(Step::Ping));
        assert_eq!(link.poll(at(610_000)), None);
        link.heard(at(610_001));
        assert!(link.is_up());
        // A manager that stays silent while we look is still given up.
        assert_eq!(link.poll(at(615_001)), Some(Step::Ping));
        assert_eq!(link.poll(at(640_001)), Some(Step::ManagerSilent));
    }

    #[test]
    fn a_manager_that_drops_us_at_once_is_asked_ever_more_slowly() {
        let config = LinkConfig {
            retry_time: Duration::from_millis(100),
            ..LinkConfig::default()
        };
        let longest = |session_ms: u64| {
            let mut link = Link::new(config.clone(), 5, at(0));
            let mut now = at(0);
            let mut longest = Duration::ZERO;
            for _ in 0..40 {
                assert_eq!(link.poll(now), Some(Step::Connect));
                link.welcomed(now);
                now = now.plus_millis(session_ms);
                let next = link.failed(now, AT_WILL).unwrap();
                longest = longest.max(next - now);
                now = next;
            }
            longest
        };
        assert!(longest(10) > Duration::from_secs(3));
        assert!(longest(6_000) <= Duration::from_millis(100));
    }
}
