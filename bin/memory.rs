//! How freed memory goes back to the system.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The threshold's variable, in glibc.
const VARIABLE: &str = "MALLOC_MMAP_THRESHOLD_";
/// Blocks of so many bytes are mapped, and unmapped as soon as they are freed. It is what glibc begins with.
const MAPPED_BYTES: u32 = 128 * 1024;
/// So much that is free at the end of the heap stays, and its variable. With the threshold above fixed, it would be 128 KiB as well: each
/// payload of some tens of KiB would be given back, and asked for again (measured: a third of the rate with 64 KiB there and back).
const KEPT_BYTES: u32 = 8 * 1024 * 1024;
const KEPT_VARIABLE: &str = "MALLOC_TRIM_THRESHOLD_";

/// Has large blocks go back to the system whenever they are freed, and not only the first time.
///
/// glibc takes each block that was mapped and freed for a reason to map no more of its size: what a crowd of jobs took stays with
/// the process from the second crowd on (measured: 150 MiB after a million jobs, three times over; 7 MiB with a fixed threshold). The threshold
/// stays where it is only if it was set, which without `unsafe` the environment alone can do, before the process starts: so it starts
/// itself again, in its place and under the same number, unless the threshold is set. Another C library ignores it. Where that
/// fails, everything works, and memory is kept.
pub fn give_back() {
    let is_set = std::env::var_os(VARIABLE).is_some() || std::env::var_os("GLIBC_TUNABLES").is_some();
    if is_set || !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    let mut arguments = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) else { return };
    let mut again = Command::new(program);
    again.arg0(name).args(arguments).env(VARIABLE, MAPPED_BYTES.to_string());
    again.env(KEPT_VARIABLE, KEPT_BYTES.to_string());
    let error = again.exec();
    // It returns only if it failed.
    tracing::debug!(%error, "cannot start again with a fixed threshold for mapped memory");
}
