//! The connection: lost, watched, ended.

use super::*;
use futures_util::StreamExt;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::handshake::{Answer, Refusal};
use proletariat_protocol::message::LeavingReason;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_lost_manager_costs_the_caller_nothing_but_time() {
    let (client, hatch, mut manager) = stage().await;
    let work = tokio::spawn(async move { client.work(["a", "b"], WorkOptions::default()).await });
    submit(&mut manager).await;
    end(&mut manager, 0, OutcomeKind::Result, &"A".into()).await;
    drop(manager);
    let mut manager = hatch.connection().await.welcome(8).await;
    assert_eq!(submit(&mut manager).await, (0, vec![Payload::from("b")]));
    end(&mut manager, 0, OutcomeKind::Result, &"B".into()).await;
    assert_eq!(work.await.unwrap().unwrap(), [Ok(Payload::from("A")), Ok(Payload::from("B"))]);
}

#[tokio::test(start_paused = true)]
async fn the_state_of_the_link_can_be_watched() {
    let (client, hatch, manager) = stage().await;
    let up_as = |state: &LinkState| match state {
        LinkState::Up { peer, .. } => Some(peer.0),
        _ => None,
    };
    assert_eq!(up_as(&client.link_state()), Some(7));
    drop(manager);
    let lost = client.link_changed().await.unwrap();
    assert!(matches!(lost, LinkState::Connecting { last: Some(LinkError::Closed) }), "{lost:?}");
    let (changed, manager) =
        tokio::join!(client.link_changed(), async { hatch.connection().await.welcome(8).await });
    assert_eq!(up_as(&changed.unwrap()), Some(8));
    let (changed, ()) = tokio::join!(client.link_changed(), async {
        client.shutdown().await;
        drop(manager);
    });
    assert!(!matches!(changed, Some(LinkState::Up { .. })));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_what_is_open_and_says_goodbye() {
    let (client, _hatch, mut manager) = stage().await;
    let other = client.clone();
    let work = tokio::spawn(async move { other.work(["a"], WorkOptions::default()).await });
    submit(&mut manager).await;
    let (group, outcomes) = client.open_group(WorkOptions::default()).unwrap();
    let ending = client.clone();
    let ended = tokio::spawn(async move { ending.shutdown().await });
    assert_eq!(manager.hear().await, Some(PeerMessage::Abort { first: JobId(0), count: 1 }));
    assert_eq!(manager.hear().await, Some(PeerMessage::Leaving { reason: LeavingReason::Done }));
    assert_eq!(manager.hear().await, None);
    drop(manager);
    ended.await.unwrap();
    assert_eq!(work.await.unwrap().unwrap()[0].as_ref().unwrap_err().code, ErrorCode::Aborted);
    assert_eq!(outcomes.collect::<Vec<_>>().await, []);
    assert!(matches!(group.submit("late").await, Err(Error::Closed)));
    assert!(matches!(client.work(["b"], WorkOptions::default()).await, Err(Error::Closed)));
    client.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_ends_the_wait_and_all_calls() {
    let (hatch, connector) = Hatch::open();
    let client = Client::builder().over(connector);
    let mut manager = hatch.connection().await;
    let refusal = Refusal {
        code: ErrorCode::Unauthorized,
        message: "no token".into(),
        retry: false,
        retry_after_ms: 0,
    };
    manager.answer(Answer::Refused(refusal)).await;
    let error = client.wait_for_session(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Unauthorized));
    assert!(matches!(client.link_state(), LinkState::Over { .. }));
    let outcomes = client.work(["a"], WorkOptions::default()).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap_err().code, ErrorCode::Unauthorized);
}

#[tokio::test(start_paused = true)]
async fn connecting_ends_with_the_last_reason() {
    let begin = Instant::now();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Client::connect(gone.to_string()).await.unwrap_err();
    assert_eq!(begin.elapsed().as_secs(), 5);
    let Error::ConnectTimeout { last: Some(last), .. } = &error else { panic!("{error}") };
    assert!(last.to_string().contains(&gone.to_string()), "{error}");
}
