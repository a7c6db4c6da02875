//! The machine in virtual time.

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
        assert!(waits.iter().all(|&wait| wait <= Duration::from_secs(5)), "{waits:?}");
        firsts.push(waits[0]);
        later = later.max(waits.into_iter().max().unwrap());
    }
    firsts.sort_unstable();
    assert!(firsts[10] < Duration::from_millis(300) && firsts[190] > Duration::from_millis(1_700));
    assert!(later > Duration::from_millis(4_900));
    assert_eq!(waits(LinkConfig::default(), 7, 9), waits(LinkConfig::default(), 7, 9));
    assert_ne!(waits(LinkConfig::default(), 7, 9), waits(LinkConfig::default(), 8, 9));
}

#[test]
fn a_first_wait_of_zero_is_no_loop() {
    let config = LinkConfig { retry_time: Duration::ZERO, ..LinkConfig::default() };
    let waits = waits(config, 3, 50);
    assert!(waits.iter().all(|&wait| wait == Duration::from_millis(10)), "{waits:?}");
}

#[test]
fn a_hint_of_the_manager_is_waited_for() {
    for seed in 0..50 {
        let mut link = up(LinkConfig::default(), seed);
        let next = link.failed(at(10), Retry::After(Duration::from_secs(60))).unwrap();
        assert!(next >= at(60_010) && next <= at(62_010), "{next:?}");
        assert_eq!(link.poll(at(60_009)), None);
        assert_eq!(link.poll(next), Some(Step::Connect));
    }
}

#[test]
fn retries_are_counted_from_the_last_welcome() {
    let config = LinkConfig { max_retries: Some(2), ..LinkConfig::default() };
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
    assert_eq!(link.next_deadline(), Some(at(34_100)), "the last look");
    assert_eq!(link.poll(at(34_100)), None);
    assert_eq!(link.next_deadline(), Some(at(35_100)));
    assert_eq!(link.poll(at(35_099)), None);
    assert_eq!(link.poll(at(35_100)), Some(Step::ManagerSilent));
    assert!(!link.is_up());
}

#[test]
fn a_timeout_of_zero_is_none() {
    let config = LinkConfig { manager_timeout: Duration::ZERO, ..LinkConfig::default() };
    let mut link = up(config, 1);
    assert_eq!(link.next_deadline(), None);
    for now in [at(2), at(5_001), at(86_400_000)] {
        assert_eq!(link.poll(now), None, "{now:?}");
    }
    assert!(link.is_up());
    let next = link.failed(at(86_400_001), AT_WILL).unwrap();
    assert_eq!(link.poll(next), Some(Step::Connect), "a session that ends is not silence");
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
    assert_eq!(link.poll(at(639_001)), None);
    assert_eq!(link.poll(at(640_001)), Some(Step::ManagerSilent));
}

#[test]
fn nor_is_one_that_ends_just_before_the_manager_would_be_given_up() {
    for wakes in [34_600, 34_999] {
        let mut link = up(LinkConfig::default(), 1);
        link.heard(at(5_000));
        assert_eq!(link.poll(at(10_000)), Some(Step::Ping));
        // Stopped from here on, and so was the manager, whose answer comes a little later.
        assert_eq!(link.poll(at(wakes)), None, "{wakes}");
        assert_eq!(link.poll(at(wakes + 400)), None, "{wakes}");
        link.heard(at(wakes + 401));
        assert!(link.is_up());
    }
    // It is waited for only once, and not for long.
    let mut link = up(LinkConfig::default(), 1);
    link.heard(at(5_000));
    assert_eq!(link.poll(at(10_000)), Some(Step::Ping));
    assert_eq!(link.poll(at(34_700)), None);
    assert_eq!(link.poll(at(35_700)), Some(Step::ManagerSilent));
}

#[test]
fn a_manager_that_drops_us_at_once_is_asked_ever_more_slowly() {
    let config = LinkConfig { retry_time: Duration::from_millis(100), ..LinkConfig::default() };
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
