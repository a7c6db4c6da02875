//! TLS from below: records that hold nothing, and bytes that it keeps because the peer takes none.

use super::json::Json;
use super::peer::{CLIENT, LIMIT, connect, greeting, hello, read_to_end};
use super::{block_on, builder};
use crate::manager::encrypted::{Encrypted, RATION_BYTES};
use crate::manager::outgoing::{Flushed, Outgoing};
use crate::manager::socket::Socket;
use crate::manager::stream::Stream;
use crate::security::{ServerTls, write_secret};
use proletariat_protocol::handshake::{PREAMBLE_BYTES, Preamble};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio_rustls::rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use tokio_rustls::rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    CipherSuiteCommon, ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType,
    Error as TlsError, RootCertStore, StreamOwned, SupportedCipherSuite, Tls13CipherSuite,
};

/// The name in the certificate.
const NAME: &str = "broker.example";
/// A certificate for it, and its key.
static IDENTITY: LazyLock<(String, String)> = LazyLock::new(|| {
    let own = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (own.cert.pem(), own.signing_key.serialize_pem())
});
/// A socket of ours holds so much of what nobody reads, if the system allows it.
const ROOM: usize = 1 << 20;

/// An algorithm that writes an empty record where one with a single byte should be: TLS itself does not let a peer write one.
struct Hollow(&'static dyn Tls13AeadAlgorithm);

struct HollowEncrypter(Box<dyn MessageEncrypter>);

impl Tls13AeadAlgorithm for Hollow {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(HollowEncrypter(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

impl MessageEncrypter for HollowEncrypter {
    fn encrypt(
        &mut self,
        mut message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, TlsError> {
        if message.typ == ContentType::ApplicationData && message.payload.len() == 1 {
            message.payload = OutboundChunks::new_empty();
        }
        self.0.encrypt(message, number)
    }

    fn encrypted_payload_len(&self, bytes: usize) -> usize {
        self.0.encrypted_payload_len(bytes)
    }
}

fn hollow() -> SupportedCipherSuite {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let common = CipherSuiteCommon {
        suite: suite.common.suite,
        hash_provider: suite.common.hash_provider,
        confidentiality_limit: suite.common.confidentiality_limit,
    };
    let aead_alg: &'static Hollow = Box::leak(Box::new(Hollow(suite.aead_alg)));
    let hollow = Tls13CipherSuite { common, hkdf_provider: suite.hkdf_provider, aead_alg, quic: None };
    SupportedCipherSuite::Tls13(Box::leak(Box::new(hollow)))
}

/// A peer whose records may be hollow.
type Theirs = StreamOwned<ClientConnection, TcpStream>;

fn client(address: SocketAddr) -> Theirs {
    let provider = CryptoProvider { cipher_suites: vec![hollow()], ..ring::default_provider() };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(IDENTITY.0.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&TLS13]);
    let config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(NAME).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), connect(address))
}

fn server() -> ServerTls {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("manager.pem"), folder.path().join("manager.key"));
    write_secret(&certificate, &IDENTITY.0).unwrap();
    write_secret(&key, &IDENTITY.1).unwrap();
    ServerTls::read(&certificate, &key, None).unwrap()
}

/// The records of what has been written.
fn seal(conn: &mut ClientConnection, records: &mut Vec<u8>) {
    while conn.wants_write() {
        conn.write_tls(records).unwrap();
    }
}

/// So many bytes of records that hold nothing: an empty one and a new key in turns, since TLS takes only so many of either in
/// a row.
fn nothing(conn: &mut ClientConnection, bytes: usize) -> Vec<u8> {
    let mut records = Vec::new();
    while records.len() < bytes {
        conn.writer().write_all(&[0]).unwrap();
        conn.refresh_traffic_keys().unwrap();
        seal(conn, &mut records);
    }
    records
}

/// The manager's end of a connection, in our hands.
struct Ours {
    stream: Stream,
    poll: mio::Poll,
    /// The same socket once more, to look into.
    twin: TcpStream,
}

impl Ours {
    fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let twin = socket.try_clone().unwrap();
        let socket = Socket::new(mio::net::TcpStream::from_std(socket));
        let mut stream = Stream::Encrypted(Box::new(Encrypted::new(socket, server().acceptor())));
        let poll = mio::Poll::new().unwrap();
        stream.watch(poll.registry(), mio::Token(0)).unwrap();
        Self { stream, poll, twin }
    }

    /// Waits for news of the socket.
    fn wait(&mut self) {
        let mut events = mio::Events::with_capacity(4);
        self.poll.poll(&mut events, Some(LIMIT)).unwrap();
        assert!(!events.is_empty(), "there is no news of the socket");
        for event in &events {
            self.stream.heard(event);
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.stream.poll_read(&mut Context::from_waker(Waker::noop()), buffer)
    }

    /// What comes next.
    fn hear(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.read(&mut buffer) {
                Poll::Pending => self.wait(),
                Poll::Ready(read) => {
                    buffer.truncate(read.unwrap());
                    return buffer;
                }
            }
        }
    }

    /// Bytes in the socket, up to so many.
    fn unread(&self, most: usize) -> usize {
        match self.twin.peek(&mut vec![0; most]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            bytes => bytes.unwrap(),
        }
    }
}

/// Both ends of a connection, after the handshake.
fn connected() -> (Ours, Theirs) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    set_socket_recv_buffer_size(&listener, ROOM).unwrap();
    let address = listener.local_addr().unwrap();
    let theirs = thread::spawn(move || {
        let mut theirs = client(address);
        theirs.write_all(b"hello").unwrap();
        theirs
    });
    let mut ours = Ours::accept(&listener);
    assert_eq!(ours.hear(), b"hello");
    (ours, theirs.join().unwrap())
}

#[test]
fn one_read_takes_a_ration_of_records_that_hold_nothing() {
    let (mut ours, mut theirs) = connected();
    let records = nothing(&mut theirs.conn, RATION_BYTES * 3 / 2);
    theirs.sock.write_all(&records).unwrap();
    let begun = Instant::now();
    while ours.unread(records.len()) < records.len() {
        assert!(begun.elapsed() < LIMIT, "the socket does not hold them");
    }
    ours.wait();
    let mut buffer = vec![0; 256 * 1024];
    assert!(ours.read(&mut buffer).is_pending());
    assert!(ours.unread(records.len()) > 0, "one read has taken everything");
    assert!(ours.stream.is_cut_short(), "nobody will tell of the rest");
    assert!(ours.read(&mut buffer).is_pending());
    assert_eq!(ours.unread(records.len()), 0);
    assert!(!ours.stream.is_cut_short(), "there will be news of what comes now");
    theirs.write_all(b"after").unwrap();
    assert_eq!(ours.hear(), b"after");
}

#[test]
fn what_comes_behind_many_records_of_nothing_is_heard() {
    let manager = builder().tls(server()).handshake_timeout(LIMIT).start().unwrap();
    let mut peer = client(manager.local_addr());
    while peer.conn.is_handshaking() {
        peer.conn.complete_io(&mut peer.sock).unwrap();
    }
    let mut records = nothing(&mut peer.conn, 8 * RATION_BYTES);
    peer.conn.writer().write_all(&greeting(&hello(CLIENT))).unwrap();
    seal(&mut peer.conn, &mut records);
    peer.sock.write_all(&records).unwrap();
    let mut preamble = [0; PREAMBLE_BYTES];
    peer.read_exact(&mut preamble).unwrap();
    Preamble::decode(preamble).unwrap();
}

#[test]
fn what_tls_keeps_waits_and_nobody_has_taken_it() {
    let (mut ours, mut theirs) = connected();
    let mut cx = Context::from_waker(Waker::noop());
    let (mut outgoing, mut bytes) = (Outgoing::default(), 0);
    let piece = [7_u8; 16 * 1024];
    loop {
        outgoing.append(&piece);
        bytes += piece.len();
        match outgoing.flush(&mut ours.stream, &mut cx) {
            (Flushed::All, _) => {}
            (Flushed::Blocked, _) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(outgoing.bytes() > 0, "TLS has room for a piece, the socket has none");
    outgoing.append(b"more");
    bytes += b"more".len();
    let flushed = outgoing.flush(&mut ours.stream, &mut cx);
    assert!(matches!(flushed, (Flushed::Blocked, false)), "{flushed:?}");
    thread::scope(|scope| {
        scope.spawn(|| theirs.read_exact(&mut vec![0; bytes]).unwrap());
        loop {
            match outgoing.flush(&mut ours.stream, &mut cx) {
                (Flushed::All, _) => break,
                (Flushed::Blocked, _) => ours.wait(),
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(outgoing.bytes(), 0);
}

#[test]
fn who_was_there_before_tls_was_asked_for_may_stay_silent_and_speak_json() {
    let manager = builder().handshake_timeout(Duration::from_millis(100)).start().unwrap();
    let address = manager.local_addr();
    let status = || -> Value { serde_json::from_str(&block_on(manager.status()).unwrap()).unwrap() };
    let until = |holds: &dyn Fn(&Value) -> bool| {
        let begun = Instant::now();
        while !holds(&status()) {
            assert!(begun.elapsed() < LIMIT, "{}", status());
            thread::sleep(Duration::from_millis(10));
        }
    };
    let (mut listens, mut speaks) = (Json::connect(address), Json::connect(address));
    until(&|status| status["manager"]["connections"] == 2);
    manager.set_tls(server()).unwrap();
    // What is asked of a manager is done in order.
    status();
    assert!(read_to_end(&connect(address)).is_empty(), "who comes now has the time of a handshake");
    speaks.say(&json!({"command": "ping"}));
    speaks.hear_of("ping");
    // The other one is taken for a JSON peer when it has been silent for long enough.
    until(&|status| status["peers"].as_array().unwrap().len() == 2);
    listens.say(&json!({"command": "ping"}));
    listens.hear_of("ping");
}
