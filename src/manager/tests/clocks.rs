//! Peers that are too slow, too silent or half gone; and a manager that was stopped for a while.

use super::builder;
use super::peer::{CLIENT, LIMIT, Peer, connect, greeting, hello, read_to_end};
use proletariat_protocol::handshake::{Answer, PREAMBLE_BYTES};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{MessageId, Offer};
use proletariat_scheduler::selector::{Candidate, Candidates, Random, Request, Selector};
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn a_silent_peer_is_asked_and_then_given_up() {
    let manager = builder().heartbeat(SHORT).heartbeat_timeout(3 * SHORT).start().unwrap();
    let joined = Instant::now();
    let mut peer = Peer::join(manager.local_addr(), CLIENT);
    assert_eq!(peer.try_hear().unwrap().0, ManagerMessage::Ping);
    assert_eq!(peer.try_hear(), None, "asked once");
    assert!((3 * SHORT..Duration::from_secs(2)).contains(&joined.elapsed()), "{:?}", joined.elapsed());
}

#[test]
fn a_peer_that_answers_stays() {
    let manager = builder().heartbeat(SHORT).heartbeat_timeout(3 * SHORT).start().unwrap();
    let mut peer = Peer::join(manager.local_addr(), CLIENT);
    for _ in 0..8 {
        assert_eq!(peer.try_hear().unwrap().0, ManagerMessage::Ping);
        peer.say(&PeerMessage::Pong, &[]);
    }
}

#[test]
fn a_handshake_has_its_time_from_the_first_byte_on() {
    let manager = builder().handshake_timeout(SHORT).start().unwrap();
    let mut silent = connect(manager.local_addr());
    let mut begun = connect(manager.local_addr());
    begun.write_all(&greeting(&hello(CLIENT))[..20]).unwrap();
    let answer = read_to_end(&begun);
    let Ok(Some((Answer::Refused(refusal), _))) = Answer::decode(&answer[PREAMBLE_BYTES..]) else { panic!() };
    assert!(refusal.message.contains("handshake_timeout"), "{}", refusal.message);
    let mut short = connect(manager.local_addr());
    short.write_all(&[0]).unwrap();
    assert!(read_to_end(&short).is_empty());
    // All that time the silent one was left alone.
    silent.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(read_to_end(&silent).starts_with(b"HTTP/1.1 400"));
}

#[test]
fn without_the_json_dialect_nobody_may_be_silent() {
    let manager = builder().handshake_timeout(SHORT).no_json(true).start().unwrap();
    let silent = connect(manager.local_addr());
    assert!(read_to_end(&silent).is_empty());
}

#[test]
fn a_byte_buys_no_time_where_nobody_may_be_silent() {
    let manager = builder().handshake_timeout(5 * SHORT).no_json(true).start().unwrap();
    let mut slow = connect(manager.local_addr());
    let accepted = Instant::now();
    std::thread::sleep(4 * SHORT);
    slow.write_all(&[0]).unwrap();
    assert!(read_to_end(&slow).is_empty());
    assert!(accepted.elapsed() < 8 * SHORT, "{:?}", accepted.elapsed());
}

#[test]
fn a_frame_that_does_not_get_on_ends_its_session() {
    let manager = builder().frame_timeout(2 * SHORT).start().unwrap();
    let mut peer = Peer::join(manager.local_addr(), CLIENT);
    peer.write_raw(&[0, 0, 1, 0, 0, 1, 2, 3]);
    assert_eq!(peer.try_hear(), None);
}

#[test]
fn who_takes_nothing_is_dropped_and_nobody_else_notices() {
    let manager = builder().outbox_stall(2 * SHORT).start().unwrap();
    let mut stuck = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut other = Peer::join(manager.local_addr(), CLIENT);
    let begun = Instant::now();
    let mut asked = 0;
    // It asks and asks, and never reads an answer.
    while stuck.try_say(&PeerMessage::StatusRequest { id: MessageId(asked) }, &[]) {
        asked += 1;
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{asked} answers were not taken, and it still stays"
        );
    }
    other.say(&PeerMessage::Ping, &[]);
    assert_eq!(other.hear().0, ManagerMessage::Pong);
}

/// Stops the whole manager while it chooses for the first time, and tells when that begins.
#[derive(Debug)]
struct Stall {
    time: Duration,
    begins: Sender<()>,
}

fn stall(time: Duration) -> (Stall, Receiver<()>) {
    let (begins, begun) = channel();
    (Stall { time, begins }, begun)
}

impl Selector for Stall {
    fn select(&mut self, _: &Request<'_>, among: &Candidates<'_>, _: &mut Random) -> Option<Candidate> {
        // Not every test wants to know.
        let _ = self.begins.send(());
        std::thread::sleep(std::mem::take(&mut self.time));
        among.iter().next()
    }
}

#[test]
fn a_stall_of_the_manager_costs_nobody_the_session() {
    let manager = builder()
        .heartbeat(SHORT)
        .heartbeat_timeout(5 * SHORT)
        .selector(stall(Duration::from_millis(2_500)).0)
        .start()
        .unwrap();
    let mut idle: Vec<Peer> = (0..20).map(|_| Peer::join(manager.local_addr(), CLIENT)).collect();
    let mut worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"work"]);
    let executions = worker.executions();
    worker.finish(&executions[0].0, b"done");
    assert_eq!(client.outcomes(1).len(), 1);
    for peer in &mut idle {
        peer.say(&PeerMessage::StatusRequest { id: MessageId(1) }, &[]);
        assert!(matches!(peer.hear().0, ManagerMessage::Status { .. }));
    }
}

/// The manager is away when the clock of one of them falls due, and what that one asks meanwhile is answered in the turn that looks at
/// the clock. It has taken nothing for longer than `outbox_stall`, but there was nothing for it to take.
#[test]
fn what_is_said_in_the_turn_of_a_look_has_not_waited() {
    let (selector, begun) = stall(6 * SHORT);
    let manager = builder()
        .heartbeat(4 * SHORT)
        .heartbeat_timeout(LIMIT)
        .outbox_stall(2 * SHORT)
        .selector(selector)
        .start()
        .unwrap();
    let mut asks = Peer::join(manager.local_addr(), CLIENT);
    let _worker = Peer::worker(manager.local_addr(), Offer::new(1));
    let mut client = Peer::join(manager.local_addr(), CLIENT);
    client.submit(&[b"work"]);
    begun.recv_timeout(LIMIT).unwrap();
    asks.say(&PeerMessage::Ping, &[]);
    assert_eq!(asks.hear().0, ManagerMessage::Pong);
}
