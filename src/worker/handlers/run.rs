//! A process for each job.

use super::last_words::{LastWords, until_late};
use crate::supervisor::guard::{Child, Error, Guard, Output, Program};
use crate::worker::{Ending, HandBackReason, Handler, Run};
use core::time::Duration;
use proletariat_protocol::Payload;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

/// Stands for the payload in the words of the program.
const PLACE: &[u8] = b"{}";
/// The system takes arguments below this size (32 pages), the zero byte at the end included.
const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;
/// So much of the end of standard error goes into the error of a job.
const TAIL_BYTES: usize = 2_048;
/// Bytes of the first read, and of those after it: most programs write little.
const FIRST_READ_BYTES: usize = 2 * 1024;
const READ_BYTES: usize = 64 * 1024;

/// Starts a program for each job: the payload on its standard input, and as one argument where a word holds `{}`; what it
/// writes is the result. No shell has a part in it. A status other than 0 fails the job, with the end of what it complained.
///
/// A cancelled run ends the program and its group: TERM, and KILL after the grace.
#[derive(Clone, Debug)]
pub struct RunProgram {
    guard: Guard,
    words: Vec<OsString>,
    kill_grace: Duration,
    stream: bool,
}

impl RunProgram {
    /// From words, the program's name first.
    ///
    /// # Panics
    /// Without words.
    pub fn new(words: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
        assert!(!words.is_empty(), "a program has a name");
        Self { guard: Guard::new(), words, kill_grace: Duration::from_secs(2), stream: false }
    }

    /// Cuts a line into words as a shell would (quotes, backslashes), and does nothing else that a shell does. `None`: a quote
    /// is not closed, or there is no word.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        shlex::split(line).filter(|words| !words.is_empty()).map(Self::new)
    }

    /// From TERM to KILL. Default: 2 s.
    #[must_use]
    pub fn kill_grace(mut self, grace: Duration) -> Self {
        self.kill_grace = grace;
        self
    }

    /// What the program writes is sent as partial results too, while it runs.
    #[must_use]
    pub fn stream(mut self, on: bool) -> Self {
        self.stream = on;
        self
    }

    /// The program with the payload in its place.
    fn program(&self, payload: &[u8]) -> Result<Program, String> {
        let name = self.words[0].to_string_lossy();
        let is_placed = self.words.iter().any(|word| find(word.as_bytes()).is_some());
        if is_placed && payload.contains(&0) {
            return Err(format!("{name}: the payload has a NUL byte and cannot be an argument: use stdin"));
        }
        let mut words = self.words.iter().map(|word| OsString::from_vec(placed(word.as_bytes(), payload)));
        let program = Program::new(words.next().unwrap_or_default()).kill_grace(self.kill_grace);
        let words: Vec<OsString> = words.collect();
        if words.iter().any(|word| word.len() > ARGUMENT_BYTES_MAX) {
            let bytes = payload.len();
            return Err(format!("{name}: a payload of {bytes} bytes is too long for an argument: use stdin"));
        }
        Ok(program.arguments(words))
    }

    async fn work(&self, run: &Run, mut child: Child) -> Ending {
        let mut heard = Heard::default();
        let ended = {
            let mut talk = Box::pin(heard.talk(run, &mut child, self.stream));
            tokio::select! {
                biased;
                () = run.cancelled() => None,
                stop = &mut talk => Some(stop),
            }
        };
        let stop = match ended {
            Some(Ok(status)) => return heard.ending(&self.words[0].to_string_lossy(), status),
            Some(Err(stop)) => stop,
            None => Ending::Failed(String::from("cancelled")),
        };
        // The slot is free when nothing of it runs any more.
        child.terminate();
        drop(child.stdin.take());
        drop(child.stdout.take());
        let _ = child.wait().await;
        stop
    }
}

impl Handler for RunProgram {
    async fn run(&self, run: Run) -> Ending {
        let program = match self.program(run.payload()) {
            Ok(program) => program,
            Err(reason) => return Ending::Failed(reason),
        };
        let program = program.fed(run.payload().clone()).brief();
        // Not given up while it starts: what may run already has to be ended and waited for.
        match self.guard.spawn(&program).await {
            Ok(child) => self.work(&run, child).await,
            Err(error @ Error::Start { .. }) => Ending::Failed(not_started(&error)),
            // Nobody's fault, and nothing ran: another worker has room, or this one in a while.
            Err(error @ Error::Short { .. }) => {
                tracing::warn!("a run is handed back: {error}");
                Ending::HandBack(HandBackReason::Busy)
            }
            Err(error) => Ending::Crashed(error.to_string()),
        }
    }
}

fn not_started(error: &Error) -> String {
    match error {
        Error::Start { source, .. } if source.kind() == io::ErrorKind::ArgumentListTooLong => {
            format!("{error}: the payload is too long for an argument: use stdin")
        }
        _ => error.to_string(),
    }
}

/// What a child wrote.
#[derive(Debug, Default)]
struct Heard {
    result: Vec<u8>,
    tail: VecDeque<u8>,
}

impl Heard {
    /// Feeds the child and listens to it, all at once, until it has ended; an ending if it has to be stopped before.
    async fn talk(&mut self, run: &Run, child: &mut Child, stream: bool) -> Result<ExitStatus, Ending> {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (stdin, unfed) = (child.stdin.take(), core::mem::take(&mut child.unfed));
        let Self { result, tail } = self;
        let exited = CancellationToken::new();
        let mut io = Box::pin(async {
            tokio::try_join!(
                async {
                    until_late(&exited, feed(stdin, &unfed)).await;
                    Ok(())
                },
                listen(stdout, result, run, stream, &exited),
                async {
                    until_late(&exited, keep_tail(stderr, tail)).await;
                    Ok(())
                },
            )
        });
        let lost = |error: Error| Ending::Crashed(error.to_string());
        let status = tokio::select! {
            talked = &mut io => {
                talked?;
                return child.wait().await.map_err(lost);
            }
            status = child.wait() => status.map_err(lost)?,
        };
        exited.cancel();
        io.await?;
        Ok(status)
    }

    fn ending(self, name: &str, status: ExitStatus) -> Ending {
        if status.success() {
            return Ending::Done(self.result.into());
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => status.to_string(),
        };
        let tail: Vec<u8> = self.tail.into();
        let tail = String::from_utf8_lossy(&tail);
        match tail.trim() {
            "" => Ending::Failed(format!("{name}: {how}")),
            tail => Ending::Failed(format!("{name}: {how}: {tail}")),
        }
    }
}

/// A child need not read its input.
async fn feed(stdin: Option<pipe::Sender>, payload: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(payload).await;
    }
}

/// What is in the pipe is always read, however long a send takes.
async fn listen(
    stdout: Option<Output>,
    result: &mut Vec<u8>,
    run: &Run,
    stream: bool,
    exited: &CancellationToken,
) -> Result<(), Ending> {
    let Some(mut stdout) = stdout else { return Ok(()) };
    let bytes_max = run.result_bytes_max();
    let mut buffer = vec![0; FIRST_READ_BYTES];
    let mut last_words = LastWords::new(exited);
    loop {
        // Nothing when nothing is left to be heard: the pipe has ended or is broken, or it was waited for long enough.
        let count = last_words.wait(stdout.read(&mut buffer)).await.map_or(0, |read| read.unwrap_or(0));
        if count == 0 {
            return Ok(());
        }
        result.extend_from_slice(&buffer[..count]);
        if result.len() as u64 > bytes_max {
            return Err(Ending::TooLarge(format!("more than {bytes_max} bytes on standard output")));
        }
        if stream && run.send(Payload::copy_from_slice(&buffer[..count])).await.is_err() {
            return Err(Ending::Failed(String::from("cancelled")));
        }
        buffer.resize(READ_BYTES, 0);
    }
}

async fn keep_tail(stderr: Option<Output>, tail: &mut VecDeque<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut buffer = vec![0; FIRST_READ_BYTES];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        tail.extend(&buffer[..count]);
        tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        buffer.resize(READ_BYTES, 0);
    }
}

fn find(word: &[u8]) -> Option<usize> {
    word.windows(PLACE.len()).position(|part| part == PLACE)
}

/// The word with the payload in all its places. What the payload holds is not looked at.
fn placed(mut word: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = find(word) {
        out.extend_from_slice(&word[..at]);
        out.extend_from_slice(payload);
        word = &word[at + PLACE.len()..];
    }
    out.extend_from_slice(word);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_into_words_and_no_more() {
        let words = RunProgram::parse("prog 'a b' \"$HOME\" c\\ d {} --x={}; *").unwrap().words;
        assert_eq!(words, ["prog", "a b", "$HOME", "c d", "{}", "--x={};", "*"]);
        for line in ["", "  ", "'open"] {
            assert!(RunProgram::parse(line).is_none(), "{line}");
        }
    }

    #[test]
    fn the_payload_is_one_argument_whatever_it_holds() {
        assert_eq!(placed(b"{}", b"a b {} $x"), b"a b {} $x");
        assert_eq!(placed(b"--x={},{}", b"{}"), b"--x={},{}");
        assert_eq!(placed(b"plain", b"x"), b"plain");
        let program = RunProgram::parse("prog {}").unwrap();
        assert!(program.program(b"a\0b").unwrap_err().contains("use stdin"));
        assert!(program.program(&[b'x'; 128 * 1024]).unwrap_err().contains("use stdin"));
        program.program(&[b'x'; 128 * 1024 - 1]).unwrap();
        // Without a place the payload goes through standard input alone.
        RunProgram::parse("prog").unwrap().program(&[0; 1 << 20]).unwrap();
    }
}
