//! The machine in virtual time.

mod crowds;
mod properties;
mod silence;

use super::*;

fn config(children: u32, reply: bool) -> Config {
    Config { children, reply, depth: None, kill_grace: Duration::from_secs(2) }
}

/// A machine and what it said last.
struct Bench {
    machine: Machine,
    now: Time,
    said: Vec<Action>,
}

impl Bench {
    fn new(config: Config) -> Self {
        Self { machine: Machine::new(config), now: Time::ZERO, said: Vec::new() }
    }

    /// Tells it something; all that it says to that.
    fn tell(&mut self, event: Event) -> &[Action] {
        self.machine.handle(self.now, event);
        self.poll()
    }

    fn poll(&mut self) -> &[Action] {
        self.said.clear();
        self.machine.poll(self.now, &mut self.said);
        self.machine.audit();
        &self.said
    }

    /// Goes on to the next deadline; how long that was.
    fn wait(&mut self) -> Duration {
        let due = self.machine.next_deadline().expect("something is due");
        let waited = due.since(self.now);
        self.now = self.now.max(due);
        self.poll();
        waited
    }

    fn up(&mut self) {
        let children = self.machine.children.len();
        let starts: Vec<_> = (0..children).map(|child| Action::Start { child }).collect();
        assert_eq!(self.poll(), starts);
        for child in 0..children {
            self.tell(Event::Started { child });
        }
    }

    fn line(&mut self, id: u64, text: &'static str) -> &[Action] {
        self.tell(Event::Line { id: LineId(id), text: text.into() })
    }

    fn heard(&mut self, child: usize, chunk: &'static str) -> &[Action] {
        self.tell(Event::Heard { child, chunk: chunk.into() })
    }

    fn ended(&mut self, child: usize, unread_bytes: u64) -> Vec<Action> {
        let how = "exit status 3".to_owned();
        let read_bytes = self.machine.children[child].given_bytes - unread_bytes;
        self.tell(Event::Ended { child, read_bytes, how }).to_vec()
    }

    /// Answers so many lines so fast that the depth grows.
    fn warm_up(&mut self, lines: u64) {
        for id in 0..lines {
            self.line(1_000_000 + id, "w");
            self.heard(0, "w\n");
        }
    }
}

fn write(child: usize, text: &str) -> Action {
    Action::Write { child, bytes: text.into() }
}

fn done(id: u64, answer: &'static str) -> Action {
    over(LineId(id), LineEnd::Done(answer.into()))
}

fn crashed(id: u64) -> Action {
    over(LineId(id), LineEnd::Crashed("child 1: exit status 3".into()))
}

#[test]
fn each_child_gets_a_line_and_the_next_with_its_answer() {
    let mut bench = Bench::new(config(2, true));
    bench.up();
    assert_eq!(bench.line(1, "a"), [write(0, "a\n")]);
    assert_eq!(bench.line(2, "b"), [write(1, "b\n")]);
    assert_eq!(bench.line(3, "c"), []);
    assert_eq!(bench.heard(1, "B\n"), [done(2, "B"), write(1, "c\n")]);
    assert_eq!(bench.heard(0, "A\n"), [done(1, "A")]);
    let stray = Action::Stray { child: 0, line: "more".into() };
    assert_eq!(bench.heard(0, "more\n"), [stray]);
}

#[test]
fn only_the_line_itself_is_an_answer_where_children_echo() {
    let mut bench = Bench::new(Config { depth: Some(1), ..config(1, false) });
    bench.up();
    bench.line(1, "a");
    let stray = Action::Stray { child: 0, line: "A".into() };
    assert_eq!(bench.heard(0, "A\na\n"), [stray, done(1, "a")]);
}

#[test]
fn a_crash_is_charged_to_the_oldest_line_and_the_others_are_done_again() {
    let mut bench = Bench::new(Config { depth: Some(3), ..config(1, false) });
    bench.up();
    for (id, text) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.line(id, text);
    }
    bench.heard(0, "a\n");
    assert_eq!(bench.ended(0, 2), [crashed(2), Action::Start { child: 0 }]);
    assert_eq!(bench.tell(Event::Started { child: 0 }), [write(0, "c\n")]);
}

#[test]
fn a_line_that_was_never_read_is_charged_nothing() {
    let mut bench = Bench::new(config(1, false));
    bench.up();
    bench.line(1, "a");
    bench.heard(0, "a\n");
    bench.line(2, "b");
    // It crashed after its answer, while the next line lay in its pipe.
    assert_eq!(bench.ended(0, 2), [Action::Start { child: 0 }]);
    assert_eq!(bench.tell(Event::Started { child: 0 }), [write(0, "b\n")]);
}

#[test]
fn a_child_that_can_never_start_is_an_error_within_seconds() {
    let mut bench = Bench::new(config(1, false));
    bench.up();
    bench.line(1, "a");
    let mut waited = Duration::ZERO;
    for _ in 1..10 {
        assert_eq!(bench.ended(0, 2), []);
        waited += bench.wait();
        assert_eq!(bench.said, [Action::Start { child: 0 }]);
        bench.tell(Event::Started { child: 0 });
    }
    let reason = "ends before it reads a line (exit status 3)".to_owned();
    assert_eq!(bench.ended(0, 2), [Action::Failed { reason }, over(LineId(1), LineEnd::Refused)]);
    assert!(waited > Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(bench.line(2, "b"), [over(LineId(2), LineEnd::Refused)]);
    assert_eq!(bench.machine.next_deadline(), None, "no loop");
}

#[test]
fn a_program_that_does_not_exist_is_an_error_at_once() {
    let mut bench = Bench::new(config(2, false));
    bench.poll();
    bench.tell(Event::Started { child: 1 });
    let event = Event::NotStarted { child: 0, reason: "no such program".into(), hopeless: true };
    let failed = Action::Failed { reason: "no such program".into() };
    assert_eq!(bench.tell(event), [failed, Action::Terminate { child: 1 }]);
    assert_eq!(bench.ended(1, 0), []);
}

#[test]
fn one_of_many_is_given_up_and_the_others_go_on() {
    let mut bench = Bench::new(config(2, false));
    bench.up();
    for start in 1..=10 {
        let said = bench.ended(0, 0);
        if start == 10 {
            let reason = "ends before it reads a line (exit status 3)".to_owned();
            assert_eq!(said, [Action::GaveUp { child: 0, reason }]);
        } else {
            bench.wait();
            bench.tell(Event::Started { child: 0 });
        }
    }
    assert_eq!(bench.line(1, "a"), [write(1, "a\n")]);
    // It is tried again now and then, and counted on when it has started.
    for _ in 0..3 {
        assert_eq!(bench.machine.counted_on(), 1);
        assert_eq!(bench.wait(), Duration::from_secs(10));
        assert_eq!(bench.said, [Action::Start { child: 0 }]);
        let reason = "no memory".to_owned();
        assert_eq!(bench.tell(Event::NotStarted { child: 0, reason, hopeless: false }), []);
    }
    bench.wait();
    assert_eq!(bench.tell(Event::Started { child: 0 }), []);
    assert_eq!(bench.wait(), Duration::from_secs(5));
    assert_eq!(bench.said, [Action::Works { child: 0 }]);
    assert_eq!(bench.machine.counted_on(), 2);
    assert_eq!(bench.line(2, "b"), [write(0, "b\n")]);
}

/// There is room for one process, and the one that was given up has it when the other one has to start again.
#[test]
fn one_that_is_tried_again_and_is_up_keeps_the_program_going() {
    let mut bench = Bench::new(config(2, false));
    bench.up();
    let no_room = |child| Event::NotStarted { child, reason: "no memory".to_owned(), hopeless: false };
    let gave_up = |child| Action::GaveUp { child, reason: "no memory".to_owned() };
    bench.ended(0, 0);
    for start in 2..=10 {
        bench.wait();
        let expected = if start == 10 { vec![gave_up(0)] } else { vec![] };
        assert_eq!(bench.tell(no_room(0)), expected);
    }
    bench.wait();
    bench.tell(Event::Started { child: 0 });
    if !bench.ended(1, 0).contains(&Action::Start { child: 1 }) {
        bench.wait();
    }
    for start in 1..=10 {
        let expected = if start == 10 { vec![gave_up(1)] } else { vec![] };
        assert_eq!(bench.tell(no_room(1)), expected);
        if start < 10 {
            bench.wait();
        }
    }
    assert_eq!(bench.machine.counted_on(), 1);
    let said = bench.ended(0, 0);
    assert!(matches!(said[..], [Action::Failed { .. }, ..]), "now none is left: {said:?}");
}

#[test]
fn a_line_that_nobody_waits_for_ends_its_child_when_it_is_its_turn() {
    let mut bench = Bench::new(Config { depth: Some(2), ..config(1, false) });
    bench.up();
    for (id, text) in [(1, "a"), (2, "b"), (3, "c")] {
        bench.line(id, text);
    }
    assert_eq!(bench.tell(Event::Cancelled { id: LineId(3) }), [over(LineId(3), LineEnd::Stopped)]);
    assert_eq!(bench.tell(Event::Cancelled { id: LineId(2) }), [], "the child is at the first one");
    bench.line(4, "d");
    assert_eq!(bench.heard(0, "a\n"), [done(1, "a"), Action::Terminate { child: 0 }]);
    let again = Action::Start { child: 0 };
    assert_eq!(bench.ended(0, 0), [over(LineId(2), LineEnd::Stopped), again]);
    assert_eq!(bench.tell(Event::Started { child: 0 }), [write(0, "d\n")]);
}

#[test]
fn a_line_without_end_ends_the_child() {
    let mut bench = Bench::new(config(1, true));
    bench.up();
    bench.line(1, "a");
    let said = bench.tell(Event::Overlong { child: 0 });
    assert_eq!(said, [over(LineId(1), LineEnd::TooLarge), Action::Terminate { child: 0 }]);
    assert_eq!(bench.ended(0, 0), [Action::Start { child: 0 }]);
}

#[test]
fn a_line_without_end_is_a_crash_where_children_echo() {
    let mut bench = Bench::new(Config { depth: Some(2), ..config(1, false) });
    bench.up();
    bench.line(1, "a");
    bench.line(2, "b");
    assert_eq!(bench.tell(Event::Overlong { child: 0 }), [Action::Terminate { child: 0 }]);
    let how = "child 1: wrote a line without an end".to_owned();
    assert_eq!(bench.ended(0, 2), [over(LineId(1), LineEnd::Crashed(how))]);
    assert_eq!(bench.machine.statistics().0, 1);
    assert_eq!(bench.wait(), Duration::from_millis(10), "as after any crash");
    assert_eq!(bench.said, [Action::Start { child: 0 }]);
    assert_eq!(bench.tell(Event::Started { child: 0 }), [write(0, "b\n")]);
    // It was told to end because nobody wants its line: that is no crash, whatever it writes.
    bench.tell(Event::Cancelled { id: LineId(2) });
    assert_eq!(bench.tell(Event::Overlong { child: 0 }), []);
    assert_eq!(bench.ended(0, 0), [over(LineId(2), LineEnd::Stopped), Action::Start { child: 0 }]);
}

#[test]
fn a_child_that_writes_without_end_and_reads_nothing_is_given_up() {
    for reply in [false, true] {
        let mut bench = Bench::new(config(1, reply));
        bench.up();
        for _ in 1..10 {
            bench.tell(Event::Overlong { child: 0 });
            assert_eq!(bench.ended(0, 0), []);
            bench.wait();
            bench.tell(Event::Started { child: 0 });
        }
        bench.tell(Event::Overlong { child: 0 });
        let reason = "ends before it reads a line (wrote a line without an end)".to_owned();
        assert_eq!(bench.ended(0, 0), [Action::Failed { reason }]);
    }
}

#[test]
fn silence_is_wondered_at_once() {
    let mut bench = Bench::new(config(1, true));
    bench.up();
    bench.line(1, "a");
    assert_eq!(bench.wait(), Duration::from_secs(2));
    assert_eq!(bench.said, [Action::Hint { child: 0 }]);
    assert_eq!(bench.machine.next_deadline(), None);
    let mut echo = Bench::new(config(1, false));
    echo.up();
    echo.line(1, "a");
    assert_eq!(echo.machine.next_deadline(), None, "a child that echoes may take its time");
}

#[test]
fn quick_children_get_more_lines_ahead() {
    let mut bench = Bench::new(config(1, false));
    bench.up();
    bench.warm_up(1);
    assert_eq!(bench.machine.depth(), 2);
    bench.line(1, "a");
    assert_eq!(bench.line(2, "b"), [write(0, "b\n")], "before the answer to the first");
    assert_eq!(bench.line(3, "c"), []);
}

#[test]
fn the_end_is_in_order_and_then_by_force() {
    let mut bench = Bench::new(config(2, false));
    bench.up();
    bench.line(1, "a");
    let close = |child| Action::CloseInput { child };
    assert_eq!(bench.tell(Event::Finish), [close(0), close(1)]);
    assert_eq!(bench.heard(0, "a\n"), [done(1, "a")], "what was begun is finished");
    assert_eq!(bench.ended(0, 0), []);
    assert_eq!(bench.wait(), Duration::from_secs(2));
    assert_eq!(bench.said, [Action::Terminate { child: 1 }]);
    assert_eq!(bench.ended(1, 0), [Action::Finished]);
}

#[test]
fn a_child_that_starts_after_the_end_sees_it() {
    let mut bench = Bench::new(config(1, false));
    bench.poll();
    assert_eq!(bench.tell(Event::Finish), []);
    assert_eq!(bench.tell(Event::Started { child: 0 }), [Action::CloseInput { child: 0 }]);
    assert_eq!(bench.ended(0, 0), [Action::Finished]);
}
