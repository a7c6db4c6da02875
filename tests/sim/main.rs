//! Whole systems in virtual time, from one seed: a manager, clients and workers, and a network between them that delays,
//! splits, stalls and drops. The machines are the product's own, and so are the wire, the link, the handshake and the
//! clocks of connections; only sockets, processes and handlers are made up here.
//!
//! Act one has faults. Act two heals everything, and then all that was promised must come true in bounded virtual time.
//!
//! `SIM_SEED=n` replays one seed and prints its trace, `SIM_SEEDS=n` runs so many. `scripts/sim` does both.

#![allow(unreachable_pub, reason = "the modules of a test are a house of their own")]

use proletariat::net;

#[path = "../props/formula.rs"]
#[allow(dead_code, reason = "the properties use all of it")]
mod formula;
#[path = "../../src/manager/greeting.rs"]
#[allow(dead_code, reason = "the manager uses all of it")]
mod greeting;
#[path = "../../src/manager/liveness.rs"]
#[allow(dead_code, reason = "the manager uses all of it")]
mod liveness;
#[path = "../props/model/mod.rs"]
#[allow(dead_code, reason = "the properties use all of it")]
mod model;
#[path = "../props/random.rs"]
#[allow(dead_code, reason = "the properties use all of it")]
mod random;
#[path = "../../src/manager/translate.rs"]
#[allow(dead_code, reason = "the manager uses all of it")]
mod translate;

mod books;
mod brain;
mod client;
mod doubles;
mod environment;
mod faults;
mod handlers;
mod invariants;
mod jobs;
mod manager;
mod network;
mod options;
mod peer;
mod planted;
mod seeds;
mod session;
mod sleeps;
mod stopping;
mod worker;
mod world;
