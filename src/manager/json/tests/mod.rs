//! The dialect against the real scheduler, in virtual time: recorded conversations, and words that nobody should say.

mod golden;
mod house;
mod properties;
