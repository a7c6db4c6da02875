//! What carries the bytes of a raw peer: TCP, or TLS over it; and the certificates for that.

use super::{LIMIT, Test};
use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// The name in the certificates.
const NAME: &str = "broker.example";

/// Files as `manager certificate new` makes them.
pub(crate) struct Certificates(PathBuf);

impl Certificates {
    pub(crate) fn new(test: &Test, name: &str) -> Self {
        let folder = test.path(name);
        let words = ["certificate", "new", folder.to_str().unwrap(), NAME, "127.0.0.1"];
        let made = test.run("manager", &words).expect(0).text();
        assert_eq!(made.lines().count(), 5, "{made}");
        for path in made.lines() {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600, "{path}");
        }
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn of_manager(&self) -> [(&'static str, String); 2] {
        [("tls_cert", self.path("manager.pem")), ("tls_key", self.path("manager.key"))]
    }

    /// What a raw peer needs to trust them.
    pub(crate) fn trust(&self) -> Trust {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.path("ca.pem")).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        Trust(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

/// Whom a raw peer believes to be the manager.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// TLS over a connection; the handshake takes place with the first bytes.
    pub(crate) fn over(&self, stream: TcpStream) -> Encrypted {
        let name = ServerName::try_from(NAME).unwrap();
        StreamOwned::new(ClientConnection::new(Arc::clone(&self.0), name).unwrap(), stream)
    }
}

/// A connection with TLS.
pub(crate) type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// A connection to a manager.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
}

impl Wire {
    pub(crate) fn to(address: SocketAddr, trust: Option<&Trust>) -> Self {
        let stream = connect(address);
        match trust {
            None => Self::Plain(stream),
            Some(trust) => Self::Encrypted(Box::new(trust.over(stream))),
        }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Encrypted(stream) => &stream.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Encrypted(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            Self::Encrypted(stream) => {
                let written = stream.write_vectored(slices)?;
                stream.flush()?;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Encrypted(stream) => stream.flush(),
        }
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}
