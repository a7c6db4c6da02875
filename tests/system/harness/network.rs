//! Networks that can be cut: the manager and each peer have a network namespace of their own, with one line between the
//! manager and each. A line is cut in one direction by sending what goes that way to a hardware address that nobody has, which
//! every kernel can do, and of which neither end is told anything.
//!
//! A namespace lives as long as a process in it, and that reads from us: nothing is left however we end.

use super::{Running, Test, until};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

/// What goes in one direction of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    ToManager,
    FromManager,
}

impl Direction {
    pub(crate) const BOTH: [Self; 2] = [Self::ToManager, Self::FromManager];
}

/// The namespace of the manager, in which the test lives.
#[derive(Debug)]
pub(crate) struct Network<'a> {
    test: &'a Test,
    home: Namespace,
}

/// The namespace of a peer, at the other end of a line from the manager.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    network: &'a Network<'a>,
    namespace: Namespace,
    number: usize,
}

#[derive(Debug)]
struct Namespace {
    file: File,
    holder: Running,
}

/// Runs a scenario in a network of its own. Where the machine allows no namespaces it says so, and nothing is tested.
pub(crate) fn in_network(scenario: impl FnOnce(&Test, &Network<'_>) + Send) {
    // A thread of its own: it moves into the network and does not come back.
    let run = || {
        let test = Test::new();
        match Network::new(&test) {
            Ok(network) => scenario(&test, &network),
            Err(why) => eprintln!("no network namespaces on this machine, NOTHING was tested: {why}"),
        }
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

impl Namespace {
    fn new(test: &Test) -> Result<Self, String> {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo here; cat"]);
        let mut holder = test.spawn(command);
        let came = until("a namespace is there, or refused", || {
            (holder.out().contains("here") || !holder.is_running()).then(|| holder.is_running())
        });
        if !came {
            return Err(holder.close_input().ended().err);
        }
        let file = File::open(format!("/proc/{}/ns/net", holder.id())).map_err(|error| error.to_string())?;
        Ok(Self { file, holder })
    }

    /// This thread, and all processes that it starts from here on.
    fn enter(&self) -> Result<(), String> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| format!("cannot enter a network namespace: {error}"))
    }
}

fn ip(words: &str) -> Result<(), String> {
    let ended = Command::new("ip").args(words.split_whitespace()).output();
    let ended = ended.map_err(|error| format!("ip: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("ip {words}: {}", String::from_utf8_lossy(&ended.stderr)))
}

impl<'a> Network<'a> {
    fn new(test: &'a Test) -> Result<Self, String> {
        let home = Namespace::new(test)?;
        home.enter()?;
        ip("link set lo up")?;
        // The other end of a line is made where it belongs; this one tells whether there are such lines at all.
        ip("link add line type veth peer name end")?;
        ip("link del line")?;
        Ok(Self { test, home })
    }

    /// One more site, with a line that works. The number is its own.
    pub(crate) fn site(&'a self, number: usize) -> Site<'a> {
        let namespace = Namespace::new(self.test).unwrap();
        let site = Site { network: self, number, namespace };
        let (ours, theirs) = site.hardware_addresses();
        let pid = site.namespace.holder.id();
        let ends = format!("address {ours} type veth peer name line address {theirs} netns {pid}");
        ip(&format!("link add line{number} {ends}")).unwrap();
        ip(&format!("addr add {}/30 dev line{number}", site.manager_host())).unwrap();
        ip(&format!("link set line{number} up")).unwrap();
        site.here(|| {
            ip(&format!("addr add {}/30 dev line", site.host())).unwrap();
            ip("link set lo up").unwrap();
            ip("link set line up").unwrap();
        });
        for direction in Direction::BOTH {
            site.heal(direction);
        }
        site
    }
}

impl Site<'_> {
    /// Where the manager is, as seen from here.
    pub(crate) fn manager_host(&self) -> String {
        // A range for measurements: it is nobody's address.
        format!("198.18.{}.1", self.number)
    }

    fn host(&self) -> String {
        format!("198.18.{}.2", self.number)
    }

    /// The ends of the line: the manager's, and the one here.
    fn hardware_addresses(&self) -> (String, String) {
        let number = self.number;
        (format!("02:00:00:00:{number:02x}:01"), format!("02:00:00:00:{number:02x}:02"))
    }

    /// What is started meanwhile is started here.
    pub(crate) fn here<T>(&self, start: impl FnOnce() -> T) -> T {
        self.namespace.enter().unwrap();
        let started = start();
        self.network.home.enter().unwrap();
        started
    }

    /// Nothing arrives any more that goes this way.
    pub(crate) fn cut(&self, direction: Direction) {
        self.send_to("02:00:00:00:ff:ff", direction);
    }

    pub(crate) fn heal(&self, direction: Direction) {
        let (ours, theirs) = self.hardware_addresses();
        let right = match direction {
            Direction::ToManager => ours,
            Direction::FromManager => theirs,
        };
        self.send_to(&right, direction);
    }

    fn send_to(&self, hardware_address: &str, direction: Direction) {
        let neighbour = |host: String, line: String| {
            ip(&format!("neigh replace {host} lladdr {hardware_address} dev {line} nud permanent")).unwrap();
        };
        match direction {
            Direction::ToManager => self.here(|| neighbour(self.manager_host(), "line".into())),
            Direction::FromManager => neighbour(self.host(), format!("line{}", self.number)),
        }
    }
}
