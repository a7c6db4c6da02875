//! How a simulated manager refuses and ends, as the product's driver does it: connections over the bound are told so, a
//! manager that drains lets what runs finish and tells everybody when to look for the next one.

use crate::environment::Environment;
use crate::liveness::Phase;
use crate::manager::{LAST_WORD, Manager};
use proletariat::net::Order;
use proletariat_protocol::handshake::Refusal;
use proletariat_protocol::message::ManagerMessage;
use proletariat_protocol::{ErrorCode, Time};
use proletariat_scheduler::Event;
use std::time::Duration;

const LEAVING_TIME: Duration = Duration::from_secs(5);
const RETRY_AFTER_MS: u32 = 500;

/// Where a manager stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Open,
    Draining { until: Time },
    Leaving { until: Time },
}

impl Stage {
    /// When it goes on by itself.
    pub fn until(self) -> Time {
        match self {
            Self::Open => Time::NEVER,
            Self::Draining { until } | Self::Leaving { until } => until,
        }
    }
}

fn refusal(code: ErrorCode) -> Refusal {
    Refusal { code, message: "not now".into(), retry: true, retry_after_ms: RETRY_AFTER_MS }
}

impl Manager {
    /// Whether anybody listens.
    pub fn listens(&self) -> bool {
        !matches!(self.stage, Stage::Leaving { .. })
    }

    /// What a new connection is told if there is no place for it.
    pub fn no_place(&self, env: &Environment) -> Option<Refusal> {
        let most = env.options.connections_max;
        (most > 0 && self.sessions.len() >= most).then(|| refusal(ErrorCode::Overload))
    }

    /// What every new peer is told.
    pub fn closed(&self) -> Option<Refusal> {
        (self.stage != Stage::Open).then(|| refusal(ErrorCode::Shutdown))
    }

    /// A greeting has its answer, and it is no.
    pub fn refuse(&mut self, env: &mut Environment, connection: u64, answer: Vec<u8>, why: &str) {
        let Some(session) = self.sessions.get_mut(&connection) else { return };
        let expected = session.closed.is_some() || self.stage != Stage::Open;
        env.books.require(expected, "handshake", || why.to_owned());
        env.count(if self.stage == Stage::Open { "refused: full" } else { "refused: stopping" });
        session.first = answer;
        session.liveness.enter(Phase::Closing(env.now + LAST_WORD), env.now);
        session.look = env.now;
    }

    /// Takes no new work and lets what runs finish.
    pub fn drain(&mut self, env: &mut Environment, time: Duration) {
        if self.stage == Stage::Open {
            env.note(|| format!("the manager drains for {time:?}"));
            env.count("manager drains");
            self.stage = Stage::Draining { until: env.now + time };
            self.tell(env, Event::Draining);
        }
    }

    /// The next step of the way out.
    pub fn go_on_stopping(&mut self, env: &mut Environment) {
        let Stage::Draining { until } = self.stage else { return };
        if env.now < until && self.status(env.now).assignments > 0 {
            return;
        }
        let word = ManagerMessage::Leaving {
            code: ErrorCode::Shutdown,
            message: String::new(),
            retry: true,
            retry_after_ms: RETRY_AFTER_MS,
        };
        for connection in self.sessions.keys().copied().collect::<Vec<_>>() {
            if self.sessions[&connection].speaker.is_none() {
                if self.sessions[&connection].waiting() == 0 {
                    self.lose(env, connection);
                }
                continue;
            }
            self.part(env, connection);
            let session = self.sessions.get_mut(&connection).expect("listed above");
            session.push(&word, &[], Order::Barrier);
            session.liveness.enter(Phase::Closing(env.now + LEAVING_TIME), env.now);
            session.look = env.now;
        }
        self.stage = Stage::Leaving { until: env.now + LEAVING_TIME };
    }

    /// Whether it is over. Connections that are left break.
    pub fn has_ended(&mut self, env: &mut Environment) -> bool {
        let ended =
            matches!(self.stage, Stage::Leaving { until } if env.now >= until || self.sessions.is_empty());
        if ended {
            for connection in self.sessions.keys().copied().collect::<Vec<_>>() {
                env.close(connection, crate::network::Side::Manager);
            }
        }
        ended
    }
}
