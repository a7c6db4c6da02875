//! What proves who somebody is: token files, for those who connect and for the manager; and how they are made.

use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use proletariat::security::{SecurityError, Token, Tokens, write_token_files};
use std::io::Write;
use std::path::PathBuf;

/// What a worker or client shows to the manager.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct PeerSecrets {
    /// File with the token to show to the manager (mode 0600)
    #[arg(long, global = true, help_heading = "Common options", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl PeerSecrets {
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
}

impl ManagerSecrets {
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
}

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Writes new tokens: FOLDER/tokens for the manager, FOLDER/client.token and so on for the peers, all with mode 0600
    New {
        /// Where to; made if it is not there
        folder: PathBuf,
    },
}

impl SecretCommand {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let Self::Token(TokenCommand::New { folder }) = self;
        tell(write_token_files(folder))
    }
}

/// Prints the files that were written, one a line.
fn tell(written: Result<Vec<PathBuf>, SecurityError>) -> Result<Exit, Failure> {
    let written = written.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let mut out = std::io::stdout().lock();
    for path in written {
        writeln!(out, "{}", path.display())?;
    }
    Ok(Exit::Done)
}

fn unusable(error: &SecurityError) -> Failure {
    Failure::usage(error.to_string())
}
