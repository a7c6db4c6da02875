//! What the scheduler does, event by event, in virtual time. One executable, because each is linked with all that it tests; those that
//! compare times (`crowds`, `growth`) have their own, beside which nothing else runs.

mod ahead;
mod answers;
mod behaviour;
mod harness;
mod hostile;
mod lines;
mod selectors;
mod shared;
mod starts;
mod statuses;
mod streams;
mod upkeep;
mod waits;
