//! The way of the lines: from standard input to the manager, and from there to standard output. However long the input is,
//! only so much of it is on the way.

use super::ExecOptions;
use crate::commands::client::in_order::InOrder;
use crate::commands::client::payloads::Payloads;
use crate::commands::client::waiting::Progress;
use crate::exit::{Exit, Failure};
use crate::terminal::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proletariat::client::{Client, Error, Group, Job, Outcome, Outcomes, Payload, WorkOptions};
use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Lines on the way: some for each slot that an offer can have.
const WINDOW: usize = 65_536;
/// Kibibytes on the way. A line counts as one at least.
const KIBIBYTES: usize = 2 * WINDOW;
/// Kibibytes that are handed in together.
const TOGETHER: u32 = 8_192;
/// Outcomes that are printed together before the next look at the input.
const PRINTED_TOGETHER_MAX: usize = 4_096;
/// Bytes of one write.
const WRITE_BYTES: usize = 64 * 1024;

/// What became of the lines.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Counts {
    pub(super) read: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
}

/// Takes all lines of standard input through the manager.
pub(super) async fn run(
    options: &ExecOptions,
    client: &Client,
    progress: &Progress,
) -> Result<Counts, Failure> {
    let call = WorkOptions { max_attempts: Some(options.max_attempts), ..WorkOptions::default() };
    let (group, mut outcomes) =
        client.open_group_within(call.kind(options.kind()), WINDOW).map_err(failed)?;
    let room = Room::new();
    let mut printer = Printer::new(options, &room);
    let mut feeding = pin!(feed(group, &room, progress));
    let (mut counts, mut is_fed) = (Counts::default(), false);
    let mut batch = Vec::with_capacity(PRINTED_TOGETHER_MAX);
    loop {
        tokio::select! {
            read = &mut feeding, if !is_fed => {
                counts.read = read?;
                is_fed = true;
                printer.bar.set_length(counts.read);
            }
            count = next_some(&mut outcomes, &mut batch) => {
                if count == 0 {
                    break;
                }
                (0..count).for_each(|_| progress.answered());
                progress.sign();
                for (index, outcome) in batch.drain(..) {
                    printer.take(index as u64, outcome)?;
                }
                printer.flush()?;
            }
        }
    }
    printer.bar.finish_and_clear();
    counts.done = printer.done;
    counts.failed = printer.failed;
    Ok(counts)
}

async fn next_some(outcomes: &mut Outcomes, batch: &mut Vec<(usize, Outcome)>) -> usize {
    outcomes.next_some(batch, PRINTED_TOGETHER_MAX).await
}

fn failed(error: Error) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

/// Hands all lines in; how many.
async fn feed(group: Group, room: &Room, progress: &Progress) -> Result<u64, Failure> {
    let unreadable = |sentence| Failure::new(Exit::Failed, sentence);
    let mut input = Payloads::new(vec!["-".into()]);
    let mut read = 0;
    while let Some(mut lines) = input.next_some().await.map_err(unreadable)? {
        read += lines.len() as u64;
        while !lines.is_empty() {
            let mut jobs = room.enter(&mut lines).await;
            (0..jobs.len()).for_each(|_| progress.submitted());
            while !jobs.is_empty() {
                group.submit_some(&mut jobs).await.map_err(failed)?;
            }
        }
    }
    group.close();
    Ok(read)
}

/// Bounds what is on the way, by lines and by bytes.
struct Room {
    free: Semaphore,
    costs: Mutex<Costs>,
}

/// What each line on the way takes, from the first that is still there.
#[derive(Default)]
struct Costs {
    first: u64,
    costs: VecDeque<u32>,
}

impl Room {
    fn new() -> Self {
        Self { free: Semaphore::new(KIBIBYTES), costs: Mutex::default() }
    }

    /// The next lines, as jobs, when there is room for them.
    async fn enter(&self, lines: &mut VecDeque<Payload>) -> VecDeque<Job> {
        let (mut count, mut sum) = (0, 0);
        let mut costs = Vec::new();
        for line in &*lines {
            let cost = cost(line);
            if count > 0 && sum + cost > TOGETHER {
                break;
            }
            count += 1;
            sum += cost;
            costs.push(cost);
        }
        // It is never closed.
        if let Ok(permits) = self.free.acquire_many(sum).await {
            permits.forget();
        }
        self.costs().costs.extend(costs);
        lines.drain(..count).map(Job::new).collect()
    }

    /// A line is printed.
    fn leave(&self, index: u64) {
        let mut costs = self.costs();
        let place = usize::try_from(index - costs.first).expect("a line on the way is in memory");
        let cost = std::mem::take(&mut costs.costs[place]);
        while costs.costs.front() == Some(&0) {
            costs.costs.pop_front();
            costs.first += 1;
        }
        drop(costs);
        self.free.add_permits(cost as usize);
    }

    fn costs(&self) -> std::sync::MutexGuard<'_, Costs> {
        self.costs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In kibibytes; a line that is larger than everything takes all there is.
fn cost(line: &Payload) -> u32 {
    u32::try_from((line.len() / 1024 + 1).min(KIBIBYTES)).unwrap_or(u32::MAX)
}

/// Prints what comes back, as it comes or in order.
struct Printer<'a> {
    out: io::Stdout,
    text: Vec<u8>,
    in_order: Option<InOrder<Outcome>>,
    room: &'a Room,
    bar: ProgressBar,
    done: u64,
    failed: u64,
}

impl<'a> Printer<'a> {
    fn new(options: &ExecOptions, room: &'a Room) -> Self {
        Self {
            out: io::stdout(),
            text: Vec::with_capacity(WRITE_BYTES),
            in_order: options.ordered.then(InOrder::new),
            room,
            bar: bar(),
            done: 0,
            failed: 0,
        }
    }

    fn take(&mut self, index: u64, outcome: Outcome) -> io::Result<()> {
        let Some(in_order) = &mut self.in_order else { return self.print(index, &outcome) };
        in_order.push(index, outcome);
        while let Some((index, outcome)) = self.in_order.as_mut().and_then(InOrder::pop) {
            self.print(index, &outcome)?;
        }
        Ok(())
    }

    fn print(&mut self, index: u64, outcome: &Outcome) -> io::Result<()> {
        self.room.leave(index);
        match outcome {
            Ok(line) => {
                self.done += 1;
                self.text.extend_from_slice(line);
                self.text.push(b'\n');
                if self.text.len() >= WRITE_BYTES {
                    self.write()?;
                }
            }
            Err(error) => {
                self.failed += 1;
                self.bar
                    .suspend(|| say(&format!("error {}: line {}: {}", error.code, index + 1, error.message)));
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.bar.set_position(self.done + self.failed);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(&self.text)?;
        self.text.clear();
        out.flush()
    }
}

/// Only where a person looks, and where the lines themselves do not come out.
fn bar() -> ProgressBar {
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} lines  {per_sec}");
    bar.set_style(style.expect("the template is fixed"));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_counted_in_bytes_and_given_back_in_any_order() {
        let room = Room::new();
        let large = Payload::from(vec![b'x'; 200 << 20]);
        let mut lines: VecDeque<_> = [Payload::from_static(b"a"), Payload::new(), large].into();
        assert_eq!(room.enter(&mut lines).await.len(), 2);
        assert_eq!(room.free.available_permits(), KIBIBYTES - 2);
        let mut waiting = Box::pin(room.enter(&mut lines));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "no room for a line that takes all of it");
        room.leave(1);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        room.leave(0);
        assert_eq!(waiting.await.len(), 1);
        room.leave(2);
        assert_eq!(room.free.available_permits(), KIBIBYTES);
        assert!(room.costs().costs.is_empty());
    }
}
