//! SIGTERM and SIGINT, which ask every command to end in order.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Both signals. From its making on, none of them ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both over. Needs a runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next of the two. Nothing is lost if this is dropped midway.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, which asks a daemon to read again what it was given. From its making on it does not end the process.
#[derive(Debug)]
pub struct Reload(Signal);

impl Reload {
    /// Takes it over. Needs a runtime.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// The next one. Nothing is lost if this is dropped midway.
    pub async fn next(&mut self) {
        self.0.recv().await;
    }
}
