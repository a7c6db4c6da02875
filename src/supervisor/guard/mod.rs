//! A process that starts our children and ends them when we are gone.
//!
//! A program that is killed with -9 cannot end its children, and asking the kernel to do so
//! (`PR_SET_PDEATHSIG`) binds them to the *thread* that started them: a pool thread that goes idle takes healthy children with
//! it. So the children belong to a small process beside us, the guard: our own executable again, with a first argument that nobody
//! types. It starts each child in a process group of its own and holds a socket to us. When a child shall end, or when the socket
//! closes because we are gone, it sends TERM to the group, and KILL after a grace.
//!
//! The guard is not on the path of the data: pipes are made here and their far ends handed over through the socket
//! (`SCM_RIGHTS`), so that a child reads from and writes to us.
//!
//! What holds:
//! - We end in any way, `kill -9` included: the socket closes, the guard ends all groups and itself.
//! - The guard ends in any way: we read the end of the socket and send KILL to the groups; the next child gets a new guard.
//! - Both are killed in the same instant: children that read standard input see its end; one that does not is left over.
//! - A child ends by itself: what else is in its group is killed with it.
//! - A descendant that begins a session or group of its own (`setsid`) has left the group and is nobody's to end.
//! - Signals of a terminal (^C) reach neither the guard nor the children: they have groups of their own.
//! - Children inherit standard input, output and error, and nothing else of ours: all descriptors that we open close at exec. From
//!   the environment all that begins with `PROLETARIAT_` is taken away: it may hold tokens.
//! - Their soft limit of file descriptors is that of our start, whatever we have raised it to since (`guard/limit.rs` tells why).
//!
//! A program that uses this calls [`run_if_asked`] first thing in its `main`:
//!
//! ```
//! // The first line of `main`:
//! proletariat::supervisor::guard::run_if_asked();
//! ```

mod child;
mod error;
mod frame;
mod limit;
mod output;
mod process;
mod session;
mod wire;

pub use child::{Child, Program};
pub use error::Error;
pub use output::Output;
pub use process::run_if_asked;

use session::Session;
use std::sync::Arc;
use tokio::sync::Mutex;

/// The argument that makes our executable a guard.
const ARGUMENT: &str = "--be-the-guard-of-child-processes";

/// Whether this process was started as a guard. A program that does not call [`run_if_asked`] must not start guards of
/// guards without end.
fn is_asked() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT)
}

/// Starts children. Cheap to clone; the guard process starts with the first child, and ends with the last clone and the
/// last [`Child`], or with the runtime.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    session: Arc<Mutex<Option<Session>>>,
}

impl Guard {
    /// A guard that starts when it is needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a child.
    ///
    /// Dropped midway, the child is ended if it was started.
    ///
    /// # Errors
    /// [`Error::Start`] is the program's fault (no such file, an argument that is too long); [`Error::Short`] is nobody's, and nothing was
    /// started; the others are the guard's.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn spawn(&self, program: &Program) -> Result<Child, Error> {
        let session = {
            let mut current = self.session.lock().await;
            match current.as_ref().filter(|session| session.is_alive()) {
                Some(session) => session.clone(),
                None => current.insert(Session::start(program).await?).clone(),
            }
        };
        session.spawn(program).await
    }
}
