//! Storms of bytes: lengths that lie, frames that do not get on, messages that are never completed.

use super::{Attacker, CONNECTION_BYTES, FREED_BYTES, MIB, Scale, Storm, TURN_BYTES, is_closed, try_connect};
use crate::harness::{CLIENT, Test, greeting, hello};
use bytes::BytesMut;
use proletariat_protocol::fragment::{put_begin, put_data_start};
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

/// A session that has been let in, or nearly.
fn session(attacker: &Attacker<'_>) -> Option<TcpStream> {
    let mut stream = try_connect(attacker)?;
    stream.write_all(&greeting(&hello(CLIENT))).ok()?;
    Some(stream)
}

/// What no peer says: each ends its session, and none is believed.
fn lies() -> Vec<Vec<u8>> {
    let frame = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
    let mut lies = vec![
        // No length at all, the largest, just over the bound, and a frame of nothing.
        u32::MAX.to_be_bytes().to_vec(),
        (1_u32 << 20 | 1).to_be_bytes().to_vec(),
        frame(&[]),
        frame(&[0xff; 64]),
        // A megabyte is promised, and three bytes come.
        [&(1_u32 << 20).to_be_bytes()[..], &[0, 1, 2]].concat(),
    ];
    // Heads whose vectors and texts claim more than there is.
    for variant in 0..24_u32 {
        for claimed in [1_u64 << 20, 1 << 40, u64::MAX] {
            let head =
                [&[0][..], &variant.to_le_bytes(), &claimed.to_le_bytes(), &claimed.to_le_bytes()].concat();
            lies.push(frame(&head));
        }
    }
    for total in [0, 1 << 40, u64::MAX] {
        let mut begin = BytesMut::new();
        put_begin(&mut begin, 7, total);
        lies.push(begin.to_vec());
    }
    // As many messages as may be begun, and one more.
    let mut begun = BytesMut::new();
    (0..1_025).for_each(|stream| put_begin(&mut begun, stream, 20 << 20));
    lies.push(begun.to_vec());
    lies
}

#[test]
fn lengths_that_lie_are_not_believed() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let storm = Storm {
        name: "giant, lying and empty lengths",
        options: &[],
        certificates: None,
        bound: TURN_BYTES + 1_024 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let (lies, mut tries) = (lies(), 0);
        while attacker.goes_on() {
            for lie in &lies {
                let Some(mut stream) =
                    (if tries % 3 == 2 { try_connect(attacker) } else { session(attacker) })
                else {
                    continue;
                };
                let _ = stream.write_all(lie);
                tries += 1;
            }
        }
        tries
    });
    assert!(outcome.tries > 100, "{}", outcome.tries);
}

/// Sessions that begin a frame or a JSON text and let a byte come now and then.
#[test]
fn frames_that_do_not_get_on_end_their_session() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let crowd = scale.pick(100, 1_000);
    let storm = Storm {
        name: "slow frames",
        options: &["--frame-timeout", "500ms"],
        certificates: None,
        bound: TURN_BYTES + 2 * crowd as u64 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let mut open = Vec::new();
        let mut tries = 0;
        while attacker.goes_on() {
            while open.len() < crowd / 2 {
                let stream = if attacker.number == 0 { session(attacker) } else { try_connect(attacker) };
                let Some(mut stream) = stream else { break };
                let begin: &[u8] = if attacker.number == 0 { &[0, 8, 0, 0, 0] } else { &[0, 8, 0, 0, b'{'] };
                let _ = stream.write_all(begin);
                open.push(stream);
                tries += 1;
            }
            open.retain_mut(|stream| stream.write_all(b" ").is_ok() && !is_closed(stream));
            thread::sleep(Duration::from_millis(50));
        }
        tries
    });
    assert!(outcome.tries > crowd as u64, "those of the first wave were ended: {}", outcome.tries);
    assert!(outcome.manager.count("connections_given_up") >= crowd as u64 / 2);
}

/// Large messages that come quickly but for their end.
#[test]
fn messages_that_are_never_completed_share_one_bound() {
    let (test, scale) = (Test::alone(), Scale::of_this_run());
    let storm = Storm {
        name: "messages without an end",
        options: &["--max-incomplete-bytes", "64MiB"],
        // The bound counts what is reserved; a buffer that grows is there twice for a moment.
        certificates: None,
        bound: TURN_BYTES + FREED_BYTES + (64 + 20) * MIB + 1_024 * CONNECTION_BYTES,
        attackers: 2,
    };
    let outcome = storm.run(&test, scale, |attacker| {
        let (mut open, mut sent) = (Vec::new(), 0);
        let mut part = BytesMut::new();
        put_data_start(&mut part, 1, 512 * 1024);
        part.extend_from_slice(&[0; 512 * 1024]);
        while attacker.goes_on() {
            let Some(mut stream) = session(attacker) else { continue };
            let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
            let mut begin = BytesMut::new();
            put_begin(&mut begin, 1, 20 << 20);
            let _ = stream.write_all(&begin);
            for _ in 0..39 {
                if attacker.goes_on() && stream.write_all(&part).is_ok() {
                    sent += 1;
                }
            }
            open.push(stream);
            open.retain(|stream| !is_closed(stream));
        }
        sent / 2
    });
    assert!(outcome.tries > 64, "{} MiB", outcome.tries);
    outcome.manager.until("nothing is held", |status| status["manager"]["incomplete_bytes"] == 0);
}
