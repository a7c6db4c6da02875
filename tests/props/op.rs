//! What may happen to a scheduler, as small numbers: who and what is meant is found out when it happens, so any part of a
//! list of happenings is itself one, and a failing list can be cut down.

use crate::random::Random;
use proletariat_protocol::{HandBackReason, JobOptions, Offer, WorkResult};
use proletariat_scheduler::OutboxLevel;

/// One happening.
#[derive(Clone, Debug)]
pub enum Op {
    /// The burst is over and so many microseconds pass.
    Pass(u64),
    Join {
        instance: u8,
        client: bool,
        worker: bool,
    },
    Leave(u64),
    Submit {
        by: u64,
        count: u64,
        bytes: usize,
        options: JobOptions,
    },
    Abort {
        by: u64,
        first: u64,
        count: u64,
    },
    Offer {
        by: u64,
        offer: Offer,
    },
    Withdraw(u64),
    Start(u64),
    Finish(u64, WorkResult),
    HandBack(u64, HandBackReason),
    Crash(u64),
    Stop(u64),
    Data(u64),
    Progress(u64),
    /// To: 0 all, 1 manager, else a peer.
    Message {
        by: u64,
        to: u64,
        timeout_ms: u64,
    },
    Confirm(u64),
    Outbox {
        peer: u64,
        level: OutboxLevel,
    },
    /// A word about an assignment that has ended, or of a worker that does not have it.
    Late {
        which: u64,
        by: u64,
        word: u64,
    },
    Drain,
}

const KINDS: [Option<&str>; 4] = [None, Some("add"), Some("mult"), Some("sort")];

/// How likely each happening is; some are off, so that the others get room.
pub struct Mix {
    weights: Vec<u32>,
    similar: bool,
    kinds: bool,
    clocks: bool,
}

impl Mix {
    pub fn draw(random: &mut Random) -> Self {
        let usual = [30, 6, 2, 16, 4, 8, 1, 12, 14, 3, 2, 5, 3, 2, 2, 3, 3, 4, 0];
        let mut weights: Vec<u32> = usual.to_vec();
        for weight in &mut weights[4..] {
            match random.below(4) {
                0 => *weight = 0,
                1 => *weight *= 4,
                _ => {}
            }
        }
        weights[5] = weights[5].max(4);
        weights[18] = u32::from(random.percent(5));
        Self { weights, similar: random.percent(50), kinds: random.percent(60), clocks: random.percent(60) }
    }

    pub fn op(&self, random: &mut Random) -> Op {
        let any = random.next();
        match random.weighted(&self.weights) {
            0 => Op::Pass(pass(random)),
            1 => Op::Join {
                instance: random.below(40) as u8,
                client: random.percent(60),
                worker: random.percent(60),
            },
            2 => Op::Leave(any),
            3 => self.submit(random),
            4 => Op::Abort { by: any, first: random.below(12), count: random.between(1, 4) },
            5 => Op::Offer { by: any, offer: self.offer(random) },
            6 => Op::Withdraw(any),
            7 => Op::Start(any),
            8 => Op::Finish(any, result(random)),
            9 => Op::HandBack(any, reason(random)),
            10 => Op::Crash(any),
            11 => Op::Stop(any),
            12 => Op::Data(any),
            13 => Op::Progress(any),
            14 => Op::Message { by: any, to: random.below(8), timeout_ms: *random.pick(&[0, 0, 100]) },
            15 => Op::Confirm(any),
            16 => Op::Outbox { peer: any, level: level(random) },
            17 => Op::Late { which: any, by: random.next(), word: random.below(6) },
            _ => Op::Drain,
        }
    }

    fn submit(&self, random: &mut Random) -> Op {
        let clock = |random: &mut Random, on: bool| {
            if on && random.percent(30) { *random.pick(&[1_u32, 20, 60, 400, 3_000, 40_000]) } else { 0 }
        };
        let options = JobOptions {
            priority: *random.pick(&[0, 0, 0, 1, 2, 2, 3, 7, u32::MAX]),
            kind: self.kind(random).map(str::to_owned),
            key: (self.similar && random.percent(70)).then(|| vec![random.below(3) as u8]),
            timeout_ms: clock(random, self.clocks),
            assign_timeout_ms: clock(random, self.clocks),
            run_timeout_ms: clock(random, self.clocks),
            max_attempts: *random.pick(&[None, None, Some(1), Some(2), Some(0)]),
            no_wait: random.percent(5),
            stream: random.percent(40),
        };
        Op::Submit {
            by: random.next(),
            count: random.between(1, 4),
            bytes: random.between(8, 40) as usize,
            options,
        }
    }

    fn kind(&self, random: &mut Random) -> Option<&'static str> {
        if self.kinds { *random.pick(&KINDS) } else { None }
    }

    fn offer(&self, random: &mut Random) -> Offer {
        let mut offer = Offer::new(random.between(1, 6) as u32);
        for bound in [1, 2, 5] {
            if random.percent(40) {
                offer = offer.guarantee(bound, random.below(3) as u32);
            }
        }
        if self.kinds && random.percent(50) {
            let named = KINDS.iter().flatten().copied().filter(|_| random.percent(60)).collect::<Vec<_>>();
            offer = offer.kinds(if named.is_empty() { vec!["add"] } else { named });
        }
        offer
    }
}

fn pass(random: &mut Random) -> u64 {
    match random.below(10) {
        0..4 => 0,
        4..7 => random.below(2_000),
        7..9 => random.below(200_000),
        _ => random.below(40_000_000),
    }
}

fn result(random: &mut Random) -> WorkResult {
    use WorkResult::{Done, Failed, RunTimeout, TooLarge};
    *random.pick(&[Done, Done, Done, Done, Failed, RunTimeout, RunTimeout, TooLarge])
}

fn reason(random: &mut Random) -> HandBackReason {
    use HandBackReason::{Busy, Leaving, NotMyKind, Unfit};
    *random.pick(&[Busy, Busy, NotMyKind, Unfit, Unfit, Unfit, Leaving])
}

fn level(random: &mut Random) -> OutboxLevel {
    use OutboxLevel::{Clear, Paused, Waiting};
    *random.pick(&[Clear, Clear, Waiting, Paused])
}
