//! A helper: its children do lines of a server elsewhere, until that says that all is done, or we are told to end.

use super::{ExecOptions, report};
use crate::commands::client::ManagerAt;
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::talk::Forwarder;
use crate::terminal::say;
use proletariat::supervisor::lines::{Statistics, Times};
use proletariat::worker::handlers::{ExecError, Execution};
use proletariat::worker::{Builder, Error, Recipient, Worker};
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// What a server says at the end.
pub(super) const ALL_IS_DONE: &str = r#"{"exec":"all is done"}"#;
/// Our last word has to go out by then.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) async fn run(
    options: &ExecOptions,
    at: &ManagerAt,
    host: &str,
    port: u16,
) -> Result<Exit, Failure> {
    options.make_room()?;
    let mut signals = Signals::new().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let builder = Worker::builder().host(host).port(port).name("client exec -c");
    let mut builder = builder
        .slots(options.children())
        .kinds([options.kind()])
        .kill_grace(options.kill_grace)
        .manager_timeout(at.connection.manager_timeout);
    if let Some(retries) = at.connection.max_retries {
        builder = builder.max_retries(retries);
    }
    if let Some(token) = &at.token {
        builder = builder.token(token.as_str());
    }
    if let Some(tls) = &at.tls {
        builder = builder.tls(tls.clone());
    }
    let (builder, execution, talker) = options.handler().install(builder);
    let _talk = Forwarder::start(talker)?;
    let execution = Arc::new(execution);
    let dismissal = Arc::new(Dismissal::default());
    let builder = dismissal.listen(builder, &execution);
    options.say(&format!("exec: lends {} to {host} port {port}", options.described()));
    let worker = tokio::select! {
        worker = first_session(builder, at, host, port) => Some(Arc::new(worker?)),
        () = dismissal.said.notified() => None,
        () = signals.next() => return Ok(Exit::Done),
        failure = failed_before(&execution) => return Err(failure),
    };
    let result = match &worker {
        Some(worker) => {
            let _ = dismissal.worker.set(Arc::downgrade(worker));
            until_the_end(worker, &execution, &dismissal.said, signals, options.drain_timeout).await
        }
        None => Ok(Exit::Done),
    };
    execution.finish().await;
    report::print_helped(&execution.statistics());
    result
}

/// The first handshake has to succeed in time; after that the worker connects again for as long as it lives.
async fn first_session(builder: Builder, at: &ManagerAt, host: &str, port: u16) -> Result<Worker, Failure> {
    let limit = at.connection.connect_timeout;
    let started = async {
        let started = builder.start();
        if limit.is_zero() { Ok(started.await) } else { tokio::time::timeout(limit, started).await }
    };
    match started.await {
        Ok(Ok(worker)) => Ok(worker),
        Ok(Err(Error::Link(error))) if error.code().is_none() => {
            Err(Failure::new(Exit::Unreachable, format!("no server at {host} port {port}: {error}")))
        }
        Ok(Err(error)) => Err(failure(&error)),
        Err(_) => {
            let message = format!("no server at {host} port {port} within {limit:?}");
            Err(Failure::new(Exit::Unreachable, message))
        }
    }
}

fn failure(error: &Error) -> Failure {
    let exit = match error {
        Error::OfferRefused { .. } => Exit::Refused,
        Error::Link(error) if error.code().is_some() => Exit::Refused,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

/// The children failed while there was no server.
async fn failed_before(execution: &Execution) -> Failure {
    Failure::new(Exit::Failed, execution.failed().await)
}

/// That the server says that all is done.
#[derive(Default)]
struct Dismissal {
    /// Once its offer holds. A strong handle would keep the worker alive for the sake of its callback.
    worker: OnceLock<Weak<Worker>>,
    said: Notify,
}

impl Dismissal {
    /// In place before there is a connection: the server says it once, and may end before it has answered the offer. It is told
    /// what was done here; before the offer holds, that is nothing.
    fn listen(self: &Arc<Self>, builder: Builder, execution: &Arc<Execution>) -> Builder {
        let (dismissal, doing) = (Arc::clone(self), Arc::clone(execution));
        builder.on_system_message(move |message| {
            let (dismissal, execution) = (Arc::clone(&dismissal), Arc::clone(&doing));
            async move {
                if message.content != ALL_IS_DONE {
                    return;
                }
                if let Some(worker) = dismissal.worker.get().and_then(Weak::upgrade) {
                    let told = told(&execution.statistics());
                    let tells = worker.system_message(told, Recipient::Peer(message.from), GOODBYE);
                    // A server that is gone has no use for it, and may not have the time to say so.
                    let _ = tokio::time::timeout(GOODBYE, tells).await;
                }
                dismissal.said.notify_one();
            }
        })
    }
}

async fn until_the_end(
    worker: &Worker,
    execution: &Execution,
    dismissed: &Notify,
    mut signals: Signals,
    drain_timeout: Duration,
) -> Result<Exit, Failure> {
    let minded = async {
        match execution.mind(worker).await {
            Err(ExecError::Program(reason)) => reason,
            // How the worker ended is told by the others.
            _ => std::future::pending().await,
        }
    };
    let timeout = tokio::select! {
        () = signals.next() => {
            say("told to end; a second signal ends it at once");
            drain_timeout
        }
        () = dismissed.notified() => Duration::ZERO,
        end = worker.ended() => return end.map(|()| Exit::Done).map_err(|error| failure(&error)),
        reason = minded => {
            // The lines go elsewhere.
            let _ = worker.drain(Duration::ZERO).await;
            return Err(Failure::new(Exit::Failed, reason));
        }
    };
    tokio::select! {
        end = worker.drain(timeout) => end.map(|()| Exit::Done).map_err(|error| failure(&error)),
        () = signals.next() => {
            execution.stop().await;
            Ok(Exit::Interrupted)
        }
    }
}

fn told(statistics: &Statistics) -> String {
    json!({"exec": "done", "crashes": statistics.crashes, "times": statistics.times.to_numbers()}).to_string()
}

/// What a helper told.
pub(super) fn what_was_done(content: &[u8]) -> Option<Statistics> {
    let told: Value = serde_json::from_slice(content).ok()?;
    let numbers = told["times"].as_array()?.iter().map(Value::as_u64);
    let times = Times::from_numbers(&numbers.collect::<Option<Vec<u64>>>()?)?;
    Some(Statistics { crashes: told["crashes"].as_u64()?, times })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let mut statistics = Statistics { crashes: 3, times: Times::default() };
        statistics.times.add(Duration::from_millis(5));
        assert_eq!(what_was_done(told(&statistics).as_bytes()), Some(statistics));
        for other in ["", "{}", r#"{"exec":"done","crashes":1,"times":[1,2]}"#, ALL_IS_DONE] {
            assert_eq!(what_was_done(other.as_bytes()), None, "{other}");
        }
    }
}
