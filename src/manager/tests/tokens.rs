//! Who may come in with which token.

use super::builder;
use super::peer::{CLIENT, Peer, WORKER, hello};
use crate::security::{Token, Tokens};
use proletariat_protocol::handshake::{Hello, Roles};
use proletariat_protocol::message::{ManagerMessage, PeerMessage};
use proletariat_protocol::{ErrorCode, InstanceId, JobOptions, MessageId, Offer};
use serde_json::Value;

const ADMIN: Roles = Roles { client: true, worker: false, admin: true };

fn with(token: &Token, roles: Roles) -> Hello {
    Hello { token: Some(token.reveal().into()), ..hello(roles) }
}

fn tokens(list: &[(&Token, Roles)]) -> Tokens {
    let mut tokens = Tokens::default();
    list.iter().for_each(|(token, roles)| tokens.add((*token).clone(), *roles));
    tokens
}

#[test]
fn only_the_right_token_for_the_role_lets_a_peer_in() {
    let (client, worker) = (Token::random(), Token::random());
    let manager = builder().tokens(tokens(&[(&client, CLIENT), (&worker, WORKER)])).start().unwrap();
    let address = manager.local_addr();
    let both = Roles { client: true, worker: true, admin: false };
    for (hello, reason) in [
        (hello(CLIENT), "asks for a token"),
        (with(&Token::random(), CLIENT), "not known"),
        (with(&worker, CLIENT), "is for the role worker"),
        (with(&client, both), "wants to be client and worker"),
        (with(&client, ADMIN), "client and admin"),
        (Hello { token: Some(client.reveal()[..63].into()), ..hello(CLIENT) }, "not known"),
    ] {
        let refusal = Peer::try_join(address, &hello).err().expect(reason);
        assert_eq!((refusal.code, refusal.retry), (ErrorCode::Unauthorized, false), "{}", refusal.message);
        assert!(refusal.message.contains(reason), "{}", refusal.message);
    }
    assert!(Peer::try_join(address, &with(&client, CLIENT)).is_ok());
    assert!(Peer::try_join(address, &with(&worker, WORKER)).is_ok());
}

#[test]
fn an_instance_is_taken_over_under_its_own_token_only() {
    let (one, other) = (Token::random(), Token::random());
    let manager = builder().tokens(tokens(&[(&one, CLIENT), (&other, CLIENT)])).start().unwrap();
    let address = manager.local_addr();
    let instance = InstanceId([7; 16]);
    let of = |token| Hello { instance, ..with(token, CLIENT) };
    let mut first = Peer::try_join(address, &of(&one)).ok().unwrap();
    let _stranger = Peer::try_join(address, &of(&other)).ok().unwrap();
    first.say(&PeerMessage::Ping, &[]);
    assert_eq!(first.hear().0, ManagerMessage::Pong, "a stranger with its instance id is nobody to it");
    let _own = Peer::try_join(address, &of(&one)).ok().unwrap();
    assert!(matches!(first.try_hear(), Some((ManagerMessage::Leaving { .. }, _)) | None));
}

#[test]
fn equal_keys_of_different_tokens_share_nothing() {
    let (one, other, works) = (Token::random(), Token::random(), Token::random());
    let known = tokens(&[(&one, CLIENT), (&other, CLIENT), (&works, WORKER)]);
    let manager = builder().hold_similar_work(true).tokens(known).start().unwrap();
    let address = manager.local_addr();
    let keyed = JobOptions { key: Some("k".into()), ..JobOptions::default() };
    let mut clients = Vec::new();
    for (token, payload) in [(&one, b"1"), (&other, b"2"), (&one, b"3")] {
        let mut client = Peer::try_join(address, &with(token, CLIENT)).ok().unwrap();
        client.submit_with(keyed.clone(), &[payload]);
        assert!(matches!(client.hear().0, ManagerMessage::Accepted { .. }));
        clients.push(client);
    }
    let mut worker = Peer::try_join(address, &with(&works, WORKER)).ok().unwrap();
    worker.say(&PeerMessage::Offer(Offer::new(10)), &[]);
    assert_eq!(worker.hear().0, ManagerMessage::OfferAccepted);
    let runs = worker.executions();
    let payloads: Vec<&[u8]> = runs.iter().map(|(_, payload)| &payload[..]).collect();
    assert_eq!(payloads, [b"1", b"2"]);
    worker.finish(&runs[0].0, b"of one");
    for client in [0, 2] {
        assert_eq!(clients[client].outcomes(1)[0].1, "of one");
    }
    worker.finish(&runs[1].0, b"of the other");
    assert_eq!(clients[1].outcomes(1)[0].1, "of the other");
}

#[test]
fn who_is_no_administrator_is_told_nothing_of_the_others() {
    let (client, admin) = (Token::random(), Token::random());
    let manager = builder().tokens(tokens(&[(&client, CLIENT), (&admin, ADMIN)])).start().unwrap();
    for (token, peers) in [(&client, 0), (&admin, 2)] {
        let mut waiting = Peer::try_join(manager.local_addr(), &with(&client, CLIENT)).ok().unwrap();
        waiting.submit(&[b"secret"]);
        assert!(matches!(waiting.hear().0, ManagerMessage::Accepted { .. }));
        let mut peer = Peer::try_join(manager.local_addr(), &with(token, CLIENT)).ok().unwrap();
        peer.say(&PeerMessage::StatusRequest { id: MessageId(1) }, &[]);
        let (message, text) = peer.hear();
        assert!(matches!(message, ManagerMessage::Status { .. }), "{message:?}");
        let status: Value = serde_json::from_slice(&text[0]).unwrap();
        assert_eq!(status["peers"].as_array().unwrap().len(), peers, "{status}");
        assert_eq!(status["queues"].as_array().unwrap().is_empty(), peers == 0, "{status}");
        assert!(status["limits"]["max_payload"].is_number());
    }
}

#[test]
fn new_tokens_end_the_sessions_of_those_that_are_gone_and_no_other() {
    let (kept, gone, new) = (Token::random(), Token::random(), Token::random());
    let manager = builder().tokens(tokens(&[(&gone, CLIENT), (&kept, CLIENT)])).start().unwrap();
    let address = manager.local_addr();
    let mut leaves = Peer::try_join(address, &with(&gone, CLIENT)).ok().unwrap();
    let mut stays = Peer::try_join(address, &with(&kept, CLIENT)).ok().unwrap();
    manager.set_tokens(tokens(&[(&kept, CLIENT), (&new, CLIENT)])).unwrap();
    let Some((ManagerMessage::Leaving { code, retry, .. }, _)) = leaves.try_hear() else { panic!() };
    assert_eq!((code, retry), (ErrorCode::Unauthorized, true));
    stays.say(&PeerMessage::Ping, &[]);
    assert_eq!(stays.hear().0, ManagerMessage::Pong);
    assert!(Peer::try_join(address, &with(&new, CLIENT)).is_ok());
    assert!(Peer::try_join(address, &with(&gone, CLIENT)).is_err());
}

#[test]
fn tokens_are_protection_enough_for_an_address_that_others_reach() {
    let token = Token::random();
    let manager = builder().host("0.0.0.0").tokens(tokens(&[(&token, CLIENT)])).start().unwrap();
    assert!(!manager.local_addr().ip().is_loopback());
    assert!(builder().host("0.0.0.0").start().is_err());
}
