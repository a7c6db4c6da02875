//! What handlers can do, and what becomes of it.

use super::*;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::time::Instant;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn handlers_that_are_ready_at_once_answer_in_one_message_without_a_word_about_starts() {
    let (_hatch, mut manager, _worker) = serving(Worker::builder().slots(50).handler(handlers::Echo)).await;
    manager.assign((0..50).map(execution).collect(), b"ping").await;
    let Some((PeerMessage::Finished { runs }, payloads)) = manager.hear_all().await else {
        panic!("the results");
    };
    let order: Vec<u64> = runs.iter().map(|run| run.assignment.0).collect();
    assert_eq!(order, (0..50).collect::<Vec<_>>());
    assert!(payloads.iter().all(|payload| payload == "ping"));
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_its_work() {
    let handler = |run: Run| async move {
        let left = run.deadline().map(|deadline| deadline.saturating_duration_since(tokio_now()));
        let text =
            format!("{:?} {} {} {:?} {:?}", run.payload(), run.attempt(), run.priority(), run.kind(), left);
        Ok::<_, Cancelled>(text)
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    let work = AssignedExecution {
        attempt: 3,
        priority: 9,
        kind: Some("mult".into()),
        run_limit_ms: 500,
        ..execution(1)
    };
    manager.assign(vec![work], b"2*3").await;
    let (result, text) = manager.result().await;
    assert_eq!((result, text.as_str()), (WorkResult::Done, r#"b"2*3" 3 9 Some("mult") Some(500ms)"#));
    manager.assign(vec![execution(2)], b"").await;
    assert_eq!(manager.result().await.1, r#"b"" 1 0 None None"#);
}

fn tokio_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_holds_nobody_up() {
    let handler = |run: Run| async move {
        if run.payload() == "slow" {
            sleep(Duration::from_secs(1)).await;
        }
        Ok::<_, Cancelled>(run.payload().clone())
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![execution(1)], b"slow").await;
    manager.assign(vec![execution(2)], b"fast").await;
    assert_eq!(manager.result().await.1, "fast");
    assert_eq!(manager.result().await.1, "slow");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_of_that_job_alone() {
    let handler = |run: Run| async move {
        match &run.payload()[..] {
            b"now" => panic!("at once"),
            b"later" => {
                sleep(Duration::from_millis(1)).await;
                panic!("later: {}", 42)
            }
            _ => Ok::<_, Cancelled>("fine"),
        }
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    for (assignment, (payload, end)) in [
        (&b"now"[..], (WorkResult::Failed, "panicked: at once")),
        (b"later", (WorkResult::Failed, "panicked: later: 42")),
        (b"", (WorkResult::Done, "fine")),
    ]
    .into_iter()
    .enumerate()
    {
        manager.assign(vec![execution(assignment as u64)], payload).await;
        let (result, message) = manager.result().await;
        assert_eq!((result, message.as_str()), end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_handler_and_its_stop_the_manager() {
    let handler = |run: Run| async move {
        run.cancelled().await;
        sleep(Duration::from_secs(7)).await;
        Err::<Payload, _>(Cancelled)
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().slots(1).handler(handler)).await;
    manager.assign(vec![execution(1)], b"").await;
    let begin = tokio_now();
    manager.cancel(1).await;
    assert_eq!(manager.hear_end().await, PeerMessage::Stopped { assignment: AssignmentId(1) });
    assert_eq!((tokio_now() - begin).as_secs(), 7, "when it has stopped, not before");
}

#[tokio::test(start_paused = true)]
async fn the_run_limit_stops_a_handler_that_looks() {
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handlers::Sleep)).await;
    manager.assign(vec![AssignedExecution { run_limit_ms: 2_000, ..execution(1) }], b"1h").await;
    let begin = tokio_now();
    assert_eq!(manager.result().await, (WorkResult::RunTimeout, String::new()));
    assert_eq!((tokio_now() - begin).as_millis(), 2_000);
    manager.assign(vec![execution(2)], b"10ms").await;
    assert_eq!(manager.result().await, (WorkResult::Done, "10ms".into()));
    manager.assign(vec![execution(3)], b"soon").await;
    assert_eq!(manager.result().await.0, WorkResult::Failed);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_sends_more_than_the_caller_takes_waits() {
    const CHUNK: usize = 32 * 1024;
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let handler = |run: Run| async move {
        for index in 0..30_u8 {
            run.send(vec![index; CHUNK]).await?;
            SENT.fetch_add(1, Ordering::SeqCst);
        }
        Ok::<_, Cancelled>("end")
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![AssignedExecution { stream: true, ..execution(1) }], b"").await;
    let mut chunks = 0;
    while chunks < 30 {
        let (message, payloads) = manager.hear_news().await;
        if let PeerMessage::Data { assignment, bytes } = message {
            assert_eq!((payloads[0][0], bytes as usize), (chunks, CHUNK));
            chunks += 1;
            // The window and the buffer before it, and not a chunk more.
            let grants = usize::from(chunks.saturating_sub(8));
            assert!(SENT.load(Ordering::SeqCst) <= 8 + 2 + grants);
            if chunks >= 8 {
                manager.say(&ManagerMessage::Grant { assignment, bytes: CHUNK as u64 }, &[]).await;
            }
        }
    }
    assert_eq!(manager.result().await, (WorkResult::Done, "end".into()));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_ends_a_send_that_waits() {
    let handler = |run: Run| async move {
        while run.send(vec![0; 100_000]).await.is_ok() {}
        assert_eq!(run.send("more").await, Err(Cancelled));
        Ending::Failed("told".into())
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![AssignedExecution { stream: true, ..execution(1) }], b"").await;
    let mut chunks = 0;
    while chunks < 2 {
        chunks += usize::from(matches!(manager.hear_end().await, PeerMessage::Data { .. }));
    }
    manager.cancel(1).await;
    assert_eq!(manager.hear_end().await, PeerMessage::Stopped { assignment: AssignmentId(1) });
}

#[tokio::test(start_paused = true)]
async fn sending_costs_nothing_where_nobody_listens() {
    let handler = |run: Run| async move {
        for step in 0..1_000 {
            run.send(vec![0; 1_000_000]).await?;
            run.progress(step, 1_000);
        }
        Ok::<_, Cancelled>(format!("{}", run.is_streaming()))
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![execution(1)], b"").await;
    assert_eq!(manager.result().await, (WorkResult::Done, "false".into()));
}

#[tokio::test]
async fn a_blocking_handler_never_stops_heartbeats_and_may_stream_and_panic() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let handler = move |run: Run| match &run.payload()[..] {
        b"hold" => {
            held.lock().unwrap().recv().unwrap();
            run.send_blocking("data").unwrap();
            Ending::Done("released".into())
        }
        _ => panic!("blocked"),
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().blocking_handler(handler)).await;
    manager.assign(vec![AssignedExecution { stream: true, ..execution(1) }], b"hold").await;
    manager.assign(vec![execution(2)], b"").await;
    assert_eq!(manager.result().await, (WorkResult::Failed, "panicked: blocked".into()));
    manager.say(&ManagerMessage::Ping, &[]).await;
    assert_eq!(manager.hear_end().await, PeerMessage::Pong);
    release.send(()).unwrap();
    assert_eq!(manager.hear_end().await, PeerMessage::Data { assignment: AssignmentId(1), bytes: 4 });
    assert_eq!(manager.result().await, (WorkResult::Done, "released".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handlers_that_compute_run_side_by_side() {
    // All but the first, which is how the driver learns that they are slow, wait for each other.
    let barrier = Arc::new(std::sync::Barrier::new(3));
    let handler = move |run: Run| {
        let barrier = Arc::clone(&barrier);
        async move {
            if run.payload() == "first" {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                barrier.wait();
            }
            Ok::<_, Cancelled>(run.payload().clone())
        }
    };
    let (_hatch, mut manager, _worker) = serving(Worker::builder().handler(handler)).await;
    manager.assign(vec![execution(0)], b"first").await;
    assert_eq!(manager.result().await.1, "first");
    manager.assign((1..=3).map(execution).collect(), b"together").await;
    let mut ended = 0;
    while ended < 3 {
        if let PeerMessage::Finished { runs } = manager.hear_end().await {
            ended += runs.len();
        }
    }
}
