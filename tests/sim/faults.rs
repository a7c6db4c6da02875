//! What goes wrong in act one: each sort of fault comes again and again, at random times.

use crate::environment::{Environment, Happening, MANAGER};
use crate::network::Side;
use crate::options::Faults;
use crate::peer::Part;
use crate::world::World;
use proletariat_protocol::Time;
use std::time::Duration;

const SORTS: usize = 12;

/// The sorts, with the mean milliseconds between two of them.
fn sorts(faults: &Faults) -> [u64; SORTS] {
    [
        faults.reset,
        faults.half_open,
        faults.silence,
        faults.stall,
        faults.crash_manager,
        faults.crash_worker,
        faults.crash_client,
        faults.drain_worker,
        faults.drain_manager,
        faults.slow_reader,
        faults.sleep,
        faults.partition,
    ]
}

/// The first of each sort.
pub fn begin(env: &mut Environment) {
    for sort in 0..SORTS {
        plan(env, sort);
    }
}

fn plan(env: &mut Environment, sort: usize) {
    let mean = sorts(&env.options.faults)[sort];
    if mean > 0 && !env.healed {
        let wait = env.random.below(2_000 * mean);
        env.after(wait, Happening::Fault(sort));
    }
}

impl World<'_> {
    /// A fault of a sort happens, and the next one is planned.
    pub fn fault(&mut self, sort: usize) {
        if self.env.healed {
            return;
        }
        match sort {
            0 => self.reset_connection(false),
            1 => self.reset_connection(true),
            2 => self.silence(),
            3 => self.stall(),
            4 => self.crash_manager(),
            5 => self.crash_host(true),
            6 => self.crash_host(false),
            7 => self.drain_worker(),
            8 => self.drain_manager(),
            9 => self.slow_reader(),
            10 => self.sleep(),
            _ => self.partition(),
        }
        plan(&mut self.env, sort);
    }

    fn any_connection(&mut self) -> Option<u64> {
        let all: Vec<u64> = self.env.network.keys().copied().collect();
        (!all.is_empty()).then(|| *self.env.random.pick(&all))
    }

    /// A connection breaks: for both ends, or for one end only.
    fn reset_connection(&mut self, half: bool) {
        let Some(connection) = self.any_connection() else { return };
        let first = if self.env.random.percent(50) { Side::Peer } else { Side::Manager };
        self.env.note(|| format!("connection {connection} breaks for {first:?}, half {half}"));
        self.env.break_for(connection, first);
        if half {
            self.env.silence(connection, first.other());
        } else {
            self.env.break_for(connection, first.other());
        }
    }

    /// Nothing gets through to one end, or to both, for a while.
    fn silence(&mut self) {
        let Some(connection) = self.any_connection() else { return };
        for side in [Side::Peer, Side::Manager] {
            if self.env.random.percent(70) {
                self.env.note(|| format!("connection {connection} is silent to {side:?}"));
                self.env.silence(connection, side);
                let wait = self.env.random.below(40_000_000);
                self.env.after(wait, Happening::Speak { connection, side });
            }
        }
    }

    /// A process is stopped, and goes on later.
    fn stall(&mut self) {
        let hosts = self.hosts.len() as u64;
        let at = self.env.random.below(hosts + 1);
        let wait = *self.env.random.pick(&[200_000, 2_000_000, 20_000_000, 45_000_000]);
        let until = Time(self.env.now.0 + self.env.random.below(wait));
        if at == hosts {
            self.env.note(|| format!("the manager is stopped until {until:?}"));
            self.manager_stalled = until;
            self.env.wake(MANAGER, until);
        } else {
            self.env.note(|| format!("host {at} is stopped until {until:?}"));
            self.hosts[at as usize].stalled = until;
            self.env.wake(at as usize, until);
        }
    }

    fn crash_manager(&mut self) {
        if self.manager.take().is_none() {
            return;
        }
        self.env.note(|| "the manager crashes".into());
        let silently = self.env.random.percent(30);
        for connection in self.env.network.keys().copied().collect::<Vec<_>>() {
            if silently {
                self.env.network.get_mut(&connection).expect("listed above").manager_open = false;
            } else {
                self.env.close(connection, Side::Manager);
            }
        }
        let wait = self.env.random.below(8_000_000);
        self.env.after(wait, Happening::Start { node: MANAGER });
    }

    fn crash_host(&mut self, worker: bool) {
        let is = |process: &crate::peer::Process| matches!(process.part, Part::Worker(_)) == worker;
        let all = self.hosts.iter().enumerate().filter(|(_, host)| host.process.as_ref().is_some_and(is));
        let all: Vec<usize> = all.map(|(at, _)| at).collect();
        if all.is_empty() {
            return;
        }
        let at = *self.env.random.pick(&all);
        let silently = self.env.random.percent(30);
        self.env.note(|| format!("host {at} crashes, silently {silently}"));
        if let Some(mut process) = self.hosts[at].process.take() {
            process.crash(&mut self.env, silently);
        }
        let wait = self.env.random.below(5_000_000);
        self.env.after(wait, Happening::Start { node: at });
    }

    fn drain_worker(&mut self) {
        let at = self.env.random.below(self.hosts.len() as u64) as usize;
        if let Some(process) = &mut self.hosts[at].process
            && let Part::Worker(worker) = &mut process.part
        {
            worker.drain(&mut self.env);
        }
    }

    fn drain_manager(&mut self) {
        let time = Duration::from_millis(self.env.random.below(10_000));
        if let Some(manager) = &mut self.manager {
            manager.drain(&mut self.env, time);
        }
    }

    fn slow_reader(&mut self) {
        let at = self.env.random.below(self.hosts.len() as u64) as usize;
        let wait = *self.env.random.pick(&[2_000_000, 20_000_000, 60_000_000]);
        let from = Time(self.env.now.0 + self.env.random.below(wait));
        if let Some(process) = &mut self.hosts[at].process {
            self.env.note(|| format!("host {at} reads nothing until {from:?}"));
            self.env.count("slow reader");
            process.reads_from = from;
        }
    }

    fn sleep(&mut self) {
        let until = Time(self.env.now.0 + self.env.random.below(60_000_000));
        self.env.note(|| format!("everybody is stopped until {until:?}"));
        self.env.count("sleep");
        self.manager_stalled = until;
        self.env.wake(MANAGER, until);
        for at in 0..self.hosts.len() {
            self.hosts[at].stalled = until;
            self.env.wake(at, until);
        }
    }

    /// Nothing gets through to a host or from it. Some lines are healed long after act two has begun.
    fn partition(&mut self) {
        let at = self.env.random.below(self.hosts.len() as u64) as usize;
        let wait = *self.env.random.pick(&[2_000_000, 20_000_000, 90_000_000]);
        let until = Time(self.env.now.0 + self.env.random.below(wait));
        self.env.note(|| format!("host {at} is cut off until {until:?}"));
        self.env.count("partition");
        self.env.cut.insert(at, until);
        let own = self.env.network.iter().filter(|(_, connection)| connection.host == at);
        for connection in own.map(|(connection, _)| *connection).collect::<Vec<_>>() {
            for side in [Side::Peer, Side::Manager] {
                self.env.silence(connection, side);
                self.env.schedule(until, Happening::Speak { connection, side });
            }
        }
    }
}
