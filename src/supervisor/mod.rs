//! Child processes that never outlive us.
//!
//! [`guard`] starts processes and sees to their end, whatever becomes of us.

pub mod guard;
