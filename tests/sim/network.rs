//! Streams of bytes between processes and the manager. Each direction keeps its order, as TCP does; what is written arrives
//! later and in pieces, or not at all.

use std::collections::{BTreeMap, VecDeque};

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Peer,
    Manager,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Peer => Self::Manager,
            Self::Manager => Self::Peer,
        }
    }
}

/// What travels.
#[derive(Clone, Debug)]
pub enum Segment {
    Bytes(Vec<u8>),
    /// Nothing follows.
    End,
    /// The connection is broken: what was not read is lost.
    Reset,
}

/// One direction, named for who reads it.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Arrived and not read.
    pub arrived: VecDeque<u8>,
    /// Bytes under way.
    pub flying: usize,
    /// Nothing may arrive earlier.
    pub last_arrival: u64,
    /// Nothing gets through: what comes is kept until it does.
    pub silenced: bool,
    pub kept: Vec<Segment>,
    pub ended: bool,
    pub broken: bool,
    /// The writer waits for room.
    pub blocked: bool,
}

/// A connection of a host.
#[derive(Debug)]
pub struct Connection {
    pub host: usize,
    pub to_peer: Pipe,
    pub to_manager: Pipe,
    /// Whether each end still has its socket.
    pub peer_open: bool,
    pub manager_open: bool,
}

impl Connection {
    pub fn new(host: usize) -> Self {
        Self {
            host,
            to_peer: Pipe::default(),
            to_manager: Pipe::default(),
            peer_open: true,
            manager_open: false,
        }
    }

    /// The direction that this side reads.
    pub fn to(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Peer => &mut self.to_peer,
            Side::Manager => &mut self.to_manager,
        }
    }

    pub fn open(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Peer => &mut self.peer_open,
            Side::Manager => &mut self.manager_open,
        }
    }
}

/// What a read found.
#[derive(Debug, Default)]
pub struct Read {
    pub bytes: Vec<u8>,
    /// Nothing follows, or it is broken.
    pub over: bool,
}

/// All connections, by number.
pub type Connections = BTreeMap<u64, Connection>;
