//! The jobs themselves: each carries its number, and what comes back is checked and timed by it.

use super::{ConnId, Cx};

/// jobs whose times of submission are kept
pub const RING: usize = 1 << 14;

impl Cx {
    /// whether a job came back
    pub fn is_done(&self, seq: u64) -> bool {
        self.seen.get((seq >> 6) as usize).is_some_and(|w| w & (1 << (seq & 63)) != 0)
    }

    /// what the no-op worker answers (the request's first 16 bytes, padded),
    /// with the buffer to write it to
    #[inline]
    pub fn reply(&mut self, c: ConnId, req: &[u8]) -> (&mut Vec<u8>, &[u8]) {
        if req.len() != self.req_size {
            self.n.bad += 1;
        }
        if req.len() >= 16 {
            self.reply_pad[..16].copy_from_slice(&req[..16]);
        }
        if !self.conns[c].dirty {
            self.conns[c].dirty = true;
            self.dirty.push(c);
        }
        (&mut self.conns[c].out, &self.reply_pad[..])
    }

    pub fn note_submit(&mut self, seq: u64) {
        if self.precise {
            self.clock();
        }
        self.sent_at[seq as usize & (RING - 1)] = self.now;
    }

    /// a result reached the client
    #[inline]
    pub fn done(&mut self, reply: &[u8]) {
        let Some(seq) = hex16(reply) else {
            self.n.bad += 1;
            return;
        };
        if reply.len() != self.rep_size.max(16) || seq >= self.n.submitted {
            self.n.bad += 1;
            return;
        }
        let w = (seq >> 6) as usize;
        if w >= self.seen.len() {
            self.seen.resize((w + 1).next_power_of_two(), 0);
        }
        let bit = 1u64 << (seq & 63);
        if self.seen[w] & bit != 0 {
            self.n.dup += 1;
            return;
        }
        self.seen[w] |= bit;
        self.n.done += 1;
        if self.lat.is_some() {
            if self.precise {
                self.clock();
            }
            let d = self.now - self.sent_at[seq as usize & (RING - 1)];
            self.lat.as_mut().unwrap().push(d.min(u32::MAX as u64) as u32);
        }
    }
}

fn hex16(b: &[u8]) -> Option<u64> {
    if b.len() < 16 {
        return None;
    }
    let mut v = 0u64;
    for &c in &b[..16] {
        let d = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            _ => return None,
        };
        v = v << 4 | d as u64;
    }
    Some(v)
}

pub fn put_hex16(dst: &mut [u8], v: u64) {
    const H: &[u8; 16] = b"0123456789abcdef";
    for i in 0..16 {
        dst[i] = H[(v >> (60 - 4 * i)) as usize & 15];
    }
}
