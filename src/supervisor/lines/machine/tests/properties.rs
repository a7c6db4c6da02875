//! Children that do anything, in any order; every line must be over once, for a reason that there was.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// What happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Op {
    Line(u8),
    Cancel(usize),
    /// A child's start succeeds or fails.
    Start(usize, bool),
    /// A child reads so many bytes.
    Read(usize, usize),
    /// A child answers so many of the lines that it has read.
    Answer(usize, usize),
    Noise(usize),
    Crash(usize),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Op::Line),
        1 => (0..40_usize).prop_map(Op::Cancel),
        3 => (0..3_usize, prop::bool::weighted(0.9)).prop_map(|(child, works)| Op::Start(child, works)),
        4 => (0..3_usize, 1..9_usize).prop_map(|(child, bytes)| Op::Read(child, bytes)),
        4 => (0..3_usize, 1..4_usize).prop_map(|(child, lines)| Op::Answer(child, lines)),
        1 => (0..3_usize).prop_map(Op::Noise),
        2 => (0..3_usize).prop_map(Op::Crash),
        2 => (0..2_000_000_u64).prop_map(Op::Wait),
    ]
}

/// A process as it would be.
#[derive(Debug, Default)]
struct Process {
    starting: bool,
    up: bool,
    told_to_end: bool,
    /// Written and not read.
    pipe: VecDeque<u8>,
    /// Read, the last one perhaps not whole.
    read: VecDeque<u8>,
    /// What it has not answered, in order: the machine's numbers, and whether anything of it was read.
    lines: VecDeque<Vec<u8>>,
}

struct World {
    bench: Bench,
    reply: bool,
    processes: Vec<Process>,
    /// What each line says, as long as it is not over.
    open: BTreeMap<u64, (Vec<u8>, bool)>,
    lines: u64,
    /// Lines that may be blamed for the crash that was told last.
    may_be_blamed: bool,
    failed: bool,
}

impl World {
    fn new(config: Config) -> Self {
        let (reply, children) = (config.reply, config.children as usize);
        let processes = (0..children).map(|_| Process::default()).collect();
        let bench = Bench::new(config);
        let mut world = Self {
            bench,
            reply,
            processes,
            open: BTreeMap::new(),
            lines: 0,
            may_be_blamed: false,
            failed: false,
        };
        world.tell(None);
        world
    }

    fn tell(&mut self, event: Option<Event>) {
        let said = match event {
            Some(event) => self.bench.tell(event).to_vec(),
            None => self.bench.poll().to_vec(),
        };
        for action in said {
            self.follow(action);
        }
        self.may_be_blamed = false;
    }

    fn follow(&mut self, action: Action) {
        match action {
            Action::Start { child } => {
                let process = &mut self.processes[child];
                assert!(!process.starting && !process.up, "started twice");
                process.starting = true;
            }
            Action::Write { child, bytes } => {
                let process = &mut self.processes[child];
                assert!(process.up && !process.told_to_end, "written to nobody");
                assert_eq!(bytes.last(), Some(&b'\n'));
                let lines = bytes[..bytes.len() - 1].split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
                process.lines.extend(lines);
                process.pipe.extend(bytes);
            }
            Action::Terminate { child } => {
                let process = &mut self.processes[child];
                assert!(process.up && !std::mem::replace(&mut process.told_to_end, true));
            }
            Action::Over { id, end } => self.over(id, end),
            Action::Failed { .. } => self.failed = true,
            Action::Stray { .. } | Action::Hint { .. } | Action::GaveUp { .. } | Action::Depth(_) => {}
            Action::CloseInput { .. } | Action::Finished => panic!("nobody wants the end"),
        }
    }

    fn over(&mut self, id: LineId, end: LineEnd) {
        let (text, cancelled) = self.open.remove(&id.0).expect("a line is over once");
        match end {
            LineEnd::Done(answer) => {
                let expected = if self.reply { [b"re:", &*text].concat() } else { text };
                assert_eq!(answer, expected, "the answer of another line");
            }
            LineEnd::Crashed(_) => {
                assert!(std::mem::take(&mut self.may_be_blamed), "a line is charged that did nothing");
                assert!(!cancelled);
            }
            LineEnd::Stopped => assert!(cancelled),
            LineEnd::Refused => assert!(self.failed, "refused although children work"),
            LineEnd::TooLarge => panic!("no line is that long"),
        }
    }

    fn apply(&mut self, op: Op) {
        let count = self.processes.len();
        match op {
            Op::Line(text) => {
                let text = vec![b'a' + text; usize::from(text)];
                let id = self.lines;
                self.lines += 1;
                self.open.insert(id, (text.clone(), false));
                self.tell(Some(Event::Line { id: LineId(id), text: text.into() }));
            }
            Op::Cancel(place) => {
                let Some(id) = self.open.keys().nth(place).copied() else { return };
                if !std::mem::replace(&mut self.open.get_mut(&id).unwrap().1, true) {
                    self.tell(Some(Event::Cancelled { id: LineId(id) }));
                }
            }
            Op::Start(child, works) => self.start(child % count, works),
            Op::Read(child, bytes) => {
                let process = &mut self.processes[child % count];
                let bytes = bytes.min(process.pipe.len());
                process.read.extend(process.pipe.drain(..bytes));
            }
            Op::Answer(child, lines) => self.answer(child % count, lines),
            Op::Noise(child) if self.processes[child % count].up && !self.reply => {
                self.tell(Some(Event::Heard { child: child % count, chunk: "noise\n".into() }));
            }
            Op::Noise(_) => {}
            Op::Crash(child) => self.crash(child % count),
            Op::Wait(micros) => {
                self.bench.now = self.bench.now + Duration::from_micros(micros);
                self.tell(None);
            }
        }
    }

    fn start(&mut self, child: usize, works: bool) {
        let process = &mut self.processes[child];
        if std::mem::take(&mut process.starting) {
            process.up = works;
            let reason = "no memory".to_owned();
            self.tell(Some(match works {
                true => Event::Started { child },
                false => Event::NotStarted { child, reason, hopeless: false },
            }));
        }
    }

    fn answer(&mut self, child: usize, lines: usize) {
        let process = &mut self.processes[child];
        let mut chunk = Vec::new();
        for _ in 0..lines {
            let Some(end) = process.read.iter().position(|byte| *byte == b'\n') else { break };
            let line: Vec<u8> = process.read.drain(..=end).collect();
            process.lines.pop_front();
            chunk.extend_from_slice(if self.reply { b"re:" } else { b"" });
            chunk.extend(line);
        }
        if !chunk.is_empty() {
            self.tell(Some(Event::Heard { child, chunk: chunk.into() }));
        }
    }

    fn crash(&mut self, child: usize) {
        let process = &mut self.processes[child];
        if !process.up {
            return;
        }
        let process = std::mem::take(process);
        let unread_bytes = process.pipe.len() as u64;
        // It has read something that it has not answered, and nobody told it to end.
        self.may_be_blamed = !process.read.is_empty() && !process.told_to_end;
        self.tell(Some(Event::Ended { child, unread_bytes, how: "exit status 1".into() }));
    }

    /// From now on everything works: all lines must be over soon.
    fn heal(&mut self) {
        for _ in 0..10_000 {
            if self.open.is_empty() {
                return;
            }
            for child in 0..self.processes.len() {
                if self.processes[child].told_to_end {
                    self.crash(child);
                }
                self.start(child, true);
                self.apply(Op::Read(child, usize::MAX));
                self.answer(child, usize::MAX);
            }
            if let Some(due) = self.bench.machine.next_deadline() {
                self.bench.now = self.bench.now.max(due);
            }
            self.tell(None);
        }
        panic!("never over: {:?}", self.open);
    }
}

fn run(ops: Vec<Op>, config: Config) {
    let mut world = World::new(config);
    for op in ops {
        world.apply(op);
    }
    world.heal();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_over_once(
        ops in prop::collection::vec(op(), 0..300),
        children in 1..4_u32,
        reply: bool,
        depth in prop::option::of(1..6_u32),
    ) {
        run(ops, Config { depth, ..config(children, reply) });
    }
}
