//! The invariants that hold after every step of the manager, by their numbers in the research that collected them, as the
//! specification words them. Each looks at the books alone. 5 and 6 (work-conserving, order) need a whole scheduler
//! to be known, so there the naive model of the properties is told the same and must expect every word; 16
//! (liveness) and the end of 12 are looked at when act two is over, 17 (determinism) is a test of its own.

use crate::books::{Books, Held};
use crate::jobs;
use proletariat_protocol::{ErrorCode, JobId, PeerId, Time};
use proletariat_scheduler::{Action, Assign, Outcome, Status};
use std::collections::BTreeSet;

/// Looks at what the brain said in a step, and closes the step in the books.
pub fn after_step(books: &mut Books, now: Time, actions: &[Action]) {
    for action in actions {
        if let Action::Disconnect { peer, .. } = action {
            books.leaves(*peer);
        }
    }
    let left: BTreeSet<PeerId> = books.left.drain(..).collect();
    books.held.retain(|_, held| !left.contains(&held.worker));
    for action in actions {
        match action {
            Action::Deliver { client, job, outcome } => {
                invariant_08_one_answer(books, *client, *job);
                invariant_09_answers_of_the_holder_alone(books, outcome);
                invariant_11_no_clock_rings_early(books, now, *client, *job, outcome);
                books.open.remove(&(*client, *job));
            }
            Action::Refuse { client, first, count, .. } => {
                for n in 0..*count {
                    invariant_08_one_answer(books, *client, first.plus(n));
                    books.open.remove(&(*client, first.plus(n)));
                }
            }
            Action::Cancel { assignment, .. } => {
                if let Some(held) = books.held.get_mut(assignment) {
                    held.wanted = false;
                }
            }
            Action::Assign(assign) => assigned(books, assign),
            Action::SystemReport { to, id, sent_to, received_by } => {
                let known = books.messages.remove(&(*to, *id)).is_some();
                let counts = format!("{received_by} of {sent_to}");
                books.require(known && received_by <= sent_to, "13 one report", || {
                    format!("{to} is told {counts} of message {id}: known {known}")
                });
            }
            _ => {}
        }
    }
    books.messages.retain(|(from, _), _| !left.contains(from));
    books.open.retain(|(client, _), _| !left.contains(client));
    invariant_10_all_that_wait_are_answered(books);
    invariant_14_nobody_works_for_the_dead(books);
    books.results.clear();
    books.answerable.clear();
    books.step += 1;
}

fn assigned(books: &mut Books, assign: &Assign) {
    let (job, tag) = jobs::read(&assign.payload);
    invariant_01_to_04_slots(books, assign);
    invariant_07_one_place(books, assign, job, tag);
    invariant_09_attempts(books, assign, job);
    let wanted = books.open.iter().any(|((client, _), open)| {
        (open.job == job || books.shares(tag) && open.tag == tag) && books.is_here(*client)
    });
    books.require(wanted, "14 client death", || format!("{assign:?} is for nobody"));
    let range = books.room(assign.worker, assign.priority).map_or(0, |(range, _)| range);
    let held = Held { worker: assign.worker, range, job, tag, wanted: true };
    books.held.insert(assign.assignment, held);
}

/// 1, 2, 3, 4: one more in its range is admissible by the formula, in the mode in force, whatever a new offer made of the
/// state; and only live, offering workers are given anything.
fn invariant_01_to_04_slots(books: &mut Books, assign: &Assign) {
    let worker = assign.worker;
    let offers = books.sessions.get(&worker).is_some_and(|s| !s.gone && !s.withdrawn && s.offer.is_some());
    books.require(offers, "9 no job on a dead session", || format!("{assign:?}"));
    let room = books.room(worker, assign.priority);
    let ledger = books.ledger(worker);
    books.require(room.is_some_and(|(_, room)| room), "1-4 slots and guarantees", || {
        format!("{worker} gets priority {} at {ledger:?}", assign.priority)
    });
}

/// 1: what the brain counts as held is what the books know to be held.
pub fn invariant_01_no_slot_is_lost(books: &mut Books, status: &Status) {
    for worker in &status.workers {
        let counted = worker.running as usize + worker.stopping.len();
        let known = books.held.values().filter(|held| held.worker == worker.peer).count();
        books.require(counted == known, "1 slots", || {
            format!("{} slots of {} count as held, {known} are", counted, worker.peer)
        });
    }
}

/// 7: an execution is in one place, and a key has one run, those that are being stopped included.
fn invariant_07_one_place(books: &mut Books, assign: &Assign, job: usize, tag: u64) {
    let twin = books.held.values().any(|held| held.job == job && held.wanted);
    books.require(!twin, "7 one place", || format!("{assign:?} is with another worker already"));
    let shared = books.shares(tag) && books.held.values().any(|held| held.tag == tag);
    books.require(!shared, "7 one run a key", || format!("{assign:?} while its key has a run"));
}

/// 8: exactly one answer for a job that was handed in, to a session that is there.
fn invariant_08_one_answer(books: &mut Books, client: PeerId, job: JobId) {
    let open = books.open.contains_key(&(client, job));
    books.require(open, "8 one answer", || format!("{client} is told of its job {job}, which is not open"));
}

/// 9: a result comes from who held the slot for it in this step.
fn invariant_09_answers_of_the_holder_alone(books: &mut Books, outcome: &Outcome) {
    if let Outcome::Result(result) = outcome {
        let told = books.results.contains(result);
        books.require(told, "9 fence", || {
            format!("{result:?} is passed on, but no holder of the slot gave it")
        });
    }
}

/// 9: ids are fresh, and attempts never fall.
fn invariant_09_attempts(books: &mut Books, assign: &Assign, job: usize) {
    let fresh = books.newest.is_none_or(|newest| assign.assignment.0 > newest);
    books.newest = Some(assign.assignment.0);
    books.require(fresh, "9 fresh ids", || format!("{assign:?}"));
    let before = books.attempts.insert(job, assign.attempt).unwrap_or(0);
    books.require(assign.attempt >= before.max(1), "9 attempts rise", || {
        format!("{assign:?} after attempt {before}")
    });
}

/// 10: when a run has its result, everybody who waits for it is answered in the same step.
fn invariant_10_all_that_wait_are_answered(books: &mut Books) {
    let forgotten =
        books.answerable.iter().find(|key| books.open.contains_key(key) && books.is_here(key.0)).copied();
    books.require(forgotten.is_none(), "10 all that wait", || {
        format!("{forgotten:?} waited too, and was not told")
    });
}

/// 11: no clock rings before its time, or for a job that has none.
fn invariant_11_no_clock_rings_early(
    books: &mut Books,
    now: Time,
    client: PeerId,
    job: JobId,
    outcome: &Outcome,
) {
    let Some(open) = books.open.get(&(client, job)) else { return };
    let Outcome::Error(code, _) = outcome else { return };
    let passed = |millis: u32| millis > 0 && now >= open.since.plus_millis(millis.into());
    let right = match code {
        ErrorCode::CallTimeout => passed(open.options.timeout_ms),
        ErrorCode::AssignTimeout => passed(open.options.assign_timeout_ms),
        ErrorCode::RunTimeout => open.options.run_timeout_ms > 0,
        _ => true,
    };
    let since = open.since;
    books.require(right, "11 clocks", || format!("{code} for job {job} of {client}, handed in at {since:?}"));
}

/// 14: what runs for clients that are gone, or for jobs that have their outcome, has been told to stop.
fn invariant_14_nobody_works_for_the_dead(books: &mut Books) {
    let wanted = |held: &&Held| {
        let waits = |open: &crate::books::Open| {
            open.job == held.job || books.shares(held.tag) && open.tag == held.tag
        };
        books.open.values().any(waits)
    };
    let idle = books.held.values().find(|held| held.wanted && !wanted(held)).map(|held| format!("{held:?}"));
    books.require(idle.is_none(), "14 client death", || {
        format!("nobody waits for {}", idle.unwrap_or_default())
    });
}

/// 12: when everything has ended, nothing is left in any table.
pub fn invariant_12_nothing_is_left(books: &mut Books, status: &Status) {
    let counts = [
        status.queued_jobs,
        status.queued_bytes,
        status.open_jobs,
        status.assignments,
        status.set_aside,
        status.alarms,
        status.queues.len() as u64,
    ];
    books.require(counts.iter().all(|count| *count == 0), "12 nothing is left", || format!("{status:?}"));
    let held = books.held.len();
    books.require(held == 0, "1 slots", || format!("{held} slots are still held"));
}
