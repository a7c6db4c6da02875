//! What proves who somebody is: tokens and certificates, for those who connect and for the manager; and how they are made.

mod certificate;

use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use proletariat::security::{ClientTls, SecurityError, ServerTls, Token, Tokens, write_token_files};
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a worker or client shows to the manager.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct PeerSecrets {
    /// File with the token to show to the manager (mode 0600)
    #[arg(long, global = true, help_heading = "Common options", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Talk TLS, to a manager with a certificate of the authority in this file
    #[arg(long, global = true, help_heading = "Common options", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show to a manager that asks for one
    #[arg(long, global = true, help_heading = "Common options", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate (mode 0600)
    #[arg(long, global = true, help_heading = "Common options", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Name in the manager's certificate [default: the host]
    #[arg(long, global = true, help_heading = "Common options", value_name = "NAME")]
    tls_name: Option<String>,
}

impl PeerSecrets {
    /// What TLS needs, if it is wanted.
    pub(super) fn tls(&self) -> Result<Option<ClientTls>, Failure> {
        let own = pair(&self.tls_cert, &self.tls_key)?;
        let Some(ca) = &self.tls_ca else {
            return match (own, &self.tls_name) {
                (None, None) => Ok(None),
                _ => Err(Failure::usage("TLS needs --tls-ca: whom to trust")),
            };
        };
        let tls = ClientTls::read(ca, own).map_err(|error| unusable(&error))?;
        let Some(name) = &self.tls_name else { return Ok(Some(tls)) };
        let named = tls.server_name(name);
        named.map(Some).ok_or_else(|| Failure::usage(format!("--tls-name: {name:?} is no name of a host")))
    }

    /// The certificate and key as those of a server, where there are some.
    pub(super) fn own_tls(&self) -> Result<Option<ServerTls>, Failure> {
        let Some((certificate, key)) = pair(&self.tls_cert, &self.tls_key)? else { return Ok(None) };
        ServerTls::read(certificate, key, None).map(Some).map_err(|error| unusable(&error))
    }

    /// The token, if there is a file with one.
    pub(super) fn token(&self) -> Result<Option<String>, Failure> {
        let token = self.token_file.as_deref().map(Token::read).transpose();
        Ok(token.map_err(|error| unusable(&error))?.map(|token| token.reveal().to_owned()))
    }
}

/// What the manager asks for.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ManagerSecrets {
    /// Let only peers in that show a token of this file (mode 0600); read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Speak TLS 1.3 and nothing else, with the certificate in this file; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Key of that certificate (mode 0600)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Let only peers in that have a certificate of the authority in this file
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
}

impl ManagerSecrets {
    pub(super) fn tls(&self) -> Result<Option<ServerTls>, Failure> {
        match (pair(&self.tls_cert, &self.tls_key)?, &self.tls_client_ca) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Failure::usage("--tls-client-ca needs --tls-cert and --tls-key")),
            (Some((certificate, key)), ca) => {
                ServerTls::read(certificate, key, ca.as_deref()).map(Some).map_err(|error| unusable(&error))
            }
        }
    }

    pub(super) fn tokens(&self) -> Result<Option<Tokens>, Failure> {
        self.token_file.as_deref().map(Tokens::read).transpose().map_err(|error| unusable(&error))
    }
}

/// Making secrets.
#[derive(Subcommand, Debug)]
pub(super) enum SecretCommand {
    /// Makes tokens for the roles client, worker and admin
    #[command(subcommand)]
    Token(TokenCommand),
    /// Makes certificates to begin with: an authority, one for the manager, one for its peers
    #[command(subcommand)]
    Certificate(CertificateCommand),
}

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Writes new tokens: FOLDER/tokens for the manager, FOLDER/client.token and so on for the peers, all with mode 0600
    New {
        /// Where to; made if it is not there
        folder: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum CertificateCommand {
    /// Writes FOLDER/ca.pem, manager.pem and manager.key, peer.pem and peer.key, all with mode 0600
    New {
        /// Where to; made if it is not there
        folder: PathBuf,
        /// Names and addresses of the manager's host
        #[arg(default_values = ["localhost", "127.0.0.1", "::1"])]
        names: Vec<String>,
    },
}

impl SecretCommand {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        match self {
            Self::Token(TokenCommand::New { folder }) => tell(write_token_files(folder)),
            Self::Certificate(CertificateCommand::New { folder, names }) => {
                tell(certificate::write(folder, names))
            }
        }
    }
}

/// Prints the files that were written, one a line.
fn tell<E: Display>(written: Result<Vec<PathBuf>, E>) -> Result<Exit, Failure> {
    let written = written.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let mut out = std::io::stdout().lock();
    for path in written {
        writeln!(out, "{}", path.display())?;
    }
    Ok(Exit::Done)
}

/// Certificate and key come together.
fn pair<'a>(
    certificate: &'a Option<PathBuf>,
    key: &'a Option<PathBuf>,
) -> Result<Option<(&'a Path, &'a Path)>, Failure> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        _ => Err(Failure::usage("--tls-cert and --tls-key go together")),
    }
}

fn unusable(error: &SecurityError) -> Failure {
    Failure::usage(error.to_string())
}
