//! A client's job numbers → rows of the job table.
//!
//! A session counts its jobs without gaps, so the table is dense: pages of 256 numbers, 4 bytes each, in books of 64 pages. A page
//! goes when its last job is answered, but for the newest one: the next job needs it. Urgent jobs overtake others, so that those may
//! lie on many pages; nearly always all of them are in the newest book, and found without a search.

use super::JobKey;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use prefetch_index::prefetch_index;
use proletariat_protocol::hint::{likely, unlikely};

const PAGE: u64 = 256;
const BOOK: u64 = 64;

/// The number of a page, counted over all books.
type PageNumber = u64;

#[derive(Debug)]
struct Page {
    keys: Box<[JobKey; PAGE as usize]>,
    live: u16,
}

impl Page {
    fn new() -> Self {
        Self { keys: Box::new([JobKey::NONE; PAGE as usize]), live: 0 }
    }

    /// The first open job with a number from `from` on and below `end`, both on this page but that `end` may be the first of the next.
    fn next(&self, from: u64, end: u64) -> Option<(u64, JobKey)> {
        let places = &self.keys[(from % PAGE) as usize..=((end - 1) % PAGE) as usize];
        let place = places.iter().position(|key| !key.is_none())?;
        Some((from + place as u64, places[place]))
    }
}

#[derive(Debug)]
struct Book {
    pages: Box<[Option<Page>; BOOK as usize]>,
}

impl Book {
    fn new() -> Self {
        Self { pages: Box::new([const { None }; BOOK as usize]) }
    }

    fn is_empty(&self) -> bool {
        self.pages.iter().all(Option::is_none)
    }

    /// Which is the first of its pages from this place on.
    fn first_from(&self, place: usize) -> Option<usize> {
        Some(place + self.pages[place..].iter().position(Option::is_some)?)
    }
}

/// The open jobs of one client session, by number.
#[derive(Debug, Default)]
pub(crate) struct JobNumbers {
    /// Books before the newest; none of them is empty.
    older: BTreeMap<u64, Book>,
    /// Where nearly every new job goes.
    newest: Option<Book>,
    /// The page with the highest number that there was; it is in the newest book.
    newest_page: PageNumber,
    live: u64,
}

impl JobNumbers {
    pub(crate) fn len(&self) -> u64 {
        self.live
    }

    #[inline]
    pub(crate) fn insert(&mut self, number: u64, key: JobKey) {
        let at = number / PAGE;
        if unlikely(at > self.newest_page) {
            self.turn_to(at);
        }
        let book = if likely(at / BOOK == self.newest_page / BOOK) {
            self.newest.get_or_insert_with(Book::new)
        } else {
            self.older.entry(at / BOOK).or_insert_with(Book::new)
        };
        let page = book.pages[(at % BOOK) as usize].get_or_insert_with(Page::new);
        let place = &mut page.keys[(number % PAGE) as usize];
        assert!(place.is_none(), "a job number is used once");
        *place = key;
        page.live += 1;
        self.live += 1;
    }

    fn turn_to(&mut self, at: PageNumber) {
        self.shrink();
        if at / BOOK != self.newest_page / BOOK
            && let Some(book) = self.newest.take()
        {
            self.older.insert(self.newest_page / BOOK, book);
        }
        self.newest_page = at;
    }

    pub(crate) fn get(&self, number: u64) -> Option<JobKey> {
        let key = self.page(number / PAGE)?.keys[(number % PAGE) as usize];
        (!key.is_none()).then_some(key)
    }

    /// The entry of a number comes near to the processor, and nobody waits for it.
    #[inline]
    pub(crate) fn prefetch(&self, number: u64) {
        if let Some(page) = self.page(number / PAGE) {
            prefetch_index(&page.keys[..], (number % PAGE) as usize);
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, number: u64) {
        let at = number / PAGE;
        let is_newest = at / BOOK == self.newest_page / BOOK;
        let book = if is_newest { self.newest.as_mut() } else { self.older.get_mut(&(at / BOOK)) };
        let place = &mut book.expect("an open job has its book").pages[(at % BOOK) as usize];
        let page = place.as_mut().expect("an open job has its page");
        let key = &mut page.keys[(number % PAGE) as usize];
        assert!(!key.is_none(), "an open job has its number");
        *key = JobKey::NONE;
        page.live -= 1;
        self.live -= 1;
        if unlikely((page.live == 0) & (at != self.newest_page)) {
            *place = None;
            if !is_newest && self.older.get(&(at / BOOK)).is_some_and(Book::is_empty) {
                self.older.remove(&(at / BOOK));
            }
        }
    }

    /// Gives the newest page back too, if it is empty.
    pub(crate) fn shrink(&mut self) {
        let Some(book) = &mut self.newest else { return };
        book.pages[(self.newest_page % BOOK) as usize].take_if(|page| page.live == 0);
        self.newest.take_if(|book| book.is_empty());
    }

    /// The first open job with a number from `from` on and below `end`.
    pub(crate) fn next(&self, from: u64, end: u64) -> Option<(u64, JobKey)> {
        let (mut from, mut at) = (from, from / PAGE);
        while from < end {
            let found =
                self.page(at).and_then(|page| page.next(from, end.min((at + 1).saturating_mul(PAGE))));
            if found.is_some() {
                return found;
            }
            at = self.first_page(at + 1)?;
            from = at * PAGE;
        }
        None
    }

    fn page(&self, at: PageNumber) -> Option<&Page> {
        self.book(at / BOOK)?.pages[(at % BOOK) as usize].as_ref()
    }

    fn book(&self, number: u64) -> Option<&Book> {
        if number == self.newest_page / BOOK { self.newest.as_ref() } else { self.older.get(&number) }
    }

    /// The first page that there is from this number on.
    fn first_page(&self, at: PageNumber) -> Option<PageNumber> {
        let (number, place) = (at / BOOK, (at % BOOK) as usize);
        if let Some(place) = self.book(number).and_then(|book| book.first_from(place)) {
            return Some(number * BOOK + place as u64);
        }
        let older = self.older.range(number + 1..).next().map(|(number, book)| (*number, book));
        let newest = self.newest.as_ref().map(|book| (self.newest_page / BOOK, book));
        let (next, book) = older.or(newest.filter(|(newest, _)| *newest > number))?;
        Some(next * BOOK + book.first_from(0)? as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn pages(numbers: &JobNumbers) -> Vec<PageNumber> {
        let mut pages: Vec<PageNumber> = Vec::new();
        while let Some(page) = numbers.first_page(pages.last().map_or(0, |last| last + 1)) {
            pages.push(page);
        }
        pages
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

    proptest! {
        /// Numbers over many books, with gaps, that come and go in any order.
        #[test]
        fn agrees_with_a_plain_list(
            steps in proptest::collection::vec((0_u64..40_000, 0_u8..4, 0_usize..3, 0_usize..1_000), 1..200),
        ) {
            let (mut numbers, mut list) = (JobNumbers::default(), BTreeMap::new());
            let (mut last, mut newest, mut has_newest) = (0_u64, 0, true);
            for (step, (gap, how, removed, which)) in (0..).zip(steps) {
                // One of four comes late, into a gap.
                let late = last.checked_sub(1 + gap).filter(|number| how == 0 && !list.contains_key(number));
                let number = late.unwrap_or(last + gap);
                numbers.insert(number, JobKey(step));
                list.insert(number, JobKey(step));
                has_newest |= number / PAGE >= newest;
                newest = newest.max(number / PAGE);
                last = last.max(number + 1);
                for _ in 0..removed.min(list.len()) {
                    let number = *list.keys().nth(which % list.len()).expect("below their number");
                    list.remove(&number);
                    numbers.remove(number);
                }
                if which % 20 == 0 {
                    numbers.shrink();
                    has_newest &= list.keys().any(|number| number / PAGE == newest);
                }
                prop_assert_eq!(numbers.len(), list.len() as u64);
                let kept = has_newest.then_some(newest);
                let mut expected: Vec<PageNumber> =
                    list.keys().map(|number| number / PAGE).chain(kept).collect();
                expected.dedup();
                prop_assert_eq!(pages(&numbers), expected);
                for from in [0, last / 2, last - 1, last.min(which as u64)] {
                    let next = list.range(from..last).next().map(|(number, key)| (*number, *key));
                    prop_assert_eq!(numbers.next(from, last), next);
                    prop_assert_eq!(numbers.get(from), list.get(&from).copied());
                }
            }
            numbers.shrink();
            list.keys().for_each(|number| numbers.remove(*number));
            numbers.shrink();
            prop_assert!(numbers.newest.is_none() && numbers.older.is_empty());
        }
    }
}
