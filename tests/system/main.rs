//! The system as its users have it: real processes, real TCP, any free port. No test waits for a time where it can wait for a
//! level; each ends with a look that no process, no port and no temporary file of it is left.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]
#![allow(clippy::print_stdout, reason = "tests that measure or take long tell what they see")]

mod batch;
mod bench;
mod calls;
mod chaos;
mod clocks;
mod codes;
mod collect;
mod crowd;
mod demo;
mod descriptors;
mod drain;
mod encryption;
mod exec;
mod exec_dismissed;
mod exec_network;
mod exec_worker;
mod files;
mod growth;
mod harness;
mod hostile;
mod http;
mod json;
mod large;
mod losses;
mod managers;
mod messages;
mod options;
mod partitions;
mod planner;
mod readme;
mod restarts;
mod returns;
mod run;
mod security;
mod selectors;
mod similar;
mod soak;
mod stops;
mod tongues;
mod usage;
