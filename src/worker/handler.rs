//! What does the work.

use super::queue::QueueSender;
use super::{Ending, Run};
use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;
use tokio::task::JoinError;

/// Does the work of a job. Closures are handlers, see [`Builder::handler`](super::Builder::handler); whatever keeps a state
/// implements it.
///
/// ```
/// use proletariat::worker::{Ending, Handler, Run};
///
/// struct Greeter(String);
///
/// impl Handler for Greeter {
///     async fn run(&self, run: Run) -> Ending {
///         let name = String::from_utf8_lossy(run.payload());
///         Ending::Done(format!("{} {name}", self.0).into())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Does it. The future is polled where the connection is served until it waits for the first time: work that takes
    /// long without waiting belongs into [`Builder::blocking_handler`](super::Builder::blocking_handler).
    ///
    /// A panic is `EWORK` for this job and harms no other.
    fn run(&self, run: Run) -> impl Future<Output = Ending> + Send;
}

impl<F, W> Handler for F
where
    F: Fn(Run) -> W + Send + Sync + 'static,
    W: Future + Send,
    W::Output: Into<Ending>,
{
    async fn run(&self, run: Run) -> Ending {
        self(run).await.into()
    }
}

/// Who does the work.
pub(super) enum Labour {
    /// A handler: a future for each run.
    Each(Arc<dyn AnyHandler>),
    /// The owner of a queue.
    Queue(QueueSender),
}

pub(super) type Work = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// A handler of any type.
pub(super) trait AnyHandler: Send + Sync {
    fn start(self: Arc<Self>, run: Run) -> Work;
}

impl<H: Handler> AnyHandler for H {
    fn start(self: Arc<Self>, run: Run) -> Work {
        Box::pin(async move { Handler::run(&*self, run).await })
    }
}

/// A handler that blocks its thread, on threads of its own.
pub(super) struct Blocking<F>(pub(super) Arc<F>);

impl<F, E> Handler for Blocking<F>
where
    F: Fn(Run) -> E + Send + Sync + 'static,
    E: Into<Ending> + Send + 'static,
{
    async fn run(&self, run: Run) -> Ending {
        let work = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(run).into()).await {
            Ok(ending) => ending,
            Err(error) => Ending::Failed(match JoinError::try_into_panic(error) {
                Ok(panic) => panicked(&*panic),
                Err(error) => error.to_string(),
            }),
        }
    }
}

/// What a panicking handler said.
pub(super) fn panicked(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}
