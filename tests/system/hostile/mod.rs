//! Hostile peers: memory stays within what the options allow, goes back afterwards, and a good client hardly notices.
//!
//! Here each storm lasts two seconds. `scripts/dos` runs them longer and with more of everything, and prints the table of
//! `docs/robustness.md`.

mod connections;
mod encrypted;
mod frames;
mod loads;
mod storm;

use crate::harness::raise_descriptors;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use storm::{Attacker, Scale, Storm};

/// What a connection may cost beside what it holds: its row, its inbox and outbox, its place in the tables.
const CONNECTION_BYTES: u64 = 3 * 1024;
/// Actions and messages of one turn, whatever the storm.
const TURN_BYTES: u64 = 16 << 20;
/// What has been freed and not been given back yet, where blocks are large: it takes a second.
const FREED_BYTES: u64 = 32 << 20;
const MIB: u64 = 1 << 20;

/// Connects; `None` when there is no room for one more at the moment.
fn try_connect(attacker: &Attacker<'_>) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&attacker.address, Duration::from_secs(1)).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
    Some(stream)
}

/// Keeps `crowd` connections open that never say the last of these words, `step` bytes at a time; how many there were.
fn slowly(attacker: &Attacker<'_>, crowd: usize, words: &[u8], step: usize) -> u64 {
    let words = &words[..words.len() - 1];
    let mut open: Vec<(TcpStream, usize)> = Vec::new();
    let mut tries = 0;
    while attacker.goes_on() {
        while open.len() < crowd {
            let Some(stream) = try_connect(attacker) else { break };
            open.push((stream, 0));
            tries += 1;
        }
        open.retain_mut(|(stream, said)| {
            let end = (*said + step).min(words.len());
            let fine = stream.write_all(&words[*said..end]).is_ok();
            *said = end;
            fine && !is_closed(stream)
        });
        thread::sleep(Duration::from_millis(20));
    }
    tries
}

/// Whether the manager has closed it; what it said meanwhile is dropped.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    let closed = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() != ErrorKind::WouldBlock,
        }
    };
    stream.set_nonblocking(false).unwrap();
    closed
}
