//! Storms of connections: slow and false handshakes, floods, crowds that do nothing, and no descriptor left.

use super::{Attacker, CONNECTION_BYTES, Scale, Storm, TURN_BYTES, raise_descriptors, slowly, try_connect};
use crate::harness::{
    CLIENT, Greeted, Peer, Test, connect, greeting, hello, let_time_pass, read_to_end, until,
};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// A greeting, a byte at a time, and again.
#[test]
fn slow_handshakes_end_with_their_time() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    raise_descriptors();
    let crowd = scale.pick(200, 2_000);
    let storm = Storm {
        name: "slow handshakes",
        options: &["--handshake-timeout", "500ms"],
        certificates: None,
        bound: TURN_BYTES + crowd as u64 * 2 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome =
        storm.run(&test, scale, |attacker| slowly(attacker, crowd / 2, &greeting(&hello(CLIENT)), 1));
    assert!(outcome.tries > crowd as u64, "those of the first wave were closed: {}", outcome.tries);
    assert!(outcome.manager.count("connections_given_up") + outcome.manager.count("connections_refused") > 0);
    outcome.manager.until("the connections are gone", |status| status["manager"]["connections"] == 1);
}

/// Sessions that begin and end, as fast as they can, each of another instance.
#[test]
fn floods_of_logins_leave_nothing_behind() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let storm = Storm {
        name: "flood of logins",
        options: &[],
        certificates: None,
        bound: TURN_BYTES + 1_024 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| login_flood(attacker, |hello| hello.token = None));
    assert!(outcome.tries > 100, "{}", outcome.tries);
    outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
}

/// The same with tokens that are guessed.
#[test]
fn guessing_tokens_costs_nobody_else_anything() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let storm = Storm {
        name: "oversized tokens",
        options: &["--max-connections-per-address", "64"],
        certificates: None,
        bound: TURN_BYTES + 1_024 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome = storm
        .run(&test, scale, |attacker| login_flood(attacker, |hello| hello.token = Some(vec![b'x'; 1_024])));
    assert!(outcome.tries > 100, "{}", outcome.tries);
}

fn login_flood(attacker: &Attacker<'_>, with: impl Fn(&mut proletariat_protocol::handshake::Hello)) -> u64 {
    let mut tries = 0;
    while attacker.goes_on() {
        let Some(mut stream) = try_connect(attacker) else { continue };
        let mut hello = hello(CLIENT);
        with(&mut hello);
        if stream.write_all(&greeting(&hello)).is_ok() {
            // The first byte of the answer, or the end of the connection.
            let _ = stream.peek(&mut [0]);
            tries += 1;
        }
    }
    tries
}

/// Ten thousand connections that say nothing, and as many sessions that only live.
#[test]
fn idle_crowds_cost_little_each() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    raise_descriptors();
    let crowd = scale.pick(500, 5_000);
    let options = ["--max-connections", &(crowd * 4 + 100).to_string(), "--heartbeat-timeout", "60s"];
    let storm = Storm {
        name: if scale.full { "10,000 idle connections" } else { "1,000 idle connections" },
        options: &options,
        certificates: None,
        bound: TURN_BYTES + 2 * crowd as u64 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let mut open = Vec::new();
        while attacker.goes_on() && open.len() < crowd {
            let Some(mut stream) = try_connect(attacker) else { continue };
            // Every second crowd is one of native sessions, the other says nothing.
            if attacker.number == 1 {
                stream.write_all(&greeting(&hello(CLIENT))).unwrap();
            }
            open.push(stream);
        }
        while attacker.goes_on() {
            thread::sleep(Duration::from_millis(10));
        }
        open.len() as u64
    });
    if outcome.tries == 2 * crowd as u64 {
        outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
    }
    assert!(outcome.tries > crowd as u64, "{}", outcome.tries);
}

#[test]
fn an_address_has_its_share_of_the_connections() {
    let test = Test::new();
    let manager = test.manager(&["--max-connections-per-address", "3"]);
    let _held = [manager.peer(CLIENT), manager.peer(CLIENT)];
    let third = manager.peer(CLIENT);
    let Greeted::Refused(refusal) = Peer::try_join(manager.address(), &hello(CLIENT)) else {
        panic!("a fourth one is let in")
    };
    assert!(refusal.retry && refusal.retry_after_ms > 0, "{refusal:?}");
    assert!(refusal.message.contains("max_connections_per_address"), "{}", refusal.message);
    // JSON has words for it, too.
    let mut other = connect(manager.address());
    other.write_all(b"\0\0\0\x02{}").unwrap();
    let words = String::from_utf8_lossy(&read_to_end(&other)).into_owned();
    assert!(words.contains("EOVERLOAD") && words.contains("retryAfter"), "{words}");
    drop(third);
    until("there is room again", || {
        matches!(Peer::try_join(manager.address(), &hello(CLIENT)), Greeted::Welcome(_)).then_some(())
    });
    let told = manager.ask(&["status", "--output", "json"]).expect(0).json();
    assert_eq!(told["limits"]["max_connections_per_address"], 3);
    assert!(told["manager"]["connections_refused"].as_u64() >= Some(2), "{told}");
}

#[test]
fn connections_fit_into_the_descriptors_that_there_are() {
    let test = Test::new();
    let mut command = std::process::Command::new("sh");
    let manager = test.command("manager", &[]);
    command.args(["-c", "ulimit -n 64; exec \"$0\" --port 0"]).arg(manager.get_program());
    let manager = crate::harness::Manager::started(&test, command);
    manager.process.until_it_says("the limit of file descriptors allows no more");
    let mut held = Vec::new();
    let refusal = loop {
        match Peer::try_join(manager.address(), &hello(CLIENT)) {
            Greeted::Welcome(peer) => held.push(peer),
            Greeted::Refused(refusal) => break refusal,
        }
        assert!(held.len() < 64, "more connections than descriptors");
    };
    assert!(refusal.retry && refusal.message.contains("max_connections"), "{refusal:?}");
    held.pop();
    let told = until("the status is told", || match Peer::try_join(manager.address(), &hello(CLIENT)) {
        Greeted::Welcome(mut peer) => Some(peer.status()),
        Greeted::Refused(_) => None,
    });
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["limits"]["max_connections"], 30);
}

#[test]
fn without_descriptors_accepting_rests_and_nothing_spins() {
    let test = Test::alone();
    let manager = test.manager(&[]);
    let mut good = manager.peer(CLIENT);
    let pid = Some(manager.process.pid());
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Room for what it has open, and for a few more.
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(20), maximum }).unwrap();
    // The system keeps most of these for the manager.
    let waiting: Vec<TcpStream> = (0..40).map(|_| connect(manager.address())).collect();
    manager.process.until_it_says("cannot accept connections for now");
    let (cpu, begun) = (manager.process.cpu_time(), Instant::now());
    while begun.elapsed() < Duration::from_secs(1) {
        good.sync();
        let_time_pass(Duration::from_millis(20));
    }
    let cpu = manager.process.cpu_time() - cpu;
    assert!(cpu < Duration::from_millis(200), "{cpu:?} of a second for nothing");
    let lines = manager.process.err().matches("cannot accept").count();
    assert!(lines < 12, "{lines} lines in some two seconds");
    drop(waiting);
    prlimit(pid, Resource::Nofile, before).unwrap();
    manager.peer(CLIENT).sync();
    good.sync();
}
