//! The guard process itself.

use super::frame::{Frame, Tag};
use super::limit::{self, Reserve};
use super::wire::{Incoming, STREAMS, Socket, watched};
use super::{Program, is_asked};
use rustix::fs::FileType;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, test_kill_process_group};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A brief child that lives longer than this is not brief.
const BRIEF: Duration = Duration::from_millis(2);
/// How often a group whose leader is gone is looked at: nothing tells when a group is empty.
const GROUP_LOOK: Duration = Duration::from_millis(10);
/// Each look reads all of /proc, so they become rarer.
const GROUP_LOOK_MAX: Duration = Duration::from_millis(100);
/// After KILL a group is gone at once, unless somebody in it hangs in the kernel or waits for a parent that does not care.
const GROUP_LIMIT: Duration = Duration::from_millis(500);

/// Becomes the guard of another process of this program if that is what it was started for; it does not return then. To be
/// called first thing in `main`, before threads are started, arguments are read, or the limit of file descriptors is raised: what
/// that limit is now, it is for all children.
pub fn run_if_asked() {
    limit::remember();
    let is_socket =
        |stdin| rustix::fs::fstat(stdin).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_socket());
    // Whoever types the argument by hand has no socket to give.
    if !is_asked() || !is_socket(std::io::stdin()) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // As a task: to wake what the runtime itself was given takes a system call each time.
    let ended = runtime.map(|runtime| runtime.block_on(async { tokio::spawn(guard()).await }));
    std::process::exit(i32::from(!matches!(ended, Ok(Ok(Ok(()))))));
}

async fn guard() -> io::Result<()> {
    // Whoever signals all processes of our name means the one that we belong to; we end with it. A handler and not "ignore",
    // which the children would inherit.
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
    let _held = kinds.map(|kind| signal(kind).ok());
    let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
    let socket = Arc::new(Socket::new(socket.into())?);
    let (replies, outgoing) = mpsc::unbounded_channel();
    let _ = replies.send(Frame::new(Tag::Ready, 0));
    let writing = tokio::spawn(answer(Arc::clone(&socket), outgoing));
    let reserve = Reserve::take_on(std::env::args_os().nth(2));
    let mut children = Children { orders: BTreeMap::new(), tasks: JoinSet::new(), replies, reserve };
    let mut incoming = Incoming::default();
    loop {
        tokio::select! {
            frame = incoming.next(&socket) => match frame {
                Ok(Some(frame)) => children.received(frame, &mut incoming),
                Ok(None) | Err(_) => break,
            },
            Some(ended) = children.tasks.join_next() => {
                if let Ok(id) = ended {
                    children.orders.remove(&id);
                }
            }
        }
    }
    // Nobody is left whose children these are.
    children.orders.values().for_each(|orders| drop(orders.send(Order::Terminate)));
    while children.tasks.join_next().await.is_some() {}
    drop(children);
    writing.abort();
    Ok(())
}

async fn answer(socket: Arc<Socket>, mut replies: mpsc::UnboundedReceiver<Frame>) {
    while let Some(frame) = replies.recv().await {
        if socket.send(&frame.encode(), &[]).await.is_err() {
            return;
        }
    }
}

enum Order {
    Terminate,
    Kill,
}

struct Children {
    orders: BTreeMap<u64, mpsc::UnboundedSender<Order>>,
    tasks: JoinSet<u64>,
    replies: mpsc::UnboundedSender<Frame>,
    reserve: Reserve,
}

impl Children {
    fn received(&mut self, frame: Frame, incoming: &mut Incoming) {
        let order = match frame.tag {
            Tag::Spawn => return self.spawn(frame, incoming.streams()),
            Tag::Terminate => Order::Terminate,
            Tag::Kill => Order::Kill,
            Tag::Ready | Tag::Spawned | Tag::Failed | Tag::Exited => return,
        };
        if let Some(orders) = self.orders.get(&frame.id) {
            let _ = orders.send(order);
        }
    }

    fn spawn(&mut self, frame: Frame, streams: Option<[OwnedFd; STREAMS]>) {
        let id = frame.id;
        let invalid = || io::Error::from(rustix::io::Errno::INVAL);
        // What came along and finds no room in our table, the system drops.
        let short = || io::Error::from(rustix::io::Errno::MFILE);
        let program = Program::from_fields(frame.fields).ok_or_else(invalid);
        let started = program.and_then(|program| Ok((program, streams.ok_or_else(short)?))).and_then(
            |(program, streams)| Ok((Minded::start(&program, streams, &self.reserve)?, program.brief)),
        );
        let reply = match started {
            Ok((minded, brief)) => {
                let (orders, received) = mpsc::unbounded_channel();
                self.orders.insert(id, orders);
                let replies = self.replies.clone();
                self.tasks.spawn(async move {
                    let pid = minded.pid.as_raw_nonzero().get();
                    let started = || drop(replies.send(Frame::with_numbers(Tag::Spawned, id, &[pid])));
                    let mut minding = core::pin::pin!(minded.mind(received));
                    let early = if brief { timeout(BRIEF, &mut minding).await.ok() } else { None };
                    let status = match early {
                        Some(status) => status,
                        None => {
                            started();
                            minding.await
                        }
                    };
                    let _ = replies.send(Frame::with_numbers(Tag::Exited, id, &[status, pid]));
                    id
                });
                return;
            }
            // The only errors without a number are about NUL in a word.
            Err(error) => {
                let invalid = rustix::io::Errno::INVAL.raw_os_error();
                Frame::with_numbers(Tag::Failed, id, &[error.raw_os_error().unwrap_or(invalid)])
            }
        };
        let _ = self.replies.send(reply);
    }
}

/// Whether anybody in the group lives: the dead ones may wait long for a parent that does not look after them.
fn has_living(group: Pid) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return true };
    let group = group.as_raw_nonzero().to_string();
    entries.flatten().any(|entry| {
        let is_process = entry.file_name().as_bytes().first().is_some_and(u8::is_ascii_digit);
        let stat = is_process.then(|| std::fs::read(entry.path().join("stat")).ok()).flatten();
        // After the name in parentheses, which may hold anything: state, parent, group.
        let Some(stat) = stat else { return false };
        let Some(name_end) = stat.iter().rposition(|byte| *byte == b')') else { return false };
        let mut fields = stat[name_end + 1..].split(|byte| *byte == b' ').skip(1);
        let is_dead = matches!(fields.next(), Some(b"Z" | b"X"));
        !is_dead && fields.nth(1) == Some(group.as_bytes())
    })
}

/// A child and its group.
struct Minded {
    child: std::process::Child,
    pid: Pid,
    /// Readable when the child has ended.
    end: AsyncFd<OwnedFd>,
    kill_grace: Duration,
}

impl Minded {
    fn start(program: &Program, streams: [OwnedFd; STREAMS], reserve: &Reserve) -> io::Result<Self> {
        let [stdin, stdout, stderr] = streams;
        let mut command = Command::new(program.name());
        command.args(&program.words[1..]).stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
        command.envs(program.variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &program.folder {
            command.current_dir(folder);
        }
        let mut child = command.spawn()?;
        // With it the three pipes are closed here: a child that runs always finds a descriptor for its watch.
        drop(command);
        let pid = Pid::from_child(&child);
        let end = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        match end.and_then(|end| watched(reserve.hold(end), Interest::READABLE)) {
            Ok(end) => Ok(Self { child, pid, end, kill_grace: program.kill_grace }),
            Err(error) => {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Until the child has ended and its group is gone; its status as the system has it.
    async fn mind(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> i32 {
        let mut killed_at = None;
        loop {
            let due = async {
                match killed_at {
                    Some(at) => sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.end.readable() => break,
                Some(order) = orders.recv() => match order {
                    Order::Terminate => {
                        self.signal(Signal::TERM);
                        // A stopped process takes no TERM.
                        self.signal(Signal::CONT);
                        killed_at.get_or_insert(Instant::now() + self.kill_grace);
                    }
                    Order::Kill => self.signal(Signal::KILL),
                },
                () = due => {
                    self.signal(Signal::KILL);
                    // KILL cannot be refused: from here the end of the child is waited for.
                    killed_at = Some(Instant::now() + Duration::from_secs(3_600));
                }
            }
        }
        let Some(killed_at) = killed_at else {
            // As long as the child is not reaped, its number is nobody else's.
            self.signal(Signal::KILL);
            return self.reap();
        };
        let status = self.reap();
        self.wait_for_group(killed_at).await;
        status
    }

    /// Its members were told to end, and have their grace as the child had.
    async fn wait_for_group(&self, killed_at: Instant) {
        let mut limit = killed_at.min(Instant::now() + self.kill_grace);
        let mut killed = false;
        let mut look = GROUP_LOOK;
        while test_kill_process_group(self.pid).is_ok() && has_living(self.pid) {
            if Instant::now() >= limit {
                if killed {
                    return;
                }
                self.signal(Signal::KILL);
                killed = true;
                limit = Instant::now() + GROUP_LIMIT;
            }
            sleep(look).await;
            look = (look * 2).min(GROUP_LOOK_MAX);
        }
    }

    fn signal(&self, signal: Signal) {
        // A group that is gone needs no signal.
        let _ = kill_process_group(self.pid, signal);
    }

    fn reap(&mut self) -> i32 {
        self.child.wait().map_or(-1, ExitStatusExt::into_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_start_without_its_pipes_is_for_want_of_descriptors() {
        let (replies, mut told) = mpsc::unbounded_channel();
        let reserve = Reserve::default();
        let mut children = Children { orders: BTreeMap::new(), tasks: JoinSet::new(), replies, reserve };
        let fields = Program::new("cat").fields();
        children.spawn(Frame { tag: Tag::Spawn, id: 7, fields }, None);
        let failed = Frame::with_numbers(Tag::Failed, 7, &[Errno::MFILE.raw_os_error()]);
        assert_eq!(told.try_recv().unwrap(), failed);
    }
}
