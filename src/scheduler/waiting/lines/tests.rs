use super::*;
use alloc::vec;

fn key(priority: u32) -> LineKey {
    LineKey { owner: PeerKey(0), kind: KindKey(0), priority }
}

fn put(lines: &mut Lines, line: FifoKey, numbers: impl Iterator<Item = u32>) {
    lines.extend(line, |entries| entries.extend(numbers.map(|n| (ExecutionKey(n), n))));
    lines.audit();
}

/// A line that had one execution.
fn used(lines: &mut Lines, priority: u32) -> FifoKey {
    let line = lines.find(key(priority)).unwrap_or_else(|| lines.open(key(priority), false));
    put(lines, line, 0..1);
    lines.pop(line, 0, ExecutionKey(0));
    lines.audit();
    line
}

#[test]
fn some_empty_lines_are_kept() {
    let mut lines = Lines::new();
    for priority in 0..IDLE_LINES_MAX as u32 {
        let line = used(&mut lines, priority);
        put(&mut lines, line, 0..0);
        assert_eq!(lines.close_if_idle(line, false), None);
    }
    for priority in [100_000, 100_001] {
        let line = used(&mut lines, priority);
        assert_eq!(lines.close_if_idle(line, false), Some(key(priority)), "one too many");
        assert_eq!(lines.find(key(priority)), None);
    }
    assert_eq!(lines.len(), IDLE_LINES_MAX);
    let line = used(&mut lines, 0);
    put(&mut lines, line, 0..1);
    assert_eq!(lines.close_if_idle(line, true), None, "somebody waits in it");
    lines.pop(line, 0, ExecutionKey(0));
    assert_eq!(lines.close_if_idle(line, true), Some(key(0)));
    assert_eq!((lines.find(key(0)), lines.len()), (None, IDLE_LINES_MAX - 1));
    let line = used(&mut lines, 100_000);
    assert_eq!(lines.close_if_idle(line, false), None, "there is room again");
    lines.audit();
}

#[test]
fn a_line_is_sifted_when_most_of_it_is_void() {
    let mut lines = Lines::new();
    let line = lines.open(key(0), false);
    put(&mut lines, line, 0..200);
    let stands = |gone: u32| move |(_, ticket): Entry| (ticket >= gone).then_some(u64::from(ticket));
    for gone in 1..=100 {
        lines.voided(line, stands(gone));
        lines.audit();
    }
    assert_eq!(lines.entries(line).count(), 200, "half of it still stands");
    lines.voided(line, stands(101));
    assert_eq!(lines.entries(line).count(), 99);
    lines.audit();
    // From here on the first ones are void, and drop off.
    lines.voided(line, stands(102));
    lines.put_back(line, 300, (ExecutionKey(300), 300));
    assert_eq!(lines.first(line, stands(102)), Some((102, ExecutionKey(102))));
    assert_eq!(lines.entries(line).count(), 99);
    lines.audit();
    // Who comes back once more takes the place that is void by then.
    let but = |gone: u32| move |(_, ticket): Entry| (ticket < gone).then_some(u64::from(ticket));
    lines.voided(line, but(300));
    lines.put_back(line, 300, (ExecutionKey(301), 301));
    assert_eq!(lines.entries(line).count(), 99);
    lines.audit();
    lines.voided(line, but(300));
    assert_eq!(lines.first(line, but(300)), Some((102, ExecutionKey(102))));
    assert_eq!(lines.entries(line).count(), 98);
    lines.audit();
}

#[test]
fn what_is_void_goes_with_the_last_that_stands() {
    let mut lines = Lines::new();
    let line = lines.open(key(0), false);
    put(&mut lines, line, 0..3);
    let stands = |(_, ticket): Entry| (ticket == 0).then_some(0);
    lines.voided(line, stands);
    lines.voided(line, stands);
    lines.pop(line, 0, ExecutionKey(0));
    assert_eq!(lines.entries(line).count(), 0);
    lines.audit();
}

/// What `first` and `pop` take out one by one, `take` takes at once.
#[test]
fn many_are_taken_as_one_by_one() {
    for (returned, void) in [(0..0, 99..99), (0..0, 2..4), (30..32, 0..1), (30..34, 99..99), (0..0, 0..10)] {
        for (most, until) in [(0, 50), (1, 50), (4, 50), (20, 6), (20, 50), (5, 31)] {
            let stands = |(_, ticket): Entry| (!void.contains(&ticket)).then_some(u64::from(ticket));
            let [mut at_once, mut one_by_one] = [0, 1].map(|_| {
                let mut lines = Lines::new();
                let line = lines.open(key(0), false);
                put(&mut lines, line, 0..10);
                void.clone().filter(|n| *n < 10).for_each(|_| lines.voided(line, stands));
                returned.clone().for_each(|n| lines.put_back(line, n.into(), (ExecutionKey(n), n)));
                (lines, line)
            });
            let mut taken = vec![ExecutionKey(77)];
            let (lines, line) = &mut at_once;
            lines.take(*line, most + 1, stands, |sequence, _| sequence < until, &mut taken);
            lines.audit();
            let (others, other) = &mut one_by_one;
            let mut expected = vec![ExecutionKey(77)];
            while expected.len() < most + 1
                && let Some((sequence, execution)) = others.first(*other, stands)
                && sequence < until
            {
                others.pop(*other, sequence, execution);
                expected.push(execution);
            }
            assert_eq!(taken, expected, "{returned:?} came back, {void:?} are void: {most} below {until}");
            let rest = (lines.first(*line, stands), lines.line(*line).live);
            assert_eq!(rest, (others.first(*other, stands), others.line(*other).live));
            lines.audit();
        }
    }
}
