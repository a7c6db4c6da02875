//! Processes that end with their test, and a manager on a free port.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing here takes longer, on a machine that has other things to do too.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn executable(name: &str) -> Command {
    let path = match name {
        "manager" => env!("CARGO_BIN_EXE_manager"),
        "worker" => env!("CARGO_BIN_EXE_worker"),
        "client" => env!("CARGO_BIN_EXE_client"),
        _ => panic!("no executable {name}"),
    };
    let mut command = Command::new(path);
    for (name, _) in
        std::env::vars().filter(|(name, _)| name.starts_with("PROLETARIAT_") || name == "RUST_LOG")
    {
        command.env_remove(name);
    }
    command
}

/// Looks again and again until there is an answer.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that is killed when the test ends, however it ends. What it says is kept in a file.
pub(crate) struct Running {
    pub(crate) child: Child,
    talk: PathBuf,
}

impl Running {
    pub(crate) fn start(name: &str, arguments: &[&str], folder: &Path) -> Self {
        let talk = folder.join(format!("{name}-{}.err", fs::read_dir(folder).unwrap().count()));
        let mut command = executable(name);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.stderr(fs::File::create(&talk).unwrap()).spawn().unwrap();
        Self { child, talk }
    }

    pub(crate) fn talk(&self) -> String {
        fs::read_to_string(&self.talk).unwrap()
    }

    pub(crate) fn until_it_says(&self, text: &str) {
        until(&format!("says {text:?}"), || self.talk().contains(text).then_some(()));
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn exit_code(&mut self) -> i32 {
        until("ends", || self.child.try_wait().unwrap()).code().expect("ended by itself, not by a signal")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A manager on a free port.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) manager: Running,
    pub(crate) port: String,
}

impl Fleet {
    pub(crate) fn new(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let words = ["--port", "0", "--port-file", file.to_str().unwrap()];
        let manager = Running::start("manager", &[&words, arguments].concat(), folder.path());
        let port = until("the port file", || fs::read_to_string(&file).ok());
        Self { folder, manager, port: port.trim().to_owned() }
    }

    pub(crate) fn port_file(&self) -> PathBuf {
        self.folder.path().join("port")
    }

    pub(crate) fn worker(&self, arguments: &[&str]) -> Running {
        Running::start("worker", &[&["--port", &self.port], arguments].concat(), self.folder.path())
    }

    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        self.client_with(arguments, b"")
    }

    pub(crate) fn client_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        run("client", &[arguments, &["--port", &self.port]].concat(), input)
    }
}

/// Runs to the end, with this on standard input.
pub(crate) fn run(name: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = executable(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // It may end without having read all.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    let pid = child.id().to_string();
    let (done, output) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    output
        .recv_timeout(LIMIT)
        .unwrap_or_else(|_| {
            let _ = Command::new("kill").args(["-s", "KILL", &pid]).status();
            panic!("{name} {arguments:?} did not end")
        })
        .unwrap()
}

pub(crate) fn assert_ended(output: &Output, code: i32, said: &[&str]) {
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{talk}");
    for text in said {
        assert!(talk.contains(text), "{text:?} is not in {talk:?}");
    }
}

pub(crate) fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}
