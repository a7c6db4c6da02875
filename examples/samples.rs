//! A stand-in for a program that streams random numbers, for `client collect`: `samples -workerId 1 -port 3001`, then
//! `GET /rnd?n=100` answers with lines `rnd=NN`, the first at once, then one a second, one connection at a time.
//! `-crash 0.2` lets it die before every fifth sample or so.

#![allow(clippy::print_stderr, reason = "it is what people see of an example")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

struct Flags {
    worker_id: u64,
    port: u16,
    crash: f64,
}

fn flags() -> Result<Flags, Box<dyn Error>> {
    let mut flags = Flags { worker_id: 0, port: 0, crash: 0.0 };
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.trim_start_matches('-') {
            "workerId" => flags.worker_id = value.parse()?,
            "port" => flags.port = value.parse()?,
            "crash" => flags.crash = value.parse()?,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    Ok(flags)
}

/// Numbers that are random enough to look at.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// How many samples a request asks for.
fn wanted(stream: &TcpStream) -> Result<Option<u64>, Box<dyn Error>> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().ok_or("no request")??;
    while lines.next().transpose()?.is_some_and(|header| !header.is_empty()) {}
    let target = request.split(' ').nth(1).unwrap_or_default();
    Ok(target.strip_prefix("/rnd?n=").and_then(|count| count.parse().ok()))
}

fn answer(mut stream: &TcpStream, flags: &Flags, dice: &mut Dice) -> Result<(), Box<dyn Error>> {
    let Some(count) = wanted(stream)? else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(());
    };
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")?;
    for number in 0..count {
        if number > 0 {
            std::thread::sleep(Duration::from_secs(1));
            if (dice.below(1_000_000) as f64) < flags.crash * 1e6 {
                eprintln!("worker {} crashes", flags.worker_id);
                std::process::exit(66);
            }
        }
        let line = format!("rnd={}\n", dice.below(100));
        stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let flags = flags()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut dice = Dice(u64::from(now.subsec_nanos()) ^ (u64::from(std::process::id()) << 32));
    let listener = TcpListener::bind(("127.0.0.1", flags.port))?;
    for stream in listener.incoming() {
        // A caller that leaves in the middle is no reason to end.
        if let Err(error) = answer(&stream?, &flags, &mut dice) {
            eprintln!("worker {}: {error}", flags.worker_id);
        }
    }
    Ok(())
}
