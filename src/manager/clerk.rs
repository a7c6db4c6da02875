//! A thread that writes long texts, so that the one on which the jobs are does not have to.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

type Task = Box<dyn FnOnce() + Send>;

/// The thread: it begins with the first text and ends with its owner.
#[derive(Debug, Default)]
pub(super) struct Clerk(Option<Sender<Task>>);

impl Clerk {
    /// Does this, after what was handed over before. Where no thread can be had, it is done on the spot.
    pub(super) fn hand(&mut self, task: impl FnOnce() + Send + 'static) {
        let mut task: Task = Box::new(task);
        if let Some(tasks) = &self.0 {
            match tasks.send(task) {
                Ok(()) => return,
                Err(back) => task = back.0,
            }
        }
        let (tasks, received) = channel();
        match thread::Builder::new().name("clerk".into()).spawn(move || work(&received)) {
            Ok(_) => {
                // The receiver is with the thread that was just started.
                let _ = tasks.send(task);
                self.0 = Some(tasks);
            }
            Err(error) => {
                tracing::warn!(%error, "no thread for texts");
                task();
            }
        }
    }
}

fn work(tasks: &Receiver<Task>) {
    while let Ok(task) = tasks.recv() {
        task();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_done_in_order_and_a_broken_one_is_survived() {
        let (mut clerk, (done, seen)) = (Clerk::default(), channel());
        for number in 0..100 {
            let done = done.clone();
            clerk.hand(move || done.send(number).unwrap());
        }
        assert_eq!(seen.iter().take(100).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
        let (ended, end) = channel::<()>();
        clerk.hand(move || {
            let _ended = ended;
            panic!("a fault in a text");
        });
        end.recv().unwrap_err();
        // Until its channel is gone as well, a task may be lost with it.
        for number in 100.. {
            let done = done.clone();
            clerk.hand(move || done.send(number).unwrap());
            if seen.recv_timeout(std::time::Duration::from_millis(10)).is_ok() {
                return;
            }
        }
    }
}
