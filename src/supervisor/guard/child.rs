//! A program to start, and a child that runs.

use super::frame::{Frame, Tag};
use super::session::Orders;
use super::{Error, Output};
use proletariat_protocol::Payload;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// What to start. A name without a slash is looked for in `PATH`; no shell has a part in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Program {
    pub(super) words: Vec<OsString>,
    pub(super) variables: Vec<(OsString, OsString)>,
    pub(super) folder: Option<PathBuf>,
    pub(super) kill_grace: Duration,
    pub(super) input: bool,
    pub(super) fed: Option<Payload>,
    pub(super) brief: bool,
}

impl Program {
    /// By its name.
    pub fn new(name: impl Into<OsString>) -> Self {
        Self {
            words: vec![name.into()],
            variables: Vec::new(),
            folder: None,
            kill_grace: Duration::from_secs(2),
            input: true,
            fed: None,
            brief: false,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.words.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.words.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of the child's environment, beside those that we have.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Its working directory. Default: ours.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// From TERM to KILL. Default: 2 s.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// Its standard input is /dev/null.
    #[must_use]
    pub fn without_input(mut self) -> Self {
        self.input = false;
        self
    }

    /// What its standard input begins with. As much as a pipe takes (64 KiB mostly) is there before it starts; then the input ends, or
    /// [`Child::unfed`] is the rest.
    #[must_use]
    pub fn fed(mut self, input: impl Into<Payload>) -> Self {
        self.fed = Some(input.into());
        self
    }

    /// It mostly ends within a millisecond or two: its start is told with its end then, which spares a process switch.
    #[must_use]
    pub fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// As it was named.
    #[must_use]
    pub fn name(&self) -> &OsStr {
        &self.words[0]
    }

    /// For the socket: grace in ms, whether it is brief, folder, number of words, the words, name and value of each variable.
    pub(super) fn fields(&self) -> Vec<Vec<u8>> {
        let grace = u64::try_from(self.kill_grace.as_millis()).unwrap_or(u64::MAX);
        let folder = self.folder.as_ref().map(|folder| folder.as_os_str().as_bytes().to_vec());
        let mut fields =
            vec![grace.to_le_bytes().to_vec(), vec![u8::from(self.brief)], folder.unwrap_or_default()];
        fields.push((self.words.len() as u64).to_le_bytes().to_vec());
        fields.extend(self.words.iter().map(|word| word.as_bytes().to_vec()));
        for (name, value) in &self.variables {
            fields.push(name.as_bytes().to_vec());
            fields.push(value.as_bytes().to_vec());
        }
        fields
    }

    /// What [`fields`](Self::fields) made.
    pub(super) fn from_fields(fields: Vec<Vec<u8>>) -> Option<Self> {
        let mut fields = fields.into_iter();
        let number = |field: Vec<u8>| field.try_into().ok().map(u64::from_le_bytes);
        let kill_grace = Duration::from_millis(number(fields.next()?)?);
        let brief = fields.next()? == [1];
        let folder = OsString::from_vec(fields.next()?);
        let count = usize::try_from(number(fields.next()?)?).ok()?;
        let words: Vec<OsString> = fields.by_ref().take(count).map(OsString::from_vec).collect();
        let mut variables = Vec::new();
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            variables.push((OsString::from_vec(name), OsString::from_vec(value)));
        }
        let folder = (!folder.is_empty()).then(|| folder.into());
        let fed = None;
        (!words.is_empty()).then_some(Self { words, variables, folder, kill_grace, input: true, fed, brief })
    }
}

/// A child that runs, or has run. Dropped, it is ended: TERM to its group, KILL after the grace.
#[derive(Debug)]
pub struct Child {
    /// What it reads; closed when dropped. `None` if it was taken, [`without_input`](Program::without_input), or if all that it was to be
    /// [`fed`](Program::fed) with is in the pipe.
    pub stdin: Option<pipe::Sender>,
    /// What of that did not fit into the pipe.
    pub unfed: Payload,
    /// What it writes.
    pub stdout: Option<Output>,
    /// What it complains.
    pub stderr: Option<Output>,
    pub(super) id: u64,
    pub(super) pid: i32,
    pub(super) orders: Orders,
    pub(super) exited: watch::Receiver<Option<Result<ExitStatus, Error>>>,
}

impl Child {
    /// Its process id, and that of its group.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// TERM to its group, KILL after the grace. [`wait`](Self::wait) tells when all of the group are gone.
    pub fn terminate(&self) {
        self.orders.tell(Frame::new(Tag::Terminate, self.id));
    }

    /// KILL to its group.
    pub fn kill(&self) {
        self.orders.tell(Frame::new(Tag::Kill, self.id));
    }

    /// Waits until it has ended and nobody of its group is left. Closes nothing: whoever waits for a child that reads drops
    /// [`stdin`](Self::stdin) first. Cancel safe, and may be asked again.
    ///
    /// # Errors
    /// [`Error::Gone`]: the guard was killed, and with it the child.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        match self.exited.wait_for(Option::is_some).await {
            Ok(status) => status.clone().unwrap_or(Err(Error::Gone)),
            Err(_) => Err(Error::Gone),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exited.borrow().is_none() {
            self.terminate();
        }
    }
}
