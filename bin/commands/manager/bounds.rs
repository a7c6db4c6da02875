//! The bounds that a manager keeps.

use crate::options::value::{duration, size};
use clap::Args;
use proletariat::manager::Builder;
use std::time::Duration;

/// Everything has a bound.
#[derive(Args, Debug)]
#[command(next_help_heading = "Bounds (0: none)")]
pub(super) struct BoundOptions {
    /// Connections
    #[arg(long, value_name = "COUNT", default_value_t = 16_384)]
    max_connections: u32,
    /// Connections from one address
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_connections_per_address: u32,
    /// Time for the handshake
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    handshake_timeout: Duration,
    /// Time without progress within a frame
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    frame_timeout: Duration,
    /// Payload of a job, and a result
    #[arg(long, value_name = "SIZE", default_value = "20MiB", value_parser = size)]
    max_payload: u64,
    /// Jobs that wait
    #[arg(long, value_name = "COUNT", default_value_t = 10_000_000)]
    max_queued_jobs: u64,
    /// Jobs of one client that wait
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    max_queued_jobs_per_client: u64,
    /// Bytes of jobs that wait
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    max_queued_bytes: u64,
    /// Jobs that have no answer yet, waiting or running
    #[arg(long, value_name = "COUNT", default_value_t = 20_000_000)]
    max_open_jobs: u64,
    /// Bytes of their payloads
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = size)]
    max_open_bytes: u64,
    /// Jobs that one client takes back in a second, over ten seconds
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    max_aborts_per_second: u64,
    /// A peer that has so much to read yet gets no more jobs, and its streams pause
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = size)]
    outbox_pause_bytes: u64,
    /// A peer that reads nothing for so long, although it could, is dropped
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    outbox_stall: Duration,
    /// A peer that has so much to read is dropped
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_outbox_bytes: u64,
    /// All peers together have so much to read: the one with the most is dropped
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    max_outboxes_bytes: u64,
    /// All peers together have begun to send so much: the one that held the most for the longest is sent away
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_incomplete_bytes: u64,
}

impl BoundOptions {
    pub(super) fn apply(&self, builder: Builder) -> Builder {
        builder
            .max_connections(self.max_connections)
            .max_connections_per_address(self.max_connections_per_address)
            .handshake_timeout(self.handshake_timeout)
            .frame_timeout(self.frame_timeout)
            .max_payload(self.max_payload)
            .max_queued_jobs(self.max_queued_jobs)
            .max_queued_jobs_per_client(self.max_queued_jobs_per_client)
            .max_queued_bytes(self.max_queued_bytes)
            .outbox_pause_bytes(self.outbox_pause_bytes)
            .outbox_stall(self.outbox_stall)
            .max_outbox_bytes(self.max_outbox_bytes)
            .max_outboxes_bytes(self.max_outboxes_bytes)
            .max_incomplete_bytes(self.max_incomplete_bytes)
            .max_open_jobs(self.max_open_jobs)
            .max_open_bytes(self.max_open_bytes)
            .max_aborts_per_second(self.max_aborts_per_second)
    }
}
