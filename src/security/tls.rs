//! TLS 1.3, and nothing older: what manager and peers need for it, read from PEM files.

use super::error::SecurityError;
use super::files::read_secret;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What a manager shows to its peers, and asks of them.
#[derive(Clone)]
pub struct ServerTls(Arc<ServerConfig>);

impl ServerTls {
    /// From a file with the certificate and those that it hangs on, and one with its key (mode 0600). With `client_ca` only
    /// peers come in that have a certificate of that authority.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn read(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, SecurityError> {
        let (chain, own_key) = (certificates(certificate)?, private_key(key)?);
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(unfit(certificate))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let roots = Arc::new(authorities(ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
                builder.with_client_cert_verifier(verifier.map_err(unfit(ca))?)
            }
        };
        let config = builder.with_single_cert(chain, own_key).map_err(unfit(key))?;
        Ok(Self(Arc::new(config)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

/// Whom a client or worker trusts, and what it shows.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Trusts managers with a certificate of the authority in the file `ca`; shows `own` (a certificate and its key, mode
    /// 0600), if there is one, to a manager that asks.
    ///
    /// # Errors
    /// [`SecurityError`].
    pub fn read(ca: &Path, own: Option<(&Path, &Path)>) -> Result<Self, SecurityError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(authorities(ca)?), provider());
        let verifier = verifier.build().map_err(unfit(ca))?;
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
        let builder = builder.map_err(unfit(ca))?.with_webpki_verifier(verifier);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
                .map_err(unfit(key))?,
        };
        Ok(Self { config: Arc::new(config), name: None })
    }

    /// The name that the manager's certificate must have, where it is another one than that of the host. `None`: this is
    /// no name.
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Option<Self> {
        self.name = Some(ServerName::try_from(name.to_owned()).ok()?);
        Some(self)
    }

    /// For the manager at this `host:port`; `None`: the host cannot be the name of a certificate.
    pub(crate) fn connector(&self, address: &str) -> Option<(TlsConnector, ServerName<'static>)> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).ok()?,
        };
        Some((TlsConnector::from(Arc::clone(&self.config)), name))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unfit<E: fmt::Display>(path: &Path) -> impl Fn(E) -> SecurityError {
    let path = path.to_owned();
    move |error| SecurityError::Unfit { path: path.clone(), reason: error.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let text = fs::read(path).map_err(|source| SecurityError::File { path: path.to_owned(), source })?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(unfit(path))?;
    if found.is_empty() { Err(unfit(path)("there is no certificate in it")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(read_secret(path)?.as_bytes()).map_err(unfit(path))
}

fn authorities(path: &Path) -> Result<RootCertStore, SecurityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(unfit(path))?;
    }
    Ok(roots)
}
