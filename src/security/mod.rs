//! Who may come in: tokens, and the files that hold secrets.

mod error;
mod files;
mod tokens;

pub use error::SecurityError;
pub use files::write_token_files;
pub use tokens::{Grant, Token, Tokens};
