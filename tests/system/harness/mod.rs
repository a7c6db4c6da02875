//! What every system test stands on: real processes in groups of their own, a manager on any free port, and a last look that
//! nothing is left of them.
//!
//! A [`Test`] is made first and so ends last: when it is dropped, everything that it started has been killed, and it fails
//! the test if a process, a listening port or a temporary file is still there.

mod chance;
mod crowd;
mod feeder;
mod manager;
mod network;
mod process;
mod raw;
mod wire;

pub(crate) use chance::{Chance, time_of};
pub(crate) use crowd::Crowd;
pub(crate) use feeder::Feeder;
pub(crate) use manager::{Manager, Way};
pub(crate) use network::{Direction, Site, in_network};
pub(crate) use process::{Ended, Running};
pub(crate) use raw::{CLIENT, Greeted, Peer, WORKER, greeting, hello, read_to_end};
pub(crate) use wire::{Certificates, Encrypted, Trust, Wire, connect};

use process::executable;
use rustix::process::{Pid, Resource, Rlimit, setrlimit, test_kill_process_group};
use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes longer, on a machine that has other things to do too.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How long what a killed process held may take to go away (the promise of the documents).
const GONE: Duration = Duration::from_secs(3);
/// A test that starts more processes than this looks which of them are gone.
const GROUPS_MAX: usize = 100;
/// Between two looks at a level.
const LOOK: Duration = Duration::from_millis(2);

/// Looks again and again until there is an answer; fails after [`LIMIT`].
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, look)
}

/// The same with a limit of its own.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        thread::sleep(LOOK);
    }
}

/// For tests whose subject is that time passes, and only for those.
pub(crate) fn let_time_pass(time: Duration) {
    thread::sleep(time);
}

/// Tests that measure have the machine for themselves; all others run side by side.
static MACHINE: RwLock<()> = RwLock::new(());

#[derive(Debug)]
enum Place {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// One test: its folder, and everything that it starts.
#[derive(Debug)]
pub(crate) struct Test {
    folder: TempDir,
    groups: RefCell<Vec<Pid>>,
    ports: RefCell<Vec<u16>>,
    _place: Place,
}

impl Test {
    /// Beside other tests.
    pub(crate) fn new() -> Self {
        let guard = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        Self::in_place(Place::Shared { _guard: guard })
    }

    /// While no other test runs.
    pub(crate) fn alone() -> Self {
        let guard = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        Self::in_place(Place::Alone { _guard: guard })
    }

    fn in_place(place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { folder, groups: RefCell::default(), ports: RefCell::default(), _place: place }
    }

    /// A path in the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into the test's folder.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// One of the three executables, not started yet.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = executable(name);
        command.args(arguments);
        command
    }

    pub(crate) fn spawn(&self, mut command: Command) -> Running {
        command.env("TMPDIR", self.path("tmp"));
        let running = Running::start(command);
        let mut groups = self.groups.borrow_mut();
        if groups.len() >= GROUPS_MAX {
            // Numbers are used again: who is gone is forgotten before somebody else has its number.
            groups.retain(|group| test_kill_process_group(*group).is_ok());
        }
        groups.push(running.group());
        running
    }

    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Running {
        self.spawn(self.command(name, arguments))
    }

    /// Runs to the end, without input.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Ended {
        self.start(name, arguments).close_input().ended()
    }

    /// A manager on any free port.
    pub(crate) fn manager(&self, arguments: &[&str]) -> Manager<'_> {
        Manager::start(self, 0, self.command("manager", arguments))
    }

    /// A manager on this port.
    pub(crate) fn manager_at(&self, port: u16, arguments: &[&str]) -> Manager<'_> {
        Manager::start(self, port, self.command("manager", arguments))
    }

    /// A manager with options given in one of the three ways; they are written in snake case.
    pub(crate) fn manager_by(&self, way: Way, options: &[(&str, &str)]) -> Manager<'_> {
        Manager::start(self, 0, way.command(self, "manager", options))
    }

    /// The processes that this test has started, and those that they have started, in whatever group or session: they have all
    /// inherited where to put temporary files. Without those that are dead and wait for their parent.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.path("tmp").display()).into_bytes();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let ours = entries.filter(|entry| {
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark)
        });
        ours.map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            format!("{} {line}", entry.file_name().display())
        })
        .collect()
    }

    fn remember_port(&self, port: u16) {
        self.ports.borrow_mut().push(port);
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        for group in self.groups.borrow().iter() {
            within(GONE, &format!("process group {group:?} is gone"), || {
                test_kill_process_group(*group).is_err().then_some(())
            });
        }
        within(GONE, "all processes are gone, children and grandchildren too", || {
            // Twice, as a process that is just replacing its program shows no environment.
            (self.processes().is_empty() && self.processes().is_empty()).then_some(())
        });
        for port in self.ports.borrow().iter() {
            assert!(!is_listening(*port), "port {port} is still listened on");
        }
        assert_eq!(names(&self.path("tmp")), Vec::<String>::new(), "temporary files are left");
        let halves: Vec<_> =
            names(self.folder.path()).into_iter().filter(|name| name.ends_with(".tmp")).collect();
        assert_eq!(halves, Vec::<String>::new(), "half-written files are left");
    }
}

/// Thousands of connections need thousands of descriptors, and a process is given fewer unless it asks.
pub(crate) fn raise_descriptors() {
    let most = rustix::process::getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most.maximum, ..most });
}

/// Names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// An address on which nobody listens. It was free a moment ago, and the system has many others to give away.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_last_look_sees_what_is_left() {
    fn fails(leave: impl FnOnce(&Test) + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(|| {
            let test = Test::new();
            leave(&test);
        })
        .is_err()
    }
    assert!(!fails(|_| {}));
    assert!(!fails(|test| drop(test.manager(&[]))));
    assert!(fails(|test| std::fs::write(test.path("tmp").join("left"), "").unwrap()));
    assert!(fails(|test| drop(test.file("port.17.tmp", ""))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(fails(move |test| test.remember_port(port)));
    let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
    let group = Pid::from_child(&child);
    assert!(fails(move |test| test.groups.borrow_mut().push(group)));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(fails(|test| {
        // The shell ends when the other one is in its own session, where no signal to a group reaches it, and that one stays
        // what it is: a program that is just being replaced by another has no environment for a moment.
        let script = "setsid sh -c 'touch begun; sleep 60; :' >/dev/null 2>&1 & until [ -e begun ]; do sleep 0.01; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(test.folder.path());
        test.spawn(command).close_input().ended().expect(0);
        assert!(!test.processes().is_empty());
    }));
}
