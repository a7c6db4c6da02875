//! What the owner can do: start, change, drain, stop, talk.

use super::*;
use core::time::Duration;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::message::LeavingReason;
use tokio::sync::oneshot;

fn worker() -> Builder {
    Worker::builder().slots(10).handler(handlers::Sleep)
}

#[tokio::test(start_paused = true)]
async fn what_can_be_seen_at_once_is_an_error_before_anything_is_tried() {
    let (_hatch, started) = start(Worker::builder());
    assert!(matches!(started.await.unwrap(), Err(Error::NoHandler)));
    let (_hatch, started) = start(worker().priority_slots([(1, 11)]));
    let error = started.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidSlots));
    assert!(error.to_string().contains("range from 1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_first_handshake_or_offer_ends_the_start() {
    let (hatch, started) = start(worker());
    let refusal =
        Refusal { code: ErrorCode::Unauthorized, message: "who?".into(), retry: false, retry_after_ms: 0 };
    hatch.connection().await.answer(Answer::Refused(refusal)).await;
    let error = started.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Unauthorized));

    let (hatch, started) = start(worker());
    let mut manager = hatch.connection().await.welcome(7).await;
    let refused = ManagerMessage::OfferRefused { code: ErrorCode::InvalidSlots, message: "range 3".into() };
    assert!(matches!(manager.hear_end().await, PeerMessage::Offer(_)));
    manager.say(&refused, &[]).await;
    assert_eq!(manager.hear_end().await, PeerMessage::Leaving { reason: LeavingReason::Refused });
    assert!(manager.hear().await.is_none());
    drop(manager);
    let error = started.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::OfferRefused { message, .. } if message == "range 3"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_loses_its_manager_comes_back_with_the_same_offer() {
    let (hatch, mut manager, _worker) = serving(worker()).await;
    manager.assign(vec![execution(1)], b"1h").await;
    drop(manager);
    let mut manager = hatch.connection().await.welcome(7).await;
    let offer = manager.hear_end().await;
    assert!(matches!(&offer, PeerMessage::Offer(offer) if offer.slots == 10), "{offer:?}");
    manager.say(&ManagerMessage::OfferAccepted, &[]).await;
    manager.assign(vec![execution(1)], b"1ms").await;
    assert_eq!(manager.result().await.1, "1ms");
}

#[tokio::test(start_paused = true)]
async fn a_drain_answers_what_runs_and_closes() {
    let (_hatch, mut manager, worker) = serving(worker()).await;
    manager.assign(vec![execution(1)], b"20s").await;
    let drained = tokio::spawn(async move { worker.drain(Duration::from_secs(30)).await });
    assert_eq!(manager.hear_end().await, PeerMessage::Withdraw);
    manager.say(&ManagerMessage::Withdrawn, &[]).await;
    assert_eq!(manager.result().await.1, "20s");
    assert_eq!(manager.hear_end().await, PeerMessage::Leaving { reason: LeavingReason::Draining });
    assert!(manager.hear().await.is_none());
    drop(manager);
    assert!(drained.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_drain_hands_back_what_takes_longer() {
    let (_hatch, mut manager, worker) = serving(worker()).await;
    manager.assign(vec![execution(1)], b"1h").await;
    let drained = tokio::spawn(async move { worker.drain(Duration::from_secs(30)).await });
    assert_eq!(manager.hear_end().await, PeerMessage::Withdraw);
    manager.say(&ManagerMessage::Withdrawn, &[]).await;
    let back = PeerMessage::HandBack { assignment: AssignmentId(1), reason: HandBackReason::Leaving };
    assert_eq!(manager.hear_end().await, back);
    assert_eq!(manager.hear_end().await, PeerMessage::Leaving { reason: LeavingReason::Draining });
    drop(manager);
    assert!(drained.await.unwrap().is_ok());
}

/// A worker that drains with a result of 1 MiB unsent, at a manager that takes 64 KiB each half second.
async fn draining_with_a_large_result(timeout: Duration) -> (Hatch, ManagerEnd, Arc<Worker>) {
    let handler = |_| async { Ending::Done(vec![b'x'; 1 << 20].into()) };
    let (hatch, mut manager, worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![execution(1)], b"").await;
    let worker = Arc::new(worker);
    let drains = Arc::clone(&worker);
    tokio::spawn(async move { drains.drain(timeout).await });
    // It passes the result.
    assert_eq!(manager.hear_end().await, PeerMessage::Withdraw);
    manager.say(&ManagerMessage::Withdrawn, &[]).await;
    manager.pause = Duration::from_millis(125);
    (hatch, manager, worker)
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_when_a_slow_manager_has_all_results() {
    let (_hatch, mut manager, worker) = draining_with_a_large_result(Duration::from_secs(1)).await;
    let begin = tokio::time::Instant::now();
    assert_eq!(manager.result().await.1.len(), 1 << 20);
    assert_eq!(manager.hear_end().await, PeerMessage::Leaving { reason: LeavingReason::Draining });
    assert!(begin.elapsed() > Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(manager.hear().await.is_none());
    drop(manager);
    worker.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_out_its_timeout_for_a_manager_that_stands_still() {
    let (_hatch, mut manager, worker) = draining_with_a_large_result(Duration::from_secs(20)).await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(manager.result().await.1.len(), 1 << 20);
    drop(manager);
    worker.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait_for_a_slow_manager() {
    let (_hatch, mut manager, worker) = draining_with_a_large_result(Duration::from_secs(20)).await;
    manager.pause = Duration::from_secs(1);
    let hears = tokio::spawn(async move {
        while let Some(message) = manager.hear().await {
            assert_eq!(message, PeerMessage::Ping, "the result is not there as a whole");
        }
    });
    tokio::time::sleep(Duration::from_secs(4)).await;
    let begin = tokio::time::Instant::now();
    worker.stop();
    // A drain that comes too late makes it no longer.
    let drained = worker.drain(Duration::from_secs(60)).await;
    assert!(drained.is_ok() && begin.elapsed() <= Duration::from_secs(2), "{:?}", begin.elapsed());
    hears.await.unwrap();
}

/// Tells when it is dropped.
struct Tell(Option<oneshot::Sender<()>>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_worker_drops_its_handlers_and_says_goodbye() {
    let (tell, told) = oneshot::channel();
    let tell = std::sync::Mutex::new(Some(Tell(Some(tell))));
    let handler = move |_| {
        let held = tell.lock().unwrap().take();
        async move {
            let _held = held;
            core::future::pending::<Ending>().await
        }
    };
    let (_hatch, mut manager, worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![execution(1)], b"").await;
    let started = manager.hear().await.unwrap();
    assert_eq!(started, PeerMessage::Started { assignments: vec![AssignmentId(1)] });
    drop(worker);
    assert_eq!(manager.hear_end().await, PeerMessage::Leaving { reason: LeavingReason::Draining });
    told.await.unwrap();
    assert!(manager.hear().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_dropped_leaves_nothing() {
    let (hatch, started) = start(worker());
    let mut manager = hatch.connection().await.welcome(7).await;
    assert!(matches!(manager.hear_end().await, PeerMessage::Offer(_)));
    started.abort();
    assert_eq!(manager.hear_end().await, PeerMessage::Leaving { reason: LeavingReason::Draining });
    assert!(manager.hear().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_offer_can_be_changed() {
    let (_hatch, mut manager, worker) = serving(worker()).await;
    assert!(matches!(worker.offer(Offer::new(0)).await, Err(Error::Offer(_))));
    let changed = tokio::spawn(async move { (worker.offer(Offer::new(3)).await, worker) });
    assert_eq!(manager.hear_end().await, PeerMessage::Offer(Offer::new(3)));
    manager.say(&ManagerMessage::OfferAccepted, &[]).await;
    let (result, worker) = changed.await.unwrap();
    result.unwrap();
    worker.stop();
    manager.hear_end().await;
    drop(manager);
    worker.ended().await.unwrap();
    assert!(matches!(worker.offer(Offer::new(4)).await, Err(Error::Ended)));
}

#[tokio::test(start_paused = true)]
async fn each_offer_has_an_answer_of_its_own() {
    let (_hatch, mut manager, worker) = serving(worker()).await;
    let worker = Arc::new(worker);
    let change = |slots| {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.offer(Offer::new(slots)).await })
    };
    let first = change(3);
    assert_eq!(manager.hear_end().await, PeerMessage::Offer(Offer::new(3)));
    let second = change(4);
    assert_eq!(manager.hear_end().await, PeerMessage::Offer(Offer::new(4)));
    let message = String::from("not now");
    manager.say(&ManagerMessage::OfferRefused { code: ErrorCode::InvalidSlots, message }, &[]).await;
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::OfferRefused { message, .. } if message == "not now"), "{error}");
    manager.say(&ManagerMessage::OfferAccepted, &[]).await;
    let answer = second.await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_system_message_is_confirmed_when_the_callback_is_done() {
    let (_hatch, mut manager, worker) = serving(worker()).await;
    let message = |id| ManagerMessage::SystemMessage {
        id: proletariat_protocol::MessageId(id),
        from: PeerId(3),
        bytes: 2,
    };
    let confirm = |id| PeerMessage::Confirm { id: proletariat_protocol::MessageId(id) };
    manager.say(&message(1), &[Payload::from_static(b"hi")]).await;
    assert_eq!(manager.hear_end().await, confirm(1));

    let (seen, mut sees) = unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let callback = move |message| {
        seen.send(message).unwrap();
        let gate = Arc::clone(&waits);
        async move { drop(gate.acquire().await) }
    };
    worker.on_system_message(callback).unwrap();
    // The callback is in force when an answer to something later has come.
    let offered = worker.offer(Offer::new(10));
    offered.await.unwrap();
    manager.say(&message(2), &[Payload::from_static(b"ho")]).await;
    let seen = sees.recv().await.unwrap();
    assert_eq!((seen.from, &seen.content[..]), (PeerId(3), &b"ho"[..]));
    manager.say(&ManagerMessage::Ping, &[]).await;
    assert_eq!(manager.hear_end().await, PeerMessage::Pong, "and no confirmation yet");
    gate.add_permits(1);
    assert_eq!(manager.hear_end().await, confirm(2));
}

#[tokio::test(start_paused = true)]
async fn a_callback_of_the_builder_gets_what_comes_before_the_offer_is_accepted() {
    let (seen, mut sees) = unbounded_channel();
    let (hatch, started) = start(worker().on_system_message(move |message| {
        let seen = seen.clone();
        async move { seen.send(message.content).unwrap() }
    }));
    let mut manager = hatch.connection().await.welcome(7).await;
    assert!(matches!(manager.hear_end().await, PeerMessage::Offer(_)));
    let message = |id| ManagerMessage::SystemMessage {
        id: proletariat_protocol::MessageId(id),
        from: PeerId(3),
        bytes: 2,
    };
    let confirm = |id| PeerMessage::Confirm { id: proletariat_protocol::MessageId(id) };
    manager.say(&message(1), &[Payload::from_static(b"hi")]).await;
    manager.say(&ManagerMessage::OfferAccepted, &[]).await;
    assert_eq!(sees.recv().await.unwrap(), "hi");
    assert_eq!(manager.hear_end().await, confirm(1));
    let worker = started.await.unwrap().unwrap();
    // Another one takes its place.
    let (other, mut others) = unbounded_channel();
    let callback = move |message: SystemMessage| {
        other.send(message.content).unwrap();
        core::future::ready(())
    };
    worker.on_system_message(callback).unwrap();
    worker.offer(Offer::new(10)).await.unwrap();
    manager.say(&message(2), &[Payload::from_static(b"ho")]).await;
    assert_eq!(others.recv().await.unwrap(), "ho");
    assert_eq!(manager.hear_end().await, confirm(2));
    assert_eq!(sees.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_system_message_is_reported_or_lost_with_the_manager() {
    let (_hatch, mut manager, worker) = serving(worker()).await;
    let long = worker.system_message(vec![0; 1024 * 1024 + 1], Recipient::All, Duration::ZERO).await;
    assert!(matches!(long, Err(Error::MessageTooLarge { .. })));
    let month = Duration::from_secs(31 * 24 * 3_600);
    let timeout = worker.system_message("x", Recipient::All, month).await;
    assert!(matches!(timeout, Err(Error::Timeout(_))));

    let worker = Arc::new(worker);
    let send = |timeout| {
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.system_message("hi", Recipient::Manager, timeout).await })
    };
    let first = send(Duration::from_micros(1));
    let PeerMessage::SystemMessage { id, timeout_ms, .. } = manager.hear_end().await else {
        panic!("the message");
    };
    assert_eq!(timeout_ms, 1, "a timeout never becomes none by rounding");
    manager.say(&ManagerMessage::SystemReport { id, sent_to: 1, received_by: 1 }, &[]).await;
    assert_eq!(first.await.unwrap().unwrap(), SystemReport { sent_to: 1, received_by: 1 });
    let second = send(Duration::ZERO);
    manager.hear_end().await;
    drop(manager);
    assert!(matches!(second.await.unwrap(), Err(Error::NoManager)));
}
