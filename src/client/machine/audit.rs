//! Whether the tables agree. For tests and simulations: it looks at everything.

use super::session::Place;
use super::{Clock, GroupId, Machine};

impl Machine {
    /// Looks at every table.
    ///
    /// # Panics
    /// When two of them disagree: a bug in this machine.
    pub fn audit(&mut self) {
        let mut under_way = 0;
        let mut clocks = 0;
        for slot in 0..self.groups.len() {
            let id = GroupId(u32::try_from(slot).expect("groups are numbered with 32 bits"));
            let Some(mut group) = self.groups[slot].take() else { continue };
            assert!(!group.is_over(), "{id:?} is over and was not finished");
            let mut pending = false;
            for (index, record) in group.jobs.iter_mut() {
                match record.number {
                    None => {
                        assert!(group.pending.contains(index), "{id:?}: job {index} is nowhere");
                        pending = true;
                    }
                    Some(number) => {
                        let place = self.session.as_ref().and_then(|session| session.jobs.get(number));
                        assert_eq!(place, Some(&Place { group: id, index }), "number {number}");
                        under_way += 1;
                    }
                }
            }
            assert!(group.queued || !pending || self.session.is_none(), "{id:?} has jobs and no turn");
            for (due, clock) in [(group.deadline, Clock::Call), (group.assign_due, Clock::Assign)] {
                let Some(due) = due else { continue };
                let fired = clock == Clock::Call && group.over.is_some();
                assert_eq!(self.deadlines.contains(&(due, id, clock)), !fired, "{clock:?} of {id:?}");
                clocks += usize::from(!fired);
            }
            self.groups[slot] = Some(group);
        }
        assert_eq!(self.deadlines.len(), clocks, "a clock of a group that is not there");
        let live = self.session.as_ref().map_or(0, |session| session.jobs.live());
        assert_eq!(live, under_way, "a number of a job that is not there");
    }
}
