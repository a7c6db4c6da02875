//! Data of runs on its way to the caller, and credit on its way back.

use super::*;
use proletariat_protocol::limits::STREAM_WINDOW_BYTES;

/// What a fast stream gets credit for at a time, in bytes.
const PORTION: u64 = STREAM_WINDOW_BYTES / 4;

impl World {
    /// With a job under way, under number 0, whose data is wanted.
    fn streaming() -> Self {
        let mut world = Self::connected();
        world.open(GROUP, JobOptions { stream: true, ..plain() }, &["a"]);
        world.sent();
        world
    }

    fn data(&mut self, bytes: u64) {
        let payload = Payload::from(vec![0_u8; usize::try_from(bytes).unwrap()]);
        self.handle(Event::Data { job: JobId(0), payload });
    }

    fn taken(&mut self, bytes: u64) {
        self.handle(Event::Taken { group: GROUP, index: 0, bytes });
    }

    /// The credit for number 0 since the last call.
    fn credits(&mut self) -> Vec<u64> {
        let mut credits = Vec::new();
        self.actions.retain(|action| {
            let Action::Credit { job: JobId(0), bytes } = action else { return true };
            credits.push(*bytes);
            false
        });
        credits
    }
}

#[test]
fn stream_data_gets_credit_as_it_is_taken_and_a_restart_drops_it() {
    let mut world = World::streaming();
    world.data(PORTION);
    world.data(PORTION);
    world.handle(Event::Progress { job: JobId(0), done: 1, total: 2 });
    world.taken(PORTION / 2);
    assert_eq!(world.actions.len(), 3);
    world.taken(PORTION / 2);
    assert_eq!(world.actions.last(), Some(&Action::Credit { job: JobId(0), bytes: PORTION }));
    world.handle(Event::Restarted { job: JobId(0) });
    assert_eq!(world.actions.last(), Some(&Action::Restarted { group: GROUP, index: 0 }));
    world.data(4);
    world.actions.clear();
    // A new session runs it anew: what was seen of the old run is void.
    world.down();
    assert_eq!(world.actions, [Action::Restarted { group: GROUP, index: 0 }]);
    world.data(4);
    world.taken(1 << 30);
    assert_eq!(world.actions.len(), 1);
    world.up();
    world.down();
    assert_eq!(world.actions.len(), 2, "nothing was seen, nothing is void: {:?}", world.actions);
}

#[test]
fn when_all_that_came_is_taken_all_of_it_is_credited_however_little_it_is() {
    // A worker with a chunk larger than the window waits until nothing at all is outstanding.
    let mut world = World::streaming();
    world.data(6);
    world.taken(6);
    assert_eq!(world.credits(), [6]);
    world.data(2 * STREAM_WINDOW_BYTES);
    world.taken(2 * STREAM_WINDOW_BYTES);
    assert_eq!(world.credits(), [2 * STREAM_WINDOW_BYTES]);
    // Of small chunks that come together not each has a credit of its own.
    (0..10).for_each(|_| world.data(6));
    (0..10).for_each(|_| world.taken(6));
    assert_eq!(world.credits(), [60]);
    // The rest after a portion is not forgotten either.
    world.data(PORTION);
    world.data(6);
    world.taken(PORTION);
    world.taken(6);
    assert_eq!(world.credits(), [PORTION, 6]);
}

#[test]
fn what_is_taken_of_an_old_run_is_no_credit_for_the_new_one() {
    for session_lost in [false, true] {
        let mut world = World::streaming();
        world.data(6);
        world.data(PORTION);
        world.taken(6);
        if session_lost {
            world.down();
            world.up();
        } else {
            world.handle(Event::Restarted { job: JobId(0) });
        }
        world.data(10);
        world.taken(PORTION);
        assert!(world.credits().is_empty(), "that was of the old run");
        world.taken(10);
        assert_eq!(world.credits(), [10]);
    }
}
