//! Who may come in: tokens, TLS, and the files that hold secrets.

mod error;
mod files;
mod tls;
mod tokens;

pub use error::SecurityError;
pub use files::{make_folder, write_secret, write_token_files};
pub use tls::{ClientTls, ServerTls};
pub use tokens::{Grant, Token, Tokens};
