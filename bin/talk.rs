//! What children say on standard error goes to ours, each line with the number of its child.

use proletariat::supervisor::lines::{Talk, Talker};
use std::io::{self, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the end of the process waits for the last lines.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// The thread that writes. It ends with the last child; dropped, it is waited for, but not for long: standard error may be stuck.
#[derive(Debug)]
pub struct Forwarder(Option<JoinHandle<()>>);

impl Forwarder {
    /// Writes what comes.
    ///
    /// # Errors
    /// Those of the system: no thread.
    pub fn start(mut talker: Talker) -> io::Result<Self> {
        let thread = std::thread::Builder::new().name("talk".into()).spawn(move || {
            while let Some(talk) = talker.blocking_recv() {
                // A closed standard error is nobody's fault and stops nothing.
                let _ = io::stderr().lock().write_all(&numbered(&talk));
            }
        });
        Ok(Self(Some(thread?)))
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        let Some(thread) = self.0.take() else { return };
        let limit = Instant::now() + FLUSH_LIMIT;
        while !thread.is_finished() && Instant::now() < limit {
            std::thread::sleep(LOOK);
        }
    }
}

fn numbered(talk: &Talk) -> Vec<u8> {
    let prefix = format!("[{}] ", talk.child);
    let mut text = Vec::with_capacity(talk.lines.len() * 2);
    for line in talk.lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(prefix.as_bytes());
        text.extend_from_slice(line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_number() {
        let talk = Talk { child: 7, lines: (&b"one\ntwo\xff\n"[..]).into() };
        assert_eq!(numbered(&talk), b"[7] one\n[7] two\xff\n");
    }
}
