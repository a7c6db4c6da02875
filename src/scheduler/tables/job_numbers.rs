//! A client's job numbers → rows of the job table.
//!
//! A session counts its jobs without gaps, so the table is dense: pages of 256 numbers, 4 bytes each, and a page
//! goes when its last job is answered.

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
    live: u64,
}

impl JobNumbers {
    pub(crate) fn len(&self) -> u64 {
        self.live
    }

    pub(crate) fn insert(&mut self, number: u64, key: JobKey) {
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
        if page.live == 0 {
            self.pages.remove(&(number / PAGE));
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
    }
}
