//! What all workloads do: connect, settle, submit, flush; and how figures are written down.

use crate::Opts;
use crate::drv::*;
use crate::stat;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub struct Run {
    pub cx: Cx,
    pub p: Box<dyn Proto>,
    payload: Vec<u8>,
    pub timeout: i32,
}

impl Run {
    pub fn new(o: &Opts, p: Box<dyn Proto>) -> Run {
        let mut cx = Cx::new(o.req, o.rep, o.slots);
        cx.plan = o.plan.clone();
        Run { cx, p, payload: vec![b'x'; o.req.max(16)], timeout: if o.spin { 0 } else { 100 } }
    }

    /// everything of this turn goes out
    pub fn flush(&mut self) {
        self.p.seal(&mut self.cx);
        self.cx.flush();
    }

    /// connects; the id of its (last) connection
    pub fn add(&mut self, addr: SocketAddr, role: Role) -> ConnId {
        let mut id = 0;
        for part in 0..self.p.parts(role) {
            let mut to = addr;
            to.set_port(addr.port() + self.p.port_shift(role));
            let c = self.cx.connect(to, role, part).expect("connect");
            self.p.open(&mut self.cx, c);
            id = c;
        }
        self.flush();
        id
    }

    pub fn turn(&mut self) {
        self.cx.turn(&mut *self.p, self.timeout);
    }

    pub fn settle(&mut self, d: Duration) {
        let end = Instant::now() + d;
        while Instant::now() < end {
            self.flush();
            self.cx.turn(&mut *self.p, 5);
        }
        self.flush();
    }

    pub fn wait_ready(&mut self, clients: usize, workers: usize, idle: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.cx.ready_clients < clients || self.cx.ready_workers < workers || self.cx.ready_idle < idle
        {
            assert!(
                Instant::now() < end,
                "handshake: {} clients, {} workers, {} idle are ready",
                self.cx.ready_clients,
                self.cx.ready_workers,
                self.cx.ready_idle
            );
            self.flush();
            self.cx.turn(&mut *self.p, 5);
        }
        self.flush();
    }

    pub fn submit(&mut self) {
        let seq = self.cx.n.submitted;
        put_hex16(&mut self.payload, seq);
        self.cx.note_submit(seq);
        self.cx.n.submitted += 1;
        self.p.submit(&mut self.cx, seq, &self.payload);
    }
}

/// what broker and driver took for a job
pub fn cpu(out: &mut Vec<String>, a: stat::Snap, b: stat::Snap, d0: f64, d1: f64, jobs: u64, secs: f64) {
    let j = jobs.max(1) as f64;
    out.push(format!(
        "\"broker_us\":{:.3},\"broker_user_us\":{:.3},\"broker_sys_us\":{:.3},\"broker_tick_us\":{:.3},\"broker_cpu\":{:.3},\"ctx_per_job\":{:.4},\"driver_us\":{:.3},\"driver_cpu\":{:.3},\"rss\":{}",
        (b.run - a.run) / j * 1e6,
        (b.utime - a.utime) / j * 1e6,
        (b.stime - a.stime) / j * 1e6,
        (b.utime + b.stime - a.utime - a.stime) / j * 1e6,
        (b.run - a.run) / secs,
        (b.ctx - a.ctx) as f64 / j,
        (d1 - d0) / j * 1e6,
        (d1 - d0) / secs,
        b.rss
    ));
}

/// percentiles in microseconds
pub fn pct(v: &mut [u32], out: &mut Vec<String>) {
    if v.is_empty() {
        return;
    }
    v.sort_unstable();
    let q = |f: f64| v[((v.len() as f64 * f) as usize).min(v.len() - 1)] as f64 / 1000.0;
    out.push(format!(
        "\"p50\":{:.2},\"p99\":{:.2},\"p999\":{:.2},\"min\":{:.2},\"max\":{:.2},\"mean\":{:.2},\"samples\":{}",
        q(0.5),
        q(0.99),
        q(0.999),
        v[0] as f64 / 1000.0,
        v[v.len() - 1] as f64 / 1000.0,
        v.iter().map(|&x| x as f64).sum::<f64>() / v.len() as f64 / 1000.0,
        v.len()
    ));
}
