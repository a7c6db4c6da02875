//! The dialect against the real scheduler, in virtual time: recorded conversations, several words in one turn, words that nobody should
//! say, and what is for a crowd.

#[cfg(test)]
mod bursts;
#[cfg(test)]
mod crowds;
#[cfg(test)]
mod golden;
pub(super) mod house;
#[cfg(test)]
mod properties;
