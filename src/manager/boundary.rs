//! Where a panic ends.
//!
//! One thread owns everything, so a panic would end the manager, whoever met it. For the scheduler that is right: when an
//! assertion of its tables is broken, nothing that it says can be trusted, and peers come back to the next manager and submit
//! again. What is done for one connection alone (its TLS, its frames, its tongue, its outbox) is another matter: the worst that
//! a fault there can have spoiled goes away with the connection.
//!
//! So the work for a connection is [contained](contain), a read or a write at a time and never a message at a time; and what
//! it calls of the scheduler is [vital](vital): a panic in there passes through. Neither costs anything while nothing panics.

use std::any::Any;
use std::cell::Cell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    /// A panic came out of what is vital.
    static BROKEN: Cell<bool> = const { Cell::new(false) };
}

/// Does work that concerns one connection; what it panicked with, if it did. Whatever the work had in hand may be half done
/// then: the connection has to go.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        if BROKEN.get() {
            resume_unwind(panic);
        }
        sentence(&*panic)
    })
}

/// Does work whose panics nobody contains.
#[inline]
pub(super) fn vital<T>(work: impl FnOnce() -> T) -> T {
    struct Mark;
    impl Drop for Mark {
        fn drop(&mut self) {
            BROKEN.set(true);
        }
    }
    let mark = Mark;
    let done = work();
    // Only a panic drops it.
    mem::forget(mark);
    done
}

fn sentence(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a sentence").to_owned()
}

/// Faults for tests. In the product there is no way to one.
#[cfg(test)]
pub(super) mod faults {
    use proletariat_protocol::message::PeerMessage;
    use proletariat_scheduler::Event;
    use std::cell::Cell;

    /// When a submit of this kind is heard.
    pub(in crate::manager) const TRANSLATION: &str = "a fault of the translation";
    /// In the scheduler, when it is told of one.
    pub(in crate::manager) const SCHEDULER: &str = "a fault of the scheduler";
    /// In the scheduler, when it shows a payload that begins with this.
    pub(in crate::manager) const SHOWN: &str = "a fault of what is shown";
    /// In the scheduler, when it gives a payload with a buffer that begins with this.
    pub(in crate::manager) const GIVEN: &str = "a fault of what is given";
    /// When a JSON frame is heard that has this in it.
    pub(in crate::manager) const JSON: &str = "a fault of the dialect";
    /// When this is told to a client as a result.
    pub(in crate::manager) const WORD: &str = "a fault of a word";
    /// When a connection is written to after a submit of this kind.
    pub(in crate::manager) const WRITE: &str = "a fault of a write";

    thread_local! {
        static ARMED: Cell<bool> = const { Cell::new(false) };
    }

    pub(in crate::manager) fn hear(message: &PeerMessage) {
        if let PeerMessage::Submit { options, .. } = message {
            assert!(options.kind.as_deref() != Some(TRANSLATION), "{TRANSLATION}");
            ARMED.set(options.kind.as_deref() == Some(WRITE));
        }
    }

    pub(in crate::manager) fn schedule(event: &Event<'_>) {
        if let Event::Submitted { options, .. } = event {
            assert!(options.kind.as_deref() != Some(SCHEDULER), "{SCHEDULER}");
        }
    }

    pub(in crate::manager) fn show(bytes: &[u8]) {
        assert!(!bytes.starts_with(SHOWN.as_bytes()), "{SHOWN}");
    }

    pub(in crate::manager) fn give(bytes: &[u8]) {
        assert!(!bytes.starts_with(GIVEN.as_bytes()), "{GIVEN}");
    }

    pub(in crate::manager) fn hear_json(text: &[u8]) {
        assert!(!text.windows(JSON.len()).any(|bytes| bytes == JSON.as_bytes()), "{JSON}");
    }

    pub(in crate::manager) fn say(result: &[u8]) {
        assert!(result != WORD.as_bytes(), "{WORD}");
    }

    pub(in crate::manager) fn write() {
        assert!(!ARMED.take(), "{WRITE}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained_unless_it_is_vital() {
        assert_eq!(contain(|| 7), Ok(7));
        assert_eq!(contain(|| vital(|| 7)), Ok(7));
        assert_eq!(contain(|| panic!("out of {}", "cheese")), Err::<(), _>("out of cheese".into()));
        assert_eq!(contain(|| vital(|| 7)), Ok(7), "the one before has left nothing behind");
        let passed = std::thread::spawn(|| contain(|| vital(|| panic!("all is lost")))).join();
        assert_eq!(sentence(&*passed.expect_err("it passes through")), "all is lost");
    }
}
