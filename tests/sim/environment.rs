//! What everybody in the world shares: the clock, the agenda, the network, the dice, the trace, the books.

use crate::books::Books;
use crate::jobs::Jobs;
use crate::network::{Connection, Connections, Read, Segment, Side};
use crate::options::Options;
use crate::random::Random;
use proletariat::worker::machine::RunId;
use proletariat_protocol::Time;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The manager, as a node.
pub const MANAGER: usize = usize::MAX;

/// Something that will happen.
#[derive(Clone, Debug)]
pub enum Happening {
    Arrive {
        connection: u64,
        side: Side,
        segment: Segment,
    },
    /// A node looks at what there is to do.
    Turn {
        node: usize,
    },
    /// A connection reaches the manager.
    Knock {
        connection: u64,
    },
    /// It was accepted, or nobody listens.
    Answered {
        connection: u64,
        open: bool,
    },
    /// The owner of a process does something.
    Doing {
        host: usize,
        process: u64,
    },
    /// A handler goes on.
    Handler {
        host: usize,
        process: u64,
        run: RunId,
    },
    /// The owner took data of a job.
    Taken {
        host: usize,
        process: u64,
        job: u64,
        bytes: u64,
    },
    Fault(usize),
    Speak {
        connection: u64,
        side: Side,
    },
    Start {
        node: usize,
    },
    Heal,
}

/// See the head of the file.
pub struct Environment {
    pub now: Time,
    pub options: Options,
    pub random: Random,
    pub network: Connections,
    pub jobs: Jobs,
    pub books: Books,
    /// Act two has begun.
    pub healed: bool,
    pub trace: Trace,
    /// How often something happened that is worth to be known.
    pub counts: BTreeMap<&'static str, u64>,
    /// Hosts behind a line that is cut: nothing that they begin arrives before then.
    pub cut: BTreeMap<usize, Time>,
    agenda: BinaryHeap<Reverse<(Time, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    turns: BTreeMap<usize, Time>,
    serial: u64,
    connections: u64,
    processes: u64,
    pub happened: u64,
}

/// What happened, as a number, and as text if somebody reads it.
pub struct Trace {
    pub hash: u64,
    pub lines: Option<Vec<String>>,
}

impl Trace {
    pub fn mark(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
}

impl Environment {
    pub fn new(options: Options, random: Random, tracing: bool) -> Self {
        Self {
            now: Time::from_millis(1_000),
            books: Books::new(options.scheduler.clone()),
            options,
            random,
            network: Connections::new(),
            jobs: Jobs::default(),
            healed: false,
            trace: Trace { hash: 0xcbf2_9ce4_8422_2325, lines: tracing.then(Vec::new) },
            counts: BTreeMap::new(),
            cut: BTreeMap::new(),
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            turns: BTreeMap::new(),
            serial: 0,
            connections: 0,
            processes: 0,
            happened: 0,
        }
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.trace.lines {
            lines.push(format!("{:>12.6} {}", self.now.0 as f64 / 1e6, line()));
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub fn schedule(&mut self, at: Time, happening: Happening) {
        self.serial += 1;
        self.agenda.push(Reverse((at.max(self.now), self.serial)));
        self.happenings.insert(self.serial, happening);
    }

    pub fn after(&mut self, micros: u64, happening: Happening) {
        self.schedule(Time(self.now.0 + micros), happening);
    }

    /// The next happening until then; the clock goes on to it.
    pub fn next(&mut self, until: Time) -> Option<Happening> {
        let Reverse((at, serial)) = *self.agenda.peek()?;
        if at > until {
            self.now = until;
            return None;
        }
        self.agenda.pop();
        self.now = at;
        self.happened += 1;
        self.trace.mark(at.0);
        self.trace.mark(serial);
        self.happenings.remove(&serial)
    }

    /// A node is to have its turn by then.
    pub fn wake(&mut self, node: usize, at: Time) {
        let at = at.max(self.now);
        if self.turns.get(&node).is_none_or(|turn| at < *turn) {
            self.turns.insert(node, at);
            self.schedule(at, Happening::Turn { node });
        }
    }

    /// Whether this is the turn that the node waits for; it waits for none then.
    pub fn takes_turn(&mut self, node: usize) -> bool {
        let due = self.turns.get(&node) == Some(&self.now);
        if due {
            self.turns.remove(&node);
        }
        due
    }

    pub fn next_process(&mut self) -> u64 {
        self.processes += 1;
        self.processes
    }

    fn travel(&mut self) -> u64 {
        let network = &self.options.network;
        network.latency + self.random.below(network.jitter + 1)
    }

    fn node(&self, connection: u64, side: Side) -> usize {
        match side {
            Side::Peer => self.network[&connection].host,
            Side::Manager => MANAGER,
        }
    }

    /// When something arrives that is sent now, between this host and the manager.
    fn beyond_the_cut(&mut self, host: usize) -> Time {
        let travel = self.travel();
        let from = self.cut.get(&host).copied().unwrap_or(Time::ZERO).max(self.now);
        Time(from.0 + travel)
    }

    /// A process opens a connection.
    pub fn connect(&mut self, host: usize) -> u64 {
        self.connections += 1;
        let connection = self.connections;
        self.network.insert(connection, Connection::new(host));
        let arrives = self.beyond_the_cut(host);
        self.schedule(arrives, Happening::Knock { connection });
        connection
    }

    /// The manager took it, or there is none.
    pub fn answer(&mut self, connection: u64, open: bool) {
        let Some(host) = self.network.get(&connection).map(|found| found.host) else { return };
        let arrives = self.beyond_the_cut(host);
        self.network.get_mut(&connection).expect("it is there").manager_open = open;
        self.schedule(arrives, Happening::Answered { connection, open });
    }

    fn send(&mut self, connection: u64, side: Side, segment: Segment) {
        let travel = self.travel();
        let at = self.now.0 + travel;
        let Some(found) = self.network.get_mut(&connection) else { return };
        let pipe = found.to(side);
        pipe.last_arrival = pipe.last_arrival.max(at);
        let at = Time(pipe.last_arrival);
        self.schedule(at, Happening::Arrive { connection, side, segment });
    }

    /// Writes what there is room for; how much that was.
    pub fn write(&mut self, connection: u64, from: Side, bytes: &[u8]) -> usize {
        let window = self.options.network.window;
        let Some(found) = self.network.get_mut(&connection) else { return bytes.len() };
        let pipe = found.to(from.other());
        let room = window.saturating_sub(pipe.flying + pipe.arrived.len());
        let taken = bytes.len().min(room);
        pipe.flying += taken;
        pipe.blocked = taken < bytes.len();
        let mut rest = &bytes[..taken];
        for byte in rest.chunks(8) {
            let mut word = [0; 8];
            word[..byte.len()].copy_from_slice(byte);
            self.trace.mark(u64::from_le_bytes(word));
        }
        while !rest.is_empty() {
            let cut = if self.options.network.splits && self.random.percent(60) {
                self.random.between(1, rest.len() as u64) as usize
            } else {
                rest.len()
            };
            let (piece, others) = rest.split_at(cut);
            rest = others;
            self.send(connection, from.other(), Segment::Bytes(piece.to_vec()));
        }
        taken
    }

    /// Reads all that has arrived.
    pub fn read(&mut self, connection: u64, side: Side) -> Read {
        let Some(found) = self.network.get_mut(&connection) else {
            return Read { bytes: Vec::new(), over: true };
        };
        let pipe = found.to(side);
        if pipe.broken {
            return Read { bytes: Vec::new(), over: true };
        }
        let bytes: Vec<u8> = pipe.arrived.drain(..).collect();
        let over = pipe.ended;
        if !bytes.is_empty() && std::mem::take(&mut pipe.blocked) {
            let writer = self.node(connection, side.other());
            let travel = self.options.network.latency;
            self.wake(writer, Time(self.now.0 + travel));
        }
        Read { bytes, over }
    }

    /// This end closes its socket.
    pub fn close(&mut self, connection: u64, side: Side) {
        let Some(found) = self.network.get_mut(&connection) else { return };
        if std::mem::take(found.open(side)) {
            self.send(connection, side.other(), Segment::End);
        }
    }

    /// The connection breaks for this end, after the time that the news takes.
    pub fn break_for(&mut self, connection: u64, side: Side) {
        self.send(connection, side, Segment::Reset);
    }

    /// Nothing gets through to this end.
    pub fn silence(&mut self, connection: u64, side: Side) {
        if let Some(found) = self.network.get_mut(&connection) {
            found.to(side).silenced = true;
        }
    }

    /// What was kept gets through.
    pub fn speak(&mut self, connection: u64, side: Side) {
        let Some(found) = self.network.get_mut(&connection) else { return };
        let pipe = found.to(side);
        pipe.silenced = false;
        for segment in std::mem::take(&mut pipe.kept) {
            self.arrive(connection, side, segment);
        }
    }

    pub fn arrive(&mut self, connection: u64, side: Side, segment: Segment) {
        let Some(found) = self.network.get_mut(&connection) else { return };
        let open = *found.open(side);
        let pipe = found.to(side);
        if pipe.silenced {
            return pipe.kept.push(segment);
        }
        match segment {
            Segment::Bytes(bytes) => {
                pipe.flying -= bytes.len();
                if open {
                    pipe.arrived.extend(bytes);
                } else {
                    // Nobody has this socket any more: the sender is told.
                    return self.break_for(connection, side.other());
                }
            }
            Segment::End => pipe.ended = true,
            Segment::Reset => pipe.broken = true,
        }
        if open {
            let node = self.node(connection, side);
            self.wake(node, self.now);
        } else if !found.peer_open && !found.manager_open {
            self.network.remove(&connection);
        }
    }
}
