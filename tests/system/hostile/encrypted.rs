//! Storms over TLS: handshakes that never end, floods of them, records that lie, keys without end, answers that nobody reads.

use super::{
    Attacker, CONNECTION_BYTES, FREED_BYTES, MIB, Scale, Storm, TURN_BYTES, is_closed, raise_descriptors,
    slowly, try_connect,
};
use crate::harness::{CLIENT, Certificates, Encrypted, Greeted, Peer, Test, Trust, Wire, greeting, hello};
use proletariat_protocol::MessageId;
use proletariat_protocol::message::{PeerMessage, Recipient};
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

/// What a connection with TLS may cost beside a plain one: the state of its handshake, its keys, records on both ways.
const TLS_BYTES: u64 = 64 * 1024;

/// A client's first words of TLS, as a real one says them.
fn client_hello(trust: &Trust, attacker: &Attacker<'_>) -> Option<Vec<u8>> {
    let mut tls = trust.over(try_connect(attacker)?);
    let mut words = Vec::new();
    tls.conn.write_tls(&mut words).unwrap();
    Some(words)
}

/// The beginning of a handshake, a byte at a time, and again.
#[test]
fn slow_handshakes_of_tls_end_with_their_time() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    raise_descriptors();
    let certificates = Certificates::new(&test, "certificates");
    let trust = certificates.trust();
    let crowd = scale.pick(200, 2_000);
    let storm = Storm {
        name: "TLS: slow handshakes",
        options: &["--handshake-timeout", "500ms"],
        certificates: Some(&certificates),
        bound: TURN_BYTES + crowd as u64 * 2 * (CONNECTION_BYTES + TLS_BYTES),
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let Some(words) = client_hello(&trust, attacker) else { return 0 };
        // One attacker says all but the last byte at once, the other lets one come at a time.
        let step = if attacker.number == 0 { words.len() } else { 1 };
        slowly(attacker, crowd / 2, &words, step)
    });
    assert!(outcome.tries > crowd as u64, "those of the first wave were closed: {}", outcome.tries);
    outcome.manager.until("the connections are gone", |status| status["manager"]["connections"] == 1);
}

/// Whole handshakes, as fast as they can: what costs the manager most.
#[test]
fn floods_of_tls_sessions_leave_nothing_behind() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let certificates = Certificates::new(&test, "certificates");
    let trust = certificates.trust();
    let storm = Storm {
        name: "TLS: flood of logins",
        options: &[],
        certificates: Some(&certificates),
        bound: TURN_BYTES + 256 * (CONNECTION_BYTES + TLS_BYTES),
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let mut tries = 0;
        while attacker.goes_on() {
            let Some(stream) = try_connect(attacker) else { continue };
            let mut tls = trust.over(stream);
            // The first byte of the answer, or the end of the connection.
            if tls.write_all(&greeting(&hello(CLIENT))).is_ok() && tls.read(&mut [0]).is_ok() {
                tries += 1;
            }
        }
        tries
    });
    assert!(outcome.tries > 20, "{}", outcome.tries);
    outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
}

/// Records that are too long, empty, cut off, of no type, or of another protocol.
fn lies(hello: &[u8]) -> Vec<Vec<u8>> {
    let record =
        |kind: u8, length: u16, body: &[u8]| [&[kind, 3, 3][..], &length.to_be_bytes(), body].concat();
    let mut lies = vec![
        record(0x16, u16::MAX, &[1; 20_000]),
        record(0x16, 0, &[]),
        record(0x17, 100, &[0; 100]),
        record(0x15, 2, &[2, 40]),
        record(0x14, 1, &[1]),
        // A handshake message of 16 MiB, in pieces that never make it whole.
        record(0x16, 16_000, &[&[1, 0xff, 0xff, 0xff][..], &[0; 15_996]].concat()),
        [record(0x16, 4, &[1, 0xff, 0xff, 0xff]), record(0x16, 16_000, &[0; 16_000]).repeat(16)].concat(),
        // A version that is long gone.
        b"\x16\x02\x00\x00\x2e\x01".to_vec(),
        hello.repeat(2),
        [hello, &[0xff; 4_000]].concat(),
    ];
    // A hello with one byte of it changed.
    lies.extend((0..hello.len()).step_by(7).map(|at| {
        let mut other = hello.to_vec();
        other[at] ^= 0x55;
        other
    }));
    lies
}

#[test]
fn records_that_lie_are_not_believed() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let certificates = Certificates::new(&test, "certificates");
    let trust = certificates.trust();
    let storm = Storm {
        name: "TLS: lying records",
        options: &["--handshake-timeout", "500ms"],
        certificates: Some(&certificates),
        bound: TURN_BYTES + 512 * (CONNECTION_BYTES + TLS_BYTES),
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let Some(hello) = client_hello(&trust, attacker) else { return 0 };
        let (mut tries, mut open) = (0, Vec::new());
        for lie in lies(&hello).iter().cycle() {
            if !attacker.goes_on() {
                break;
            }
            let Some(mut stream) = try_connect(attacker) else { continue };
            let _ = stream.write_all(lie);
            open.push(stream);
            tries += 1;
            if open.len() == 200 {
                open.retain(|stream| !is_closed(stream));
            }
            if open.len() >= 200 {
                open.remove(0);
            }
        }
        tries
    });
    assert!(outcome.tries > 100, "{}", outcome.tries);
    outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
}

fn join(attacker: &Attacker<'_>, trust: &Trust) -> Option<Peer> {
    match Peer::try_join_over(Wire::to(attacker.address, Some(trust)), &hello(CLIENT)) {
        Greeted::Welcome(peer) => Some(*peer),
        Greeted::Refused(_) => None,
    }
}

/// New keys, asked for again and again by a peer that reads nothing: each asks for an answer.
#[test]
fn keys_are_not_renewed_without_end() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let certificates = Certificates::new(&test, "certificates");
    let trust = certificates.trust();
    let storm = Storm {
        name: "TLS: keys without end",
        options: &["--outbox-stall", "500ms"],
        certificates: Some(&certificates),
        bound: TURN_BYTES + 64 * (CONNECTION_BYTES + TLS_BYTES),
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let mut asked = 0;
        while attacker.goes_on() {
            let Some(stream) = try_connect(attacker) else { continue };
            let mut tls: Encrypted = trust.over(stream);
            if tls.write_all(&greeting(&hello(CLIENT))).is_err() || tls.read(&mut [0]).is_err() {
                continue;
            }
            while attacker.goes_on() {
                if tls.conn.refresh_traffic_keys().is_err() || tls.flush().is_err() {
                    break;
                }
                asked += 1;
            }
        }
        asked
    });
    assert!(outcome.tries > 100, "{}", outcome.tries);
    outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
}

/// Messages for a peer that reads none of them.
#[test]
fn who_reads_nothing_of_tls_holds_no_more_than_it_may() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let certificates = Certificates::new(&test, "certificates");
    let trust = certificates.trust();
    let storm = Storm {
        name: "TLS: peers that do not read",
        options: &["--outbox-stall", "500ms", "--max-outbox-bytes", "16MiB", "--max-outboxes-bytes", "48MiB"],
        certificates: Some(&certificates),
        bound: TURN_BYTES + FREED_BYTES + (48 + 16) * MIB,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let (mut dropped, content) = (0, vec![b'x'; MIB as usize]);
        while attacker.goes_on() {
            let (Some(mut sender), Some(silent)) = (join(attacker, &trust), join(attacker, &trust)) else {
                continue;
            };
            for number in 0..60 {
                let (to, bytes) = (Recipient::Peer(silent.id), MIB as u32);
                let message = PeerMessage::SystemMessage { id: MessageId(number), to, timeout_ms: 0, bytes };
                if !attacker.goes_on() || !sender.try_say(&message, &[&content]) {
                    break;
                }
            }
            thread::sleep(Duration::from_millis(100));
            dropped += 1;
        }
        dropped
    });
    assert!(outcome.tries > 0);
    assert!(outcome.manager.count("connections_given_up") > 0, "{}", outcome.manager.process.err());
    outcome.manager.until("all have left", |status| status["manager"]["connections"] == 1);
}
