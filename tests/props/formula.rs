//! The guarantees of SPEC 3, word by word: plain sums over plain slices, nothing kept between two questions.

/// Which of the two rules a manager keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// A higher range may borrow from every lower one.
    Borrowing,
    /// A higher range may borrow from range 0 alone.
    Sacred,
}

impl Mode {
    /// The mode of a manager with this switch.
    pub fn of(sacred: bool) -> Self {
        if sacred { Self::Sacred } else { Self::Borrowing }
    }
}

fn sum(of: &[u32]) -> u32 {
    of.iter().sum()
}

/// r_0 + what every other range holds over its guarantee.
pub fn burden(guaranteed: &[u32], held: &[u32]) -> u32 {
    let over = |k: usize| held[k].saturating_sub(guaranteed[k]);
    held[0] + (1..held.len()).map(over).sum::<u32>()
}

/// Whether a worker that fills up from nothing can come to hold this.
pub fn legal(mode: Mode, guaranteed: &[u32], held: &[u32]) -> bool {
    match mode {
        Mode::Borrowing => (0..held.len()).all(|k| sum(&held[..=k]) <= sum(&guaranteed[..=k])),
        Mode::Sacred => burden(guaranteed, held) <= guaranteed[0],
    }
}

/// Whether one more may enter range `k`, whatever the state is, legal or not.
pub fn may_enter(mode: Mode, guaranteed: &[u32], held: &[u32], k: usize) -> bool {
    match mode {
        Mode::Borrowing => (k..held.len()).all(|j| sum(&held[..=j]) < sum(&guaranteed[..=j])),
        Mode::Sacred => {
            let mut after = held.to_vec();
            after[k] += 1;
            let own = k >= 1 && held[k] < guaranteed[k] && sum(held) < sum(guaranteed);
            own || burden(guaranteed, &after) <= guaranteed[0]
        }
    }
}

/// How many may enter range `k` one after the other if nothing else happens.
pub fn room(mode: Mode, guaranteed: &[u32], held: &[u32], k: usize) -> u32 {
    let mut held = held.to_vec();
    let mut count = 0;
    while may_enter(mode, guaranteed, &held, k) {
        held[k] += 1;
        count += 1;
    }
    count
}

/// The range of a priority: the one with the greatest lower bound that is not over it. `bounds` begins with 0.
pub fn range_of(bounds: &[u32], priority: u32) -> usize {
    bounds.iter().rposition(|&bound| bound <= priority).expect("the lowest bound is 0")
}

/// Bounds (with 0 first) and guarantees (with what is left first) of an offer.
pub fn ranges(offer: &proletariat_protocol::Offer) -> (Vec<u32>, Vec<u32>) {
    let mut named: Vec<(u32, u32)> = offer.guarantees.iter().map(|g| (g.bound, g.slots)).collect();
    named.sort_unstable();
    let rest = offer.slots - named.iter().map(|&(_, slots)| slots).sum::<u32>();
    named.insert(0, (0, rest));
    named.into_iter().unzip()
}
