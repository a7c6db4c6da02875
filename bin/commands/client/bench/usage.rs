//! What a process has taken: processor time and memory, as the system tells it. Only Linux does.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What a process has taken so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Usage {
    /// Of all its threads.
    pub(super) processor: Duration,
    /// Resident memory in bytes.
    pub(super) memory_bytes: u64,
}

impl Usage {
    /// `None` where the system does not tell, or there is no such process.
    pub(super) fn of(process: u32) -> Option<Self> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        // The first number of schedstat is nanoseconds; the ticks of `stat` are far too coarse.
        let of_thread = |thread: fs::DirEntry| -> Option<u64> {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        };
        let threads = fs::read_dir(folder.join("task")).ok()?;
        let nanos = threads.flatten().filter_map(of_thread).sum();
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = resident.split_whitespace().next()?.parse().ok()?;
        Some(Self { processor: Duration::from_nanos(nanos), memory_bytes: kibibytes << 10 })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn we_take_some_and_nobody_takes_none() {
        let before = Usage::of(std::process::id()).expect("we are there");
        let mut sum = 0_u64;
        let worked = loop {
            sum = std::hint::black_box(sum.wrapping_add(1));
            let now = Usage::of(std::process::id()).expect("we are still there");
            if now.processor > before.processor {
                break now;
            }
        };
        assert!(worked.memory_bytes > 100_000, "{worked:?}");
        assert_eq!(Usage::of(u32::MAX), None);
    }
}
