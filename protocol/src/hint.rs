//! What is usual, told to the compiler.
//!
//! A job that comes alone finds a processor that has just been asleep and predicts no branch: then each jump counts, and the
//! usual way through a function should be a straight line. The compiler takes either side of a branch for as likely as the
//! other unless it is told, by one of these, by [`core::hint::cold_path`], or by `#[cold]` on a function that no ordinary job
//! passes. Nothing but the order of instructions depends on them.

use core::hint::cold_path;

/// The condition, which as a rule holds.
///
/// ```
/// use proletariat_protocol::hint::likely;
///
/// assert!(likely(1 < 2));
/// ```
#[inline(always)]
#[must_use]
pub fn likely(condition: bool) -> bool {
    if !condition {
        cold_path();
    }
    condition
}

/// The condition, which as a rule does not hold.
///
/// ```
/// use proletariat_protocol::hint::unlikely;
///
/// assert!(!unlikely(2 < 1));
/// ```
#[inline(always)]
#[must_use]
pub fn unlikely(condition: bool) -> bool {
    if condition {
        cold_path();
    }
    condition
}
