//! Numbers that both ends know. Everything has a bound; each says why it is what it is.

/// The port of the manager.
pub const PORT: u16 = 1917;
/// Largest number of slots of one offer.
pub const SLOTS_MAX: u32 = 65_535;
/// Most priority ranges of one offer, range 0 included.
pub const RANGES_MAX: usize = 16;
/// Most kinds in one offer: enough for any program, small enough for one frame.
pub const KINDS_MAX: usize = 4_096;
/// Longest name or kind, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest key of similar work, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 1_024;
/// Largest system message, in bytes.
pub const SYSTEM_MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Largest payload unless the manager is told otherwise, in bytes.
pub const PAYLOAD_BYTES_DEFAULT: usize = 20 * 1024 * 1024;
/// System messages of one peer that have no report yet: each may go to every peer there is.
pub const SYSTEM_MESSAGES_OPEN_MAX: usize = 64;
/// Largest frame before the handshake is over, in bytes.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 4 * 1024;
/// Largest frame afterwards, in bytes. What is larger goes in fragments, so this can be far below a payload.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// A message over this many bytes is sent as fragments of this size, so that it never blocks the small ones of its
/// connection for longer than one fragment.
pub const FRAGMENT_BYTES: usize = 256 * 1024;
/// Most fragmented messages that may be under way in one direction of one connection.
pub const FRAGMENT_STREAMS_MAX: usize = 1_024;
/// Largest head of a message, in bytes: room for a submit with the most jobs, at 4 bytes each.
pub const HEAD_BYTES_MAX: usize = 512 * 1024;
/// The longest clock: 30 days, in milliseconds.
pub const CLOCK_MILLIS_MAX: u32 = 30 * 24 * 3_600 * 1_000;
/// Most jobs in one submit: a frame's worth, so that one frame never holds the manager for long.
pub const JOBS_PER_SUBMIT_MAX: usize = 65_536;
/// Most entries (executions, outcomes, runs, starts) that a sender puts into one message: with the longest kinds they
/// stay far below [`HEAD_BYTES_MAX`]. A receiver does not count them.
pub const ENTRIES_PER_MESSAGE_MAX: usize = 1_024;
/// Bytes of stream data that a worker may send for one assignment, and a manager for one job, before credit comes back.
pub const STREAM_WINDOW_BYTES: u64 = 256 * 1024;
