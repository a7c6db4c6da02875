//! A client's job numbers → rows of the job table.
//!
//! A session counts its jobs without gaps, so the table is dense: pages of 256 numbers, 4 bytes each. A page goes when its last
//! job is answered, but for the newest one: the next job needs it.

use super::JobKey;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

const PAGE: u64 = 256;

#[derive(Debug)]
struct Page {
    keys: Box<[JobKey; PAGE as usize]>,
    live: u16,
}

/// The open jobs of one client session, by number.
#[derive(Debug, Default)]
pub(crate) struct JobNumbers {
    pages: BTreeMap<u64, Page>,
    /// The newest page.
    newest: u64,
    live: u64,
}

impl JobNumbers {
    pub(crate) fn len(&self) -> u64 {
        self.live
    }

    pub(crate) fn insert(&mut self, number: u64, key: JobKey) {
        if number / PAGE > self.newest {
            self.shrink();
            self.newest = number / PAGE;
        }
        let page = self
            .pages
            .entry(number / PAGE)
            .or_insert_with(|| Page { keys: Box::new([JobKey::NONE; PAGE as usize]), live: 0 });
        let place = &mut page.keys[(number % PAGE) as usize];
        assert!(place.is_none(), "a job number is used once");
        *place = key;
        page.live += 1;
        self.live += 1;
    }

    pub(crate) fn get(&self, number: u64) -> Option<JobKey> {
        let key = self.pages.get(&(number / PAGE))?.keys[(number % PAGE) as usize];
        (!key.is_none()).then_some(key)
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let page = self.pages.get_mut(&(number / PAGE)).expect("an open job has its page");
        let place = &mut page.keys[(number % PAGE) as usize];
        assert!(!place.is_none(), "an open job has its number");
        *place = JobKey::NONE;
        page.live -= 1;
        self.live -= 1;
        if page.live == 0 && number / PAGE != self.newest {
            self.pages.remove(&(number / PAGE));
        }
    }

    /// Gives the newest page back too, if it is empty.
    pub(crate) fn shrink(&mut self) {
        if self.pages.get(&self.newest).is_some_and(|page| page.live == 0) {
            self.pages.remove(&self.newest);
        }
    }

    /// The first open job with a number from `from` on and below `end`.
    pub(crate) fn next(&self, from: u64, end: u64) -> Option<(u64, JobKey)> {
        let pages = self.pages.range(from / PAGE..);
        for (page, Page { keys, .. }) in pages {
            let start = if *page == from / PAGE { from % PAGE } else { 0 };
            for place in start..PAGE {
                let number = page * PAGE + place;
                if number >= end {
                    return None;
                }
                let key = keys[place as usize];
                if !key.is_none() {
                    return Some((number, key));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn numbers_come_and_go() {
        let mut numbers = JobNumbers::default();
        for number in 0..1_000 {
            numbers.insert(number, JobKey(number as u32));
        }
        for number in (0..1_000).filter(|n| n % 2 == 0 || (256..512).contains(n)) {
            numbers.remove(number);
        }
        assert_eq!(numbers.get(255), Some(JobKey(255)));
        assert_eq!(numbers.get(256), None);
        assert_eq!(numbers.next(256, 1_000), Some((513, JobKey(513))));
        assert_eq!(numbers.next(256, 512), None);
        assert_eq!(numbers.len(), 500 - 128);
        assert_eq!(numbers.pages.len(), 3, "an empty page is given back");
        for number in (0..1_000).filter(|n| n % 2 == 1 && !(256..512).contains(n)) {
            numbers.remove(number);
        }
        assert_eq!(numbers.pages.keys().collect::<Vec<_>>(), [&3], "but for the newest");
        numbers.insert(2_000, JobKey(0));
        assert_eq!(numbers.pages.keys().collect::<Vec<_>>(), [&7]);
        numbers.remove(2_000);
        numbers.shrink();
        assert_eq!(numbers.pages.len(), 0);
    }
}
