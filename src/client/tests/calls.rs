//! Calls, and what comes back of them.

use super::*;
use crate::net::hatch::LIMIT;
use futures_util::StreamExt;
use proletariat_protocol::ErrorCode;
use proletariat_protocol::message::LeavingReason;
use tokio::time::Instant;

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
