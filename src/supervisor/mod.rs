//! Child processes that never outlive us.
//!
//! [`guard`] starts processes and sees to their end, whatever becomes of us. [`lines`] keeps some of them alive that
//! speak lines: one in, one out.

pub mod guard;
pub mod lines;

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a process ended, for people.
#[must_use]
pub fn ending_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}
