//! Our own wire, version 1, written to protocol/PROTOCOL.md: as lean as the others, and as with the others all jobs of a turn
//! go out as they come. A worker answers all assignments of one message with one message. Nothing is allocated for a job.
//!
//! What the others cannot do is asked for by `Plan`: jobs of several priorities and kinds, with timeouts; guarantees; workers
//! of one kind each; jobs that hold their slot for a time, or until they are told.
use super::be32;
use crate::drv::*;
use crate::plan::Plan;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

const MAGIC: &[u8] = &[0xd7, b'P', b'R', b'O', 0, 1, 0, 1];
/// What senders put into one message.
const MESSAGE_BYTES_MAX: usize = 262_144;
const JOBS_MAX: usize = 65_536;
/// Half of what names a session of this process.
static INSTANCE: OnceLock<u64> = OnceLock::new();

#[derive(Default)]
pub struct Ours {
    client: ConnId,
    submitted: u64,
    /// The jobs of this turn, by kind and priority.
    classes: Vec<Class>,
    /// Those classes that have any.
    used: Vec<usize>,
    sizes: Vec<u8>,
    greeted: Vec<bool>,
    held: VecDeque<Held>,
}

#[derive(Default)]
struct Class {
    /// The head of a Submit up to the number of its jobs.
    options: Vec<u8>,
    sizes: Vec<u8>,
    payloads: Vec<u8>,
}

/// A job that holds its slot.
struct Held {
    until: u64,
    worker: ConnId,
    assignment: u64,
    number: [u8; 16],
}

fn le32(b: &[u8]) -> usize {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize
}

fn le64(b: &[u8]) -> u64 {
    u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A frame of type 0 (a whole message).
fn frame(out: &mut Vec<u8>, f: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 5]);
    f(out);
    let n = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&n.to_be_bytes());
}

fn hello(out: &mut Vec<u8>, c: ConnId, client: bool) {
    out.extend_from_slice(MAGIC);
    frame(out, |out| {
        // each process draws keys of its own: no two generators are taken for one another
        let of_process = *INSTANCE.get_or_init(|| RandomState::new().hash_one(std::process::id()));
        out.extend_from_slice(&(c as u64).to_le_bytes());
        out.extend_from_slice(&of_process.to_le_bytes());
        out.extend_from_slice(&[u8::from(client), u8::from(!client), 0]);
        put_text(out, "peers");
        out.push(0);
        out.extend_from_slice(&0u64.to_le_bytes());
    });
}

fn offer(out: &mut Vec<u8>, slots: u32, guarantees: &[(u32, u32)], kind: Option<&str>) {
    frame(out, |out| {
        out.extend_from_slice(&3u32.to_le_bytes());
        out.extend_from_slice(&slots.to_le_bytes());
        out.extend_from_slice(&(guarantees.len() as u64).to_le_bytes());
        for (bound, slots) in guarantees {
            out.extend_from_slice(&bound.to_le_bytes());
            out.extend_from_slice(&slots.to_le_bytes());
        }
        out.extend_from_slice(&u32::from(kind.is_some()).to_le_bytes());
        if let Some(kind) = kind {
            out.extend_from_slice(&1u64.to_le_bytes());
            put_text(out, kind);
        }
    });
}

impl Class {
    fn new(plan: &Plan, priority: u32, kind: Option<usize>) -> Class {
        let mut o = Vec::new();
        o.extend_from_slice(&priority.to_le_bytes());
        match kind {
            Some(kind) => {
                o.push(1);
                put_text(&mut o, &format!("kind-{kind}"));
            }
            None => o.push(0),
        }
        o.push(0); // no key
        o.extend_from_slice(&plan.timeout_ms.to_le_bytes());
        o.extend_from_slice(&0u32.to_le_bytes());
        o.extend_from_slice(&plan.run_timeout_ms.to_le_bytes());
        o.extend_from_slice(&[0, 0, 0]); // max_attempts, no_wait, stream
        Class { options: o, ..Class::default() }
    }
}

impl Ours {
    fn outcomes(&mut self, cx: &mut Cx, b: &[u8]) {
        let count = le64(&b[4..]) as usize;
        // the entries have no fixed size (a result has no code): read them first, then the tail
        self.sizes.clear();
        let mut at = 12;
        for _ in 0..count {
            assert!(le32(&b[at + 8..]) == 0, "ours: a job failed: {}", String::from_utf8_lossy(b));
            self.sizes.extend_from_slice(&b[at + 12..at + 16]);
            at += 16;
        }
        for size in self.sizes.chunks_exact(4) {
            let n = le32(size);
            cx.done(&b[at..at + n]);
            at += n;
        }
    }

    fn assign(&mut self, cx: &mut Cx, c: ConnId, b: &[u8]) {
        cx.assigned += le64(&b[4..]);
        if cx.plan.hold {
            return self.hold(cx, c, b);
        }
        let count = le64(&b[4..]) as usize;
        let reply = (cx.rep_size.max(16) as u32).to_le_bytes();
        self.sizes.clear();
        let out = cx.out(c);
        let begin = out.len();
        out.extend_from_slice(&[0; 5]);
        out.extend_from_slice(&6u32.to_le_bytes());
        out.extend_from_slice(&(count as u64).to_le_bytes());
        let mut at = 12;
        for _ in 0..count {
            let mut run = [0; 16];
            run[..8].copy_from_slice(&b[at..at + 8]);
            run[12..].copy_from_slice(&reply);
            out.extend_from_slice(&run);
            self.sizes.extend_from_slice(&b[at + 8..at + 12]);
            at = after_execution(b, at);
        }
        for size in self.sizes.chunks_exact(4) {
            let n = le32(size);
            let (out, r) = cx.reply(c, &b[at..at + n]);
            out.extend_from_slice(r);
            at += n;
        }
        let out = cx.out(c);
        let n = (out.len() - begin - 4) as u32;
        out[begin..begin + 4].copy_from_slice(&n.to_be_bytes());
    }

    /// Jobs below priority 2 are answered after a time, the others at once.
    fn hold(&mut self, cx: &mut Cx, c: ConnId, b: &[u8]) {
        let count = le64(&b[4..]) as usize;
        let tail = (0..count).fold(12, |at, _| after_execution(b, at));
        let (mut at, mut payload) = (12, tail);
        for _ in 0..count {
            let mut number = [0; 16];
            number.copy_from_slice(&b[payload..payload + 16]);
            let urgent = le32(&b[at + 16..]) >= 2;
            let until = if urgent { 0 } else { cx.now.saturating_add(cx.plan.hold_ns) };
            let held = Held { until, worker: c, assignment: le64(&b[at..]), number };
            if urgent {
                self.answer(cx, &held);
            } else {
                self.held.push_back(held);
            }
            payload += le32(&b[at + 8..]);
            at = after_execution(b, at);
        }
    }

    fn answer(&mut self, cx: &mut Cx, held: &Held) {
        let mut request = [b'x'; 64];
        request[..16].copy_from_slice(&held.number);
        let (out, reply) = cx.reply(held.worker, &request);
        frame(out, |out| {
            out.extend_from_slice(&6u32.to_le_bytes());
            out.extend_from_slice(&1u64.to_le_bytes());
            out.extend_from_slice(&held.assignment.to_le_bytes());
            out.extend_from_slice(&0u32.to_le_bytes());
            out.extend_from_slice(&(reply.len() as u32).to_le_bytes());
            out.extend_from_slice(reply);
        });
    }

    /// The class of a job, and whether it exists already.
    fn class(&mut self, plan: &Plan, seq: u64) -> usize {
        if let Some(priority) = plan.urgent {
            let at = plan.classes();
            self.classes.resize_with(at.max(self.classes.len()), Class::default);
            if self.classes.len() == at {
                self.classes.push(Class::new(plan, priority, None));
            }
            return at;
        }
        let number = (seq / plan.run) as usize % plan.classes();
        if self.classes.len() <= number {
            self.classes.resize_with(plan.classes(), Class::default);
        }
        if self.classes[number].options.is_empty() {
            let kind = (plan.kinds > 0).then(|| number % plan.kinds);
            self.classes[number] = Class::new(plan, (number % plan.priorities) as u32, kind);
        }
        number
    }

    fn seal_class(&mut self, cx: &mut Cx, number: usize) {
        let class = &mut self.classes[number];
        let count = (class.sizes.len() / 4) as u64;
        if count == 0 {
            return;
        }
        frame(cx.out(self.client), |o| {
            o.extend_from_slice(&0u32.to_le_bytes());
            o.extend_from_slice(&self.submitted.to_le_bytes());
            o.extend_from_slice(&class.options);
            o.extend_from_slice(&count.to_le_bytes());
            o.extend_from_slice(&class.sizes);
            o.extend_from_slice(&class.payloads);
        });
        self.submitted += count;
        class.sizes.clear();
        class.payloads.clear();
    }
}

/// Where the next execution of an Assign begins.
fn after_execution(b: &[u8], at: usize) -> usize {
    let at = at + 28;
    at + 2 + if b[at] == 1 { 8 + le64(&b[at + 1..]) as usize } else { 0 }
}

impl Proto for Ours {
    fn open(&mut self, cx: &mut Cx, c: ConnId) {
        self.greeted.resize(self.greeted.len().max(c + 1), false);
        let (role, slots) = (cx.role(c), cx.slots as u32);
        let mut bytes = Vec::new();
        hello(&mut bytes, c, role == Role::Client);
        match role {
            Role::Client => self.client = c,
            // an idle worker takes a kind that none of our jobs has
            Role::Idle(_) => offer(&mut bytes, slots, &cx.plan.guarantees, Some("idle")),
            Role::Worker(number) => {
                let kind = cx.plan.kind_each.then(|| format!("kind-{}", number % cx.plan.kinds));
                offer(&mut bytes, slots, &cx.plan.guarantees, kind.as_deref());
            }
        }
        cx.out(c).extend_from_slice(&bytes);
    }

    fn data(&mut self, cx: &mut Cx, c: ConnId, buf: &[u8]) -> usize {
        let mut i = 0;
        if !self.greeted[c] {
            if buf.len() < 12 || buf.len() < 12 + be32(&buf[8..]) {
                return 0;
            }
            i = 12 + be32(&buf[8..]);
            assert!(le32(&buf[13..]) == 0, "ours: refused: {}", String::from_utf8_lossy(&buf[..i]));
            self.greeted[c] = true;
            if cx.role(c) == Role::Client {
                cx.ready(c);
            }
        }
        while buf.len() - i >= 4 {
            let n = be32(&buf[i..]);
            if buf.len() - i - 4 < n {
                break;
            }
            assert!(buf[i + 4] == 0, "ours: a fragment");
            let b = &buf[i + 5..i + 4 + n];
            match le32(b) {
                0 => cx.n.acked = le64(&b[4..]) + 1,
                2 => self.outcomes(cx, b),
                6 => self.assign(cx, c, b),
                10 => cx.ready(c),
                16 => frame(cx.out(c), |o| o.extend_from_slice(&16u32.to_le_bytes())),
                17 => {}
                other => panic!("ours: message {other}: {}", String::from_utf8_lossy(b)),
            }
            i += 4 + n;
        }
        i
    }

    fn submit(&mut self, cx: &mut Cx, seq: u64, payload: &[u8]) {
        let number = self.class(&cx.plan, seq);
        let class = &self.classes[number];
        // a larger message would have to go in fragments
        let bytes = class.payloads.len() + class.sizes.len() + payload.len() + 256;
        if class.sizes.len() / 4 == JOBS_MAX || bytes > MESSAGE_BYTES_MAX {
            self.seal_class(cx, number);
        }
        let class = &mut self.classes[number];
        if class.sizes.is_empty() {
            self.used.push(number);
        }
        class.payloads.extend_from_slice(payload);
        class.sizes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        if cx.plan.apart {
            self.seal_class(cx, number);
        }
    }

    /// The jobs of a turn are one message for each kind and priority.
    fn seal(&mut self, cx: &mut Cx) {
        for at in 0..self.used.len() {
            self.seal_class(cx, self.used[at]);
        }
        self.used.clear();
        while self.held.front().is_some_and(|held| held.until <= cx.now || !cx.is_open(held.worker)) {
            let held = self.held.pop_front().expect("there is one");
            if cx.is_open(held.worker) {
                self.answer(cx, &held);
            }
        }
    }
}
