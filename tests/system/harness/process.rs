//! One process of ours, with its streams drained all the time, in a process group that dies with it.

use super::{LIMIT, until};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One of the three executables, in an environment that says nothing to it.
pub(super) fn executable(name: &str) -> Command {
    let path = match name {
        "manager" => env!("CARGO_BIN_EXE_manager"),
        "worker" => env!("CARGO_BIN_EXE_worker"),
        "client" => env!("CARGO_BIN_EXE_client"),
        _ => panic!("no executable {name}"),
    };
    // Copies, so that a long run does not meet the executables of a later build.
    let copy = std::env::var_os("SYSTEM_EXECUTABLES").map(|folder| Path::new(&folder).join(name));
    let mut command = Command::new(copy.unwrap_or_else(|| path.into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PROLETARIAT_") || text == "RUST_LOG" || text == "NO_COLOR" {
            command.env_remove(&name);
        }
    }
    command
}

/// Everything that a process wrote to a stream so far.
#[derive(Debug)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn drain(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let target = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                target.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it, when the process has ended.
    fn finish(&mut self) -> Vec<u8> {
        self.reader.take().map(JoinHandle::join).transpose().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}

/// A process that is killed with its whole group when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    what: String,
    child: Child,
    input: Option<ChildStdin>,
    out: Stream,
    err: Stream,
    started: Instant,
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    what: String,
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    /// How long it ran, its start and end included.
    pub(crate) took: Duration,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Self {
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = format!("{:?}", command.get_program()).rsplit('/').next().unwrap_or_default().to_owned();
        let words: Vec<_> =
            command.get_args().take(8).map(|word| word.to_string_lossy().into_owned()).collect();
        let started = Instant::now();
        let mut child = command.spawn().unwrap();
        Self {
            what: format!("{} {}", what.trim_end_matches('"'), words.join(" ")),
            input: child.stdin.take(),
            out: Stream::drain(child.stdout.take().unwrap()),
            err: Stream::drain(child.stderr.take().unwrap()),
            child,
            started,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Who it is for the system.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(super) fn group(&self) -> Pid {
        self.pid()
    }

    /// What it wrote to standard output so far.
    pub(crate) fn out(&self) -> String {
        self.out.text()
    }

    /// The same without the first bytes.
    pub(crate) fn out_from(&self, from: usize) -> Vec<u8> {
        self.out.bytes.lock().unwrap()[from..].to_vec()
    }

    /// Memory that it holds, in bytes; 0 where the system does not tell.
    pub(crate) fn memory(&self) -> u64 {
        self.memory_of("VmRSS:")
    }

    /// The most that it ever held, or since its peak was forgotten.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.memory_of("VmHWM:")
    }

    pub(crate) fn forget_peak(&self) {
        // Where the system does not allow that, a peak is never too low.
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5");
    }

    /// Time on a processor so far, in steps of a hundredth of a second.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = after_name.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// How often its threads have fallen asleep so far; 0 where the system does not tell.
    pub(crate) fn sleeps(&self) -> u64 {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let statuses =
            threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
        let count = |status: String| {
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        };
        statuses.filter_map(count).sum()
    }

    fn memory_of(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().map_or(0, |kilobytes: u64| kilobytes * 1024)
    }

    /// How many descriptors it has open; 0 where the system does not tell.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// What it wrote to standard error so far.
    pub(crate) fn err(&self) -> String {
        self.err.text()
    }

    pub(crate) fn until_it_prints(&self, text: &str) {
        until(&format!("`{}` prints {text:?}", self.what), || self.out().contains(text).then_some(()));
    }

    pub(crate) fn until_it_says(&self, text: &str) {
        until(&format!("`{}` says {text:?}", self.what), || self.err().contains(text).then_some(()));
    }

    /// Until it handles this signal, where the system tells: one that has only just begun dies of it.
    pub(crate) fn until_it_handles(&self, signal: Signal) {
        until(&format!("`{}` handles {signal:?}", self.what), || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
            let handled = status.map_or(u64::MAX, |status| {
                let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
                u64::from_str_radix(mask.trim(), 16).unwrap_or_default()
            });
            (handled >> (signal.as_raw() - 1) & 1 == 1).then_some(())
        });
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Hands over lines in the background: the process may read them when it likes, or not at all.
    pub(crate) fn feed(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        let (mut input, bytes) = (self.input.take().unwrap(), bytes.into());
        std::thread::spawn(move || drop(input.write_all(&bytes)));
        self
    }

    /// Hands over the same bytes again and again, for as long as the process takes them.
    pub(crate) fn feed_without_end(mut self, bytes: &'static [u8]) -> Self {
        let mut input = self.input.take().unwrap();
        std::thread::spawn(move || while input.write_all(bytes).is_ok() {});
        self
    }

    /// Hands over some of the input and keeps the rest of it open.
    pub(crate) fn feed_some(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn close_input(mut self) -> Self {
        self.input = None;
        self
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let (out, err) = (self.out(), self.err());
            assert!(
                begun.elapsed() < 2 * LIMIT,
                "`{}` did not end; it printed {out} and said {err}",
                self.what
            );
            std::thread::sleep(Duration::from_millis(1));
        };
        let took = self.started.elapsed();
        Ended {
            what: self.what.clone(),
            code: status.code(),
            out: self.out.finish(),
            err: String::from_utf8_lossy(&self.err.finish()).into_owned(),
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago; its group is nobody's then.
        let _ = kill_process_group(self.group(), Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Ended {
    /// With this exit code, and without a panic.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let Self { what, err, .. } = &self;
        assert_eq!(self.code, Some(code), "`{what}` printed {} and said {err}", self.text());
        assert!(!err.contains("panicked at"), "`{what}`: {err}");
        self
    }

    /// Having told the user all of these.
    #[track_caller]
    pub(crate) fn said(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.err.contains(word), "`{}`: {word:?} is not in {:?}", self.what, self.err);
        }
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// What it printed, as one JSON document.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
