//! Our side of the socket to one guard process.

use super::frame::{Frame, Tag};
use super::wire::{Incoming, Socket};
use super::{ARGUMENT, Child, Error, Output, Program, is_asked, limit};
use bytes::Buf;
use proletariat_protocol::Payload;
use rustix::io::ioctl_fionbio;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot, watch};

/// A guard that has not said a word after this will not.
const START_LIMIT: Duration = Duration::from_secs(20);

type Exit = watch::Sender<Option<Result<ExitStatus, Error>>>;

/// What goes to the guard. The guard ends when the last one is gone.
#[derive(Clone, Debug)]
pub(super) struct Orders(mpsc::UnboundedSender<(Frame, Vec<OwnedFd>)>);

impl Orders {
    pub(super) fn tell(&self, frame: Frame) {
        // A guard that is gone has no child any more.
        let _ = self.0.send((frame, Vec::new()));
    }
}

/// One guard process, as we see it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    orders: Orders,
    books: Arc<Books>,
}

/// Who waits for what.
#[derive(Debug, Default)]
struct Books {
    over: AtomicBool,
    ids: AtomicU64,
    children: Mutex<BTreeMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    started: Option<oneshot::Sender<io::Result<i32>>>,
    pid: Option<i32>,
    /// The inode of its pipe of standard output.
    output: u64,
    exit: Exit,
}

impl Session {
    /// Starts a guard, which this program needs, and waits until it is there.
    pub(super) async fn start(program: &Program) -> Result<Self, Error> {
        if is_asked() {
            return Err(Error::NotAsked);
        }
        let failed = |error: io::Error| Error::guard(program, error);
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(failed)?;
        let mut command = Command::new("/proc/self/exe");
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        // The children have what the guard has, so what may be secret does not even get there.
        for (name, _) in std::env::vars_os() {
            if name.as_bytes().starts_with(b"PROLETARIAT_") {
                command.env_remove(name);
            }
        }
        let mut guard = command
            .arg(ARGUMENT)
            .arg(limit::argument())
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        // The command holds the guard's end of the socket.
        drop(command);
        let socket = Arc::new(Socket::new(ours).map_err(failed)?);
        let mut incoming = Incoming::default();
        let first = tokio::time::timeout(START_LIMIT, incoming.next(&socket)).await;
        if !matches!(first, Ok(Ok(Some(Frame { tag: Tag::Ready, .. })))) {
            let _ = guard.kill();
            let _ = guard.wait();
            return Err(Error::NotAsked);
        }
        let (orders, received) = mpsc::unbounded_channel();
        let books = Arc::new(Books::default());
        tokio::spawn(write(Arc::clone(&socket), received));
        tokio::spawn(read(socket, incoming, Arc::clone(&books), orders.downgrade(), guard));
        Ok(Self { orders: Orders(orders), books })
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.books.over.load(Ordering::Acquire)
    }

    pub(super) async fn spawn(&self, program: &Program) -> Result<Child, Error> {
        let id = self.books.ids.fetch_add(1, Ordering::Relaxed);
        let failed = |error: io::Error| Error::start(program, error);
        let short = |error: io::Error| Error::short(program, error);
        let frame = Frame { tag: Tag::Spawn, id, fields: program.fields() };
        let bytes: usize = frame.fields.iter().map(|field| field.len() + 4).sum();
        if bytes > super::frame::FIELD_BYTES_MAX {
            return Err(failed(io::ErrorKind::ArgumentListTooLong.into()));
        }
        let (streams, pipes) = Pipes::open(program).map_err(short)?;
        let (started, start) = oneshot::channel();
        let (exit, exited) = watch::channel(None);
        let output = pipes.inode;
        // Made before the wait: dropped midway, it ends the child. Its pipes are watched before the start: what fails here has begun nothing.
        let orders = self.orders.clone();
        let (unfed, stdin, stdout, stderr) = (Payload::new(), None, None, None);
        let mut child = Child { stdin, unfed, stdout, stderr, id, pid: 0, orders, exited };
        pipes.give(&mut child).map_err(short)?;
        self.books.children().insert(id, Entry { started: Some(started), pid: None, output, exit });
        // Looked at after the entry is there: whoever ends the session finds it, or we find that it is over.
        if !self.is_alive() || self.orders.0.send((frame, streams)).is_err() {
            self.books.children().remove(&id);
            return Err(Error::Gone);
        }
        child.pid = start.await.map_err(|_| Error::Gone)?.map_err(failed)?;
        Ok(child)
    }
}

/// Our ends of a child's pipes.
struct Pipes {
    stdin: Option<OwnedFd>,
    unfed: Payload,
    stdout: OwnedFd,
    stderr: OwnedFd,
    /// Of the pipe of standard output: whoever has it open is the child, or comes of it.
    inode: u64,
    brief: bool,
}

impl Pipes {
    /// Three pipes: the child's ends, and ours. What it is fed with lies in the first one, as far as there is room.
    fn open(program: &Program) -> io::Result<(Vec<OwnedFd>, Self)> {
        let mut unfed = program.fed.clone().unwrap_or_default();
        let (stdin, ours_in) = if program.input {
            let (stdin, ours) = pipe_with(PipeFlags::CLOEXEC)?;
            ioctl_fionbio(&ours, true)?;
            while !unfed.is_empty()
                && let Ok(count) = rustix::io::write(&ours, &unfed)
            {
                unfed.advance(count);
            }
            let is_fed = program.fed.is_some() && unfed.is_empty();
            (stdin, Some(ours).filter(|_| !is_fed))
        } else {
            (OpenOptions::new().read(true).open("/dev/null")?.into(), None)
        };
        let (ours_out, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (ours_err, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        ioctl_fionbio(&ours_out, true)?;
        ioctl_fionbio(&ours_err, true)?;
        let inode = rustix::fs::fstat(&ours_out)?.st_ino;
        let brief = program.brief;
        let ours = Self { stdin: ours_in, unfed, stdout: ours_out, stderr: ours_err, inode, brief };
        Ok((vec![stdin, stdout, stderr], ours))
    }

    /// Hands them to the child's owner.
    fn give(self, child: &mut Child) -> io::Result<()> {
        child.stdin = self.stdin.map(pipe::Sender::from_owned_fd_unchecked).transpose()?;
        child.unfed = self.unfed;
        child.stdout = Some(Output::new(self.stdout, self.brief)?);
        child.stderr = Some(Output::new(self.stderr, self.brief)?);
        Ok(())
    }
}

impl Books {
    fn children(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received(&self, frame: &Frame) {
        let mut children = self.children();
        match frame.tag {
            Tag::Spawned => {
                let Some(entry) = children.get_mut(&frame.id) else { return };
                let pid = frame.number(0).unwrap_or_default();
                entry.pid = Some(pid);
                // Who no longer waits has dropped the child, which ends it.
                if let Some(started) = entry.started.take() {
                    let _ = started.send(Ok(pid));
                }
            }
            Tag::Failed => {
                let Some(entry) = children.remove(&frame.id) else { return };
                if let Some(started) = entry.started {
                    let error = io::Error::from_raw_os_error(frame.number(0).unwrap_or_default());
                    let _ = started.send(Err(error));
                }
            }
            Tag::Exited => {
                let Some(entry) = children.remove(&frame.id) else { return };
                let status = ExitStatus::from_raw(frame.number(0).unwrap_or_default());
                entry.exit.send_replace(Some(Ok(status)));
                if let Some(started) = entry.started {
                    let _ = started.send(Ok(frame.number(1).unwrap_or_default()));
                }
            }
            Tag::Spawn | Tag::Terminate | Tag::Kill | Tag::Ready => {}
        }
    }

    /// The guard is gone, so its children are ours to end.
    fn end(&self) {
        self.over.store(true, Ordering::Release);
        for entry in core::mem::take(&mut *self.children()).into_values() {
            match entry.pid.and_then(Pid::from_raw) {
                Some(pid) => drop(kill_process_group(pid, Signal::KILL)),
                // Started a moment ago, if at all: the guard had no time to tell.
                None => kill_writers(entry.output),
            }
            entry.exit.send_replace(Some(Err(Error::Gone)));
        }
    }
}

/// KILL to whoever else has this pipe open.
fn kill_writers(inode: u64) {
    let Ok(entries) = std::fs::read_dir("/proc") else { return };
    let pipe = OsString::from(format!("pipe:[{inode}]"));
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|pid| *pid != rustix::process::getpid()) else { continue };
        let open = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        if open.filter_map(|open| std::fs::read_link(open.path()).ok()).any(|file| file == *pipe) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Until the last one that gives orders is gone, or the socket takes no more; then the guard reads its end, and ends.
async fn write(socket: Arc<Socket>, mut orders: mpsc::UnboundedReceiver<(Frame, Vec<OwnedFd>)>) {
    while let Some((frame, descriptors)) = orders.recv().await {
        if socket.send(&frame.encode(), &descriptors).await.is_err() {
            break;
        }
    }
    socket.close();
}

/// Takes what the guard says, until it is gone.
async fn read(
    socket: Arc<Socket>,
    mut incoming: Incoming,
    books: Arc<Books>,
    orders: mpsc::WeakUnboundedSender<(Frame, Vec<OwnedFd>)>,
    mut guard: std::process::Child,
) {
    while let Ok(Some(frame)) = incoming.next(&socket).await {
        books.received(&frame);
    }
    books.end();
    if orders.upgrade().is_some() {
        tracing::error!("the guard process is gone; its children were killed, the next one gets a new guard");
    }
    // It has closed its socket, which it does only by ending.
    tokio::task::spawn_blocking(move || guard.wait());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[tokio::test]
    async fn a_guard_that_has_no_descriptor_has_started_nothing() {
        let (orders, mut received) = mpsc::unbounded_channel();
        let session = Session { orders: Orders(orders), books: Arc::default() };
        let program = Program::new("cat");
        let refuse = async {
            let (frame, streams) = received.recv().await.expect("the guard is asked");
            assert_eq!((frame.tag, streams.len()), (Tag::Spawn, 3));
            let number = Errno::MFILE.raw_os_error();
            session.books.received(&Frame::with_numbers(Tag::Failed, frame.id, &[number]));
        };
        let (spawned, ()) = tokio::join!(session.spawn(&program), refuse);
        let error = spawned.unwrap_err();
        assert!(matches!(error, Error::Short { .. }), "{error:?}");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
    }
}
