//! Puts what comes in any order back into the order of its numbers.

use std::collections::VecDeque;

/// Items by number; the next one to hand out is kept in mind.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    next: u64,
    /// From the next one on. As long as the numbers are apart, so whoever numbers them bounds that.
    waiting: VecDeque<Option<T>>,
}

impl<T> InOrder<T> {
    /// Begins with number 0.
    pub(super) fn new() -> Self {
        Self { next: 0, waiting: VecDeque::new() }
    }

    /// A number that was handed out comes no second time.
    pub(super) fn push(&mut self, index: u64, item: T) {
        let Some(place) = index.checked_sub(self.next).and_then(|place| usize::try_from(place).ok()) else {
            return;
        };
        if self.waiting.len() <= place {
            self.waiting.resize_with(place + 1, || None);
        }
        self.waiting[place] = Some(item);
    }

    /// The next item in order, if it has come.
    pub(super) fn pop(&mut self) -> Option<(u64, T)> {
        let item = self.waiting.front_mut()?.take()?;
        self.waiting.pop_front();
        self.next += 1;
        Some((self.next - 1, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ones_wait_for_earlier_ones() {
        let mut items = InOrder::new();
        items.push(2, "c");
        items.push(1, "b");
        assert_eq!(items.pop(), None);
        items.push(0, "a");
        let all: Vec<_> = std::iter::from_fn(|| items.pop()).collect();
        assert_eq!(all, [(0, "a"), (1, "b"), (2, "c")]);
        assert_eq!(items.pop(), None);
    }
}
