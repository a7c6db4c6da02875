//! The task that owns the machine: events in, lines and children out.

use super::child::{Events, Life, Order};
use super::machine::{Action, Config, Event, LineEnd, LineId, Machine, Times};
use super::talk::{self, Talk, Talker};
use crate::supervisor::guard::{Guard, Program};
use core::time::Duration;
use proletariat_protocol::Time;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Events that wait for the machine: a child that talks faster waits in its own pipe.
const EVENTS_MAX: usize = 64;
/// Batches of lines taken in one turn.
const BATCHES_PER_TURN: usize = 64;

/// Which children, and how they are spoken to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to start.
    pub program: Program,
    /// How many.
    pub children: u32,
    /// See [`Config::reply`].
    pub reply: bool,
    /// See [`Config::depth`].
    pub depth: Option<u32>,
    /// The longest line that a child may write, in bytes.
    pub line_bytes_max: usize,
    /// Children that do not end with the end of their input are told to after this, and killed after as much again.
    pub kill_grace: Duration,
}

/// How the children are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// They work; so many lines may be with each of them.
    Serving {
        /// Children that can be started, as far as is known.
        children: u32,
        /// Lines without an answer.
        depth: u32,
    },
    /// No child can be started, for this reason: every line is refused.
    Failed(String),
    /// All of them have ended.
    Ended,
}

/// What has been done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Crashes over a line.
    pub crashes: u64,
    /// How long lines were in their children.
    pub times: Times,
}

/// Children that do lines. Dropped, they are ended.
#[derive(Debug)]
pub struct Lines {
    commands: mpsc::UnboundedSender<Vec<Event>>,
    state: watch::Receiver<State>,
    statistics: Arc<Mutex<Statistics>>,
}

/// What becomes of the lines, many at a time.
pub type Ends = mpsc::UnboundedReceiver<Vec<(LineId, LineEnd)>>;

impl Lines {
    /// Starts the children. Each line that is handed in comes out of the second half once; the third one has what the children say on
    /// standard error.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(settings: Settings) -> (Self, Ends, Talker) {
        let (commands, received) = mpsc::unbounded_channel();
        let (ends, ended) = mpsc::unbounded_channel();
        let (talk, talker) = talk::channel();
        let (events, happened) = mpsc::channel(EVENTS_MAX);
        let config = Config {
            children: settings.children,
            reply: settings.reply,
            depth: settings.depth,
            kill_grace: settings.kill_grace,
        };
        let machine = Machine::new(config);
        let (tell, state) = watch::channel(serving(&machine));
        let statistics = Arc::new(Mutex::new(Statistics::default()));
        let driver = Driver {
            machine,
            origin: Instant::now(),
            guard: Guard::new(),
            orders: (0..settings.children.max(1)).map(|_| None).collect(),
            settings,
            events,
            talk,
            ends,
            state: tell,
            statistics: Arc::clone(&statistics),
            over: Vec::new(),
        };
        tokio::spawn(driver.run(received, happened));
        (Self { commands, state, statistics }, ended, talker)
    }

    /// Hands in lines, and tells which ones nobody waits for any more.
    pub fn tell(&self, events: Vec<Event>) {
        // Without a driver everything has ended.
        let _ = self.commands.send(events);
    }

    /// How the children are, and every change of it.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// What has been done.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the children see the end of their input, and waits until they have ended. Dropped midway, they end all the same.
    pub async fn finish(&self) {
        self.tell(vec![Event::Finish]);
        self.ended().await;
    }

    /// Ends the children at once, and waits until they have ended. Dropped midway, they end all the same.
    pub async fn stop(&self) {
        self.tell(vec![Event::Stop]);
        self.ended().await;
    }

    async fn ended(&self) {
        // The driver may be gone already.
        let _ = self.state.clone().wait_for(|state| *state == State::Ended).await;
    }
}

struct Driver {
    machine: Machine,
    origin: Instant,
    guard: Guard,
    settings: Settings,
    /// To the children that run.
    orders: Vec<Option<mpsc::UnboundedSender<Order>>>,
    events: Events,
    talk: mpsc::Sender<Talk>,
    ends: mpsc::UnboundedSender<Vec<(LineId, LineEnd)>>,
    state: watch::Sender<State>,
    statistics: Arc<Mutex<Statistics>>,
    /// Over in this turn.
    over: Vec<(LineId, LineEnd)>,
}

impl Driver {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Vec<Event>>,
        mut happened: mpsc::Receiver<Event>,
    ) {
        let (mut told, mut heard, mut actions) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let now = self.now();
            told.drain(..).flatten().for_each(|event| self.machine.handle(now, event));
            heard.drain(..).for_each(|event| self.machine.handle(now, event));
            self.machine.poll(now, &mut actions);
            actions.drain(..).for_each(|action| self.perform(action));
            self.end_turn();
            if *self.state.borrow() == State::Ended {
                return;
            }
            let due = self.machine.next_deadline().map(|due| self.origin + Duration::from_micros(due.0));
            tokio::select! {
                count = commands.recv_many(&mut told, BATCHES_PER_TURN) => {
                    // Whoever handed lines in is gone: nobody waits for them.
                    if count == 0 {
                        return;
                    }
                }
                _ = happened.recv_many(&mut heard, EVENTS_MAX) => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Over { id, end } => self.over.push((id, end)),
            Action::Write { child, bytes } => self.order(child, Order::Write(bytes)),
            Action::Start { child } => self.start(child),
            Action::CloseInput { child } => self.order(child, Order::CloseInput),
            Action::Terminate { child } => self.order(child, Order::Terminate),
            Action::Stray { child, line } => {
                let line = String::from_utf8_lossy(&line);
                tracing::warn!(child = child + 1, %line, "not the line that was expected");
            }
            Action::Hint { child } => tracing::warn!(
                child = child + 1,
                "no reply for 2 s: a program that is not at a terminal mostly keeps its lines until it has many; \
                 try sed -u, python3 -u, grep --line-buffered, or stdbuf -oL before the program"
            ),
            Action::Depth(_) => self.serve(),
            Action::GaveUp { child, reason } => {
                tracing::error!("child {} is given up for now, the others go on: {reason}", child + 1);
                self.serve();
            }
            Action::Works { child } => {
                tracing::info!("child {} works again", child + 1);
                self.serve();
            }
            Action::Failed { reason } => {
                let program = self.settings.program.name().to_string_lossy();
                let is_named = reason.contains(&*program);
                let reason = if is_named { reason } else { format!("{program} {reason}") };
                self.state.send_replace(State::Failed(reason));
            }
            Action::Finished => drop(self.state.send_replace(State::Ended)),
        }
    }

    /// Tells how they work, unless they do not any more.
    fn serve(&self) {
        let serving = serving(&self.machine);
        self.state.send_if_modified(|state| {
            let is_serving = matches!(state, State::Serving { .. });
            if is_serving {
                *state = serving;
            }
            is_serving
        });
    }

    fn end_turn(&mut self) {
        if self.over.is_empty() {
            return;
        }
        let (crashes, times) = self.machine.statistics();
        let mut statistics = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        statistics.crashes = crashes;
        statistics.times.clone_from(times);
        drop(statistics);
        // Nobody may wait any more.
        let _ = self.ends.send(core::mem::take(&mut self.over));
    }

    fn order(&self, child: usize, order: Order) {
        if let Some(orders) = &self.orders[child] {
            // The child's task tells when it has ended.
            let _ = orders.send(order);
        }
    }

    fn start(&mut self, number: usize) {
        let (orders, received) = mpsc::unbounded_channel();
        self.orders[number] = Some(orders);
        let life = Life {
            number,
            guard: self.guard.clone(),
            program: self.settings.program.clone().kill_grace(self.settings.kill_grace),
            line_bytes_max: self.settings.line_bytes_max,
            orders: received,
            events: self.events.clone(),
            talk: self.talk.clone(),
        };
        tokio::spawn(life.live());
    }
}

fn serving(machine: &Machine) -> State {
    State::Serving { children: machine.counted_on(), depth: machine.depth() }
}
