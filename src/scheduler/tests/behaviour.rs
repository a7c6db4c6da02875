//! The rules of dispatch, ends and membership, one by one, in virtual time.

mod dispatch;
mod ends;
mod membership;
mod returns;
mod sharing;
mod words;

use proletariat_protocol::JobOptions;
use proletariat_scheduler::Config;

fn urgent(priority: u32) -> JobOptions {
    JobOptions { priority, ..JobOptions::default() }
}

fn of_kind(kind: &str) -> JobOptions {
    JobOptions { kind: Some(kind.into()), ..JobOptions::default() }
}

fn keyed(key: &str) -> JobOptions {
    JobOptions { key: Some(key.into()), ..JobOptions::default() }
}

fn holding() -> Config {
    Config { hold_similar_work: true, ..Config::default() }
}
