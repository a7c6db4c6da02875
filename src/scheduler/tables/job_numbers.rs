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

impl Page {
    fn new() -> Self {
        Self { keys: Box::new([JobKey::NONE; PAGE as usize]), live: 0 }
    }
}

/// The open jobs of one client session, by number.
#[derive(Debug, Default)]
pub(crate) struct JobNumbers {
    /// Pages before the newest.
    older: BTreeMap<u64, Page>,
    /// Where nearly every new job goes.
    newest: Option<Page>,
    /// The number of the newest page.
    newest_at: u64,
    live: u64,
}

impl JobNumbers {
    pub(crate) fn len(&self) -> u64 {
        self.live
    }

    pub(crate) fn insert(&mut self, number: u64, key: JobKey) {
        let at = number / PAGE;
        if at > self.newest_at {
            self.turn_to(at);
        }
        let page = if at == self.newest_at {
            self.newest.get_or_insert_with(Page::new)
        } else {
            self.older.entry(at).or_insert_with(Page::new)
        };
        let place = &mut page.keys[(number % PAGE) as usize];
        assert!(place.is_none(), "a job number is used once");
        *place = key;
        page.live += 1;
        self.live += 1;
    }

    fn turn_to(&mut self, at: u64) {
        if let Some(page) = self.newest.take().filter(|page| page.live > 0) {
            self.older.insert(self.newest_at, page);
        }
        self.newest_at = at;
    }

    pub(crate) fn get(&self, number: u64) -> Option<JobKey> {
        let key = self.page(number / PAGE)?.keys[(number % PAGE) as usize];
        (!key.is_none()).then_some(key)
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let at = number / PAGE;
        let page = if at == self.newest_at { self.newest.as_mut() } else { self.older.get_mut(&at) };
        let page = page.expect("an open job has its page");
        let place = &mut page.keys[(number % PAGE) as usize];
        assert!(!place.is_none(), "an open job has its number");
        *place = JobKey::NONE;
        page.live -= 1;
        self.live -= 1;
        if page.live == 0 && at != self.newest_at {
            self.older.remove(&at);
        }
    }

    /// Gives the newest page back too, if it is empty.
    pub(crate) fn shrink(&mut self) {
        self.newest.take_if(|page| page.live == 0);
    }

    /// The first open job with a number from `from` on and below `end`.
    pub(crate) fn next(&self, from: u64, end: u64) -> Option<(u64, JobKey)> {
        let (mut from, mut page) = (from, self.page(from / PAGE));
        while from < end {
            let at = from / PAGE;
            let behind = end.min((at + 1).saturating_mul(PAGE));
            if let Some(page) = page {
                let places = &page.keys[(from % PAGE) as usize..=((behind - 1) % PAGE) as usize];
                if let Some(place) = places.iter().position(|key| !key.is_none()) {
                    return Some((from + place as u64, places[place]));
                }
            }
            if behind == end {
                break;
            }
            // The first job of a later page.
            let older = self.older.range(at + 1..).next().map(|(at, page)| (*at, page));
            let newest = self.newest.as_ref().map(|page| (self.newest_at, page));
            let (next, its) = older.or(newest.filter(|(newest, _)| *newest > at))?;
            (from, page) = (next * PAGE, Some(its));
        }
        None
    }

    fn page(&self, at: u64) -> Option<&Page> {
        if at == self.newest_at { self.newest.as_ref() } else { self.older.get(&at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn pages(numbers: &JobNumbers) -> Vec<u64> {
        let newest = numbers.newest.iter().map(|_| numbers.newest_at);
        numbers.older.keys().copied().chain(newest).collect()
    }

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
        assert_eq!(pages(&numbers), [0, 2, 3], "an empty page is given back");
        for number in (0..1_000).filter(|n| n % 2 == 1 && !(256..512).contains(n)) {
            numbers.remove(number);
        }
        assert_eq!(pages(&numbers), [3], "but for the newest");
        numbers.insert(2_000, JobKey(0));
        assert_eq!(pages(&numbers), [7]);
        numbers.insert(1_000, JobKey(1));
        assert_eq!(numbers.next(0, 3_000), Some((1_000, JobKey(1))), "a large job comes late");
        assert_eq!(numbers.next(1_001, 3_000), Some((2_000, JobKey(0))));
        assert_eq!(numbers.next(u64::MAX - 1, u64::MAX), None);
        numbers.insert(u64::MAX - 1, JobKey(2));
        assert_eq!(numbers.next(2_001, u64::MAX), Some((u64::MAX - 1, JobKey(2))));
        assert_eq!(numbers.next(u64::MAX - 1, u64::MAX), Some((u64::MAX - 1, JobKey(2))));
        assert_eq!(numbers.next(2_001, u64::MAX - 1), None);
        numbers.remove(u64::MAX - 1);
        numbers.remove(2_000);
        numbers.shrink();
        assert_eq!(pages(&numbers), [3]);
        numbers.remove(1_000);
        assert_eq!((pages(&numbers).len(), numbers.len()), (0, 0));
    }
}
