//! Payloads of the command line: words, and lines of standard input or of a file.
//!
//! Such an input is read by a thread of its own that hands over all whole lines of each read together: an endless input
//! gets on line by line, a big file in portions. The thread dies with the process; nothing waits for it.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

/// The longest line: far over any payload that a manager takes, so that the manager says what its own limit is.
const LINE_BYTES_MAX: usize = 1 << 30;
/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;
/// Portions that may wait: with the payloads under way, this is all that is read ahead.
const PORTIONS_MAX: usize = 4;

/// What the standard input is called in sentences.
pub(super) const STDIN: &str = "standard input";

type Portion = Result<Vec<Bytes>, String>;

/// Payloads, one after the other.
#[derive(Debug)]
pub(super) struct Payloads {
    words: VecDeque<OsString>,
    lines: VecDeque<Bytes>,
    input: Option<Receiver<Portion>>,
    /// From then on no input is read.
    end: Option<Instant>,
    is_cut_off: bool,
}

impl Payloads {
    /// Of these words; `-` stands for the lines of standard input.
    pub(super) fn new(words: Vec<OsString>) -> Self {
        Self { words: words.into(), lines: VecDeque::new(), input: None, end: None, is_cut_off: false }
    }

    /// The lines of this input; `name` is what it is called where it cannot be read.
    pub(super) fn lines_of(input: impl Read + Send + 'static, name: &str) -> Result<Self, String> {
        Ok(Self { input: Some(read_in_background(input, name)?), ..Self::new(Vec::new()) })
    }

    /// No more than can be read before this moment: an input may have no end. Words are there already and are not left out, unless
    /// they stand behind an input that is.
    pub(super) fn until(mut self, end: Option<Instant>) -> Self {
        self.end = end;
        self
    }

    /// Whether something of an input was left out.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// The next payload, or a sentence why there is none. Nothing is lost if this is dropped midway.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if self.is_cut_off || !self.lines.is_empty() && self.is_late() {
                self.is_cut_off = true;
                return Ok(None);
            }
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            if let Some(input) = &mut self.input {
                let received = match self.end {
                    None => Ok(input.recv().await),
                    Some(end) => timeout_at(end, input.recv()).await,
                };
                match received {
                    Ok(Some(portion)) => self.lines = portion?.into(),
                    Ok(None) => self.input = None,
                    Err(_) => self.is_cut_off = true,
                }
                continue;
            }
            match self.words.pop_front() {
                Some(word) if word == "-" => self.input = Some(read_in_background(std::io::stdin(), STDIN)?),
                word => return Ok(word.map(|word| Bytes::from(word.into_vec()))),
            }
        }
    }
}

impl Payloads {
    fn is_late(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// All payloads that are there already, at least one, until there are no more. Nothing is lost if this is dropped midway.
    pub(super) async fn next_some(&mut self) -> Result<Option<VecDeque<Bytes>>, String> {
        let Some(first) = self.next().await? else { return Ok(None) };
        let mut all = std::mem::take(&mut self.lines);
        all.push_front(first);
        Ok(Some(all))
    }
}

fn read_in_background(input: impl Read + Send + 'static, name: &str) -> Result<Receiver<Portion>, String> {
    let (portions, receiver) = channel(PORTIONS_MAX);
    let name = name.to_owned();
    let failed = format!("cannot read {name}");
    std::thread::Builder::new()
        .name("input".into())
        .spawn(move || read_lines(input, &name, &portions))
        .map_err(|error| format!("{failed}: {error}"))?;
    Ok(receiver)
}

fn read_lines(mut input: impl Read, name: &str, portions: &Sender<Portion>) {
    let mut buffer = vec![0; READ_BYTES];
    let mut splitter = Splitter::default();
    loop {
        let portion = match input.read(&mut buffer) {
            Ok(0) => {
                // Nobody may be there to take it any more; then it is not wanted.
                let _ = portions.blocking_send(Ok(splitter.finish().into_iter().collect()));
                return;
            }
            Ok(count) => splitter.push(&buffer[..count]).map_err(|reason| format!("{name}: {reason}")),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => Err(format!("cannot read {name}: {error}")),
        };
        let failed = portion.is_err();
        if portions.blocking_send(portion).is_err() || failed {
            return;
        }
    }
}

/// Cuts bytes into lines, without their newlines.
#[derive(Debug, Default)]
struct Splitter {
    begun: BytesMut,
    lines: u64,
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) -> Portion {
        let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            self.begun.extend_from_slice(bytes);
            return self.check().map(|()| Vec::new());
        };
        self.begun.extend_from_slice(&bytes[..=last]);
        self.check()?;
        let whole = self.begun.split().freeze();
        self.begun.extend_from_slice(&bytes[last + 1..]);
        let mut lines = Vec::new();
        let mut start = 0;
        while let Some(length) = whole[start..].iter().position(|byte| *byte == b'\n') {
            lines.push(whole.slice(start..start + length));
            start += length + 1;
        }
        self.lines += lines.len() as u64;
        Ok(lines)
    }

    /// The last line, if no newline ended it.
    fn finish(&mut self) -> Option<Bytes> {
        (!self.begun.is_empty()).then(|| self.begun.split().freeze())
    }

    fn check(&self) -> Result<(), String> {
        if self.begun.len() <= LINE_BYTES_MAX {
            return Ok(());
        }
        Err(format!("line {} is over {LINE_BYTES_MAX} bytes", self.lines + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Gives out its pieces one read at a time.
    struct Pieces(VecDeque<&'static [u8]>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let piece = self.0.pop_front().unwrap_or(b"");
            buffer[..piece.len()].copy_from_slice(piece);
            Ok(piece.len())
        }
    }

    async fn read(pieces: &[&'static [u8]]) -> Vec<Bytes> {
        let input = Some(read_in_background(Pieces(pieces.iter().copied().collect()), STDIN).unwrap());
        let mut payloads = Payloads { input, ..Payloads::new(vec!["after".into()]) };
        let mut lines = Vec::new();
        while let Some(line) = payloads.next().await.unwrap() {
            lines.push(line);
        }
        assert_eq!(lines.pop().unwrap(), "after", "words after `-` come after the input");
        lines
    }

    #[tokio::test]
    async fn lines_of_any_cut() {
        let table: &[(&[&[u8]], &[&str])] = &[
            (&[], &[]),
            (&[b"a\nb\n"], &["a", "b"]),
            (&[b"a\nb"], &["a", "b"]),
            (&[b"a", b"b\n", b"\n", b"c\r\nd", b"\n"], &["ab", "", "c\r", "d"]),
            (&[b"\n"], &[""]),
        ];
        for (pieces, lines) in table {
            assert_eq!(read(pieces).await, *lines, "{pieces:?}");
        }
    }

    #[tokio::test]
    async fn an_input_is_read_until_its_time_is_over() {
        let of = |input| Payloads { input: Some(input), ..Payloads::new(vec!["after".into()]) };
        let soon = || Some(Instant::now() + Duration::from_millis(10));
        let (portions, input) = channel(PORTIONS_MAX);
        portions.send(Ok(vec!["a".into(), "b".into()])).await.unwrap();
        let mut payloads = of(input).until(Some(Instant::now() + Duration::from_secs(600)));
        assert_eq!(payloads.next().await.unwrap().unwrap(), "a");
        payloads.end = Some(Instant::now());
        assert!(payloads.next().await.unwrap().is_none(), "a line that is there has no time any more");
        assert!(payloads.next().await.unwrap().is_none(), "it does not begin again");
        assert!(payloads.is_cut_off());
        let (_silent, input) = channel(PORTIONS_MAX);
        let mut payloads = of(input).until(soon());
        assert!(payloads.next().await.unwrap().is_none());
        assert!(payloads.is_cut_off() && payloads.is_late());
        // What has ended is whole, and words are no input.
        let mut payloads = of(channel(1).1).until(Some(Instant::now()));
        assert_eq!(payloads.next().await.unwrap().unwrap(), "after");
        assert!(payloads.next().await.unwrap().is_none() && !payloads.is_cut_off());
    }

    #[tokio::test]
    async fn words_are_payloads() {
        let bytes = OsString::from_vec(b"\xff".to_vec());
        let mut payloads = Payloads::new(vec!["a".into(), bytes, "--".into()]);
        assert_eq!(payloads.next().await.unwrap().unwrap(), "a");
        assert_eq!(payloads.next().await.unwrap().unwrap(), &b"\xff"[..]);
        assert_eq!(payloads.next().await.unwrap().unwrap(), "--");
        assert!(payloads.next().await.unwrap().is_none());
    }
}
