//! Children that do anything, in any order: they read half a line, answer what they were never given, say the same twice, crash, do not
//! start. Every line must be over once, for a reason that there was.

use super::input::Input;
use crate::supervisor::lines::machine::{Action, Config, Event, LineEnd, LineId, Machine};
use proletariat_protocol::Time;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What children say without having been asked. Lines are runs of the letter a.
const NOISE: [&str; 6] = ["noise\n", "\n", "a\n", "aa\n\naa\n", "re:a\nre:\n", "\u{0}\r\n"];

/// What happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Op {
    /// A line of so many letters is to be done.
    Line(u8),
    /// Nobody waits for a line any more.
    Cancel(usize),
    /// A child's start succeeds or fails.
    Start(usize, bool),
    /// A child reads so many bytes.
    Read(usize, usize),
    /// A child answers so many of the lines that it has read.
    Answer(usize, usize),
    /// A child says something, whatever it was asked.
    Noise(usize, usize),
    /// A child writes a line without an end.
    Overlong(usize),
    /// A child is gone.
    Crash(usize),
    /// So many microseconds pass.
    Wait(u64),
    /// The owner wants no more.
    Finish,
    /// The owner wants no more, at once.
    Stop,
}

/// A process as it would be.
#[derive(Debug, Default)]
struct Process {
    starting: bool,
    up: bool,
    given_up: bool,
    told_to_end: bool,
    /// Its input has an end.
    closed: bool,
    /// Nobody reads what it says.
    mute: bool,
    /// It was told to end because it said no answer and would never say one.
    overlong: bool,
    /// Written and not read.
    pipe: VecDeque<u8>,
    /// Bytes that it has read in all.
    taken: u64,
    /// Read, the last one perhaps not whole.
    read: VecDeque<u8>,
}

struct World {
    machine: Machine,
    now: Time,
    reply: bool,
    processes: Vec<Process>,
    /// What each line says, as long as it is not over.
    open: BTreeMap<u64, (Vec<u8>, bool)>,
    lines: u64,
    /// Whether a line may be blamed for the crash that is being told.
    may_be_blamed: bool,
    /// A child that replies said what nobody asked it: the answers of its lines are anything.
    has_lied: bool,
    has_overflowed: bool,
    failed: bool,
    ending: bool,
    finished: bool,
}

/// The first byte has the settings; then each happening is two bytes.
pub fn lines(data: &[u8]) {
    let mut input = Input(data);
    let settings = input.byte();
    let depth = u32::from(settings >> 4);
    let config = Config {
        children: 1 + u32::from(settings & 3),
        reply: settings & 4 != 0,
        depth: (depth > 0).then_some(depth),
        kill_grace: Duration::from_secs(2),
    };
    let ops = core::iter::from_fn(|| (!input.is_empty()).then(|| op(input.byte(), input.byte())));
    run(ops, config);
}

fn op(code: u8, byte: u8) -> Op {
    let (child, number) = (usize::from(code >> 4), usize::from(byte));
    match code & 15 {
        0..=2 => Op::Line(byte % 4),
        3 => Op::Cancel(number),
        4 | 5 => Op::Start(child, byte < 220),
        6 | 7 => Op::Read(child, number),
        8 | 9 => Op::Answer(child, number),
        10 => Op::Noise(child, number),
        11 if byte < 8 => Op::Overlong(child),
        11 if byte < 10 => Op::Finish,
        11 if byte < 12 => Op::Stop,
        11 | 12 => Op::Crash(child),
        _ => Op::Wait(1 << (byte % 22)),
    }
}

/// Lets all of it happen, then heals everything: soon all lines are over.
///
/// # Panics
/// When one is not, or was over for a reason that there was not.
pub fn run(ops: impl IntoIterator<Item = Op>, config: Config) {
    let mut world = World::new(config);
    for op in ops {
        world.apply(op);
    }
    world.heal();
}

impl World {
    fn new(config: Config) -> Self {
        let (reply, children) = (config.reply, config.children as usize);
        let mut world = Self {
            machine: Machine::new(config),
            now: Time::ZERO,
            reply,
            processes: (0..children).map(|_| Process::default()).collect(),
            open: BTreeMap::new(),
            lines: 0,
            may_be_blamed: false,
            has_lied: false,
            has_overflowed: false,
            failed: false,
            ending: false,
            finished: false,
        };
        world.tell(None);
        world
    }

    fn tell(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.machine.handle(self.now, event);
        }
        let mut said = Vec::new();
        self.machine.poll(self.now, &mut said);
        self.machine.audit();
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
                assert!(!self.ending, "started for nothing");
                process.starting = true;
            }
            Action::Write { child, bytes } => {
                let process = &mut self.processes[child];
                assert!(process.up && !process.told_to_end && !process.closed, "written to nobody");
                assert_eq!(bytes.last(), Some(&b'\n'));
                process.pipe.extend(bytes);
            }
            Action::Terminate { child } => {
                let process = &mut self.processes[child];
                assert!(process.up && !std::mem::replace(&mut process.told_to_end, true));
            }
            Action::CloseInput { child } => {
                let process = &mut self.processes[child];
                assert!(self.ending && process.up && !std::mem::replace(&mut process.closed, true));
            }
            Action::Over { id, end } => self.over(id, end),
            Action::Failed { .. } => self.failed = true,
            Action::Finished => {
                assert!(self.ending && !std::mem::replace(&mut self.finished, true));
                assert!(self.processes.iter().all(|process| !process.up && !process.starting));
            }
            Action::GaveUp { child, .. } => {
                assert!(!std::mem::replace(&mut self.processes[child].given_up, true))
            }
            Action::Works { child } => assert!(std::mem::replace(&mut self.processes[child].given_up, false)),
            Action::Stray { .. } | Action::Hint { .. } | Action::Depth(_) => {}
        }
    }

    fn over(&mut self, id: LineId, end: LineEnd) {
        let (text, cancelled) = self.open.remove(&id.0).expect("a line is over once");
        match end {
            LineEnd::Done(answer) => {
                let expected = if self.reply { [b"re:", &*text].concat() } else { text };
                assert!(answer == expected || self.reply && self.has_lied, "the answer of another line");
            }
            LineEnd::Crashed(_) => {
                assert!(std::mem::take(&mut self.may_be_blamed), "a line is charged that did nothing");
                assert!(!cancelled);
            }
            LineEnd::Stopped => assert!(cancelled),
            LineEnd::Refused => assert!(self.failed || self.ending, "refused although children work"),
            LineEnd::TooLarge => assert!(self.has_overflowed && self.reply, "no line is that long"),
        }
    }

    fn apply(&mut self, op: Op) {
        let count = self.processes.len();
        match op {
            Op::Line(text) => {
                let text = vec![b'a'; usize::from(text)];
                let id = self.lines;
                self.lines += 1;
                self.open.insert(id, (text.clone(), false));
                self.tell(Some(Event::Line { id: LineId(id), text: text.into() }));
            }
            Op::Cancel(place) => {
                let Some((id, line)) = self.open.iter_mut().nth(place) else { return };
                let id = LineId(*id);
                if !std::mem::replace(&mut line.1, true) {
                    self.tell(Some(Event::Cancelled { id }));
                }
            }
            Op::Start(child, works) => self.start(child % count, works),
            Op::Read(child, bytes) => {
                let process = &mut self.processes[child % count];
                let bytes = bytes.min(process.pipe.len());
                process.read.extend(process.pipe.drain(..bytes));
                process.taken += bytes as u64;
            }
            Op::Answer(child, lines) => self.answer(child % count, lines),
            Op::Noise(child, which) => {
                self.has_lied = true;
                self.say(child % count, NOISE[which % NOISE.len()].into());
            }
            Op::Overlong(child) => self.overflow(child % count),
            Op::Crash(child) => self.crash(child % count),
            Op::Wait(micros) => {
                self.now = self.now + Duration::from_micros(micros);
                self.tell(None);
            }
            Op::Finish | Op::Stop => {
                self.ending = true;
                self.tell(Some(if matches!(op, Op::Stop) { Event::Stop } else { Event::Finish }));
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
        if process.mute {
            return;
        }
        let mut chunk = Vec::new();
        for _ in 0..lines {
            let Some(end) = process.read.iter().position(|byte| *byte == b'\n') else { break };
            let line: Vec<u8> = process.read.drain(..=end).collect();
            chunk.extend_from_slice(if self.reply { b"re:" } else { b"" });
            chunk.extend(line);
        }
        if !chunk.is_empty() {
            self.say(child, chunk);
        }
    }

    fn say(&mut self, child: usize, chunk: Vec<u8>) {
        let process = &self.processes[child];
        if process.up && !process.mute {
            self.tell(Some(Event::Heard { child, chunk: chunk.into() }));
        }
    }

    fn overflow(&mut self, child: usize) {
        let process = &mut self.processes[child];
        if process.up && !std::mem::replace(&mut process.mute, true) {
            process.overlong = !self.reply && !process.told_to_end;
            self.has_overflowed = true;
            self.tell(Some(Event::Overlong { child }));
        }
    }

    fn crash(&mut self, child: usize) {
        let process = &mut self.processes[child];
        if !process.up {
            return;
        }
        let given_up = process.given_up;
        let process = std::mem::replace(process, Process { given_up, ..Process::default() });
        let read_bytes = process.taken;
        // It has read something that it has not answered, and nobody told it to end, or it left no choice.
        self.may_be_blamed = !process.read.is_empty() && (!process.told_to_end || process.overlong);
        self.tell(Some(Event::Ended { child, read_bytes, how: "exit status 1".into() }));
    }

    /// From now on everything works: all lines must be over soon.
    fn heal(&mut self) {
        for _ in 0..10_000 {
            if self.open.is_empty() && self.finished == self.ending {
                return;
            }
            for child in 0..self.processes.len() {
                self.start(child, true);
                self.apply(Op::Read(child, usize::MAX));
                self.answer(child, usize::MAX);
                let process = &self.processes[child];
                if process.told_to_end || process.closed || process.mute {
                    self.crash(child);
                }
            }
            if let Some(due) = self.machine.next_deadline() {
                self.now = self.now.max(due);
            }
            self.tell(None);
        }
        panic!("never over: {:?}", self.open);
    }
}
