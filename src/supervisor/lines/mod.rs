//! Long-lived children that speak lines.
//!
//! [`machine`] decides; here is what drives it: a task that owns the machine, and one for each child that owns its pipes. No
//! task ever waits for a child while it has something to do for another one, and none waits for two pipes of a child
//! in turn, so nothing that a child does with its pipes holds anybody up but itself.

mod child;
mod driver;
pub mod machine;
mod talk;

pub use driver::{Ends, Lines, Settings, State, Statistics};
pub use machine::{LineEnd, LineId, Times};
pub use talk::{Talk, Talker};
