//! File descriptors: each process that we start takes some of ours, and we have no more than our soft limit says.
//!
//! So it is raised to the hard one, by those who start programs as by a manager. The programs do not see that: they have the limit
//! of our start (`proletariat::supervisor::guard`). What even the hard limit has no room for is told before anybody counts on it.

use crate::exit::Failure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ours: standard streams, the runtime, connections, the guard. Thirteen were counted in a worker, twenty with a manager in the
/// same process.
const OWN: u64 = 32;
/// A process that lives long: its three pipes. While many of them start there may be none left for a moment; they try again.
pub const LONG_LIVED: u64 = 3;
/// A process for a job: many may start in one burst, and until the guard has taken the far ends of their pipes, both are ours.
pub const FOR_A_JOB: u64 = 6;

/// Raises the soft limit to the hard one; the limit in force then. What cannot be raised stays as it is.
pub fn raise() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => maximum,
        Err(_) => current,
    }
}

/// Makes room for so many processes at one time; `option` says how many.
///
/// # Errors
/// Usage: what they need, what there is, and what to do.
pub fn make_room(option: &str, processes: u32, each: u64) -> Result<(), Failure> {
    check(raise(), option, processes, each)
}

fn check(limit: Option<u64>, option: &str, processes: u32, each: u64) -> Result<(), Failure> {
    let needed = OWN + u64::from(processes) * each;
    let Some(limit) = limit.filter(|limit| *limit < needed) else { return Ok(()) };
    let most = limit.saturating_sub(OWN) / each;
    Err(Failure::usage(format!(
        "{option} {processes} may need {needed} file descriptors, {each} for each process, and the limit is {limit}: \
         raise it (ulimit -n {needed}, as root), or give {option} {most} at most"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn what_there_is_no_room_for_is_told_with_the_way_out() {
        for (processes, each) in [(165, FOR_A_JOB), (330, LONG_LIVED)] {
            check(Some(1_024), "--slots", processes, each).unwrap();
            let failure = check(Some(1_024), "--slots", processes + 1, each).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage);
            let sentence = failure.to_string();
            assert!(sentence.ends_with(&format!("or give --slots {processes} at most")), "{sentence}");
        }
        check(None, "--slots", 65_535, FOR_A_JOB).unwrap();
        assert!(check(Some(20), "-w", 1, LONG_LIVED).is_err());
    }
}
