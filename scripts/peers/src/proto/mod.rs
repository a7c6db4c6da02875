//! One file per system. To add one: write `NAME.rs` with a type that
//! implements `drv::Proto`, then name it in `make` below.

mod amqp;
mod beanstalk;
mod gearman;
mod nats;
mod natsjs;
mod ours;
mod prole;
mod raw;
mod redis;
mod zmtp;

use crate::drv::Proto;

pub fn make(name: &str) -> Option<Box<dyn Proto>> {
    Some(match name {
        "raw" => Box::new(raw::Raw::default()),
        "gearman" => Box::new(gearman::Gearman::new(false)),
        "gearman-all" => Box::new(gearman::Gearman::new(true)),
        "nats" => Box::new(nats::Nats::default()),
        "natsjs" => Box::new(natsjs::Js::default()),
        "redis" => Box::new(redis::Redis::new(false)),
        "redis-batch" => Box::new(redis::Redis::new(true)),
        "beanstalk" => Box::new(beanstalk::Beanstalk::default()),
        "amqp" => Box::new(amqp::Amqp::new(true)),
        "amqp-noconfirm" => Box::new(amqp::Amqp::new(false)),
        "ours" => Box::new(ours::Ours::default()),
        "prole" => Box::new(prole::Prole::default()),
        "zmtp" => Box::new(zmtp::Zmtp::default()),
        _ => return None,
    })
}

pub fn num(b: &[u8]) -> usize {
    b.iter().take_while(|c| c.is_ascii_digit()).fold(0, |a, c| a * 10 + (c - b'0') as usize)
}

/// decimal without going through `format!`
pub fn dec(out: &mut Vec<u8>, mut v: u64) {
    let mut t = [0u8; 20];
    let mut i = 20;
    loop {
        i -= 1;
        t[i] = b'0' + (v % 10) as u8;
        v /= 10;
        if v == 0 {
            break;
        }
    }
    out.extend_from_slice(&t[i..]);
}

pub fn be32(b: &[u8]) -> usize {
    u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize
}
