//! The whole client over a stream in memory, with the manager's end played by hand and the clock paused.

use super::*;
use crate::net::hatch::{Hatch, LIMIT, ManagerEnd};
use futures_util::StreamExt;
use proletariat_protocol::handshake::{Answer, Refusal};
use proletariat_protocol::job::OutcomeKind;
use proletariat_protocol::message::{JobOutcome, LeavingReason, ManagerMessage, PeerMessage, Recipient};
use proletariat_protocol::{ErrorCode, JobId, MessageId, Payload, PeerId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

async fn stage() -> (Client, Hatch, ManagerEnd) {
    let (hatch, connector) = Hatch::open();
    let client = Client::builder().name("tester").over(connector);
    let manager = hatch.connection().await.welcome(7).await;
    client.wait_for_session(Duration::from_secs(5)).await.unwrap();
    (client, hatch, manager)
}

/// The next submit: its first number and its payloads.
async fn submit(manager: &mut ManagerEnd) -> (u64, Vec<Payload>) {
    match manager.hear_all().await {
        Some((PeerMessage::Submit { first, .. }, payloads)) => (first.0, payloads),
        other => panic!("{other:?}"),
    }
}

async fn end(manager: &mut ManagerEnd, job: u64, outcome: OutcomeKind, payload: &Payload) {
    let bytes = u32::try_from(payload.len()).unwrap();
    let jobs = vec![JobOutcome { job: JobId(job), outcome, bytes }];
    manager.say(&ManagerMessage::Outcomes { jobs }, std::slice::from_ref(payload)).await;
}

/// Returns when the client has done what it was asked for before, if nothing was said meanwhile.
async fn settle(client: &Client, manager: &mut ManagerEnd) {
    let client = client.clone();
    let status = tokio::spawn(async move { client.status().await });
    let heard = manager.hear().await;
    let Some(PeerMessage::StatusRequest { id }) = heard else { panic!("{heard:?}") };
    manager.say(&ManagerMessage::Status { id, bytes: 2 }, &["{}".into()]).await;
    status.await.unwrap().unwrap();
}

/// Has a callback that shows what it is called with, and returns when it gets a permit.
fn listen(client: &Client) -> (UnboundedReceiver<SystemMessage>, Arc<Semaphore>) {
    let (seen, sees) = unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let callback_gate = Arc::clone(&gate);
    let callback = move |message: SystemMessage| {
        let (seen, gate) = (seen.clone(), Arc::clone(&callback_gate));
        async move {
            seen.send(message).unwrap();
            gate.acquire().await.unwrap().forget();
        }
    };
    client.on_system_message(callback).unwrap();
    (sees, gate)
}

/// Answers every job with its own payload, until the peer closes; how many there were.
async fn echo(mut manager: ManagerEnd) -> u64 {
    let mut count = 0;
    while let Some((message, payloads)) = manager.hear_all().await {
        if let PeerMessage::Submit { first, .. } = message {
            count += payloads.len() as u64;
            let jobs = payloads.iter().zip(first.0..).map(|(payload, number)| JobOutcome {
                job: JobId(number),
                outcome: OutcomeKind::Result,
                bytes: u32::try_from(payload.len()).unwrap(),
            });
            manager.say(&ManagerMessage::Outcomes { jobs: jobs.collect() }, &payloads).await;
        }
    }
    count
}

#[tokio::test(start_paused = true)]
async fn outcomes_come_in_the_order_of_the_jobs() {
    let (client, _hatch, mut manager) = stage().await;
    assert_eq!(manager.hello.name, "tester");
    let work = tokio::spawn(async move { client.work(["a", "b"], WorkOptions::default()).await });
    let (first, payloads) = submit(&mut manager).await;
    assert_eq!((first, &payloads[..]), (0, &[Payload::from("a"), Payload::from("b")][..]));
    end(&mut manager, 1, OutcomeKind::Error(ErrorCode::WorkFailed), &"broken".into()).await;
    end(&mut manager, 0, OutcomeKind::Result, &"A".into()).await;
    let outcomes = work.await.unwrap().unwrap();
    assert_eq!(outcomes[0], Ok(Payload::from("A")));
    assert_eq!(outcomes[1].as_ref().unwrap_err().to_string(), "EWORK: broken");
    // That was the last handle.
    assert_eq!(manager.hear().await, Some(PeerMessage::Leaving { reason: LeavingReason::Done }));
    assert_eq!(manager.hear().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_jobs_is_answered_without_a_manager() {
    let (_hatch, connector) = Hatch::open();
    let client = Client::builder().over(connector);
    assert_eq!(client.work(Vec::<Job>::new(), WorkOptions::default()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn many_jobs_and_many_calls_at_once() {
    let (client, _hatch, manager) = stage().await;
    let echo = tokio::spawn(echo(manager));
    let large: Vec<String> = (0..200_000).map(|number| number.to_string()).collect();
    let calls = (0..100).map(|call| {
        let client = client.clone();
        tokio::spawn(async move { client.work([call.to_string()], WorkOptions::default()).await })
    });
    let calls: Vec<_> = calls.collect();
    let outcomes = client.work(large.clone(), WorkOptions::default()).await.unwrap();
    for (outcome, payload) in outcomes.into_iter().zip(large) {
        assert_eq!(outcome, Ok(Payload::from(payload)));
    }
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), [Ok(Payload::from(number.to_string()))]);
    }
    drop(client);
    assert_eq!(echo.await.unwrap(), 200_100);
}

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
async fn the_timeout_of_a_call_counts_without_a_manager() {
    let (_hatch, connector) = Hatch::open();
    let client = Client::builder().over(connector);
    let begin = Instant::now();
    let options = WorkOptions::default().timeout(Duration::from_secs(3));
    let outcomes = client.work(["a"], options).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap_err().code, ErrorCode::CallTimeout);
    assert_eq!(begin.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_aborted() {
    let (client, _hatch, mut manager) = stage().await;
    // A future.
    let work = client.work(["a", "b"], WorkOptions::default());
    assert!(tokio::time::timeout(Duration::from_millis(10), work).await.is_err());
    submit(&mut manager).await;
    assert_eq!(manager.hear().await, Some(PeerMessage::Abort { first: JobId(0), count: 2 }));
    // A stream, after one outcome.
    let mut outcomes = client.work_individual(["c", "d"], WorkOptions::default()).unwrap();
    submit(&mut manager).await;
    end(&mut manager, 3, OutcomeKind::Result, &"D".into()).await;
    assert_eq!(outcomes.next().await, Some((1, Ok(Payload::from("D")))));
    drop(outcomes);
    assert_eq!(manager.hear().await, Some(PeerMessage::Abort { first: JobId(2), count: 1 }));
    // Either half of an open group.
    for drop_group in [true, false] {
        let (group, outcomes) = client.open_group(WorkOptions::default()).unwrap();
        group.submit("e").await.unwrap();
        let (first, _) = submit(&mut manager).await;
        if drop_group {
            drop(group);
            assert_eq!(outcomes.collect::<Vec<_>>().await, []);
        } else {
            drop(outcomes);
            assert!(matches!(group.submit("f").await, Err(Error::Closed)));
        }
        assert_eq!(manager.hear().await, Some(PeerMessage::Abort { first: JobId(first), count: 1 }));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_group_waits_while_its_window_is_full() {
    let (client, _hatch, mut manager) = stage().await;
    let (group, mut updates) = client.open_group_with(WorkOptions::default(), 2).unwrap();
    assert_eq!(group.submit("a").await.unwrap(), 0);
    assert_eq!(group.submit("b").await.unwrap(), 1);
    let full = tokio::time::timeout(Duration::from_secs(1), group.submit("lost")).await;
    assert!(full.is_err(), "the window is full");
    let (first, payloads) = submit(&mut manager).await;
    assert_eq!((first, payloads.len()), (0, 2));
    end(&mut manager, 0, OutcomeKind::Result, &"A".into()).await;
    assert_eq!(updates.next().await, Some((0, Update::Outcome(Ok(Payload::from("A"))))));
    assert_eq!(group.submit("c").await.unwrap(), 2);
    assert_eq!(submit(&mut manager).await, (2, vec![Payload::from("c")]));
    group.abort(1).unwrap();
    assert_eq!(manager.hear().await, Some(PeerMessage::Abort { first: JobId(1), count: 1 }));
    group.close();
    end(&mut manager, 2, OutcomeKind::Result, &"C".into()).await;
    let rest: Vec<_> = updates.collect().await;
    let aborted = JobError::new(ErrorCode::Aborted, "the job was aborted by its caller");
    let expected = [(1, Update::Outcome(Err(aborted))), (2, Update::Outcome(Ok(Payload::from("C"))))];
    assert_eq!(rest, expected);
}

#[tokio::test(start_paused = true)]
async fn data_and_progress_come_before_the_outcome_and_credit_goes_back() {
    let (client, _hatch, mut manager) = stage().await;
    let mut updates = client.work_updates(["a"], WorkOptions::default()).unwrap();
    let Some(PeerMessage::Submit { options, .. }) = manager.hear().await else { panic!("no submit") };
    assert!(options.stream);
    let chunk = Payload::from(vec![1; 100_000]);
    let data = ManagerMessage::Data { job: JobId(0), bytes: 100_000 };
    manager.say(&data, std::slice::from_ref(&chunk)).await;
    manager.say(&ManagerMessage::Progress { job: JobId(0), done: 1, total: 9 }, &[]).await;
    manager.say(&ManagerMessage::Restarted { job: JobId(0) }, &[]).await;
    end(&mut manager, 0, OutcomeKind::Result, &"A".into()).await;
    assert_eq!(updates.next().await, Some((0, Update::Data(chunk.clone()))));
    assert_eq!(updates.next().await, Some((0, Update::Progress { done: 1, total: 9 })));
    assert_eq!(updates.next().await, Some((0, Update::Restarted)));
    assert_eq!(updates.next().await, Some((0, Update::Outcome(Ok(Payload::from("A"))))));
    assert_eq!(updates.next().await, None);
    // While a job runs, what is taken is given back.
    let mut updates = client.work_updates(["b"], WorkOptions::default()).unwrap();
    submit(&mut manager).await;
    manager.say(&ManagerMessage::Data { job: JobId(1), bytes: 100_000 }, &[chunk]).await;
    assert!(matches!(updates.next().await, Some((0, Update::Data(_)))));
    assert_eq!(manager.hear().await, Some(PeerMessage::Credit { job: JobId(1), bytes: 100_000 }));
}

#[tokio::test(start_paused = true)]
async fn system_messages_go_both_ways() {
    let (client, _hatch, mut manager) = stage().await;
    let incoming = |id| ManagerMessage::SystemMessage { id: MessageId(id), from: PeerId(9), bytes: 2 };
    // Without a callback they are confirmed at once.
    manager.say(&incoming(1), &["hi".into()]).await;
    assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(1) }));
    let (mut sees, gate) = listen(&client);
    settle(&client, &mut manager).await;
    manager.say(&incoming(2), &["ho".into()]).await;
    assert_eq!(sees.recv().await, Some(SystemMessage { from: PeerId(9), content: "ho".into() }));
    gate.add_permits(1);
    assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(2) }));

    let sender = client.clone();
    let sent =
        tokio::spawn(
            async move { sender.system_message("all", Recipient::All, Duration::from_secs(1)).await },
        );
    let Some((PeerMessage::SystemMessage { id, to, timeout_ms, .. }, content)) = manager.hear_all().await
    else {
        panic!("no system message")
    };
    assert_eq!((to, timeout_ms, &content[..]), (Recipient::All, 1_000, &[Payload::from("all")][..]));
    manager.say(&ManagerMessage::SystemReport { id, sent_to: 2, received_by: 1 }, &[]).await;
    assert_eq!(sent.await.unwrap().unwrap(), SystemReport { sent_to: 2, received_by: 1 });
    let large = vec![0; (1 << 20) + 1];
    let refused = client.system_message(large, Recipient::Manager, Duration::ZERO).await;
    assert!(matches!(refused, Err(Error::InvalidOption(_))));
    // Lost meanwhile: an error.
    let sent =
        tokio::spawn(async move { client.system_message("x", Recipient::Manager, Duration::ZERO).await });
    manager.hear().await.unwrap();
    drop(manager);
    assert!(matches!(sent.await.unwrap(), Err(Error::Unanswered(_))));
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_panics_has_handled_its_message() {
    let (client, _hatch, mut manager) = stage().await;
    let callback = |message: SystemMessage| {
        assert!(message.content != "at once", "before its future");
        async move { assert!(message.content != "later", "in its future") }
    };
    client.on_system_message(callback).unwrap();
    settle(&client, &mut manager).await;
    for (id, content) in (1..).zip(["at once", "later", "fine"]) {
        let bytes = u32::try_from(content.len()).unwrap();
        let message = ManagerMessage::SystemMessage { id: MessageId(id), from: PeerId(9), bytes };
        manager.say(&message, &[content.into()]).await;
        assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(id) }), "{content}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_confirmation_is_not_taken_for_one_of_the_next_session() {
    let (client, hatch, mut manager) = stage().await;
    let (mut sees, gate) = listen(&client);
    settle(&client, &mut manager).await;
    let message = ManagerMessage::SystemMessage { id: MessageId(1), from: PeerId(9), bytes: 2 };
    manager.say(&message, &["hi".into()]).await;
    assert_eq!(sees.recv().await.unwrap().content, "hi");
    drop(manager);
    let mut manager = hatch.connection().await.welcome(8).await;
    client.wait_for_session(Duration::from_secs(5)).await.unwrap();
    // The same number, and another message.
    manager.say(&message, &["ho".into()]).await;
    gate.add_permits(1);
    assert_eq!(sees.recv().await.unwrap().content, "ho");
    settle(&client, &mut manager).await;
    gate.add_permits(1);
    assert_eq!(manager.hear().await, Some(PeerMessage::Confirm { id: MessageId(1) }));
}

#[tokio::test(start_paused = true)]
async fn the_status_is_the_manager_s_text() {
    let (client, _hatch, mut manager) = stage().await;
    let status = tokio::spawn(async move { client.status().await });
    let Some(PeerMessage::StatusRequest { id }) = manager.hear().await else { panic!("no request") };
    manager.say(&ManagerMessage::Status { id, bytes: 2 }, &["{}".into()]).await;
    assert_eq!(status.await.unwrap().unwrap(), "{}");
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

#[tokio::test(start_paused = true)]
async fn options_that_cannot_be_are_refused_at_once() {
    let (_hatch, connector) = Hatch::open();
    let client = Client::builder().over(connector);
    let long = WorkOptions::default().run_timeout(Duration::from_secs(31 * 24 * 3_600));
    assert!(matches!(client.work(["a"], long).await, Err(Error::InvalidOption(_))));
    let job = Job::new("a").kind("");
    assert!(matches!(client.work([job], WorkOptions::default()).await, Err(Error::InvalidOption(_))));
}

#[tokio::test(start_paused = true)]
async fn a_payload_over_the_limit_is_told_without_being_sent() {
    let (client, _hatch, mut manager) = stage().await;
    let large = vec![0; usize::try_from(LIMIT).unwrap() + 1];
    let outcomes = client.work([large], WorkOptions::default()).await.unwrap();
    assert_eq!(outcomes[0].as_ref().unwrap_err().code, ErrorCode::TooLarge);
    drop(client);
    assert_eq!(manager.hear().await, Some(PeerMessage::Leaving { reason: LeavingReason::Done }));
}
