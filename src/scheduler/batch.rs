//! Executions of several lines that take slots of one range together.
//!
//! A selector that [draws by room](crate::selector::Selector::draws_by_room) is the same for all of them, so they need not go to workers one by one:
//! drawn for together, those for the same worker follow each other, and what a worker's turn costs is paid once.

use crate::machine::Scheduler;
use crate::tables::{ExecutionKey, PoolKey};
use alloc::vec::Vec;
use proletariat_protocol::Time;
use rand::RngExt;

/// So many are gathered at most.
const BATCH_MAX: usize = 1_024;
/// So many slots are drawn at once: each draw looks at those before it.
const DRAWN_MAX: usize = 64;

/// Executions that have left their lines, and have no worker yet.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    executions: Vec<ExecutionKey>,
    /// Whose workers take them, and the priority of the last; all of them are of one range.
    place: Option<(PoolKey, u32)>,
    /// Enough wait for every slot to be taken in any case.
    fills: bool,
}

impl Scheduler {
    /// Whether executions of a priority take from the same room as those that have been gathered, if any have.
    pub(crate) fn joins_batch(&self, pool: PoolKey, priority: u32) -> bool {
        let Some((place, other)) = self.burst.batch.place else { return true };
        place == pool && self.pools.pool(pool).workers.is_one_range(priority, other)
    }

    /// What the workers of a pool could still take at a priority when those that have been gathered have got their slots; they are for
    /// the same room.
    pub(crate) fn room_beside_batch(&self, pool: PoolKey, priority: u32) -> u64 {
        self.pools.pool(pool).workers.total(priority) - self.burst.batch.executions.len() as u64
    }

    /// Gathers executions: `take` puts no more than so many into the list, of so many that wait. There is room for so many more.
    pub(crate) fn gather(
        &mut self,
        now: Time,
        (pool, priority): (PoolKey, u32),
        (room, waiting): (u64, u64),
        take: impl FnOnce(&mut Self, usize, &mut Vec<ExecutionKey>),
    ) {
        let mut executions = core::mem::take(&mut self.burst.batch.executions);
        let most = usize::try_from(room).map_or(BATCH_MAX, |room| BATCH_MAX.min(executions.len() + room));
        take(self, most, &mut executions);
        let is_full = executions.len() == most;
        let batch = &mut self.burst.batch;
        batch.executions = executions;
        batch.place = Some((pool, priority));
        batch.fills |= waiting >= room;
        if is_full {
            self.place_batch(now);
        }
    }

    /// Gives all that have been gathered to workers.
    pub(crate) fn place_batch(&mut self, now: Time) {
        let Some((pool, priority)) = self.burst.batch.place.take() else { return };
        let mut executions = core::mem::take(&mut self.burst.batch.executions);
        if core::mem::take(&mut self.burst.batch.fills) {
            // Who is drawn gets as much as it can take.
            let mut rest = &executions[..];
            while !rest.is_empty() {
                let Self { pools, random, .. } = self;
                let workers = &pools.pool(pool).workers;
                let drawn =
                    workers.draw(priority, |total| random.random_range(0..total)).expect("there is room");
                let (its, others) = rest.split_at(rest.len().min(drawn.weight as usize));
                self.assign_all(now, its, drawn.member.key);
                rest = others;
            }
        } else {
            // Each gets a slot that is drawn among all.
            for portion in executions.chunks(DRAWN_MAX) {
                self.draw_for(now, portion, pool, priority);
            }
        }
        executions.clear();
        self.burst.batch.executions = executions;
    }

    fn draw_for(&mut self, now: Time, executions: &[ExecutionKey], pool: PoolKey, priority: u32) {
        let Self { pools, random, .. } = self;
        let mut rest = executions;
        for (worker, count) in pools.pool(pool).workers.share(priority, executions.len(), random) {
            let (its, others) = rest.split_at(count);
            self.assign_all(now, its, worker);
            rest = others;
        }
    }
}
