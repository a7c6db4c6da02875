//! Our own wire, version 0, written to protocol/PROTOCOL.md: as lean as the others, and as the others all jobs of a turn go
//! out as they come. A worker answers all assignments of one message with one message.
use super::be32;
use crate::drv::*;

const MAGIC: &[u8] = &[0xd7, b'P', b'R', b'O', 0, 0, 0, 0];

#[derive(Default)]
pub struct Ours {
    client: ConnId,
    submitted: u64,
    batch: Vec<u8>,
    sizes: Vec<u8>,
    count: u64,
    scratch: Vec<u8>,
    greeted: Vec<bool>,
}

fn le32(b: &[u8]) -> usize {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize
}

fn le64(b: &[u8]) -> u64 {
    u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]])
}

/// A frame of type 0 (a whole message).
fn frame(out: &mut Vec<u8>, f: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 5]);
    f(out);
    let n = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&n.to_be_bytes());
}

impl Ours {
    fn hello(&self, out: &mut Vec<u8>, c: ConnId, client: bool) {
        out.extend_from_slice(MAGIC);
        let at = out.len();
        out.extend_from_slice(&[0; 5]);
        let mut instance = [0x5a; 16];
        instance[..8].copy_from_slice(&(c as u64).to_le_bytes());
        out.extend_from_slice(&instance);
        out.extend_from_slice(&[u8::from(client), u8::from(!client), 0]);
        out.extend_from_slice(&5u64.to_le_bytes());
        out.extend_from_slice(b"peers");
        out.push(0);
        out.extend_from_slice(&0u64.to_le_bytes());
        let n = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&n.to_be_bytes());
    }

    fn outcomes(&mut self, cx: &mut Cx, b: &[u8]) {
        let count = le64(&b[4..]) as usize;
        // the entries have no fixed size (a result has no code): read them first, then the tail
        self.scratch.clear();
        let mut at = 12;
        for _ in 0..count {
            let kind = le32(&b[at + 8..]);
            at += 12 + if kind == 0 { 0 } else { 4 };
            self.scratch.extend_from_slice(&b[at..at + 4]);
            assert!(kind == 0, "ours: a job failed: {}", String::from_utf8_lossy(b));
            at += 4;
        }
        for k in 0..count {
            let n = le32(&self.scratch[4 * k..]);
            cx.done(&b[at..at + n]);
            at += n;
        }
    }

    fn assign(&mut self, cx: &mut Cx, c: ConnId, b: &[u8]) {
        let count = le64(&b[4..]) as usize;
        let mut at = 12;
        let mut jobs: Vec<(u64, usize)> = Vec::with_capacity(count);
        for _ in 0..count {
            let (id, n) = (le64(&b[at..]), le32(&b[at + 8..]));
            at += 28;
            at += 1 + if b[at] == 1 { 8 + le64(&b[at + 1..]) as usize } else { 0 };
            at += 1;
            jobs.push((id, n));
        }
        let reply = cx.rep_size.max(16) as u32;
        frame(cx.out(c), |o| {
            o.extend_from_slice(&6u32.to_le_bytes());
            o.extend_from_slice(&(count as u64).to_le_bytes());
            for (id, _) in &jobs {
                o.extend_from_slice(&id.to_le_bytes());
                o.extend_from_slice(&0u32.to_le_bytes());
                o.extend_from_slice(&reply.to_le_bytes());
            }
        });
        let start = cx.out(c).len();
        for (_, n) in &jobs {
            let (out, r) = cx.reply(c, &b[at..at + n]);
            out.extend_from_slice(r);
            at += n;
        }
        // the frame ends after the payloads
        let out = cx.out(c);
        let tail = out.len() - start;
        let head = 5 + 12 + 16 * count;
        let at = start - head;
        out[at..at + 4].copy_from_slice(&((head - 4 + tail) as u32).to_be_bytes());
    }
}

impl Proto for Ours {
    fn open(&mut self, cx: &mut Cx, c: ConnId) {
        self.greeted.resize(self.greeted.len().max(c + 1), false);
        let role = cx.role(c);
        let slots = cx.slots as u32;
        let out = cx.out(c);
        self.hello(out, c, role == Role::Client);
        if role == Role::Client {
            self.client = c;
        } else {
            // an idle worker takes a kind that none of our jobs has
            let kind: &[u8] = if matches!(role, Role::Idle(_)) { b"idle" } else { b"" };
            frame(out, |o| {
                o.extend_from_slice(&3u32.to_le_bytes());
                o.extend_from_slice(&slots.to_le_bytes());
                o.extend_from_slice(&0u64.to_le_bytes());
                if kind.is_empty() {
                    o.extend_from_slice(&0u32.to_le_bytes());
                } else {
                    o.extend_from_slice(&1u32.to_le_bytes());
                    o.extend_from_slice(&1u64.to_le_bytes());
                    o.extend_from_slice(&(kind.len() as u64).to_le_bytes());
                    o.extend_from_slice(kind);
                }
            });
        }
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

    fn submit(&mut self, cx: &mut Cx, _seq: u64, payload: &[u8]) {
        // a larger message would have to go in fragments
        if self.batch.len() + payload.len() > 200 * 1024 {
            self.seal(cx);
        }
        self.batch.extend_from_slice(payload);
        self.sizes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.count += 1;
    }

    /// The jobs of a turn are one message.
    fn seal(&mut self, cx: &mut Cx) {
        if self.count == 0 {
            return;
        }
        let (first, count) = (self.submitted, self.count);
        let (sizes, batch) = (&self.sizes, &self.batch);
        frame(cx.out(self.client), |o| {
            o.extend_from_slice(&0u32.to_le_bytes());
            o.extend_from_slice(&first.to_le_bytes());
            o.extend_from_slice(&0u32.to_le_bytes()); // priority
            o.extend_from_slice(&[0, 0]); // kind, key
            o.extend_from_slice(&[0; 12]); // three clocks
            o.extend_from_slice(&[0, 0, 0]); // max_attempts, no_wait, stream
            o.extend_from_slice(&count.to_le_bytes());
            o.extend_from_slice(sizes);
            o.extend_from_slice(batch);
        });
        self.submitted += count;
        self.count = 0;
        self.sizes.clear();
        self.batch.clear();
    }
}
