//! Leaving, with and without something unsent.

use super::*;

impl Stage {
    /// A member that leaves with a large message unsent, at a manager that takes 64 KiB each half second.
    async fn leaving(patience: Option<Duration>) -> (Self, ManagerEnd) {
        let mut stage = Self::of_patience(patience);
        let mut manager = stage.connection().await.welcome(7).await;
        assert_eq!(stage.next().await, "up 7");
        manager.pause = Duration::from_millis(125);
        stage.commands.send(LARGE).unwrap();
        stage.commands = unbounded_channel().0;
        (stage, manager)
    }
}

#[tokio::test(start_paused = true)]
async fn a_patient_member_leaves_when_everything_is_written() {
    let (stage, mut manager) = Stage::leaving(Some(Duration::ZERO)).await;
    let begin = Instant::now();
    // A sign of life passes it.
    assert_eq!(manager.hear().await, Some(PeerMessage::Ping));
    let (message, payloads) = manager.hear_all().await.unwrap();
    assert!(matches!(message, PeerMessage::SystemMessage { bytes: LARGE_BYTES, .. }), "{message:?}");
    assert!(payloads[0].len() == LARGE_BYTES as usize && payloads[0].iter().all(|&byte| byte == 7));
    assert_eq!(manager.hear().await, Some(PeerMessage::Leaving { reason: LeavingReason::Done }));
    assert_eq!(manager.hear().await, None);
    assert_eq!(begin.elapsed().as_secs(), 16);
    assert!(matches!(stage.end.await.unwrap(), End::Left));
}

#[tokio::test(start_paused = true)]
async fn a_member_in_a_hurry_leaves_after_two_seconds_whatever_waits() {
    let (stage, mut manager) = Stage::leaving(None).await;
    let begin = Instant::now();
    let hears = tokio::spawn(async move { manager.hear().await });
    assert!(matches!(stage.end.await.unwrap(), End::Left));
    assert_eq!(begin.elapsed().as_secs(), 2);
    assert_eq!(hears.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_manager_that_takes_nothing_is_waited_for_as_long_as_the_member_says() {
    for (patience, seconds) in [(0, 2), (10, 10)] {
        let (stage, _manager) = Stage::leaving(Some(Duration::from_secs(patience))).await;
        let begin = Instant::now();
        assert!(matches!(stage.end.await.unwrap(), End::Left));
        assert_eq!(begin.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_ended_its_half_says_nothing_more() {
    let mut stage = Stage::open();
    let mut manager = stage.connection().await.welcome(7).await;
    assert_eq!(stage.next().await, "up 7");
    drop(stage.commands);
    assert_eq!(manager.hear().await, Some(PeerMessage::Leaving { reason: LeavingReason::Done }));
    assert_eq!(manager.hear().await, None);
    manager.say(&ManagerMessage::Ping, &[]).await;
    let data = ManagerMessage::Data { job: JobId(3), bytes: 2 };
    manager.say(&data, &[Payload::from_static(b"ab")]).await;
    assert_eq!(stage.told.recv().await.as_deref(), Some("data 3 b\"ab\""));
    drop(manager);
    assert_eq!(stage.told.recv().await.as_deref(), Some("down the manager closed the connection"));
    assert!(matches!(stage.end.await.unwrap(), End::Left));
}
