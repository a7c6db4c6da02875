//! Certificates to begin with: an authority of our own that signs one for the manager and one for its peers, and is thrown
//! away then, so that nobody can sign others with it.

use proletariat::security::{SecurityError, make_folder, write_secret};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{Certificate, KeyUsagePurpose};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why there are no certificates.
#[derive(Debug, Error)]
pub(super) enum CertificateError {
    #[error(transparent)]
    File(#[from] SecurityError),
    #[error("cannot make a certificate for {names}: {source}")]
    Names { names: String, source: rcgen::Error },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Writes certificates and keys into `folder`: `ca.pem`, `manager.pem` and `manager.key`, `peer.pem` and `peer.key`.
pub(super) fn write(folder: &Path, names: &[String]) -> Result<Vec<PathBuf>, CertificateError> {
    let authority_key = KeyPair::generate()?;
    let mut authority = titled(CertificateParams::default(), "proletariat development authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let own = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let unfit = |source| CertificateError::Names { names: names.join(", "), source };
    let mut manager = titled(CertificateParams::new(names.to_vec()).map_err(unfit)?, "proletariat manager");
    manager.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut peer = titled(CertificateParams::default(), "proletariat peer");
    peer.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (manager, manager_key) = signed(manager, &issuer)?;
    let (peer, peer_key) = signed(peer, &issuer)?;

    make_folder(folder)?;
    let files = [
        ("ca.pem", own.pem()),
        ("manager.pem", manager.pem()),
        ("manager.key", manager_key.serialize_pem()),
        ("peer.pem", peer.pem()),
        ("peer.key", peer_key.serialize_pem()),
    ];
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        write_secret(&path, &text)?;
        written.push(path);
    }
    Ok(written)
}

fn titled(mut params: CertificateParams, name: &str) -> CertificateParams {
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn signed(
    params: CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(Certificate, KeyPair), rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?, key))
}
