//! Lines for people and for journals, on standard error, that never hold anybody up.
//!
//! Standard error may be a pipe that nobody reads. So no caller writes to it: lines go into a bounded channel, one thread
//! writes them, and what does not fit is dropped and counted. The count is told with the next line that gets through.

use crate::terminal::ColorChoice;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for the writer: some seconds of a talkative manager, and at most a few hundred KiB.
const LINES_MAX: usize = 4_096;
/// How long the end of the process waits for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);
/// How often the end of the process looks whether there is room for its last word.
const FLUSH_STEP: Duration = Duration::from_millis(1);

/// Keeps the writer alive. When it goes, the lines that wait are written, for half a second at most.
pub struct LogGuard {
    lines: Option<SyncSender<Entry>>,
}

enum Entry {
    Line(Vec<u8>),
    /// Everything before this is written; the other end learns of it when this is dropped.
    Flush(#[expect(dead_code, reason = "only its being dropped counts")] SyncSender<()>),
}

/// Starts logging, once a process; `debug` shows all that our own code says. `RUST_LOG` beats it.
#[must_use]
pub fn start(level: &str, debug: bool, color: ColorChoice) -> LogGuard {
    let (guard, writer) = writer_to(io::stderr());
    let level = if debug { "debug" } else { level };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(debug)
        .with_ansi(color.on_stderr())
        .with_writer(writer)
        .finish();
    // A second start in one process keeps the first one's subscriber; only tests do that.
    let _ = tracing::subscriber::set_global_default(subscriber);
    guard
}

fn writer_to(output: impl Write + Send + 'static) -> (LogGuard, LogWriter) {
    let (sender, receiver) = sync_channel(LINES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    let spawned =
        std::thread::Builder::new().name("log".into()).spawn(move || write_all(output, &receiver, &counter));
    // Without a thread the receiver is gone and every line counts as dropped: logging must not end a daemon.
    drop(spawned);
    (LogGuard { lines: Some(sender.clone()) }, LogWriter { lines: sender, dropped })
}

fn write_all(mut output: impl Write, entries: &Receiver<Entry>, dropped: &AtomicU64) {
    while let Ok(entry) = entries.recv() {
        let Entry::Line(line) = entry else { continue };
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = writeln!(output, "{lost} log lines dropped: standard error was stuck");
        }
        let _ = output.write_all(&line);
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        let Some(lines) = self.lines.take() else { return };
        let (done, flushed) = sync_channel(0);
        let limit = Instant::now() + FLUSH_LIMIT;
        let mut entry = Entry::Flush(done);
        while let Err(TrySendError::Full(back)) = lines.try_send(entry) {
            if Instant::now() >= limit {
                return;
            }
            entry = back;
            std::thread::sleep(FLUSH_STEP);
        }
        let _ = flushed.recv_timeout(limit.saturating_duration_since(Instant::now()));
    }
}

/// Hands whole lines to the thread that writes.
#[derive(Clone)]
struct LogWriter {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
}

impl Write for LogWriter {
    /// Takes one event, which the subscriber hands over in one piece. Never waits.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.try_send(Entry::Line(line.to_vec())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    /// An output that writes only when it is let.
    struct Stuck {
        gate: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // A closed gate is an open one: the test has let everything through.
            let _ = self.gate.recv();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (Sender<()>, Arc<Mutex<Vec<u8>>>, Stuck) {
        let (open, gate) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        (open, Arc::clone(&written), Stuck { gate, written })
    }

    #[test]
    fn a_stuck_output_drops_and_counts_and_never_blocks() {
        let (open, written, output) = stuck();
        let (guard, writer) = writer_to(output);
        let lines = LINES_MAX + 1_000;
        for number in 0..lines {
            writer.make_writer().write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        // How many were dropped may have been taken for a line of its own by now, if the thread began late.
        drop(open);
        drop(guard);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let told: usize = text
            .lines()
            .filter_map(|line| line.split_once(" log lines dropped")?.0.parse::<usize>().ok())
            .sum();
        let written = text.lines().filter(|line| line.starts_with("line ")).count();
        assert!(told >= 999, "{told} told of {lines}: {LINES_MAX} fit and one is being written");
        assert_eq!(told + written, lines, "every line is written or counted");
    }

    #[test]
    fn the_end_waits_for_what_was_said() {
        let (open, written, output) = stuck();
        drop(open);
        let (guard, mut writer) = writer_to(output);
        writer.write_all(b"the last word\n").unwrap();
        drop(guard);
        assert_eq!(*written.lock().unwrap(), b"the last word\n");
    }
}
