//! The kept corpus, and random changes to it, on stable Rust. What fails is printed, so that it can be put into the corpus.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// No input grows past this, in bytes.
const INPUT_BYTES_MAX: usize = 2_048;

/// Prints an input if the one who holds this panics.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex = self.1.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            eprintln!(
                "target {}: {} bytes\nhex: {hex}\ntext: {}",
                self.0,
                self.1.len(),
                self.1.escape_ascii()
            );
        }
    }
}

/// Xorshift: the same numbers in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % most.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.0.to_le_bytes()[self.below(8)]
    }
}

/// Runs all that is kept for a target, then changes of it for a second (`HOSTILE_SECONDS`: for so many).
pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    let seconds =
        std::env::var("HOSTILE_SECONDS").ok().map_or(1, |text| text.parse().expect("a number of seconds"));
    let kept = kept(target);
    for input in &kept {
        run_shown(target, run, input);
    }
    let (begin, mut random, mut runs) = (Instant::now(), Random(0x9e37_79b9_7f4a_7c15), 0_u64);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let input = changed(&kept, &mut random);
        run_shown(target, run, &input);
        runs += 1;
    }
    eprintln!("{target}: {} kept, {runs} random", kept.len());
}

fn run_shown(target: &str, run: fn(&[u8]), input: &[u8]) {
    let shown = Shown(target, input);
    run(input);
    drop(shown);
}

fn kept(target: &str) -> Vec<Vec<u8>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The package of the executables stands one step further down.
    let root =
        if here.join("tests/fuzz").is_dir() { here } else { here.parent().expect("a package has a place") };
    let folder = root.join("tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
    files.sort();
    let read = |file| std::fs::read(file).expect("a kept input can be read");
    let kept: Vec<_> = files.iter().map(read).collect();
    assert!(!kept.is_empty(), "{} is empty", folder.display());
    kept
}

/// One of the kept inputs, after one to eight changes.
fn changed(kept: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = kept[random.below(kept.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(input.len());
        match random.below(7) {
            0 if !input.is_empty() => input[at] = random.byte(),
            1 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            2 => input.insert(at, random.byte()),
            3 if !input.is_empty() => {
                let end = input.len().min(at + 1 + random.below(8));
                input.drain(at..end);
            }
            4 if !input.is_empty() => {
                let end = input.len().min(at + 1 + random.below(64));
                let again = input[at..end].to_vec();
                let to = random.below(input.len());
                input.splice(to..to, again);
            }
            5 => {
                let other = &kept[random.below(kept.len())];
                let from = random.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let extreme = [0, 1, 0x7f, 0x80, 0xff][random.below(5)];
                let end = input.len().min(at + 4);
                input[at..end].fill(extreme);
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}
