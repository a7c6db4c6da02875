//! What comes from outside, as bytes that mean harm: one function a door. It takes any bytes and panics when something is broken.
//!
//! The fuzzer drives these functions (`tests/fuzz`, `scripts/fuzz`), and the test at the end of this file replays the kept corpus through
//! them and changes it at random for a second each, on stable Rust. Manager, dialect and greeting are not public, so this folder is mounted
//! into the crate where a test or a fuzzer is built, and nowhere else: the product has no door of its own for it. The seventh, `config`,
//! is mounted into the package of the executables.

pub mod codec;
pub mod frame;
pub mod input;
pub mod lines;

#[cfg(test)]
mod replay;

use crate::manager::hostile as manager;

/// A door, by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All doors of this crate.
pub const TARGETS: [Target; 6] = [
    ("frame", frame::frame),
    ("codec", codec::codec),
    ("handshake", handshake),
    ("session", session),
    ("json", json),
    ("lines", lines::lines),
];

/// The first bytes of a connection, in whatever tongue; see `manager/handshake.rs`.
pub fn handshake(data: &[u8]) {
    manager::handshake::handshake(data);
}

/// Whole sessions at the manager's own driver; see `manager/session.rs`.
pub fn session(data: &[u8]) {
    manager::session::session(data);
}

/// Words of the JSON dialect against the real scheduler; see `manager/json.rs`.
pub fn json(data: &[u8]) {
    crate::manager::json::hostile::json(data);
}

/// The target of this name.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn target(name: &str) -> fn(&[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("no target {name}")).1
}

#[cfg(test)]
mod tests {
    use super::{replay, target};

    macro_rules! replayed {
        ($($name:ident)*) => {$(
            #[test]
            fn $name() {
                replay::replay(stringify!($name), target(stringify!($name)));
            }
        )*};
    }

    replayed!(frame codec handshake session json lines);
}
