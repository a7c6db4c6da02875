//! What JSON workers said of runs that failed: more than the scheduler passes on.

use proletariat_protocol::Payload;
use std::collections::BTreeMap;
use std::hint::cold_path;

/// The whole of what was said, by the message that the scheduler passes on. It holds for one turn, in which the scheduler delivers
/// what it was told. The message is known by where it lies: it is held here, so nothing else can lie there.
#[derive(Debug, Default)]
pub(in crate::manager) struct Failures(BTreeMap<(usize, usize), (Payload, Payload)>);

impl Failures {
    pub(in crate::manager) fn note(&mut self, message: &Payload, whole: Payload) {
        self.0.insert(place(message), (message.clone(), whole));
    }

    pub(in crate::manager) fn find(&self, message: &Payload) -> Option<&Payload> {
        self.0.get(&place(message)).map(|(_, whole)| whole)
    }

    /// The turn is over.
    pub(in crate::manager) fn clear(&mut self) {
        if !self.0.is_empty() {
            cold_path();
            self.0.clear();
        }
    }
}

fn place(message: &Payload) -> (usize, usize) {
    (message.as_ptr().addr(), message.len())
}
