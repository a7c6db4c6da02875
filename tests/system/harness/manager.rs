//! A manager, and the ways to give options to an executable.

use super::raw::{ADMIN, Greeted, Peer, hello};
use super::{Ended, Running, Test, Trust, Wire, until};
use proletariat_protocol::handshake::Roles;
use proletariat_protocol::{Offer, Payload};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;

/// The three places for options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Flag,
    Environment,
    File,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Flag, Self::Environment, Self::File];

    /// The executable with these options (names in snake case).
    pub(crate) fn command(self, test: &Test, name: &str, options: &[(&str, &str)]) -> Command {
        let mut command = test.command(name, &[]);
        match self {
            Self::Flag => {
                for (option, value) in options {
                    command.arg(format!("--{}={value}", option.replace('_', "-")));
                }
            }
            Self::Environment => {
                for (option, value) in options {
                    command.env(format!("PROLETARIAT_{}", option.to_uppercase()), value);
                }
            }
            Self::File => {
                let lines: Vec<_> =
                    options.iter().map(|(option, value)| format!("{option} = {}\n", toml(value))).collect();
                let number = super::names(&test.path("")).len();
                let path = test.file(&format!("{name}-{number}.toml"), &lines.concat());
                command.arg("--config").arg(path);
            }
        }
        command
    }
}

/// The value as a person would write it in a file.
fn toml(value: &str) -> String {
    if value.parse::<i64>().is_ok() || value == "true" { value.to_owned() } else { format!("'{value}'") }
}

/// The port in the line that says where it listens.
fn listening_port(log: &str) -> Option<u16> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    let digits: String = line.rsplit_once(':')?.1.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A manager that runs.
#[derive(Debug)]
pub(crate) struct Manager<'a> {
    test: &'a Test,
    pub(crate) process: Running,
    pub(crate) port: u16,
    /// Where raw peers have to speak TLS: whom they trust.
    pub(crate) trust: Option<Trust>,
}

impl<'a> Manager<'a> {
    pub(super) fn start(test: &'a Test, port: u16, mut command: Command) -> Self {
        let file = test.path(&format!("port-{}", super::names(&test.path("")).len()));
        command.args(["--port", &port.to_string(), "--port-file"]).arg(&file);
        let manager = Self::started(test, command);
        // Who kills it before it has written the file would find half of it.
        until("the port file is there", || file.exists().then_some(()));
        manager
    }

    /// A manager whose options say where it tells its port.
    pub(crate) fn started(test: &'a Test, command: Command) -> Self {
        let mut process = test.spawn(command);
        let port = until("the manager tells its port", || {
            let running = process.is_running();
            assert!(running, "the manager has ended: {}", process.err());
            listening_port(&process.err())
        });
        test.remember_port(port);
        Self { test, process, port, trust: None }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    fn with_port<'b>(&self, arguments: &[&'b str], port: &'b str) -> Vec<&'b str> {
        let mut words = arguments.to_vec();
        words.extend(["--port", port]);
        words
    }

    /// A worker that comes back quickly when the manager was gone.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Running {
        let port = self.port.to_string();
        let words = [&["--con-retrytime", "50ms"], &self.with_port(arguments, &port)[..]].concat();
        self.test.start("worker", &words)
    }

    /// A worker, once the manager has its offer.
    pub(crate) fn ready_worker(&self, arguments: &[&str]) -> Running {
        let before = self.workers().len();
        let worker = self.worker(arguments);
        self.until_workers(before + 1);
        worker
    }

    /// A client that has begun.
    pub(crate) fn client(&self, arguments: &[&str]) -> Running {
        let port = self.port.to_string();
        self.test.start("client", &self.with_port(arguments, &port))
    }

    /// A client, run to its end.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Ended {
        self.client(arguments).close_input().ended()
    }

    /// The same with lines on standard input.
    pub(crate) fn ask_with(&self, arguments: &[&str], input: impl Into<Vec<u8>>) -> Ended {
        self.client(arguments).feed(input).ended()
    }

    /// A peer that speaks the bare wire.
    pub(crate) fn peer(&self, roles: Roles) -> Peer {
        match Peer::try_join_over(Wire::to(self.address(), self.trust.as_ref()), &hello(roles)) {
            Greeted::Welcome(peer) => *peer,
            Greeted::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    /// The same with an accepted offer.
    pub(crate) fn raw_worker(&self, offer: Offer) -> Peer {
        let mut worker = self.peer(super::WORKER);
        worker.offer(offer);
        worker
    }

    /// What the manager knows.
    pub(crate) fn status(&self) -> Value {
        let mut peer = self.peer(ADMIN);
        let text: Payload = peer.status();
        serde_json::from_slice(&text).unwrap()
    }

    pub(crate) fn workers(&self) -> Vec<Value> {
        self.status()["workers"].as_array().unwrap().clone()
    }

    /// One number of the part `manager` of the status.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.status()["manager"][name].as_u64().unwrap_or_else(|| panic!("no number {name} in the status"))
    }

    /// Waits until the status is as wanted.
    pub(crate) fn until(&self, what: &str, look: impl Fn(&Value) -> bool) -> Value {
        until(what, || Some(self.status()).filter(&look))
    }

    pub(crate) fn until_workers(&self, count: usize) {
        self.until(&format!("{count} workers"), |status| {
            status["workers"].as_array().unwrap().len() == count
        });
    }

    /// Waits until so many jobs run, or have been given to workers.
    pub(crate) fn until_assigned(&self, count: u64) {
        self.until(&format!("{count} assignments"), |status| status["manager"]["assignments"] == count);
    }

    pub(crate) fn until_queued(&self, count: u64) {
        self.until(&format!("{count} queued jobs"), |status| status["manager"]["queued_jobs"] == count);
    }

    /// Nothing queued, nothing running, nothing open.
    pub(crate) fn until_idle(&self) {
        self.until("the manager is idle", |status| {
            ["queued_jobs", "open_jobs", "assignments"].iter().all(|name| status["manager"][*name] == 0)
        });
    }

    /// Kills it without a word and waits until its port is free.
    pub(crate) fn kill(self) {
        drop(self.process);
    }
}
