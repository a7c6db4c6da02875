//! Children that die before any of them has answered: is it the line, or the program?

use super::*;

impl Bench {
    /// A line that says this comes, and a child dies over it; what is said to that.
    fn dies_over(&mut self, child: usize, id: u64, text: &str) -> Vec<Action> {
        let text = text.to_owned().into();
        let said = self.tell(Event::Line { id: LineId(id), text }).to_vec();
        assert!(matches!(said[..], [Action::Write { child: to, .. }] if to == child), "{said:?}");
        self.ended(child, 0)
    }

    /// The child that died starts again.
    fn starts_again(&mut self, child: usize) {
        self.wait();
        assert_eq!(self.said, [Action::Start { child }]);
        self.tell(Event::Started { child });
    }
}

fn has_failed(said: &[Action]) -> bool {
    said.iter().any(|action| matches!(action, Action::Failed { .. }))
}

#[test]
fn lines_that_always_kill_are_not_the_end_of_the_others() {
    let mut bench = Bench::new(config(1, true));
    bench.up();
    for id in 0..150 {
        let said = bench.dies_over(0, id, ["poison", "venom", "bane"][id as usize / 50]);
        assert!(matches!(said[..], [Action::Over { end: LineEnd::Crashed(_), .. }]), "{said:?}");
        bench.starts_again(0);
    }
    bench.line(1_000, "b");
    assert_eq!(bench.heard(0, "b\n"), [done(1_000, "b")]);
}

#[test]
fn many_lines_that_kill_after_a_few_attempts_each_are_not_either() {
    let mut bench = Bench::new(config(1, false));
    bench.up();
    for id in 0..100 {
        assert!(!has_failed(&bench.dies_over(0, id, &(id / 5).to_string())), "at {id}");
        bench.starts_again(0);
    }
}

#[test]
fn where_every_line_kills_there_is_an_end_to_it() {
    for (attempts, most) in [(50, 151), (5, 151), (u64::MAX, 1_000)] {
        let mut bench = Bench::new(config(1, false));
        bench.up();
        for id in 1.. {
            let said = bench.dies_over(0, id, &(id / attempts).to_string());
            if has_failed(&said) {
                assert_eq!(id, most);
                break;
            }
            bench.starts_again(0);
        }
        assert!(bench.now < Time::ZERO + Duration::from_millis(100) * most as u32, "{:?}", bench.now);
        assert_eq!(bench.machine.next_deadline(), None, "no loop");
    }
}

#[test]
fn a_child_at_its_line_for_longer_than_those_that_died_is_waited_for() {
    for answers in [true, false] {
        let mut bench = Bench::new(config(2, false));
        bench.up();
        bench.line(0, "long");
        for id in 1..=2_000 {
            assert!(!has_failed(&bench.dies_over(1, id, &id.to_string())), "at {id}");
            bench.starts_again(1);
        }
        if answers {
            assert_eq!(bench.heard(0, "long\n"), [done(0, "long")]);
        } else {
            assert!(has_failed(&bench.ended(0, 0)));
        }
    }
}

#[test]
fn a_child_that_never_reads_its_line_cannot_start_however_long_it_lives() {
    let mut bench = Bench::new(config(1, false));
    bench.up();
    bench.line(1, "a");
    for _ in 1..10 {
        bench.now = bench.now + Duration::from_secs(6);
        assert_eq!(bench.ended(0, 2), []);
        bench.starts_again(0);
    }
    let reason = "ends before it reads a line (exit status 3)".to_owned();
    assert_eq!(bench.ended(0, 2), [Action::Failed { reason }, over(LineId(1), LineEnd::Refused)]);
}
