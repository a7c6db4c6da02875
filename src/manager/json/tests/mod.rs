//! The dialect against the real scheduler, in virtual time: recorded conversations, and words that nobody should say.

#[cfg(test)]
mod golden;
pub(super) mod house;
#[cfg(test)]
mod properties;
