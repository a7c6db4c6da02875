//! Many raw workers in one thread: each answers every job with its payload, at once.

use super::Manager;
use super::raw::{Peer, payloads_of};
use proletariat::net::{Order, Outbox, Tail};
use proletariat_protocol::message::{AssignedExecution, FinishedRun, ManagerMessage, PeerMessage};
use proletariat_protocol::{Offer, Payload, WorkResult};
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The workers leave, without a word, when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    answered: Arc<Vec<AtomicU64>>,
}

impl Crowd {
    /// So many workers with so many slots each, all offers accepted.
    pub(crate) fn join(manager: &Manager<'_>, workers: usize, slots: u32) -> Self {
        Self::of(manager, &vec![slots; workers])
    }

    /// One worker for each number of slots.
    pub(crate) fn of(manager: &Manager<'_>, slots: &[u32]) -> Self {
        let workers: Vec<Peer> = slots.iter().map(|slots| manager.raw_worker(Offer::new(*slots))).collect();
        let answered: Arc<Vec<AtomicU64>> = Arc::new(slots.iter().map(|_| AtomicU64::new(0)).collect());
        let counts = Arc::clone(&answered);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                for (number, worker) in workers.into_iter().enumerate() {
                    tokio::spawn(serve(worker, Arc::clone(&counts), number));
                }
                // Dropped with the crowd; so are the tasks and their connections then.
                let _ = stopped.await;
            });
        });
        Self { stop: Some(stop), thread: Some(thread), answered }
    }

    /// How many jobs each has answered.
    pub(crate) fn answered(&self) -> Vec<u64> {
        self.answered.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop = None;
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the crowd had an accident");
    }
}

async fn serve(worker: Peer, answered: Arc<Vec<AtomicU64>>, number: usize) {
    let (stream, mut inbox, heard) = worker.into_parts();
    stream.set_nonblocking(true).unwrap();
    let stream = TcpStream::from_std(stream).unwrap();
    let mut outbox = Outbox::new();
    for (message, payloads) in heard {
        let answers = answer(message, &payloads, &mut outbox);
        answered[number].fetch_add(answers, Ordering::Relaxed);
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        while !outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = outbox.slices(&mut slices);
            match stream.try_write_vectored(&slices[..filled]) {
                Ok(written) => outbox.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Ok(()) = stream.writable().await else { return };
                }
                Err(_) => return,
            }
        }
        let Ok(()) = stream.readable().await else { return };
        let bytes = match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            // The manager is gone; that is for the test to judge.
            Err(_) => return,
        };
        let mut sink = |message: ManagerMessage, tail: Tail<'_>| {
            let payloads = payloads_of(&message, tail);
            let answers = answer(message, &payloads, &mut outbox);
            answered[number].fetch_add(answers, Ordering::Relaxed);
            ControlFlow::Continue(())
        };
        assert!(inbox.receive(&buffer[..bytes], &mut sink).unwrap().is_continue());
    }
}

/// Queues what is to be said to this; tells how many jobs that answers.
fn answer(message: ManagerMessage, payloads: &[Payload], outbox: &mut Outbox) -> u64 {
    match message {
        ManagerMessage::Ping => outbox.push(&PeerMessage::Pong, &[], Order::Free),
        ManagerMessage::Assign { executions } => {
            let run = |execution: &AssignedExecution| FinishedRun {
                assignment: execution.assignment,
                result: WorkResult::Done,
                bytes: execution.bytes,
            };
            let runs: Vec<_> = executions.iter().map(run).collect();
            outbox.push(&PeerMessage::Finished { runs }, payloads, Order::Free);
            return executions.len() as u64;
        }
        other => panic!("{other:?}"),
    }
    0
}
